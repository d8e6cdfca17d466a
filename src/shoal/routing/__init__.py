"""Whom to ask: cascades of rungs, and the receipt that says why this answerer answered."""
