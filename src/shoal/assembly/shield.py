"""Privacy, applied: what of a request each model may see, and what of a call is kept.

Searching a text takes some 0.1 ms of CPU a kilobyte. Long requests are searched in a thread, so
that others are not kept waiting.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.models import Model
from shoal.assembly.restoring import RestoredStream
from shoal.chat import Answer, AnswerStream, Request
from shoal.errors import NoAnswerer, PrivacyRefused
from shoal.formats.embeddings import EmbeddingRequest
from shoal.routing.privacy import (
    PrivacyOptions,
    Vault,
    judge,
    redact,
    scrub,
    scrub_call,
    scrub_input,
)
from shoal.routing.privacy.journals import JournalScrub, is_personal
from shoal.routing.receipt import Receipt
from shoal.tasks import Input

T = TypeVar("T")

_LONG = 32_768  # characters, some 3 ms


class Shield(Struct, frozen=True):
    """What the rules say about one request.

    ``local_only``: models that are not local may not see it. They see ``outward``, from which
    ``vault`` gives back what was taken out. ``residency``: where models must be; empty: anywhere.
    """

    request: Request
    outward: Request
    local_only: tuple[str, ...] = ()
    vault: Vault | None = None
    residency: tuple[str, ...] = ()

    def check(self, model: Model) -> None:
        """See that the model may be asked.

        Raises:
            NoAnswerer: it may not.
        """
        for one in model.asked:
            self._check(one)

    def _check(self, model: Model) -> None:
        check_residency(model, self.residency)
        if self.local_only and not model.local:
            raise NoAnswerer(
                f"{model.name} is not local, and the privacy rules keep a request that holds "
                f"{', '.join(self.local_only)} on this machine; ask a local model"
            )

    def request_for(self, model: Model) -> Request:
        """What the model is sent."""
        return self.request if model.local else self.outward

    def restored(self, answer: Answer, model: Model) -> Answer:
        """Its answer with what was taken out put back."""
        return self.vault.restore(answer) if self.vault and not model.local else answer

    def restored_stream(self, stream: AnswerStream, model: Model) -> AnswerStream:
        """Its answer on its way, likewise."""
        if self.vault and not model.local:
            return RestoredStream(stream, self.vault)
        return stream


async def shield(request: Request, options: PrivacyOptions) -> Shield:
    """Search a request, and say who may see what of it.

    Raises:
        PrivacyRefused: nobody may.
    """
    if not options.sought:
        return Shield(request, request, residency=options.residency)
    return await _aside(request, lambda: _shield(request, options))


def check_residency(model: Model, allowed: Sequence[str]) -> None:
    """See that a model is where it must be; ``allowed`` empty: anywhere.

    Raises:
        NoAnswerer: it is not.
    """
    if allowed and model.labels.isdisjoint(allowed):
        where = f"has the residency {model.residency!r}" if model.residency else "has no residency"
        raise NoAnswerer(
            f"{model.name} {where}, and privacy.residency in shoal.toml allows only: "
            f"{', '.join(allowed)}"
        )


def _shield(request: Request, options: PrivacyOptions) -> Shield:
    ruling = judge(request, options)
    if ruling.action == "refuse":
        raise ruling.refusal()
    if ruling.action == "local_only":
        return Shield(request, request, local_only=ruling.decisive, residency=options.residency)
    if ruling.action == "redact":
        outward, vault = redact(request, options.redact)
        return Shield(request, outward, vault=vault, residency=options.residency)
    return Shield(request, request, residency=options.residency)


async def guarded_texts(
    request: EmbeddingRequest, options: PrivacyOptions, model: Model | None
) -> tuple[EmbeddingRequest, tuple[str, ...]]:
    """What ``model`` (None: the local encoder) may see of texts to be embedded, and the kinds that
    were taken out: ``[EMAIL]`` and the like stand for them, the same in every request, as equal
    texts should have equal vectors. Nothing is put back, for vectors hold no text.

    Raises:
        PrivacyRefused: nobody may see them.
        NoAnswerer: the model may not.
    """
    if model is not None:
        check_residency(model, options.residency)
    if not options.sought:
        return request, ()
    asked = request.as_chat()
    ruling = await _aside(asked, lambda: judge(asked, options))
    if ruling.action == "refuse":
        raise PrivacyRefused({kind: _of_input(ruling.places[kind]) for kind in ruling.decisive})
    if model is None or model.local:
        return request, ()
    if ruling.action == "local_only":
        Shield(asked, asked, local_only=ruling.decisive).check(model)
    if ruling.action != "redact":
        return request, ()
    less = await _aside(asked, lambda: scrub(asked, options.redact))
    texts = tuple(message.text for message in less.messages)
    return EmbeddingRequest(request.model, texts, less.params), ruling.decisive


def _of_input(places: Sequence[str]) -> list[str]:
    return [place.replace("messages[", "input[") for place in places]


class Discretion:
    """What of calls is kept, and learned from, as the rules say."""

    def __init__(self, options: PrivacyOptions) -> None:
        self._kinds = options.scrubbed
        self._stores_less = options.store == "redacted"
        self._learns_less = options.learns_less

    async def kept(self, request: Request, answer: Answer | None) -> tuple[Request, Answer | None]:
        """A call as it may be stored."""
        if not self._stores_less:
            return request, answer
        if answer is None:
            return await _aside(request, lambda: scrub(request, self._kinds)), None
        return await _aside(request, lambda: scrub_call(request, answer, self._kinds))

    async def kept_of_refused(self, request: Request) -> Request:
        """A request that nobody was allowed to see, as it may be stored: always scrubbed."""
        return await _aside(request, lambda: scrub(request, self._kinds))

    def kept_receipt(self, receipt: Receipt) -> Receipt:
        """A receipt as it may be stored: what upstreams said when they failed, or checkers of an
        answer, may hold anything."""
        if not self._stores_less:
            return receipt
        tried = tuple(replace(one, reason=self.kept_text(one.reason)) for one in receipt.tried)
        told = receipt.deliberation
        told = told and replace(told, stopped=self.kept_text(told.stopped))
        reason = self.kept_text(receipt.reason)
        return replace(receipt, tried=tried, reason=reason, deliberation=told)

    def journal_scrub(self) -> JournalScrub | None:
        """What redacts the journal of one run that has ended; None where it is kept as it is."""
        return JournalScrub(self._kinds) if self._stores_less else None

    def kept_text(self, text: str) -> str:
        """A text as it may be stored."""
        return scrub(text, self._kinds) if self._stores_less else text

    async def kept_answer(self, answer: Answer) -> Answer:
        """An answer as it may be stored."""
        return await asyncio.to_thread(scrub, answer, self._kinds) if self._stores_less else answer

    async def storable(self, answer: Answer) -> Answer | None:
        """The answer, if it may be stored as it is, else None. What is compared later must be what
        was said: two addresses that both became [EMAIL] are not the same."""
        kept = await self.kept_answer(answer)
        return answer if (kept.text, kept.tool_calls) == (answer.text, answer.tool_calls) else None

    def learned(self, given: Input) -> Input:
        """An input as specialists learned to see it."""
        if not self._learns_less:
            return given
        return scrub_input(given, self._kinds)

    def may_learn(self, goal: str) -> bool:
        """Whether stored plans are learned from goals such as this, and so may serve it: what is
        kept of one that holds something personal is not what it said."""
        if not self._learns_less:
            return True
        return not is_personal(msgspec.json.encode(goal).decode(), self._kinds)


async def _aside(request: Request, work: Callable[[], T]) -> T:
    """Run ``work`` on a request, in a thread if that takes long."""
    size = len(request.body) or sum(len(message.text) for message in request.messages)
    return work() if size < _LONG else await asyncio.to_thread(work)
