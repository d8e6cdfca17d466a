"""Validators: checks of an answer that need no other model.

A validator says what is wrong with an answer; what passes is not thereby right. So it serves as a
signal (``Valid``) whose certificate says how often what passed was wrong after all.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from shoal.chat import Answer, Request
from shoal.routing.signals.schema import breach
from shoal.routing.signals.signal import Evidence
from shoal.tasks.contract import Contract, read


class Validator(Protocol):
    """A check of one answer. Threads may share it."""

    @property
    def name(self) -> str:
        """What is checked, in few words."""

    def complaint(self, request: Request, answer: Answer) -> str:
        """What is wrong with the answer, in plain words; "" if nothing was found."""


class Valid:
    """1 for an answer that passes all of ``validators``, which run in order; else -inf, so that no
    threshold accepts it."""

    def __init__(self, validators: Sequence[Validator]) -> None:
        self._validators = tuple(validators)

    @property
    def name(self) -> str:
        """The names of the validators."""
        return ", ".join(validator.name for validator in self._validators)

    def score(self, evidence: Evidence) -> float:
        """Stops at the first complaint."""
        found = (v.complaint(evidence.request, evidence.answer) for v in self._validators)
        return float("-inf") if any(found) else 1.0


class KeepsContract:
    """The answer has the form that the task's contract says."""

    name = "keeps the contract"

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def complaint(self, request: Request, answer: Answer) -> str:
        """Cut short, refused or of another form."""
        kept = read(self._contract, answer) is not None
        return "" if kept else "the answer does not keep the task's contract"


class KeepsSchema:
    """The answer's text is JSON that keeps the schema in the request's ``response_format``."""

    name = "keeps the schema"

    def complaint(self, request: Request, answer: Answer) -> str:
        """A request without a schema has nothing to break."""
        schema = _schema_of(request.response_format)
        if schema is None:
            return ""
        try:
            return breach(msgspec.json.decode(answer.text), schema)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return "the answer is not JSON"


class CallsFitTools:
    """Every tool that the answer calls is in the request, with arguments that keep its schema.

    An answer that calls nothing passes: whether it should have is for another signal to say.
    """

    name = "calls fit the tools"

    def complaint(self, request: Request, answer: Answer) -> str:
        """Of the first call that does not fit."""
        if not answer.tool_calls:
            return ""
        known = _tools_of(request.tools)
        for call in answer.tool_calls:
            if call.name not in known:
                return f"there is no tool {call.name!r}"
            try:
                given = msgspec.json.decode(call.arguments or "{}")
            except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
                return f"{call.name}: the arguments are not JSON"
            found = breach(given, known[call.name])
            if found:
                return f"{call.name}: {found}"
        return ""


class _JsonSchema(msgspec.Struct):
    schema: dict[str, Any] | None = None


class _ResponseFormat(msgspec.Struct):
    json_schema: _JsonSchema | None = None


class _Function(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Tool(msgspec.Struct):
    function: _Function | None = None


_formats = msgspec.json.Decoder(_ResponseFormat)
_tools = msgspec.json.Decoder(list[_Tool])


def _schema_of(response_format: str) -> dict[str, Any] | None:
    try:
        found = _formats.decode(response_format or "{}").json_schema
    except msgspec.DecodeError:  # of a shape that is not ours to judge
        return None
    return None if found is None else found.schema


def _tools_of(tools: str) -> dict[str, dict[str, Any]]:
    try:
        decoded = _tools.decode(tools or "[]")
    except msgspec.DecodeError:
        return {}
    return {t.function.name: t.function.parameters for t in decoded if t.function is not None}
