"""Shoal: a coordinated system of many small models."""

__version__ = "0.1.0"
