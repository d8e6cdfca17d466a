"""``POST /v1/chat/completions``."""

import asyncio

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from shoal.chat import Request
from shoal.engines import WrittenStream
from shoal.engines.chat_completions import decode_request, encode_answer
from shoal.errors import GatewayStopped, ShoalError
from shoal.gateway.body import read_body
from shoal.gateway.desk import Desk
from shoal.gateway.stream import StreamedReply, undisturbed
from shoal.gateway.wire import error_reply, receipt_headers
from shoal.routing.receipt import Served


class ChatEndpoint:
    """Reads a request, has it answered, and sends the answer in the form it was asked in."""

    def __init__(self, desk: Desk, max_body: int) -> None:
        self._desk = desk
        self._max_body = max_body

    async def post(self, http: HttpRequest) -> Response | StreamedReply:
        """The answer with its receipt, or an error in OpenAI's shape."""
        request = decode_request(await read_body(http, self._max_body))
        episode = http.headers.get("x-shoal-episode", "")
        try:
            served = await self._desk.serve(request, episode)
        except ShoalError as error:
            return error_reply(error, await self._desk.failed(request, episode, error))
        except asyncio.CancelledError:  # the server stops, and has waited for long enough
            stopped = GatewayStopped("the gateway was stopped before the answer came; ask again")
            recording = self._desk.failed(request, episode, stopped)
            return error_reply(stopped, await undisturbed(recording))
        if request.stream:
            return self._streamed(served, request)
        return await self._whole(served)

    def _streamed(self, served: Served, request: Request) -> StreamedReply:
        receipt = served.receipt
        stream = served.stream
        if stream is None:
            assert served.answer is not None
            id = f"chatcmpl-{receipt.call_id}"
            stream = WrittenStream(served.answer, request, id, int(receipt.at))
        return StreamedReply(self._desk, served, stream, receipt_headers(receipt))

    async def _whole(self, served: Served) -> Response:
        answer, receipt = served.answer, served.receipt
        assert answer is not None
        await self._desk.finish(served, answer, "")
        body = answer.body or encode_answer(answer, f"chatcmpl-{receipt.call_id}", int(receipt.at))
        return Response(body, headers=receipt_headers(receipt), media_type="application/json")
