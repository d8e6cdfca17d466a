"""Keys and spend over HTTP."""

import re
import time
from typing import get_args

import msgspec
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from shoal.errors import MalformedRequest
from shoal.formats import parse_strictly
from shoal.gateway.body import read_body
from shoal.gateway.key_desk import KeyDesk
from shoal.gateway.replies import json_reply
from shoal.routing.key_order import KeyOrder
from shoal.routing.key_view import view_key
from shoal.storage import Grouping

_DAY = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
_GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)


class KeyRoutes:
    """Makes, lists and revokes keys, and tells what was spent."""

    def __init__(self, keys: KeyDesk, max_body: int) -> None:
        self._keys = keys
        self._max_body = max_body

    async def create(self, request: Request) -> Response:
        """``POST /shoal/keys``: the only reply that ever holds the key."""
        made = await self._keys.create(_order(await read_body(request, self._max_body)))
        shown = msgspec.to_builtins(view_key(made.row, time.time())) | {"key": made.key}
        reply = json_reply(shown, 201)
        reply.headers["cache-control"] = "no-store"
        return reply

    async def list(self, request: Request) -> Response:
        """``GET /shoal/keys``."""
        now = time.time()
        return json_reply({"keys": [view_key(row, now) for row in await self._keys.keys()]})

    async def revoke(self, request: Request) -> Response:
        """``DELETE /shoal/keys/{id}``, by id or name."""
        row = await self._keys.revoke(request.path_params["key_id"])
        return json_reply(view_key(row, time.time()))

    async def spend(self, request: Request) -> Response:
        """``GET /shoal/spend?by=day|key|model|task&since=2025-01-31``."""
        by = request.query_params.get("by", "day")
        since = request.query_params.get("since", "")
        if by not in _GROUPINGS:
            raise MalformedRequest(f"by: expected {', '.join(_GROUPINGS)}, found {by!r}", "by")
        if since and not _DAY.fullmatch(since):
            raise MalformedRequest(
                f"since: expected a day, like 2025-01-31, found {since!r}", "since"
            )
        return json_reply({"by": by, "since": since, "spend": await self._keys.spend(by, since)})


def _order(body: bytes) -> KeyOrder:
    try:
        return KeyOrder.model_validate(parse_strictly(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise MalformedRequest(f"{field}: {said}" if field else said, field) from None
