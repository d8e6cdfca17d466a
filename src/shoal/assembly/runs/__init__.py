"""Runs of plans: begun, journalled, gone on with, told of."""
