"""Which tool comes next, or none: every tool offered is described and scored by boosted trees.

A tool is described by what usually follows upon what has just happened, by the words last said, by
how often and when it was called before, by whether there is something new to call it with, and by
how much its name and description resemble what the user asks. Tools that training never saw have
only the last two to go by.
"""

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.chat import Message
from shoal.errors import ArtifactError
from shoal.specialists.boosting import Boosting, BoostingOptions
from shoal.specialists.calls import progress
from shoal.specialists.calls.candidates import words_of
from shoal.specialists.calls.evidence import Evidence
from shoal.specialists.calls.rates import Rates
from shoal.specialists.calls.schema import Tool
from shoal.specialists.calls.situation import FAR, Situation, Slot
from shoal.specialists.senses import Senses

Floats = NDArray[np.float64]

TALK = Tool("")
"""Stands for no call: the LLM talks."""
OPTIONS = BoostingOptions(
    objective="binary", rounds=150, learning_rate=0.05, leaves=15, least_in_leaf=20, l2=1.0
)
MOST_MARGIN = 10.0
_WORDS = 60  # of a message; an answer's first and last words say what it is about
_WEIGHT = 3.0
_BEST = 5
_LEAST = 2


COLUMNS = (
    "how often it is called",
    "was ever called",
    "what just happened",
    "the last two things that happened",
    "the last three things that happened",
    "all of the user's words",
    "the user's words that speak for it",
    "the user's words that speak against it",
    "all of the LLM's words",
    "the LLM's words that speak for it",
    "the LLM's words that speak against it",
    "all of the result's words",
    "the result's words that speak for it",
    "the result's words that speak against it",
    "calls of it so far",
    "messages since it was called",
    "calls so far",
    "messages since the user spoke",
    "whether the last call failed",
    "length of the conversation",
    "values that it was not called with yet",
    "values that nothing was called with yet",
    "new values in the last message",
    "new values in the user's last message",
    "new values in the LLM's last message",
    "new values of the user",
    "new values in results",
    "messages since the last new value",
    "values that it was called with",
    "arguments without a value",
    "its name's words in what the user asks",
    "its description's words in what the user asks",
    "likeness of its description to what the user asks",
    "likeness compared with other tools'",
    "whether it stands for no call",
    "number of tools",
    *progress.COLUMNS,
)


class Ranked(NamedTuple):
    """The likeliest tool, the log of its share of all tools' probabilities, and by how much its
    log-odds are above the next one's."""

    tool: Tool
    log_share: float
    margin: float


class ToolChooser:
    """Trees over tools, and the rates that their features rest on."""

    def __init__(self, trees: Boosting, rates: Rates, evidence: Evidence) -> None:
        self._trees, self._rates, self._evidence = trees, rates, evidence

    @classmethod
    def train(
        cls,
        steps: Sequence[tuple[Situation, Sequence[Tool], str]],
        evidence: Evidence,
        senses: Senses | None,
    ) -> "ToolChooser":
        """Learn from steps: a situation, the tools offered and the name of the one called ("" for
        none). ``evidence`` is that of the arguments."""
        rates = Rates()
        counted: set[tuple[Hashable, str, str]] = set()
        for situation, _, called in steps:
            seen = _seen(situation.messages)
            words = [name for said in seen.said() for name in said]
            new = {(situation.group, name, called) for name in words} - counted
            counted |= new  # what a conversation says again and again is one observation
            names = ["step", *seen.events, *sorted(name for _, name, _ in new)]
            rates.add(situation.fold, names, False)
            rates.add(situation.fold, [f"{name} > {called}" for name in names], True)
        rows, targets = [], []
        for situation, tools, called in steps:
            options = (TALK, *tools)
            rows.append(_describe(situation, options, rates, evidence, senses))
            targets += [tool.name == called for tool in options]
        trees = Boosting.train(np.concatenate(rows), np.array(targets, dtype=float), OPTIONS)
        rates.settle()
        return cls(trees, rates, evidence)

    def rank(self, situation: Situation, tools: Sequence[Tool], senses: Senses | None) -> Ranked:
        """The tool to call, ``TALK`` for none."""
        options = (TALK, *tools)
        scores = self._trees.raw(_describe(situation, options, self._rates, self._evidence, senses))
        best = int(scores.argmax())
        chances = 1 / (1 + np.exp(-scores))
        rest = np.delete(scores, best)
        margin = float(scores[best] - rest.max()) if len(rest) else MOST_MARGIN
        log_share = float(np.log(chances[best] / chances.sum()))
        return Ranked(options[best], log_share, min(margin, MOST_MARGIN))

    def reasons(
        self, situation: Situation, tools: Sequence[Tool], chosen: Tool, senses: Senses | None
    ) -> list[tuple[str, float]]:
        """What about the chosen tool spoke for or against it, in log-odds."""
        options = (TALK, *tools)
        rows = _describe(situation, options, self._rates, self._evidence, senses)
        row = rows[options.index(chosen)]
        return list(zip(COLUMNS, self._trees.contributions(row)[0].tolist(), strict=False))

    def model(self) -> dict[str, Any]:
        """All of it but the evidence, for a JSON file."""
        return {
            "columns": list(COLUMNS),
            "trees": self._trees.text(),
            "rates": self._rates.counts(),
        }

    @classmethod
    def restore(cls, model: dict[str, Any], evidence: Evidence) -> "ToolChooser":
        """The chooser of ``model()``.

        Raises:
            ArtifactError: the trees are damaged, or are none over tools.
        """
        trees = Boosting.restore(model["trees"])
        if tuple(model["columns"]) != COLUMNS or trees.columns != len(COLUMNS):
            raise ArtifactError("the specialist's trees are of another version: train it again")
        return cls(trees, Rates(model["rates"]), evidence)


