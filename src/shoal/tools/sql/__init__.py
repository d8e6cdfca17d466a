"""SQL as a tool: what may be asked, how it is bounded, and the databases that can be asked."""
