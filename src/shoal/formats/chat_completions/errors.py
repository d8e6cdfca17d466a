"""Errors as OpenAI writes them: ``{"error": {message, type, param, code}}``."""

import msgspec
from msgspec import Raw

from shoal.formats.json_text import encodable, members_or_none
from shoal.formats.wire_format import ErrorText

_NULL = Raw(b"null")


def encode_error(error: ErrorText) -> bytes:
    """The body of an error reply."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    told = {
        "message": encodable(error.message),
        "type": kind,
        "param": error.param and encodable(error.param),
        "code": error.code,
    }
    return msgspec.json.encode({"error": told})


def error_event(body: bytes) -> bytes:
    """The event that tells of an error within a stream."""
    return b"".join(b"data: %s\n" % line for line in body.splitlines()) + b"\n"


def is_error(body: bytes) -> bool:
    """Whether these bytes are an error in this shape."""
    members = members_or_none(body)
    if members is None or "type" in members:
        return False
    return bytes(members.get("error", _NULL)) != b"null"
