"""Plans: written by people or by a model, checked whole, run step by step."""
