"""A call as the gateway tells of it: what was asked, and how it ended."""

from typing import Generic, Literal, TypeVar

from msgspec import Struct
from starlette.requests import Request as HttpRequest

from shoal.chat import Answer, Format, Request
from shoal.errors import ShoalError
from shoal.formats.embeddings import EmbeddingRequest
from shoal.gateway.key_check import caller_of
from shoal.gateway.replies import EPISODE
from shoal.gateway.terms import Terms
from shoal.routing.caller import Caller
from shoal.routing.receipt import Receipt

R = TypeVar("R")


class Asked(Struct, Generic[R], frozen=True):
    """A request, who sent it and for which episode, and when it was there whole: ``began`` is a
    reading of ``time.perf_counter``. ``traceparent`` is the header of that name, as it came."""

    request: R
    caller: Caller
    episode: str
    traceparent: str
    began: float


def asked_of(http: HttpRequest, request: R, terms: Terms, began: float) -> Asked[R]:
    """What was asked, with what the headers say of it."""
    headers = http.headers
    return Asked(
        request,
        caller_of(http.scope, terms.max_cost),
        headers.get(EPISODE, ""),
        ",".join(headers.getlist("traceparent")),  # two make one that nobody can read
        began,
    )


class Ended(Struct, frozen=True):
    """A call that has ended: what it was asked in, its settled receipt, what came of it, and how
    much of the time until the answer began was Shoal's own, None if nobody answered. ``sent`` is
    the reply, or of a stream the bytes that it began with."""

    format: Format | Literal["embeddings", "mcp"]
    asked: Asked[Request] | Asked[EmbeddingRequest]
    receipt: Receipt
    answer: Answer | None
    error: ShoalError | None
    overhead_ms: float | None
    sent: bytes = b""
