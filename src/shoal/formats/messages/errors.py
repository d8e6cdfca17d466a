"""Errors as Anthropic writes them: ``{"type": "error", "error": {type, message}, request_id}``.

``code`` and ``param`` stand beside the type and the message; the format has no word for them.
"""

import msgspec

from shoal.formats.json_text import members_or_none
from shoal.formats.wire_format import ErrorText

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {kind: status for status, kind in _TYPES.items()}


def encode_error(error: ErrorText) -> bytes:
    """The body of an error reply."""
    other = "invalid_request_error" if error.status < 500 else "api_error"
    told = {"type": _TYPES.get(error.status, other), "message": error.message}
    told |= {"code": error.code} if error.code else {}
    told |= {"param": error.param} if error.param else {}
    body: dict[str, object] = {"type": "error", "error": told}
    if error.call_id:
        body["request_id"] = error.call_id
    return msgspec.json.encode(body)


def error_event(body: bytes) -> bytes:
    """The event that tells of an error within a stream."""
    lines = b"".join(b"data: %s\n" % line for line in body.splitlines())
    return b"event: error\n" + lines + b"\n"


def is_error(body: bytes) -> bool:
    """Whether these bytes are an error in this shape."""
    members = members_or_none(body) or {}
    return "error" in members and bytes(members.get("type", b"")) == b'"error"'


def status_of(kind: str) -> int:
    """The status that errors of this type have; 502 for an unknown one."""
    return _STATUSES.get(kind, 502)
