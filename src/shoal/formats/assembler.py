"""Puts a streamed answer together from its steps, and takes a whole one apart into steps."""

from msgspec import Struct

from shoal.chat import Alternatives, Answer, CallDelta, Delta, Reasoning, ToolCall, Usage
from shoal.formats.alternatives import moved, near_the_ends


class _OpenCall(Struct):
    id: str = ""
    name: str = ""
    arguments: list[str] = []

    def call(self) -> ToolCall:
        return ToolCall(self.id, self.name, "".join(self.arguments))


class AnswerAssembler:
    """Keeps the answer so far."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._length = 0  # of the texts
        self._alternatives: list[Alternatives] = []
        self._refusals: list[str] = []
        self._thoughts: list[str] = []
        self._reasoning: list[Reasoning] = []
        self._calls: dict[int, _OpenCall] = {}
        self._finish_reason = ""
        self._model = self._id = ""
        self._usage: Usage | None = None

    def add(self, delta: Delta) -> None:
        """Take in one step."""
        if delta.text:
            self._alternatives += moved(delta.alternatives, self._length)
            self._length += len(delta.text)
            self._texts.append(delta.text)
        if delta.refusal:
            self._refusals.append(delta.refusal)
        if delta.thinking:
            self._thoughts.append(delta.thinking)
        if delta.signature:
            self._close_thought(delta.signature, delta.sealed)
        for call in delta.calls:
            self._add_call(call)
        self._finish_reason = delta.finish_reason or self._finish_reason
        self._model = delta.model or self._model
        self._usage = delta.usage or self._usage
        self._id = delta.id or self._id

    def answer(self, complete: bool) -> Answer:
        """What has come so far; ``complete`` if the stream has ended properly."""
        open_thought = "".join(self._thoughts)
        last = (Reasoning(open_thought),) if open_thought else ()
        return Answer(
            text="".join(self._texts),
            tool_calls=tuple(call.call() for call in self._calls.values()),
            finish_reason=self._finish_reason or ("stop" if complete else ""),
            refusal="".join(self._refusals),
            model=self._model,
            usage=self._usage,
            complete=complete,
            reasoning=(*self._reasoning, *last),
            id=self._id,
            alternatives=near_the_ends(self._alternatives),
        )

    def _close_thought(self, signature: str, sealed: bool) -> None:
        text = "" if sealed else "".join(self._thoughts)
        self._reasoning.append(Reasoning(text, signature, sealed))
        if not sealed:
            self._thoughts.clear()

    def _add_call(self, piece: CallDelta) -> None:
        call = self._calls.setdefault(piece.index, _OpenCall())
        call.id = call.id or piece.id
        call.name += piece.name
        call.arguments.append(piece.arguments)


def deltas_of(answer: Answer) -> list[Delta]:
    """The steps that add up to ``answer``."""
    deltas = [Delta(model=answer.model, id=answer.id)]
    for block in answer.reasoning:
        deltas.append(Delta(thinking=block.text, signature=block.signature, sealed=block.sealed))
    if answer.text:
        deltas.append(Delta(text=answer.text, alternatives=answer.alternatives))
    if answer.refusal:
        deltas.append(Delta(refusal=answer.refusal))
    for index, call in enumerate(answer.tool_calls):
        deltas.append(Delta(calls=(CallDelta(index, call.id, call.name, call.arguments),)))
    deltas.append(Delta(finish_reason=answer.finish_reason, usage=answer.usage))
    return deltas
