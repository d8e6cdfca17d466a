"""``POST /v1/messages/count_tokens``: how many tokens a request of Messages has."""

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from shoal.formats import FORMATS, with_headers
from shoal.gateway.body import read_body
from shoal.gateway.desk import Desk
from shoal.gateway.exchange import served_reply
from shoal.gateway.key_check import caller_of
from shoal.gateway.options import GatewayOptions

_WIRE = FORMATS["messages"]


class TokenCountRoute:
    """Has tokens counted; it is no call, so neither figures nor the access log tell of it."""

    def __init__(self, desk: Desk, options: GatewayOptions) -> None:
        self._desk, self._options = desk, options

    async def post(self, http: HttpRequest) -> Response:
        """The count, marked if it is an estimate."""
        body = await read_body(http, self._options.max_body)
        request = _WIRE.decode_request(body, self._options.max_messages)
        request = with_headers(request, _WIRE.headers, http.headers.raw)
        counting = self._desk.count_tokens(request, caller_of(http.scope))
        return await served_reply(counting, http, _WIRE)
