"""Collections: a user's documents on their own machine, searchable by words and by meaning."""
