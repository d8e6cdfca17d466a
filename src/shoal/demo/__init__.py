"""The demonstration: recorded traffic of a fictional shop's support desk, played through Shoal."""
