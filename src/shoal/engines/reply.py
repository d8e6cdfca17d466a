"""What an engine may give beside answers, and what it raises: known without what speaks HTTP."""

import asyncio

from msgspec import Struct


class NeverAsked(asyncio.CancelledError):
    """Cancelled before the upstream had anything of the request: it costs nothing."""


class Reply(Struct, frozen=True):
    """A whole reply that is no answer of a model, and the upstream's own id of the exchange."""

    body: bytes
    request_id: str = ""
