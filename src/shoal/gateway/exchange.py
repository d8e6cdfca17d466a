"""``POST`` of a request to be answered, in any wire format."""

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from shoal.chat import Request
from shoal.engines import WrittenStream
from shoal.errors import ShoalError
from shoal.formats import Envelope, WireFormat
from shoal.gateway.body import read_body
from shoal.gateway.desk import Desk
from shoal.gateway.replies import error_reply, receipt_headers
from shoal.gateway.stream import StreamedReply
from shoal.routing.receipt import Served


class Exchange:
    """Reads a request, has it answered, and sends the answer in the format it was asked in."""

    def __init__(self, desk: Desk, wire: WireFormat, max_body: int) -> None:
        self._desk, self._wire = desk, wire
        self._max_body = max_body

    async def post(self, http: HttpRequest) -> Response | StreamedReply:
        """The answer with its receipt, or an error in the format's own shape."""
        request = self._wire.decode_request(await read_body(http, self._max_body))
        episode = http.headers.get("x-shoal-episode", "")
        try:
            served = await self._desk.serve(request, episode)
        except ShoalError as error:
            call_id = await self._desk.failed(request, episode, error)
            return error_reply(error, self._wire, call_id)
        if request.stream:
            return self._streamed(served, request)
        return await self._whole(served, request)

    def _streamed(self, served: Served, request: Request) -> StreamedReply:
        stream = served.stream
        if stream is None:
            assert served.answer is not None
            stream = WrittenStream(served.answer)
        headers = receipt_headers(served.receipt)
        envelope = _envelope(served, request)
        return StreamedReply(self._desk, served, stream, self._wire, envelope, headers)

    async def _whole(self, served: Served, request: Request) -> Response:
        answer = served.answer
        assert answer is not None
        await self._desk.finish(served, answer, "")
        as_it_came = answer.body and answer.format == self._wire.name
        body = answer.body if as_it_came else self._encoded(served, request)
        headers = receipt_headers(served.receipt)
        return Response(body, headers=headers, media_type="application/json")

    def _encoded(self, served: Served, request: Request) -> bytes:
        assert served.answer is not None
        return self._wire.encode_answer(served.answer, _envelope(served, request))


def _envelope(served: Served, request: Request) -> Envelope:
    return Envelope(served.receipt.call_id, int(served.receipt.at), request)
