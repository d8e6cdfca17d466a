"""Candidates of an argument -> a table of numbers.

Everything here is about one slot in one situation. Rates are taken without the situation's own
fold, so that a table made in training looks like one made in serving.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.formats.json_schema import Json
from shoal.specialists.calls.candidates import Candidate, words_of
from shoal.specialists.calls.evidence import Evidence
from shoal.specialists.calls.rates import Constants
from shoal.specialists.calls.schema import Argument
from shoal.specialists.calls.situation import FAR, Chosen, Situation, Slot, spaced
from shoal.specialists.senses import Senses

Floats = NDArray[np.float64]

_EMBEDDED = 80  # characters of a value that is put through the encoder
_TYPES = ("string", "integer", "number", "boolean", "array", "object", "absent")

COLUMNS = (
    "source, for the slot",
    "source, for the name",
    "share of its source",
    "share of its source, for the name",
    "shape, for the slot",
    "shape, for the name",
    "constant",
    "word before",
    "words before",
    "key like the name",
    "path like the name",
    "its name's words before",
    "its name's words after",
    "its description's words around",
    "its name's words around, next to others",
    "its description's words around, next to others",
    "begins a sentence",
    "likeness to the description",
    "likeness to the description, next to others",
    "value like the name",
    "messages back",
    "messages back at first",
    "user's, messages back",
    "assistant's, messages back",
    "tool's, messages back",
    "call's, messages back",
    "places",
    "share of the user's words",
    "said by the user, messages back",
    "said by the assistant, messages back",
    "calls of this tool with it",
    "calls with it under this name",
    "last such call, messages back",
    "others of its source before it",
    "unused others of its source before it",
    "others of its source",
    "earlier calls' values before it",
    "unused earlier calls' values before it",
    "unused earlier calls' values after it",
    "chosen already",
    "characters after the last choice",
    "listed by the schema",
    "length",
    "type",
    "candidates",
    "earlier arguments",
    "leaves said by the user",
    "leaves said lately",
    "absence",
    "the default",
)


def describe(
    slot: Slot,
    situation: Situation,
    candidates: Sequence[Candidate],
    earlier: Sequence[Chosen],
    evidence: Evidence,
    constants: Constants,
    senses: Senses | None,
) -> Floats:
    """The table (n, len(COLUMNS)) of n candidates of a slot."""
    argument, group = slot.argument, situation.fold
    wanted = set(words_of(argument.name))
    told = wanted | set(words_of(argument.description))
    ranks, called = _ranks(slot, candidates), _called(slot, candidates)
    last = earlier[-1].candidate.places[-1] if earlier else None
    taken = {chosen.candidate.key for chosen in earlier}
    absence = evidence.absence(slot, group)
    rows = []
    alike = _likeness(argument, candidates, senses)
    most_alike = max(alike, default=0.0)
    near = [_near(wanted, told, candidate) for candidate in candidates]
    closest = [max(column, default=0.0) for column in zip(*map(_sums, near), strict=True)]
    for at, candidate in enumerate(candidates):
        value, places = candidate.value, candidate.places
        mentions = [place.mention for place in places]
        *rates, word, words = evidence.features(slot, candidate, group)
        backs = dict.fromkeys(("user", "assistant", "tool", "call"), FAR)
        for back, mention in places:
            if mention.role in backs:
                backs[mention.role] = min(back, backs[mention.role])
        same_tool, same_name, last_call = _calls(slot, candidate)
        latest = places[-1] if places else None
        gap = -1.0
        if (
            last
            and latest
            and latest.back == last.back
            and latest.mention.role == last.mention.role
        ):
            gap = float(latest.mention.order - last.mention.order)
        leaves_user, leaves_late = _leaves_said(value, situation.said)
        rows.append(
            [
                *rates,
                constants.share(slot.key, candidate.key, group),
                word,
                words,
                max((_alike(wanted, m.path[-1:]) for m in mentions if m.path), default=0.0),
                max((_alike(wanted, m.path) for m in mentions if m.path), default=0.0),
                *near[at],
                *(n / (best + 1e-9) for n, best in zip(_sums(near[at]), closest, strict=True)),
                all(m.opens for m in mentions) if mentions else -1.0,
                alike[at],
                alike[at] - most_alike,
                _alike(told, [value]) if isinstance(value, str) else 0.0,
                min((place.back for place in places), default=FAR),
                max((place.back for place in places), default=FAR),
                *backs.values(),
                len(places),
                max((m.share for back, m in places if m.role == "user"), default=0.0),
                *_said(value, situation.said),
                same_tool,
                same_name,
                last_call,
                *ranks.get(candidate.key, (0, 0, 0)),
                *called.get(candidate.key, (-1, -1, -1)),
                candidate.key in taken,
                gap,
                candidate.key in argument.enum,
                len(candidate.key),
                _TYPES.index(candidate.type) if candidate.type in _TYPES else -1,
                len(candidates),
                len(earlier),
                leaves_user,
                leaves_late,
                absence if not candidate.key else -1.0,
                candidate.key == argument.default,
            ]
        )
    return np.array(rows, dtype=np.float64).reshape(-1, len(COLUMNS))


def _likeness(
    argument: Argument, candidates: Sequence[Candidate], senses: Senses | None
) -> list[float]:
    """The cosine of each text that somebody said and the argument's name and description; -1 of
    what is no such text."""
    if senses is None:
        return [-1.0] * len(candidates)
    texts = {
        c.key: str(c.value)
        for c in candidates
        if c.type == "string"
        and len(c.key) <= _EMBEDDED
        and any(p.mention.role == "user" for p in c.places)
    }
    if not texts:
        return [-1.0] * len(candidates)
    wanted = f"{' '.join(words_of(argument.name))}: {argument.description}"
    vectors = senses.embed([wanted, *texts.values()])
    found = dict(zip(texts, (vectors[1:] @ vectors[0]).tolist(), strict=True))
    return [found.get(candidate.key, -1.0) for candidate in candidates]


def _near(name: set[str], told: set[str], candidate: Candidate) -> tuple[float, float, float]:
    """How near the words of an argument's name stand before and after a value, and how near those
    of its description: sums of 1 / distance, the greatest over the places."""
    best = (0.0, 0.0, 0.0)
    for _, mention in candidate.places:
        nearby = mention.nearby
        found = (
            sum(1 / -d for word, d in nearby if d < 0 and word in name),
            sum(1 / d for word, d in nearby if d > 0 and word in name),
            sum(1 / abs(d) for word, d in nearby if word in told and word not in name),
        )
        best = max(best, found, key=sum)
    return best


def _sums(near: tuple[float, float, float]) -> tuple[float, float]:
    return near[0] + near[1], sum(near)


def _calls(slot: Slot, candidate: Candidate) -> tuple[int, int, int]:
    """Earlier calls with this value: of the same slot, under the same name, messages since."""
    same = f"call {slot.tool.name} {slot.argument.name}"
    of_slot = of_name = 0
    last = FAR
    for back, mention in candidate.places:
        if mention.role != "call":
            continue
        of_slot += mention.source == same
        if mention.path[-1:] == (slot.argument.name,):
            of_name += 1
            last = min(last, back)
    return of_slot, of_name, last


def _ranks(slot: Slot, candidates: Sequence[Candidate]) -> dict[str, tuple[int, int, int]]:
    """For each candidate: others before it in the latest message and source of its own, those of
    them that no call of the slot has used, and how many there are."""
    shelves: dict[tuple[int, str], list[tuple[int, Candidate]]] = {}
    for candidate in candidates:
        told = [place for place in candidate.places if place.mention.role != "call"]
        if told:
            latest = told[-1]
            shelf = shelves.setdefault((latest.back, latest.mention.source), [])
            shelf.append((latest.mention.order, candidate))
    found = {}
    for shelf in shelves.values():
        unused = 0
        for rank, (_, candidate) in enumerate(sorted(shelf, key=lambda item: item[0])):
            found[candidate.key] = (rank, unused, len(shelf))
            unused += not _calls(slot, candidate)[0]
    return found


def _called(slot: Slot, candidates: Sequence[Candidate]) -> dict[str, tuple[int, int, int]]:
    """For each value that an earlier call had under this name: how many were called before it, and
    how many before and after it no call of the slot itself has used."""
    calls = []
    for candidate in candidates:
        own = [
            (-back, mention.order)
            for back, mention in candidate.places
            if mention.role == "call" and mention.path[-1:] == (slot.argument.name,)
        ]
        if own:
            calls.append((own[0], candidate.key, not _calls(slot, candidate)[0]))
    calls.sort()
    unused = [free for _, _, free in calls]
    return {
        key: (at, sum(unused[:at]), sum(unused[at + 1 :])) for at, (_, key, _) in enumerate(calls)
    }


def _alike(wanted: set[str], names: Sequence[str]) -> float:
    """Jaccard similarity of the words."""
    words = {word for name in names for word in words_of(name)}
    return len(wanted & words) / len(wanted | words) if words else 0.0


def _said(value: Json, said: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """Messages back to where the user and the LLM last said a text, whatever its punctuation."""
    if not isinstance(value, str) or not value or len(value) > 80:
        return FAR, FAR
    needle = spaced(value)
    found = {"user": FAR, "assistant": FAR}
    for back, (role, words) in enumerate(said[:FAR]):
        if needle in words and found[role] == FAR:
            found[role] = back
    return found["user"], found["assistant"]


def _leaves_said(value: Json, said: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Of a list's or object's leaves: the share that a user ever said, and that was said in the
    last four messages; -1 of a scalar."""
    if not isinstance(value, list | dict):
        return -1.0, -1.0
    leaves = _leaves(value)
    if not leaves:
        return 0.0, 0.0
    user = " ".join(words for role, words in said if role == "user")
    late = " ".join(words for _, words in said[:4])
    needles = [spaced(leaf) for leaf in leaves]
    return (
        sum(needle in user for needle in needles) / len(needles),
        sum(needle in late for needle in needles) / len(needles),
    )


def _leaves(value: Json) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [leaf for item in value for leaf in _leaves(item)][:40]
        case dict():
            return [leaf for item in value.values() for leaf in _leaves(item)][:40]
        case bool() | None:
            return []
        case _:
            return [str(value)]
