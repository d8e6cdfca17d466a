"""HTTP as a tool: one operation of a service, or those of an OpenAPI document."""
