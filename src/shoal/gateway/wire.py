"""Statuses, headers and errors, as OpenAI's own API writes them."""

import msgspec
from starlette.responses import Response

from shoal.errors import (
    Conflict,
    EngineError,
    EngineRefused,
    NotFound,
    RequestError,
    ShoalError,
    StoreError,
)
from shoal.routing.receipt import Receipt

CALL_ID = "x-shoal-call-id"
_EXCERPT = 500  # characters shown of an upstream's error that is not JSON


class ErrorText(msgspec.Struct):
    """One error as callers see it: ``{"error": {message, type, param, code}}``."""

    message: str
    type: str
    param: str | None
    code: str | None


def json_reply(value: object, status: int = 200) -> Response:
    """A reply that is JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def error_reply(error: ShoalError, call_id: str = "") -> Response:
    """The reply that tells the caller of ``error``; an upstream's own error as it came."""
    status, body = encode_error(error)
    reply = Response(body, status, media_type="application/json")
    if call_id:
        reply.headers[CALL_ID] = header_text(call_id)
    if isinstance(error, EngineRefused) and error.retry_after:
        reply.headers["retry-after"] = header_text(error.retry_after)
    if isinstance(error, RequestError):
        reply.headers.update(error.headers)
    return reply


def plain_error(status: int, message: str, code: str) -> Response:
    """An error that no exception stands for."""
    return Response(_error_body(status, message, code=code), status, media_type="application/json")


def encode_error(error: ShoalError) -> tuple[int, bytes]:
    """The status of an error, and its body in OpenAI's shape."""
    if isinstance(error, EngineRefused):
        return _refusal(error)
    if isinstance(error, RequestError):
        return error.status, _error_body(error.status, str(error), error.param, error.code)
    if isinstance(error, EngineError):
        return error.status, _error_body(error.status, str(error), code=error.code)
    if isinstance(error, NotFound):
        return 404, _error_body(404, str(error), code="not_found")
    if isinstance(error, Conflict):
        return 409, _error_body(409, str(error), code="conflict")
    if isinstance(error, StoreError):
        return 503, _error_body(503, str(error), code="store_error")
    return 500, _error_body(500, str(error), code="internal_error")


def _refusal(error: EngineRefused) -> tuple[int, bytes]:
    status = error.status if 400 <= error.status < 600 else 502
    try:
        said = msgspec.json.decode(error.body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        said = {}
    if "error" in said:
        return status, error.body
    text = " ".join(error.body.decode(errors="replace").split())[:_EXCERPT]
    message = f"{error}: {text}" if text else str(error)
    return status, _error_body(status, message, code=error.code)


def _error_body(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> bytes:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return msgspec.json.encode({"error": ErrorText(message, kind, param, code)})


def receipt_headers(receipt: Receipt) -> dict[str, str]:
    """The short form of a receipt that every answer carries."""
    return {
        "x-shoal-answered-by": header_text(receipt.answered_by),
        CALL_ID: header_text(receipt.call_id),
        "x-shoal-task": header_text(receipt.task),
        "x-shoal-reason": header_text(receipt.reason),
    }


def header_text(text: str) -> str:
    r"""``text`` on one line of ASCII; other characters as ``\u`` escapes."""
    if text.isascii() and text.isprintable():
        return text
    line = " ".join(text.split())
    printable = "".join(character for character in line if character.isprintable())
    return printable.encode("ascii", "backslashreplace").decode()