class _Seen(NamedTuple):
    """What of a conversation the rates look at."""

    events: list[str]
    user: list[str]
    assistant: list[str]
    result: list[str]

    def said(self) -> tuple[list[str], list[str], list[str]]:
        """By the user, by the LLM, by a tool."""
        return self.user, self.assistant, self.result


def _seen(messages: Sequence[Message]) -> _Seen:
    happened = [event for message in messages for event in _events(message)][-3:]
    events = [f"after {' '.join(happened[-n:])}" for n in (1, 2, 3)]
    last = messages[-1] if messages else Message("user")
    user = next((m.text for m in reversed(messages) if m.role == "user"), "")
    said = next((m.text for m in reversed(messages) if m.role == "assistant" and m.text), "")
    fresh = "now" if last.role == "user" else "before"
    return _Seen(
        events,
        [f"user {fresh} {word}" for word in _terms(user)],
        [f"assistant {fresh} {word}" for word in _terms(said)],
        [f"result {word}" for word in _terms(last.text)] if last.role == "tool" else [],
    )


def _events(message: Message) -> list[str]:
    """What happened in a message: who spoke, which tool gave something."""
    if message.role == "tool":
        failed = " failed" if message.text[:5].lower() == "error" else ""
        return [f"{message.name}{failed}"]
    return [call.name for call in message.tool_calls] or [message.role]


