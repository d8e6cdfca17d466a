"""Kind ``call``: the next call of a tool, or none.

First the tool, then a value for each of its arguments out of what the conversation states; trees
decide both. The signal is the estimated probability that the whole call is right. A step in which
the LLM would talk, and a call whose values are stated nowhere, are declined. What it says word for
word in place of a call, to end a loop, counts as a tool without arguments.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from shoal.chat import ToolCall
from shoal.errors import LearningError
from shoal.specialists.boosting import folds_of
from shoal.specialists.calls.arguments import ArgumentChooser, Choice, Given, values_of
from shoal.specialists.calls.candidates import Reader
from shoal.specialists.calls.confidence import CLEARNESS, Confidence, clearness, fit_confidence
from shoal.specialists.calls.episodes import episodes
from shoal.specialists.calls.schema import (
    Tool,
    arguments_of,
    canonical,
    is_valid,
    observed,
    offered,
)
from shoal.specialists.calls.situation import Situation, situation_of
from shoal.specialists.calls.tools import MOST_MARGIN, TALK, Ranked, ToolChooser
from shoal.specialists.files import write_model
from shoal.specialists.kind import Kind, Recipe
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason, Trained
from shoal.tasks.contract import CallContract, Contract, Output
from shoal.tasks.input import Input

Floats = NDArray[np.float64]

MOST_EXAMPLES = 3_000
"""Trained on at the most, the newest."""
FOLDS = 5
SAYS = "say: "
"""What the name of a fixed text begins with among tools, whose names have no blanks."""
_REMEMBERED = 20_000  # messages whose values are kept while training: steps share them


class Call(NamedTuple):
    """A call as it was chosen, and how clearly (CLEARNESS,). ``arguments`` is None if some are
    stated nowhere, or do not keep the tool's schema."""

    tool: Tool
    ranked: Ranked
    choices: list[Choice]
    arguments: dict[str, Any] | None
    clear: list[float]

    @property
    def output(self) -> Output | None:
        """The call, None if there is none to make."""
        if self.arguments is None:
            return None
        if self.tool.name.startswith(SAYS):
            return self.tool.name.removeprefix(SAYS)
        return (ToolCall("", self.tool.name, json.dumps(self.arguments, ensure_ascii=False)),)


class Chooser(NamedTuple):
    """What decides: the tools known from training, which of them, and their arguments."""

    known: Mapping[str, Tool]
    tools: ToolChooser
    arguments: ArgumentChooser

    def call(self, situation: Situation, given: Input, senses: Senses | None) -> Call:
        """The next call, ``TALK`` if there is none."""
        ranked = self.tools.rank(situation, tools_of(given, self.known), senses)
        if ranked.tool is TALK:
            return Call(TALK, ranked, [], None, [0.0] * CLEARNESS)
        return self.call_of(situation, ranked, senses)

    def call_of(self, situation: Situation, ranked: Ranked, senses: Senses | None) -> Call:
        """The call of a tool that has been chosen."""
        choices = self.arguments.choose(situation, ranked.tool, senses)
        values = values_of(choices)
        if values is not None and not is_valid(ranked.tool, values):
            values = None
        return Call(ranked.tool, ranked, choices, values, clearness(ranked, choices, situation))


