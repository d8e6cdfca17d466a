"""The arguments of a call: each is chosen among what the conversation states.

A candidate is described by where it stands, how often and how recently, whether its key or the
words around it resemble the argument's name and description, and how often values of its source
and shape were right before; boosted trees score it. What is stated nowhere is not made up.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ArtifactError
from shoal.formats.json_schema import Json
from shoal.specialists.boosting import Boosting, BoostingOptions
from shoal.specialists.calls.candidates import Candidate
from shoal.specialists.calls.evidence import Evidence
from shoal.specialists.calls.features import COLUMNS, describe
from shoal.specialists.calls.objects import built
from shoal.specialists.calls.rates import Constants
from shoal.specialists.calls.schema import Argument, Tool, canonical, fits
from shoal.specialists.calls.situation import Chosen, Situation, Slot, spaced
from shoal.specialists.senses import Senses

Floats = NDArray[np.float64]

MOST_CANDIDATES = 120
"""Of one argument; of more, those that stand latest in the conversation are scored."""
ABSENT = Candidate("", None, "absent", "absent", [])
"""Leaves an optional argument out."""
OPTIONS = BoostingOptions(
    objective="binary", rounds=150, learning_rate=0.06, leaves=15, least_in_leaf=20, l2=1.0
)


class Choice(NamedTuple):
    """The value chosen for an argument, its log-odds, and how much they are above the next's.
    ``candidate`` is None if there was nothing to choose from."""

    argument: Argument
    candidate: Candidate | None
    log_odds: float
    margin: float


class Given(NamedTuple):
    """A situation, the tool that was called in it and its arguments."""

    situation: Situation
    tool: Tool
    arguments: dict[str, Json]


class ArgumentChooser:
    """Trees over candidates, and the evidence and constants that their features rest on."""

    def __init__(self, trees: Boosting, evidence: Evidence, constants: Constants) -> None:
        self._trees, self._evidence, self._constants = trees, evidence, constants

    @classmethod
    def train(cls, calls: Sequence[Given], senses: Senses | None) -> "ArgumentChooser":
        """Learn from calls that were made.

        Raises:
            LearningError: there are none with arguments.
        """
        evidence, constants = Evidence(), Constants()
        for situation, tool, arguments in calls:
            for argument in tool.arguments:
                if argument.name in arguments:
                    key = canonical(arguments[argument.name])
                    constants.add(Slot(tool, argument).key, key, situation.group, situation.fold)
        pools = [_pools(given, constants) for given in calls]
        for (situation, tool, arguments), pool in zip(calls, pools, strict=True):
            for argument, candidates in zip(tool.arguments, pool, strict=True):
                evidence.add(
                    Slot(tool, argument), situation, candidates, _gold(argument, arguments)
                )
        rows: list[Floats] = [np.empty((0, len(COLUMNS)))]
        targets: list[bool] = []
        for (situation, tool, arguments), pool in zip(calls, pools, strict=True):
            earlier: list[Chosen] = []
            for argument, candidates in zip(tool.arguments, pool, strict=True):
                slot, gold = Slot(tool, argument), _gold(argument, arguments)
                rows.append(
                    describe(slot, situation, candidates, earlier, evidence, constants, senses)
                )
                targets += [candidate.key == gold for candidate in candidates]
                right = next((c for c in candidates if c.key == gold), None)
                if right is not None and right.places:
                    earlier.append(Chosen(argument.name, right))
        trees = Boosting.train(np.concatenate(rows), np.array(targets, dtype=float), OPTIONS)
        evidence.settle()
        constants.settle()
        return cls(trees, evidence, constants)

    def choose(self, situation: Situation, tool: Tool, senses: Senses | None) -> list[Choice]:
        """A value for each argument of a tool, in the tool's order."""
        choices: list[Choice] = []
        earlier: list[Chosen] = []
        for argument in tool.arguments:
            slot = Slot(tool, argument)
            candidates = pool_of(slot, situation, self._constants)
            if not candidates:
                choices.append(Choice(argument, None, -10.0, 0.0))
                continue
            rows = describe(
                slot, situation, candidates, earlier, self._evidence, self._constants, senses
            )
            scores = self._trees.raw(rows)
            best = int(scores.argmax())
            rest = np.delete(scores, best)
            margin = float(scores[best] - rest.max()) if len(rest) else 10.0
            choices.append(Choice(argument, candidates[best], float(scores[best]), margin))
            if candidates[best].places:
                earlier.append(Chosen(argument.name, candidates[best]))
        return choices

    @property
    def evidence(self) -> Evidence:
        """What its features rest on."""
        return self._evidence

    def model(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return {
            "columns": list(COLUMNS),
            "trees": self._trees.text(),
            "evidence": self._evidence.counts(),
            "constants": self._constants.counts(),
        }

    @classmethod
    def restore(cls, model: dict[str, Any]) -> "ArgumentChooser":
        """The chooser of ``model()``.

        Raises:
            ArtifactError: the trees are damaged, or are none over candidates.
        """
        trees = Boosting.restore(model["trees"])
        if tuple(model["columns"]) != COLUMNS or trees.columns != len(COLUMNS):
            raise ArtifactError("the specialist's trees are of another version: train it again")
        return cls(trees, Evidence(model["evidence"]), Constants(model["constants"]))


def pool_of(slot: Slot, situation: Situation, constants: Constants) -> list[Candidate]:
    """What may be the slot's value: what is stated and of its type, what can be built, what often
    was its value, what its schema lists, and nothing at all if it may be left out."""
    argument = slot.argument
    found = {
        key: candidate
        for key, candidate in situation.stated.items()
        if fits(argument, candidate.type)
    }
    if argument.items:
        found |= {c.key: c for c in built(argument, situation.stated.values())}
    if len(found) > MOST_CANDIDATES:
        newest = sorted(found.values(), key=lambda c: (c.places[-1].back, -len(c.places)))
        found = {c.key: c for c in newest[:MOST_CANDIDATES]}
    listed = constants.often(slot.key, situation.fold)
    if argument.type == "array":
        listed += [canonical(values)] if (values := _said(argument, situation)) else []
    else:
        listed += argument.enum
    if argument.default:
        listed.append(argument.default)
    if argument.type == "boolean":
        listed += ["true", "false"]
    for key in listed:
        if key not in found:
            value = json.loads(key)
            found[key] = situation.stated.get(key) or Candidate.of(key, value)
    pool = list(found.values())
    return pool if argument.required else [*pool, ABSENT]


def _said(argument: Argument, situation: Situation) -> list[Json]:
    """Which of the values that a list may hold the user has named last, in the schema's order."""
    words = next((words for role, words in situation.said if role == "user"), "")
    values = [json.loads(key) for key in argument.enum]
    return [value for value in values if isinstance(value, str) and spaced(value) in words]


def _pools(given: Given, constants: Constants) -> list[list[Candidate]]:
    return [
        pool_of(Slot(given.tool, argument), given.situation, constants)
        for argument in given.tool.arguments
    ]


def _gold(argument: Argument, arguments: dict[str, Json]) -> str:
    """The key of the candidate that is right."""
    return canonical(arguments[argument.name]) if argument.name in arguments else ABSENT.key


def values_of(choices: Sequence[Choice]) -> dict[str, Json] | None:
    """The arguments chosen; None if one has no value that needs one."""
    values = {}
    for choice in choices:
        if choice.candidate is None:
            if choice.argument.required:
                return None
        elif choice.candidate is not ABSENT:
            values[choice.argument.name] = choice.candidate.value
    return values