def _terms(text: str) -> list[str]:
    """Words and pairs of words of the beginning and the end of a text."""
    words = words_of(text[:4_000])
    words = words if len(words) <= _WORDS else [*words[: _WORDS // 2], *words[-_WORDS // 2 :]]
    return sorted({*words, *(f"{a} {b}" for a, b in pairwise(words))})


def _describe(
    situation: Situation,
    options: Sequence[Tool],
    rates: Rates,
    evidence: Evidence,
    senses: Senses | None,
) -> Floats:
    """The table (n, d) of n options."""
    messages, fold = situation.messages, situation.fold
    seen, walked = _seen(messages), progress.progress_of(situation)
    calls = [(back, c.name) for back, m in enumerate(reversed(messages)) for c in m.tool_calls]
    since_user = next((b for b, m in enumerate(reversed(messages)) if m.role == "user"), FAR)
    failed = any("failed" in event for event in seen.events)
    user = next((m.text for m in reversed(messages) if m.role == "user"), "")
    asked = set(words_of(user))
    alike = _cosines(user, options, senses)
    said = [[n for n in names if rates.seen(n, fold) >= _LEAST] for names in seen.said()]
    rows = []
    for tool, cosine in zip(options, alike, strict=True):
        prior = _share(rates, "step", tool, 1 / len(options), fold)
        first = _share(rates, seen.events[0], tool, prior, fold)
        second = _share(rates, seen.events[1], tool, first, fold)
        own = [back for back, name in calls if name == tool.name]
        told = set(words_of(f"{tool.name} {tool.description}"))
        rows.append(
            [
                prior,
                rates.hits(f"step > {tool.name}", fold) > 0,
                first,
                second,
                _share(rates, seen.events[2], tool, second, fold),
                *_lifts([_share(rates, name, tool, prior, fold) for name in said[0]], prior),
                *_lifts([_share(rates, name, tool, prior, fold) for name in said[1]], prior),
                *_lifts([_share(rates, name, tool, prior, fold) for name in said[2]], prior),
                len(own),
                min(own, default=FAR),
                len(calls),
                since_user,
                failed,
                len(messages),
                *_chances(tool, situation, evidence),
                len(asked & set(words_of(tool.name))),
                len(asked & told) / (len(told) + 3),
                cosine,
                cosine - max(alike),
                not tool.name,
                len(options),
                *progress.columns(walked, situation, tool),
            ]
        )
    return np.array(rows, dtype=np.float64)


def _share(rates: Rates, name: str, tool: Tool, prior: float, fold: int | None) -> float:
    """How often the tool was called where this was seen, drawn towards ``prior``."""
    hits = rates.hits(f"{name} > {tool.name}", fold)
    return (hits + prior * _WEIGHT) / (rates.seen(name, fold) + _WEIGHT)


def _lifts(found: Sequence[float], prior: float) -> tuple[float, float, float]:
    """Of the log-lifts of what was said: the sum of all (naive Bayes), of the greatest few, and of
    the least few."""
    lifts = sorted(np.log(np.array(found) / prior)) if found else [0.0]
    return float(np.sum(lifts)), float(np.sum(lifts[-_BEST:])), float(np.sum(lifts[:_BEST]))


def _chances(tool: Tool, situation: Situation, evidence: Evidence) -> list[float]:
    """Whether there is something to call the tool with.

    Of the candidates for its first required argument that no call of the tool has used: how many
    there are in the last message, in the user's last, in any of the user's, of the LLM's last, in
    results; how many no call at all has used under that name; how far back the latest stands. How
    many the tool was called with. How many of the required arguments have no candidate.
    """
    required = [argument for argument in tool.arguments if argument.required]
    if not required:
        return [-1.0] * 10
    found = [
        evidence.plausible(Slot(tool, argument), situation.stated.values(), situation.fold)
        for argument in required
    ]
    source, name = f"call {tool.name} {required[0].name}", required[0].name
    unused = [c for c in found[0] if all(p.mention.source != source for p in c.places)]
    fresh = [
        c
        for c in unused
        if not any(p.mention.role == "call" and p.mention.path[-1:] == (name,) for p in c.places)
    ]
    backs = {"user": FAR, "assistant": FAR}
    for back, message in enumerate(reversed(situation.messages)):
        if message.role in backs and message.text:
            backs[message.role] = min(back, backs[message.role])
    roles = [{p.mention.role for p in c.places} for c in fresh]
    return [
        len(unused),
        len(fresh),
        sum(c.places[-1].back == 0 for c in unused),
        sum(any(p.back == backs["user"] for p in c.places) for c in fresh),
        sum(any(p.back == backs["assistant"] for p in c.places) for c in unused),
        sum("user" in found for found in roles),
        sum("tool" in found for found in roles),
        min((c.places[-1].back for c in unused), default=FAR),
        len(found[0]) - len(unused),
        sum(not candidates for candidates in found),
    ]


def _cosines(user: str, options: Sequence[Tool], senses: Senses | None) -> list[float]:
    if senses is None:
        return [0.0] * len(options)
    texts = [f"{words}: {tool.description}" for tool in options if (words := _name(tool))]
    if not texts:
        return [0.0] * len(options)
    vectors = senses.embed([user[:1_000], *texts])
    found = iter((vectors[1:] @ vectors[0]).tolist())
    return [next(found) if tool.name else 0.0 for tool in options]


def _name(tool: Tool) -> str:
    return " ".join(words_of(tool.name))
