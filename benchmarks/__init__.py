"""Measurements: each module prints what it measured; figures that are kept stand in RESULTS.md."""
