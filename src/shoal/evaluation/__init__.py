"""How good it is, in figures and pages that can be shown to others."""
