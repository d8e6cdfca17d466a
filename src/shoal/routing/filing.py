"""What a rung that is no specialist is filed under."""

KIND = "agreement"
"""The kind of the cards of such rungs."""


def agreement_id(task: str) -> str:
    """What certificates, standings and events of a task's agreement are filed under."""
    return f"{task}/{KIND}"
