"""The gateway's other routes: models, health, figures, calls and feedback."""

import time
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import Response

from shoal.errors import MalformedRequest, UnknownModel
from shoal.formats import parse_strictly
from shoal.formats.json_text import no_collection
from shoal.gateway.body import read_body
from shoal.gateway.desk import Desk
from shoal.gateway.key_check import caller_of, is_let_in
from shoal.gateway.key_desk import KeyDesk
from shoal.gateway.metrics import CONTENT_TYPE, Metrics
from shoal.gateway.replies import CALL_ID, header_text, json_reply


class Feedback(BaseModel):
    """What a person says of a call: a verdict, or the right answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    call_id: str
    verdict: Literal["right", "wrong"] | None = None
    answer: str | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "Feedback":
        if (self.verdict is None) == (self.answer is None):
            raise ValueError("expected either 'verdict' (right or wrong) or 'answer'")
        return self


class DeskRoutes:
    """Answers from what the desk knows."""

    def __init__(
        self, desk: Desk, keys: KeyDesk, max_body: int, metrics: Metrics, document: bytes
    ) -> None:
        """``document`` is that of OpenAPI."""
        self._desk, self._keys, self._document = desk, keys, document
        self._metrics = metrics
        self._max_body = max_body
        self._since = int(time.time())

    async def models(self, request: Request) -> Response:
        """``GET /v1/models``."""
        listed = [self._model(name) for name in self._desk.models(caller_of(request.scope))]
        return json_reply({"object": "list", "data": listed})

    async def model(self, request: Request) -> Response:
        """``GET /v1/models/{name}``."""
        name = request.path_params["name"]
        known = self._desk.models(caller_of(request.scope))
        if name not in known:
            raise UnknownModel(f"there is no model {name!r}; known: {', '.join(known)}", "model")
        return json_reply(self._model(name))

    async def health(self, request: Request) -> Response:
        """``GET /healthz``: 200 as long as requests are answered; ``status`` tells the rest, and to
        whoever may read it the detail, which names paths and addresses."""
        health, behind = self._desk.health(), self._keys.trouble
        status = {"status": "ok" if health.ok and not behind else "degraded"}
        if not is_let_in(request.scope):
            return json_reply(status)
        told = {"keys": behind} if behind else {}
        return json_reply({**health.detail, **told, **status})

    async def ready(self, request: Request) -> Response:
        """``GET /readyz``: 200 while requests can be answered, 503 once the gateway stops."""
        ready = self._desk.health().ready and not request.app.state.is_stopping()
        return json_reply({"ready": ready}, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        """``GET /metrics``, for Prometheus."""
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def openapi(self, request: Request) -> Response:
        """``GET /openapi.json``."""
        return Response(self._document, media_type="application/json")

    async def call(self, request: Request) -> Response:
        """``GET /shoal/calls/{call_id}``, with ``?why=true`` the reasons too."""
        why = request.query_params.get("why", "false")
        if why not in ("true", "false"):
            raise MalformedRequest(f"why: expected true or false, found {why[:40]!r}", "why")
        stored = await self._desk.call(request.path_params["call_id"], why == "true")
        return Response(stored, media_type="application/json")

    async def feedback(self, request: Request) -> Response:
        """``POST /shoal/feedback``."""
        given = _feedback(await read_body(request, self._max_body))
        verdict, answer = given.verdict or "", given.answer or ""
        await self._desk.feedback(given.call_id, verdict, answer, caller_of(request.scope))
        reply = json_reply({"call_id": given.call_id, "status": "recorded"})
        reply.headers[CALL_ID] = header_text(given.call_id)
        return reply

    def _model(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._since, "owned_by": "shoal"}


@no_collection()
def _feedback(body: bytes) -> Feedback:
    try:
        return Feedback.model_validate(parse_strictly(body))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise MalformedRequest(f"{field}: {said}" if field else said, field or None) from None
