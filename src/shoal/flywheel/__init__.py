"""The learning wing: from recorded calls to certified specialists, and back when they break."""