class CallSpecialist:
    """A chooser, and the confidence that its calls deserve."""

    kind = "call"

    def __init__(
        self, chooser: Chooser, confidence: Confidence, recipe: str, senses: Senses | None
    ) -> None:
        self.recipe = recipe
        self._chooser, self._confidence, self._senses = chooser, confidence, senses

    def predict(self, given: Input) -> Prediction:
        """The next call; some 10 ms, more for long conversations and many tools."""
        call = self._chooser.call(situation_of(given.messages, Reader()), given, self._senses)
        return _prediction(call, self._confidence)

    def arguments_for(self, given: Input, name: str) -> Prediction:
        """The call of the tool of that name, as if nothing else could come next."""
        situation = situation_of(given.messages, Reader())
        tools = tools_of(given, self._chooser.known)
        tool = next((tool for tool in tools if tool.name == name), None)
        if tool is None:
            return Prediction(None, 0.0)
        call = self._chooser.call_of(situation, Ranked(tool, 0.0, MOST_MARGIN), self._senses)
        return _prediction(call, self._confidence)

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """Where each argument's value stands, and what spoke for the tool, in log-odds."""
        situation = situation_of(given.messages, Reader())
        call = self._chooser.call(situation, given, self._senses)
        tools = tools_of(given, self._chooser.known)
        name = call.tool.name or "no call"
        reasons = [
            Reason(f"{name}: {what}", weight)
            for what, weight in self._chooser.tools.reasons(
                situation, tools, call.tool, self._senses
            )
            if weight
        ]
        reasons += [
            Reason(f"{choice.argument.name} = {_origin(choice)}", choice.log_odds)
            for choice in call.choices
        ]
        return tuple(sorted(reasons, key=lambda reason: -abs(reason.weight)))

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "known": [msgspec.to_builtins(tool) for tool in self._chooser.known.values()],
            "tools": self._chooser.tools.model(),
            "arguments": self._chooser.arguments.model(),
        }
        confidence = np.array(
            [
                [self._confidence.intercept, *self._confidence.slopes],
                [0.0, *self._confidence.means],
                [1.0, *self._confidence.scales],
            ]
        )
        write_model(folder, model, {"confidence": confidence})


