"""A rung: a specialist with its signal, and the threshold its certificate holds for."""

import math
import time
import uuid

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Request, Usage
from shoal.formats.untranslatable import UNTRANSLATABLE
from shoal.guarantees import Certificate
from shoal.routing.receipt import Tried
from shoal.specialists.card import Card
from shoal.specialists.specialist import Specialist
from shoal.tasks.answer_label import label_of
from shoal.tasks.contract import CallContract, written
from shoal.tasks.input import Input


class Verdict(Struct, frozen=True):
    """What a rung said: an answer if it accepts, and in any case the line for the receipt.
    ``withheld`` is what it would have answered, had it been surer."""

    answer: Answer | None
    tried: Tried
    withheld: Answer | None = None


class Rung(Struct, frozen=True):
    """Serves a call if the specialist's signal reaches the certified threshold.

    ``name`` is how receipts and headers name it: "specialist/" and the task's name.
    """

    name: str
    card: Card
    certificate: Certificate
    specialist: Specialist

    def ask(self, given: Input, request: Request) -> Verdict:
        """Predict from the input, and accept or go on. Any failure is a reason to go on."""
        began = time.perf_counter()
        try:
            prediction = self.specialist.predict(given)
            output = prediction.output
            answer = None if output is None else written(self.card.contract, output)
        except Exception as error:  # noqa: BLE001  # whatever broke, the caller gets the LLM's answer
            return self._decline(began, None, f"failed: {type(error).__name__}")
        if answer is None:
            return self._decline(began, prediction.signal, "the answer would not keep the contract")
        needed = self.certificate.threshold_of(label_of(self.card.contract, output))
        if not prediction.signal >= needed:  # so that NaN does not pass
            reason = "signal under the certified threshold"
            if needed == math.inf:
                reason = "answers with this label are not certified"
            return replace(self._decline(began, prediction.signal, reason), withheld=answer)
        if cut_short(request, answer):
            return self._decline(began, prediction.signal, "the caller wants it shorter")
        if not answer.tool_calls and _must_call(request):
            return self._decline(began, prediction.signal, "the caller wants a tool to be called")
        calls = tuple(replace(call, id=f"call_{uuid.uuid4().hex}") for call in answer.tool_calls)
        return Verdict(
            replace(answer, tool_calls=calls, model=self.name, usage=Usage()),
            self._tried(began, prediction.signal, True, "signal reaches the threshold", needed),
        )

    def refusal(self, request: Request, llm: str, now: float) -> str:
        """Why this request is not the rung's to answer; "" if it is."""
        return refusal(self.card, self.certificate, request, llm, now)

    def passed_over(self, reason: str) -> Tried:
        """The receipt's line for a rung that was not asked."""
        return Tried(self.name, False, reason, certificate=self.certificate.id)

    def _decline(self, began: float, signal: float | None, reason: str) -> Verdict:
        return Verdict(None, self._tried(began, signal, False, reason))

    def _tried(
        self,
        began: float,
        signal: float | None,
        accepted: bool,
        reason: str,
        needed: float | None = None,
    ) -> Tried:
        took = time.perf_counter() - began
        return Tried(
            answerer=self.name,
            accepted=accepted,
            reason=reason,
            signal=signal,
            threshold=self.certificate.threshold if needed is None else needed,
            certificate=self.certificate.id,
            latency_ms=took * 1e3,
            at=time.time() - took,
        )


def refusal(card: Card, certificate: Certificate, request: Request, llm: str, now: float) -> str:
    """Why a request is not for a rung of this card and certificate; "" if it is."""
    if llm != card.llm:
        return f"certified against {card.llm}, the caller asked for {llm}"
    if certificate.lapsed(now):
        return "the certificate has lapsed"
    return beyond(request, isinstance(card.contract, CallContract))


class _Asked(Struct):
    """What a caller may ask for that a specialist cannot give, or not always."""

    n: int | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    audio: object = None
    tool_choice: object = None
    functions: object = None
    function_call: object = None
    logit_bias: dict[str, float] | None = None
    web_search_options: object = None
    stop: str | list[str] | None = None
    reasoning_effort: object = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    untranslatable: list[str] | None = msgspec.field(name=UNTRANSLATABLE, default=None)


_TALKING = (None, "auto", "none")
_CALLING = (None, "auto", "required")
_asked_decoder = msgspec.json.Decoder(_Asked)
_CHARACTERS_PER_TOKEN = 2  # a cautious floor: English and identifiers have 3 to 5


def beyond(request: Request, calls: bool = False) -> str:
    """What the caller asks for that no specialist gives; "" if there is nothing. ``calls``: of one
    that calls tools."""
    try:
        asked = _asked_decoder.decode(request.params)
    except msgspec.DecodeError:
        return "a parameter has an unusual form"
    if asked.untranslatable:
        return f"the caller asked for what only the LLM's endpoint gives: {asked.untranslatable[0]}"
    if (asked.n or 1) != 1:
        return "the caller asked for several choices"
    if asked.logprobs or asked.top_logprobs:
        return "the caller asked for log-probabilities"
    if asked.audio or (asked.modalities or ["text"]) != ["text"]:
        return "the caller asked for more than text"
    if asked.functions or asked.function_call:
        return "the caller asked for a tool call in the old form"
    if asked.tool_choice not in (_CALLING if calls else _TALKING):
        return f"the caller asked for {'another' if calls else 'a'} tool call"
    if calls and request.format == "messages" and asked.reasoning_effort not in (None, "none"):
        return "the caller's LLM thinks between calls of tools, and wants to see what it thought"
    if asked.logit_bias or asked.web_search_options is not None:
        return "the caller steers the LLM in a way that a specialist cannot follow"
    return ""


def _must_call(request: Request) -> bool:
    return '"required"' in request.params and (
        _asked_decoder.decode(request.params).tool_choice == "required"
    )


class Limits(Struct, frozen=True):
    """Where an answer has to end: before any of ``stops``, and after so many tokens."""

    stops: tuple[str, ...] = ()
    tokens: int | None = None

    @classmethod
    def of(cls, request: Request) -> "Limits":
        """What a request asks for; nothing, if that cannot be read."""
        try:
            asked = _asked_decoder.decode(request.params)
        except msgspec.DecodeError:
            return cls()
        stops = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
        tokens = [limit for limit in (asked.max_tokens, asked.max_completion_tokens) if limit]
        return cls(tuple(filter(None, stops)), min(tokens, default=None))

    def cut(self, answer: Answer) -> bool:
        """Whether the LLM might have been stopped before the end of such an answer."""
        text = answer.text or "".join(call.name + call.arguments for call in answer.tool_calls)
        tokens = len(text) / _CHARACTERS_PER_TOKEN
        too_long = self.tokens is not None and tokens > self.tokens
        return too_long or any(stop in text for stop in self.stops)


def cut_short(request: Request, answer: Answer) -> bool:
    """Whether the LLM might have been stopped before the end of such an answer."""
    return Limits.of(request).cut(answer)
