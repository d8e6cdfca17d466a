"""Removing for good what is personal, from what is stored or trained on."""

from collections.abc import Collection
from typing import TypeVar, cast

from msgspec.structs import replace

from shoal.chat import Answer, Request
from shoal.routing.privacy.kinds import Kind, label
from shoal.routing.privacy.person_names import Analyzer
from shoal.routing.privacy.sightings import Sightings
from shoal.routing.privacy.substitution import Substitution
from shoal.routing.privacy.texts import rewrite_answer, rewrite_request
from shoal.tasks.input import Input

Thing = str | Request | Answer
T = TypeVar("T", str, Request, Answer)


def scrub(thing: T, kinds: Collection[Kind], analyzer: Analyzer | None = None) -> T:
    """A text, request or answer with ``[EMAIL]`` and the like for what it holds of ``kinds``.

    There is no way back. ``body`` and ``alternatives``, which hold pieces of texts, are dropped
    where anything was found, in them or in the texts.
    """
    sightings = Sightings(kinds, analyzer)
    _look(thing, sightings)
    return cast(T, _scrubbed(thing, sightings))


def scrub_call(
    request: Request,
    answer: Answer,
    kinds: Collection[Kind],
    analyzer: Analyzer | None = None,
) -> tuple[Request, Answer]:
    """Both halves of a call, so that what one of them reveals is removed from the other, too."""
    sightings = Sightings(kinds, analyzer)
    _look(request, sightings)
    _look(answer, sightings)
    return (
        cast(Request, _scrubbed(request, sightings)),
        cast(Answer, _scrubbed(answer, sightings)),
    )


def scrub_input(given: Input, kinds: Collection[Kind]) -> Input:
    """What a specialist reads, without what is personal in it."""
    asked = scrub(Request("", given.messages, given.tools), kinds)
    slots = tuple((name, scrub(value, kinds)) for name, value in given.slots)
    return Input(scrub(given.text, kinds), slots, asked.messages, asked.tools)


def _look(thing: Thing, sightings: Sightings) -> None:
    if isinstance(thing, str):
        sightings.look("", thing, "")
        return
    if isinstance(thing, Request):
        sightings.look_at_request(thing)
    else:
        rewrite_answer(thing, sightings.look)
        tokens = (token for one in thing.alternatives for token, _ in one.tokens)
        sightings.look("answer", "\n".join(tokens), "")
    sightings.look("body", thing.body.decode(errors="replace"), "")


def _scrubbed(thing: Thing, sightings: Sightings) -> Thing:
    if not sightings.values:
        return thing
    placeholders = {value: f"[{label(kind)}]" for value, kind in sightings.values.items()}
    apply = Substitution(sightings, placeholders).apply
    if isinstance(thing, str):
        return apply("", thing, "")
    if isinstance(thing, Request):
        return replace(rewrite_request(thing, apply), body=b"")
    return replace(rewrite_answer(thing, apply), body=b"", alternatives=())
