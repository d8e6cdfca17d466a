"""How far a derived index has read its collection."""

from msgspec import Struct


class Cursor(Struct, frozen=True, order=True):
    """The last passage ``added`` by number, and the last removal ``removed`` by sequence; zeros
    before any."""

    added: int = 0
    removed: int = 0
