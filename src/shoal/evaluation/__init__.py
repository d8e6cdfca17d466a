"""Measures of what a system does with recorded answers."""
