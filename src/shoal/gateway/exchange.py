"""``POST`` of a request to be answered, in any wire format."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from msgspec.structs import replace
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive

from shoal.chat import Answer, AnswerStream, Request
from shoal.engines import WrittenStream
from shoal.errors import CallerGone, EngineError, GatewayStopped, ShoalError
from shoal.formats import Envelope, WireFormat, with_headers
from shoal.gateway.body import read_body
from shoal.gateway.desk import Desk
from shoal.gateway.ended import Asked, Ended, asked_of
from shoal.gateway.observer import Observer
from shoal.gateway.options import GatewayOptions
from shoal.gateway.replies import ESTIMATED, error_reply, receipt_headers, request_id_header
from shoal.gateway.stream import StreamedReply, hung_up, undisturbed
from shoal.gateway.terms import Deadline, TimedStream, terms_of
from shoal.routing.receipt import Receipt, Served, ServedReply

T = TypeVar("T")


class Exchange:
    """Reads a request, has it answered, and sends the answer in the format it was asked in."""

    def __init__(
        self, desk: Desk, wire: WireFormat, options: GatewayOptions, observer: Observer
    ) -> None:
        self._desk, self.wire = desk, wire
        self._options, self._observer = options, observer

    async def post(self, http: HttpRequest) -> Response | StreamedReply:
        """The answer with its receipt, or an error in the format's own shape."""
        body = await read_body(http, self._options.max_body)
        began = time.perf_counter()
        request = self.wire.decode_request(body, self._options.max_messages)
        request = with_headers(request, self.wire.headers, http.headers.raw)
        terms = terms_of(http.headers)
        asked = asked_of(http, request, terms, began)
        serving = self._desk.serve(request, asked.episode, asked.caller)
        try:
            served = await while_heard(serving, http.receive, terms.deadline)
        except ShoalError as error:
            return await self._failed(asked, error)
        except asyncio.CancelledError:  # the server stops, and has waited for long enough
            stopped = GatewayStopped("the gateway was stopped before the answer came; ask again")
            return await undisturbed(self._failed(asked, stopped))
        overhead_ms = _since(began) - served.receipt.waited_ms
        if request.stream:
            return self._streamed(served, asked, overhead_ms, terms.deadline)
        return await self._whole(served, asked, overhead_ms)

    async def _failed(self, asked: Asked[Request], error: ShoalError) -> Response:
        receipt = await self._desk.failed(
            asked.request, asked.episode, asked.caller, error, asked.began
        )
        self._observer.ended(Ended(self.wire.name, asked, receipt, None, error, None))
        return error_reply(error, self.wire, receipt.call_id)

    def _streamed(
        self,
        served: Served,
        asked: Asked[Request],
        overhead_ms: float,
        deadline: Deadline | None,
    ) -> StreamedReply:
        stream: AnswerStream | None = served.stream
        if stream is None:
            assert served.answer is not None
            stream = WrittenStream(served.answer)
        if deadline is not None:
            stream = TimedStream(stream, deadline)
        same = stream.format == self.wire.name
        writer = None if same else self.wire.new_writer(_envelope(served, asked.request))

        async def finish(answer: Answer, error: EngineError | None, sent: bytes) -> None:
            receipt = await self._desk.finish(served, answer, str(error) if error else "")
            ended = Ended(self.wire.name, asked, receipt, answer, error, overhead_ms, sent)
            self._observer.ended(ended)

        headers = receipt_headers(served, overhead_ms)
        headers |= request_id_header(stream.answer.request_id, self.wire)
        return StreamedReply(stream, self.wire, writer, finish, headers)

    async def _whole(self, served: Served, asked: Asked[Request], overhead_ms: float) -> Response:
        assert served.answer is not None
        finishing = self._finished(served, served.answer, asked, overhead_ms)
        body, receipt = await undisturbed(finishing)
        headers = receipt_headers(replace(served, receipt=receipt), overhead_ms)
        headers |= request_id_header(served.answer.request_id, self.wire)
        return Response(body, headers=headers, media_type="application/json")

    async def _finished(
        self, served: Served, answer: Answer, asked: Asked[Request], overhead_ms: float
    ) -> tuple[bytes, Receipt]:
        """The reply, and the settled receipt, once the call is recorded."""
        receipt = await self._desk.finish(served, answer, "")
        body = answer.body if answer.format == self.wire.name else b""
        if not body:
            body = self.wire.encode_answer(answer, _envelope(served, asked.request))
        ended = Ended(self.wire.name, asked, receipt, answer, None, overhead_ms, body)
        self._observer.ended(ended)
        return body, receipt


async def while_heard(
    serving: Coroutine[Any, Any, T], receive: Receive, deadline: Deadline | None = None
) -> T:
    """What is served, as long as the caller is there: else the LLM need not answer.

    Raises:
        CallerGone: the caller hung up.
        MaxLatencyExceeded: the ``deadline`` passed.
    """
    task = asyncio.ensure_future(serving)
    gone = asyncio.ensure_future(hung_up(receive))
    try:
        left_s = deadline.left_s if deadline else None
        await asyncio.wait((task, gone), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            if deadline is not None and not gone.done():
                raise deadline.passed()
            raise CallerGone("the client hung up before the answer came")
        return task.result()
    except asyncio.CancelledError:
        if task.done() and not task.cancelled() and task.exception() is None:
            return task.result()  # it was answered: recorded it must be
        raise
    finally:
        gone.cancel()
        task.cancel()


async def served_reply(
    asking: Coroutine[Any, Any, ServedReply], http: HttpRequest, wire: WireFormat
) -> Response:
    """The reply to what is no call, as soon as it is there.

    Raises:
        CallerGone: the caller hung up.
        GatewayStopped: the server stops, and has waited for long enough.
    """
    try:
        served = await while_heard(asking, http.receive)
    except asyncio.CancelledError:
        raise GatewayStopped("the gateway was stopped before the reply came; ask again") from None
    headers = {**served.limits, **request_id_header(served.request_id, wire)}
    headers |= {ESTIMATED: "true"} if served.estimated else {}
    return Response(served.body, headers=headers, media_type="application/json")


def _envelope(served: Served, request: Request) -> Envelope:
    return Envelope(served.receipt.call_id, int(served.receipt.at), request)


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1e3
