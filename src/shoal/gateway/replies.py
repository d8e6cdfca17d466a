"""Statuses, headers and errors, as the provider of each wire format writes them."""

import msgspec
from starlette.responses import Response

from shoal.errors import (
    Conflict,
    EngineError,
    EngineRefused,
    MissingExtra,
    NotFound,
    RequestError,
    ShoalError,
    StoreError,
)
from shoal.formats import FORMATS, ErrorText, WireFormat
from shoal.routing.receipt import Served

ESTIMATED = "x-shoal-estimated"
CALL_ID = "x-shoal-call-id"
EPISODE = "x-shoal-episode"
PREFIX = "/v1"  # of the paths of all wire formats
_EXCERPT = 500  # characters shown of an upstream's error that is not JSON


class _Told(msgspec.Struct):
    """What is read of an upstream's error to tell it in another format."""

    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Told


_REFUSAL = msgspec.json.Decoder(_Refusal)


def json_reply(value: object, status: int = 200) -> Response:
    """A reply that is JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def wire_of(path: str) -> WireFormat:
    """The format in which a caller of this path expects errors: OpenAI's unless it is another's."""
    for wire in FORMATS.values():
        if path.startswith(PREFIX + wire.path):
            return wire
    return FORMATS["chat"]


def error_reply(error: ShoalError, wire: WireFormat, call_id: str = "") -> Response:
    """The reply that tells the caller of ``error``; an upstream's own error as it came."""
    status, body = encode_error(error, wire, call_id)
    reply = Response(body, status, media_type="application/json")
    if call_id:
        reply.headers[CALL_ID] = header_text(call_id)
    if isinstance(error, EngineError) and error.retry_after:
        reply.headers["retry-after"] = header_text(error.retry_after)
    if isinstance(error, EngineRefused):  # its 401 is not about the caller's own key
        reply.headers["x-shoal-reason"] = "refused by the upstream"
        reply.headers.update(request_id_header(error.request_id, wire))
    if isinstance(error, RequestError):
        reply.headers.update(error.headers)
    return reply


def plain_error(status: int, message: str, code: str, wire: WireFormat) -> Response:
    """An error that no exception stands for."""
    body = wire.encode_error(ErrorText(status, message, code=code))
    return Response(body, status, media_type="application/json")


def encode_error(error: ShoalError, wire: WireFormat, call_id: str = "") -> tuple[int, bytes]:
    """The status of an error, and its body in the format's own shape."""
    if isinstance(error, EngineRefused):
        status = error.status if 400 <= error.status < 600 else 502
        if wire.is_error(error.body):
            return status, error.body
        told = ErrorText(status, _upstream_said(error), code=error.code, call_id=call_id)
    else:
        told = _told(error, call_id)
    return told.status, wire.encode_error(told)


def _told(error: ShoalError, call_id: str) -> ErrorText:
    message = str(error)
    if isinstance(error, RequestError):
        return ErrorText(error.status, message, error.param, error.code, call_id)
    if isinstance(error, EngineError):
        return ErrorText(error.status, message, code=error.code, call_id=call_id)
    if isinstance(error, NotFound):
        return ErrorText(404, message, code="not_found", call_id=call_id)
    if isinstance(error, Conflict):
        return ErrorText(409, message, code="conflict", call_id=call_id)
    if isinstance(error, StoreError):
        return ErrorText(503, message, code="store_error", call_id=call_id)
    if isinstance(error, MissingExtra):
        return ErrorText(501, message, code="extra_missing", call_id=call_id)
    return ErrorText(500, message, code="internal_error", call_id=call_id)


def _upstream_said(error: EngineRefused) -> str:
    """The words of an error that came in another shape, or an excerpt of what is none."""
    try:
        text = _REFUSAL.decode(error.body).error.message
    except (ValueError, RecursionError):  # words that are not UTF-8 are no DecodeError
        text = " ".join(error.body.decode(errors="replace").split())[:_EXCERPT]
    return f"{error}: {text}" if text else str(error)


def receipt_headers(served: Served, overhead_ms: float) -> dict[str, str]:
    """The short form of the receipt that every answer carries, how much of the time until it began
    was Shoal's own, and what is left of the caller's limits."""
    receipt = served.receipt
    episode = {EPISODE: header_text(receipt.episode)} if receipt.episode else {}
    return {
        "x-shoal-answered-by": header_text(receipt.answered_by),
        CALL_ID: header_text(receipt.call_id),
        "x-shoal-task": header_text(receipt.task),
        "x-shoal-reason": header_text(receipt.reason),
        "x-shoal-overhead-ms": f"{overhead_ms:.3f}",
        **episode,
        **served.limits,
    }


def request_id_header(request_id: str, wire: WireFormat) -> dict[str, str]:
    """The header in which the clients of a format look for the provider's id of an exchange."""
    return {wire.request_id: header_text(request_id)} if request_id else {}


def header_text(text: str) -> str:
    r"""``text`` on one line of ASCII; other characters as ``\u`` escapes."""
    if text.isascii() and text.isprintable():
        return text
    line = " ".join(text.split())
    printable = "".join(character for character in line if character.isprintable())
    return printable.encode("ascii", "backslashreplace").decode()
