"""Validators: checks of an answer that need no other model.

A validator says what is wrong with an answer; what passes is not thereby right. So it serves as a
signal (``Valid``) whose certificate says how often what passed was wrong after all.
"""

import json
import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

from shoal.chat import Answer, Request
from shoal.formats.json_schema import breach
from shoal.routing.signals.signal import Evidence
from shoal.specialists.calls.schema import arguments_of, offered
from shoal.tasks.contract import Contract, read
from shoal.tasks.wording import flattened


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
        if not schema:
            return ""
        try:
            return breach(schema, json.loads(answer.text))
        except (ValueError, RecursionError):
            return "the answer is not JSON"


class CallsFitTools:
    """Every tool that the answer calls is in the request, with arguments that keep its schema.

    An answer that calls nothing passes: whether it should have is for another signal to say.
    """

    name = "calls fit the tools"

    def complaint(self, request: Request, answer: Answer) -> str:
        """Of the first call that does not fit."""
        known = {tool.name: tool for tool in offered(request.tools)}
        for call in answer.tool_calls:
            if call.name not in known:
                return f"there is no tool {call.name!r}"
            given = arguments_of(call)
            if given is None:
                return f"{call.name}: the arguments are not JSON"
            schema = known[call.name].schema
            found = breach(schema, given) if schema else ""
            if found:
                return f"{call.name}: {found}"
        return ""


class CitesRequest:
    """The answer cites, and whatever it cites stands in the request.

    Cited are passages by their marks, like [3], and words of the sources in quotation marks, at
    least three at once; they count as found whatever their case and spacing.
    """

    name = "citations found"

    def complaint(self, request: Request, answer: Answer) -> str:
        """The first mark or quotation that the request does not have."""
        given = flattened("\n".join(message.text for message in request.messages))
        said = answer.text.translate(_QUOTES)
        quoted = [q for q in _QUOTATION.findall(said) if len(q.split()) >= _LEAST_WORDS]
        cited = [*_MARK.findall(said), *quoted]
        if not cited:
            return "nothing is cited"
        given = given.translate(_QUOTES)
        missing = [one for one in cited if flattened(one.rstrip(" .,")) not in given]
        return f"the request does not have {missing[0]!r}" if missing else ""


_LEAST_WORDS = 3
_MARK = re.compile(r"\[\d{1,4}\]")
_QUOTATION = re.compile(r'"([^"]+)"')
_QUOTES = str.maketrans(dict.fromkeys("“”„«»", '"') | dict.fromkeys("‘’", "'"))


class _JsonSchema(msgspec.Struct):
    schema: msgspec.Raw = msgspec.Raw(b"")


class _ResponseFormat(msgspec.Struct):
    json_schema: _JsonSchema | None = None


_formats = msgspec.json.Decoder(_ResponseFormat)


def _schema_of(response_format: str) -> str:
    """The JSON text of the schema that a response format asks for, "" for none."""
    try:
        found = _formats.decode(response_format or "{}").json_schema
    except msgspec.DecodeError:  # of a shape that is not ours to judge
        return ""
    schema = "" if found is None else bytes(found.schema).decode()
    return "" if schema == "null" else schema
