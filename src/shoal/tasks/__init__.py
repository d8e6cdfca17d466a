"""What recurs in the traffic: templates, contracts, their discovery and the matching of calls."""
