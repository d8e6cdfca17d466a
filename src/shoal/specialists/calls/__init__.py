"""What kind ``call`` is made of: candidates, evidence, tools and arguments."""
