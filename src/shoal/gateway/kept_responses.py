"""``/v1/responses/{id}``: responses that are kept, fetched, deleted or cancelled by their ids."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from shoal.formats import FORMATS
from shoal.formats.responses.kept import Act, AskedResponse
from shoal.gateway.desk import Desk
from shoal.gateway.exchange import served_reply
from shoal.gateway.key_check import caller_of
from shoal.gateway.replies import PREFIX

_WIRE = FORMATS["responses"]
_PATH = f"{PREFIX}{_WIRE.path}/{{response_id}}"


class KeptResponseRoutes:
    """Asks the desk; these are no calls, so neither figures nor the access log tell of them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Every route."""
        return [
            Route(_PATH, self._route("retrieve")),
            Route(_PATH, self._route("delete"), methods=["DELETE"]),
            Route(f"{_PATH}/input_items", self._route("input_items")),
            Route(f"{_PATH}/cancel", self._route("cancel"), methods=["POST"]),
        ]

    def _route(self, act: Act) -> Callable[[HttpRequest], Awaitable[Response]]:
        async def answer(http: HttpRequest) -> Response:
            query = tuple(http.query_params.multi_items())
            asked = AskedResponse(http.path_params["response_id"], act, query)
            asking = self._desk.response(asked, caller_of(http.scope))
            return await served_reply(asking, http, _WIRE)

        return answer
