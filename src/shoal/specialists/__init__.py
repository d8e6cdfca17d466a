"""Specialists: small models, one file per kind, each trained for one task."""
