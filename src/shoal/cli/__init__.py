"""The command line: ``shoal``."""
