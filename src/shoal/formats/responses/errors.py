"""Errors: whole replies as in Chat Completions, within a stream an event of their own."""

import msgspec
from msgspec import Struct

from shoal.errors import EngineRefused

_STATUS = {"rate_limit_exceeded": 429, "insufficient_quota": 429, "vector_store_timeout": 504}
# how the codes begin that say what is wrong with the request: another try would not help
_CALLERS = (
    "invalid_",
    "image_",
    "empty_image",
    "unsupported_image",
    "failed_to_download_image",
    "context_length",
    "data_residency",
    "bio_policy",
    "misalignment_policy",
)
_EXCERPT = 500  # characters of what is no error in this shape


class WireError(Struct):
    """An error, as replies, failed answers and events tell it."""

    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _Body(Struct):
    error: WireError


_BODY = msgspec.json.Decoder(_Body)


def error_event(body: bytes) -> bytes:
    """The event that tells of an error within a stream; ``body`` is that of an error reply.

    It holds the error twice: flat, as the format has it, and under ``error``, which is where the
    official clients look. Its place in the stream is not known here: its number is 0.
    """
    try:
        error = _BODY.decode(body).error
    except (msgspec.DecodeError, RecursionError):
        error = WireError(message=body.decode(errors="replace")[:_EXCERPT])
    told = {"message": error.message, "param": error.param, "code": error.code}
    event = {"type": "error", **told, "error": {"type": error.type, **told}, "sequence_number": 0}
    return b"event: error\ndata: %s\n\n" % msgspec.json.encode(event)


def refusal(error: WireError | None, taken: bool) -> EngineRefused:
    """The error of an answer that failed, as if the upstream had replied with it; ``taken``: while
    it was made."""
    error = error or WireError(message="the upstream's answer failed; it does not say why")
    code = str(error.code or "server_error")
    callers = error.type == "invalid_request_error" or code.startswith(_CALLERS)
    status = _STATUS.get(code, 400 if callers else 502)
    kind = error.type or ("invalid_request_error" if status < 500 else "server_error")
    told = {"message": error.message, "type": kind, "param": error.param, "code": code}
    return EngineRefused(status, msgspec.json.encode({"error": told}), taken=taken)
