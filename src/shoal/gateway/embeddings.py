"""``POST /v1/embeddings``: texts in, vectors out, in OpenAI's form."""

import asyncio
import time

import uuid_utils
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from shoal.errors import GatewayStopped, ShoalError
from shoal.formats import FORMATS
from shoal.formats.embeddings import EmbeddingRequest, decode_embeddings
from shoal.gateway.body import read_body
from shoal.gateway.desk import Desk
from shoal.gateway.ended import Asked, Ended, asked_of
from shoal.gateway.exchange import while_heard
from shoal.gateway.observer import Observer
from shoal.gateway.options import GatewayOptions
from shoal.gateway.replies import error_reply, receipt_headers
from shoal.gateway.terms import terms_of
from shoal.routing.receipt import Receipt


class EmbeddingRoute:
    """Has texts embedded, and tells the observer; errors are of OpenAI's shape."""

    def __init__(self, desk: Desk, options: GatewayOptions, observer: Observer) -> None:
        self._desk, self._options, self._observer = desk, options, observer

    async def post(self, http: HttpRequest) -> Response:
        """The vectors, or an error."""
        body = await read_body(http, self._options.max_body)
        began, at, call_id = time.perf_counter(), time.time(), str(uuid_utils.uuid7())
        request = decode_embeddings(body, self._options.max_messages)
        terms = terms_of(http.headers)
        asked = asked_of(http, request, terms, began)
        embedding = self._desk.embed(request, call_id, asked.caller)
        try:
            served = await while_heard(embedding, http.receive, terms.deadline)
        except ShoalError as error:
            return self._failed(asked, _receipt(asked, call_id, at, error), error)
        except asyncio.CancelledError:  # the server stops, and has waited for long enough
            stopped = GatewayStopped("the gateway was stopped before the vectors came; ask again")
            return self._failed(asked, _receipt(asked, call_id, at, stopped), stopped)
        receipt = served.receipt
        overhead_ms = _since(began) - receipt.waited_ms
        ended = Ended("embeddings", asked, receipt, served.answer, None, overhead_ms)
        self._observer.ended(ended)
        headers = receipt_headers(served, overhead_ms)
        return Response(served.body, headers=headers, media_type="application/json")

    def _failed(
        self, asked: Asked[EmbeddingRequest], receipt: Receipt, error: ShoalError
    ) -> Response:
        self._observer.ended(Ended("embeddings", asked, receipt, None, error, None))
        return error_reply(error, FORMATS["chat"], receipt.call_id)


def _receipt(asked: Asked[EmbeddingRequest], call_id: str, at: float, error: ShoalError) -> Receipt:
    """The receipt of what nobody could do."""
    reason = f"no vectors: {type(error).__name__}"
    return Receipt(call_id, at, asked.request.model, "", reason, latency_ms=_since(asked.began))


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1e3
