"""Model files on this machine: where they come from, which fit, how fast they are.

What it does not know: how a model is run, and what a file says of itself (``engines.local``).
"""
