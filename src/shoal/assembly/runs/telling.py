"""A run as people are told of it: lines of progress, and what it came to as an answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from shoal.chat import Answer, Delta, Format, Piece, Usage
from shoal.errors import RunFailed
from shoal.formats import AnswerAssembler
from shoal.planning.journal import Entry
from shoal.planning.outcome import Outcome
from shoal.planning.references import as_text

_LEFT = "it goes on without this; GET /shoal/runs/ID tells how"
_MOST_WAITING = 1_000  # pieces of progress that a slow reader may be behind


def line_of(entry: Entry) -> str:
    """One line about something that happened; "" where that is not worth one."""
    body = entry.body
    match entry.kind:
        case "finished":
            took = f" in {body['ms']:,.0f} ms" if isinstance(body.get("ms"), int | float) else ""
            by = f" by {body['by']}" if body.get("by") else ""
            return f"{entry.step}: done{by}{took}\n"
        case "failed":
            instead = " (something stands in its place)" if body.get("handled") else ""
            return f"{entry.step}: {body.get('error', 'failed')}{instead}\n"
        case "waiting":
            return f"{entry.step}: waits for a person: {body.get('question', '')}\n"
        case _:
            return ""


def answer_of(run_id: str, outcome: Outcome, model: str) -> Answer:
    """What a caller of an agent is answered.

    Raises:
        RunFailed: the run came to nothing; says why.
    """
    match outcome.state:
        case "done":
            text = as_text(outcome.value)
        case "waiting":
            text = (
                f"This waits for a person's word. `shoal runs show {run_id}` shows the question, "
                f"`shoal runs approve {run_id}` answers it; over HTTP GET /shoal/runs/{run_id} and "
                f"POST /shoal/runs/{run_id}/decisions do."
            )
        case _:
            raise RunFailed(run_id, outcome.state, outcome.error, outcome.hint, outcome.step)
    written = outcome.output_tokens
    return Answer(text, model=model, usage=Usage(outcome.tokens - written, written), id="")


def outcome_json(run_id: str, outcome: Outcome) -> bytes:
    """A run's end as JSON."""
    told = {"run": run_id, **msgspec.to_builtins(outcome)}
    return msgspec.json.encode({key: value for key, value in told.items() if value != ""})


class RunStream:
    """A run as a stream: its progress as thinking, then the answer's text. Stopping it cancels the
    run."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._progress: asyncio.Queue[Entry | None] = asyncio.Queue(_MOST_WAITING)
        self._sent = AnswerAssembler()
        self._whole = Answer(complete=False)
        self._run_id = ""
        self._end: asyncio.Task[Outcome] | None = None
        self._stop: Callable[[], Awaitable[None]] | None = None

    def tell(self, entry: Entry) -> None:
        """Hear of something; what a slow reader is too far behind for is left out."""
        if line_of(entry) and not self._progress.full():
            self._progress.put_nowait(entry)

    def begin(
        self, run_id: str, end: "asyncio.Task[Outcome]", stop: Callable[[], Awaitable[None]]
    ) -> None:
        """Say which run this is, what its end is, and how it is cancelled."""
        self._run_id, self._end, self._stop = run_id, end, stop

    @property
    def format(self) -> Format | None:
        """None: its pieces hold no bytes."""
        return None

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """The pieces.

        Raises:
            RunFailed: the run came to nothing.
        """
        assert self._end is not None, "the run was begun"
        self._end.add_done_callback(lambda _: self._wake())
        while (entry := await self._progress.get()) is not None:
            yield self._piece(Delta(thinking=line_of(entry)))
        await asyncio.wait([self._end])
        if self._end.cancelled():  # the process stops, and another goes on with it
            raise RunFailed(self._run_id, "broken off", "the gateway stops", _LEFT, "")
        answer = answer_of(self._run_id, self._end.result(), self._model)
        yield self._piece(
            Delta(text=answer.text, finish_reason="stop", model=self._model, usage=answer.usage)
        )
        self._whole = answer
        self._stop = None
        yield Piece(last=True)

    @property
    def answer(self) -> Answer:
        """What has been sent so far."""
        return self._whole if self._whole.complete else self._sent.answer(complete=False)

    async def aclose(self) -> None:
        """Cancel the run, unless it has ended."""
        if self._stop is not None:
            stop, self._stop = self._stop, None
            await stop()

    def _piece(self, delta: Delta) -> Piece:
        self._sent.add(delta)
        return Piece(deltas=(delta,))

    def _wake(self) -> None:
        if self._progress.full():
            self._progress.get_nowait()
        self._progress.put_nowait(None)