def restore_call(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> CallSpecialist:
    """The specialist that ``save`` wrote."""
    known = msgspec.convert(model["known"], list[Tool])
    arguments = ArgumentChooser.restore(model["arguments"])
    tools = ToolChooser.restore(model["tools"], arguments.evidence)
    weights, means, scales = arrays["confidence"].tolist()
    confidence = Confidence(weights[0], tuple(weights[1:]), tuple(means[1:]), tuple(scales[1:]))
    chooser = Chooser({tool.name: tool for tool in known}, tools, arguments)
    return CallSpecialist(chooser, confidence, model["recipe"], senses)


def train_call(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses | None,
    recipe: Recipe,
) -> Trained:
    """Train on requests and the calls that followed; None where the LLM talked, or made a call that
    breaks the contract. Of several calls in one step none is learned: such a step is an example of
    what no single call answers.

    Raises:
        LearningError: there are no calls, or all are of one conversation.
    """
    wanted = [_single(output) for output in outputs]
    if not any(wanted):
        raise LearningError("none of the reference answers calls a tool: nothing to learn")
    groups = episodes(inputs, outputs)
    fold = folds_of(groups, np.array([call is not None for call in wanted]), FOLDS)
    reader = Reader(_REMEMBERED)
    situations = [
        situation_of(given.messages, reader)._replace(group=group, fold=group % FOLDS)
        for given, group in zip(inputs, groups, strict=True)
    ]
    steps = list(zip(inputs, situations, wanted, strict=True))
    calls: list[Call | None] = [None] * len(steps)
    for k in range(int(fold.max()) + 1):
        chooser = _fit(
            [step for step, out in zip(steps, fold == k, strict=True) if not out], senses
        )
        for row in np.flatnonzero(fold == k).tolist():
            new = situations[row]._replace(group=None, fold=None)
            calls[row] = chooser.call(new, inputs[row], senses) if chooser else None
    right = np.array([_is(call, output) for call, output in zip(calls, wanted, strict=True)])
    confidence, left_out = _left_out(calls, right, fold)
    final = _fit(steps, senses)
    assert final is not None
    return Trained(CallSpecialist(final, confidence, recipe.name, senses), left_out)


_Step = tuple[Input, Situation, ToolCall | None]


def _fit(steps: Sequence[_Step], senses: Senses | None) -> Chooser | None:
    """None if there are no calls among the steps."""
    newest = steps[-MOST_EXAMPLES:]
    known = observed(call for _, _, call in newest if call)
    if not any(tool.arguments for tool in known.values()):
        return None
    made, choices = [], []
    for given, situation, call in newest:
        tools = tools_of(given, known)
        choices.append((situation, tools, call.name if call else TALK.name))
        tool = next((tool for tool in tools if call and tool.name == call.name), None)
        arguments = arguments_of(call) if call else None
        if tool and arguments is not None:
            made.append(Given(situation, tool, arguments))
    arguments_chooser = ArgumentChooser.train(made, senses)
    tools_chooser = ToolChooser.train(choices, arguments_chooser.evidence, senses)
    return Chooser(known, tools_chooser, arguments_chooser)


def tools_of(given: Input, known: Mapping[str, Tool]) -> tuple[Tool, ...]:
    """The tools that a request offers, else those known from training; and what may be said in
    place of a call. What a schema does not say of an argument (what objects hold), calls in
    training do."""
    tools = offered(given.tools)
    if not tools:
        return tuple(known.values())
    said = (tool for tool in known.values() if tool.name.startswith(SAYS))
    return (*(_informed(tool, known.get(tool.name)) for tool in tools), *said)


def _informed(tool: Tool, seen: Tool | None) -> Tool:
    learned = {argument.name: argument for argument in seen.arguments} if seen else {}
    arguments = tuple(
        msgspec.structs.replace(argument, items=learned[argument.name].items)
        if not argument.items and argument.name in learned
        else argument
        for argument in tool.arguments
    )
    return msgspec.structs.replace(tool, arguments=arguments)


def _single(output: Output | None) -> ToolCall | None:
    if isinstance(output, str):
        return ToolCall("", SAYS + output, "{}")
    call = output[0] if isinstance(output, tuple) and len(output) == 1 else None
    return call if isinstance(call, ToolCall) else None


def _is(call: Call | None, wanted: ToolCall | None) -> bool:
    if call is None or call.arguments is None or wanted is None or call.tool.name != wanted.name:
        return False
    arguments = arguments_of(wanted)
    return arguments is not None and canonical(arguments) == canonical(call.arguments)


def _left_out(
    calls: Sequence[Call | None], right: NDArray[np.bool_], fold: NDArray[np.intp]
) -> tuple[Confidence, list[Prediction]]:
    """The confidence fitted on all calls that can be made, and predictions with one that was fitted
    without the fold."""
    made = np.array([call is not None and call.arguments is not None for call in calls])
    rows = np.array([call.clear if call else [0.0] * CLEARNESS for call in calls])
    if not made.any():
        raise LearningError("the arguments of the calls are stated nowhere: nothing to learn")
    left_out = [Prediction(None, 0.0)] * len(calls)
    confidence = fit_confidence(rows[made], right[made])
    for k in range(int(fold.max()) + 1):
        others = made & (fold != k)
        judge = fit_confidence(rows[others], right[others]) if others.any() else confidence
        for row in np.flatnonzero(made & (fold == k)).tolist():
            call = calls[row]
            assert call is not None
            left_out[row] = _prediction(call, judge)
    return confidence, left_out


def _prediction(call: Call, confidence: Confidence) -> Prediction:
    output = call.output
    if output is None:
        return Prediction(None, 0.0)
    return Prediction(output, float(confidence.probability(np.array([call.clear]))[0]))


def _origin(choice: Choice) -> str:
    """Where the value of an argument stands."""
    if choice.candidate is None:
        return "nothing that is stated"
    if not choice.candidate.places:
        return "left out" if not choice.candidate.key else f"{choice.candidate.key}, as often"
    mention = choice.candidate.places[-1].mention
    return f"{choice.candidate.key[:80]}, from {mention.source}"


def _fits(contract: Contract) -> bool:
    return isinstance(contract, CallContract)


def _refusal(contract: Contract, inputs: Sequence[Input], recipe: Recipe) -> str:
    if inputs and not any(given.messages for given in inputs):
        return "its requests have no messages, so there is nothing to take arguments from"
    return ""


KIND = Kind(
    "call",
    (
        Recipe("call", "trees", encoder=False, cost=15, share=0.4),
        Recipe("call", "trees+encoder", encoder=True, cost=40, share=0.6),
    ),
    _fits,
    _refusal,
    train_call,
    restore_call,
)
