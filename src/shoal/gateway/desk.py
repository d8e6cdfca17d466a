"""What the gateway asks of the rest of Shoal."""

from collections.abc import Sequence
from typing import Protocol

from shoal.chat import Answer, Request
from shoal.errors import ShoalError
from shoal.formats.embeddings import EmbeddingRequest
from shoal.formats.responses.kept import AskedResponse
from shoal.routing.caller import Caller
from shoal.routing.health import Health
from shoal.routing.receipt import Receipt, Served, ServedEmbeddings, ServedReply


class Desk(Protocol):
    """Answers requests, records what was answered, and tells about it afterwards."""

    def models(self, caller: Caller) -> Sequence[str]:
        """The names that a caller may ask for."""

    async def serve(self, request: Request, episode: str, caller: Caller) -> Served:
        """Have the request answered; a ``stream`` only where ``request.stream``.

        Raises:
            RequestError: it cannot be answered as sent.
            EngineError: nobody could answer.
        """

    async def finish(self, served: Served, answer: Answer, error: str) -> Receipt:
        """Record the call; called exactly once for each ``Served``. Returns its receipt, now with
        cost and latency.

        ``error`` is "" or why the caller did not get the whole answer. With a durable store this
        returns once the call is on disk. A store that fails is told by ``health``, not raised: the
        caller still gets the answer.
        """

    async def failed(
        self, request: Request, episode: str, caller: Caller, error: ShoalError, began: float
    ) -> Receipt:
        """Record a call that ``serve`` could not answer; returns its receipt. ``began`` is when it
        was there, a reading of ``time.perf_counter``."""

    async def embed(
        self, request: EmbeddingRequest, call_id: str, caller: Caller
    ) -> ServedEmbeddings:
        """Have texts embedded, and what that cost counted; no call is recorded.

        Raises:
            RequestError: it cannot be done as asked.
            EngineError: nobody could do it.
        """

    async def count_tokens(self, request: Request, caller: Caller) -> ServedReply:
        """Tell how many tokens a Messages request has; no call is recorded.

        Raises:
            RequestError: it cannot be asked so.
            EngineError: the model's upstream could not count.
        """

    async def response(self, asked: AskedResponse, caller: Caller) -> ServedReply:
        """Tell of a response that is kept, or have it deleted or cancelled.

        Raises:
            NotFound: there is no such response that the caller may see.
            RequestError: it cannot be asked so.
            EngineError: who keeps it could not say.
        """

    async def call(self, call_id: str, why: bool = False) -> bytes:
        """The stored call with its whole receipt, as JSON; ``why``: with what decided for its
        specialist.

        Raises:
            NotFound: there is no such call.
        """

    async def feedback(self, call_id: str, verdict: str, answer: str, caller: Caller) -> None:
        """Store what a person said of a call: a verdict ("right", "wrong"), or the right answer.

        The one that was not given is "".

        Raises:
            NotFound: there is no such call, or it is another key's.
        """

    def health(self) -> Health:
        """Whether everything works; answers at once."""
