"""Functions that settings of tests name."""

from shoal.tools.python import tool


def double(n: int) -> int:
    """Twice a number."""
    return 2 * n


@tool(effects="none")
def triple(n: int) -> int:
    """Three times a number."""
    return 3 * n


def unhinted(n):  # type: ignore[no-untyped-def]
    return n


NUMBER = 7
