import json
from pathlib import Path

import numpy as np
import pytest
from agent_steps import CONTRACT, TOOLS, Steps, agent_steps

from framework_agent import CLOSING, ParcelModel, cases, loop, steps
from shoal.chat import Message, ToolCall
from shoal.errors import LearningError
from shoal.guarantees import Selection, select
from shoal.specialists.call import KIND, CallSpecialist, restore_call, train_call
from shoal.specialists.files import read_model
from shoal.specialists.specialist import Trained
from shoal.tasks import CallContract, Input
from shoal.tasks.contract import Output
from shoal.tasks.template import transcript_of

STEPS, NEW = agent_steps(24), agent_steps(10, seed=1)


def train(steps: Steps, contract: CallContract = CONTRACT) -> Trained:
    return train_call(contract, steps.inputs, steps.outputs, None, KIND.recipes[0])


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(STEPS)


@pytest.fixture(scope="module")
def untold() -> Trained:
    """Trained on requests that do not say which tools there are."""
    return train(agent_steps(24, tools=""))


def plain(output: Output | None) -> object:
    if not isinstance(output, tuple):
        return output
    return [(call.name, json.loads(call.arguments)) for call in output]


def right(trained: Trained, steps: Steps) -> float:
    """The share of steps that are answered rightly, where the agent talks by no call."""
    found = [trained.specialist.predict(given).output for given in steps.inputs]
    return float(np.mean([plain(a) == plain(b) for a, b in zip(found, steps.outputs, strict=True)]))


def test_it_learns_when_to_call_what_with_which_arguments(trained: Trained) -> None:
    assert right(trained, NEW) >= 0.95


def test_without_schemas_calls_in_training_say_what_arguments_are(untold: Trained) -> None:
    assert right(untold, agent_steps(10, seed=1, tools="")) >= 0.95


def test_values_are_taken_from_anywhere_in_the_conversation(trained: Trained) -> None:
    found = plain(trained.specialist.predict(NEW.inputs[3]).output)
    assert found == plain(
        NEW.outputs[3]
    )  # number of the user, price of the result, way of the user


def test_left_out_predictions_are_as_good_as_new_ones(trained: Trained) -> None:
    pairs = zip(trained.left_out, STEPS.outputs, strict=True)
    assert np.mean([plain(p.output) == plain(output) for p, output in pairs]) >= 0.9


def test_an_agent_whose_steps_recur_can_be_proven_over_its_conversations(trained: Trained) -> None:
    """Of 24 conversations all right 30 % can be promised; of each five steps two call. (Nothing was
    ever wrong, so nearly all signals are the same; a walk that begins within a tie is refused.)"""
    wrong = [
        p.output is None or plain(p.output) != plain(output)
        for p, output in zip(trained.left_out, STEPS.outputs, strict=True)
    ]
    together = [row // 5 for row in range(len(wrong))]
    signals = [p.signal - 1e-9 * row for row, p in enumerate(trained.left_out)]
    found = select(signals, wrong, 0.3, 0.05, together=together)
    assert isinstance(found, Selection)
    assert found.coverage >= 0.3


def test_no_conversation_has_a_say_in_its_own_left_out_predictions() -> None:
    steps = agent_steps(12)
    before = train(steps).left_out
    changed = Steps(steps.inputs, list(steps.outputs))
    changed.outputs[6] = (ToolCall("", "look_up", '{"order_id": "ZZ-1"}'),)
    after = train(changed).left_out
    ours = slice(5, 10)  # the second conversation
    assert [plain(p.output) for p in after[ours]] == [plain(p.output) for p in before[ours]]


def test_arguments_keep_the_schema(trained: Trained) -> None:
    """A look-up by number: a request whose schema wants another form is declined."""
    tools = json.loads(TOOLS)
    tools[0]["function"]["parameters"]["properties"]["order_id"]["pattern"] = "^[0-9]{8}$"
    given = NEW.inputs[1]
    assert trained.specialist.predict(given).output is not None
    strict = Input(given.text, (), given.messages, json.dumps(tools))
    assert trained.specialist.predict(strict).output is None


def test_a_tool_that_is_not_offered_is_not_called(trained: Trained) -> None:
    tools = json.dumps(json.loads(TOOLS)[1:])
    for given in NEW.inputs:
        found = trained.specialist.predict(Input(given.text, (), given.messages, tools)).output
        assert not isinstance(found, tuple) or found[0].name == "refund"


def test_what_is_stated_nowhere_is_not_made_up() -> None:
    """The agent writes a summary of its own; the number it takes from the conversation."""
    steps = agent_steps(24, tools="")
    rng = np.random.default_rng(0)
    for at in range(1, len(steps.outputs), 5):
        thought = " ".join(map(str, rng.integers(0, 10_000, 6)))
        steps.outputs[at] = (ToolCall("", "think", json.dumps({"thought": thought})),)
    trained = train(steps, CallContract(("think", "refund"), talks=True))
    surest = sorted(trained.left_out, key=lambda p: -p.signal)[:20]
    assert all(isinstance(p.output, tuple) and p.output[0].name == "refund" for p in surest)
    thoughts = [p.signal for p in trained.left_out[1::5]]
    assert max(thoughts) < 0.3


def test_steps_with_several_calls_are_not_answered_by_one() -> None:
    steps = agent_steps(20)
    for at, output in enumerate(steps.outputs):
        if isinstance(output, tuple) and output[0].name == "refund":
            steps.outputs[at] = (output[0], output[0])
    trained = train(steps)
    for given, output in zip(NEW.inputs, NEW.outputs, strict=True):
        if isinstance(output, tuple) and output[0].name == "refund":
            assert trained.specialist.predict(given).output is None


def test_reasons_say_where_values_stand(trained: Trained) -> None:
    reasons = [reason.what for reason in trained.specialist.explain(NEW.inputs[3])]
    assert any(what.endswith("from tool look_up order.price") for what in reasons)
    assert any(what.startswith("refund: ") for what in reasons)


def test_told_which_tool_it_gives_the_arguments(trained: Trained) -> None:
    specialist = trained.specialist
    assert isinstance(specialist, CallSpecialist)
    output = specialist.arguments_for(NEW.inputs[1], "look_up").output
    assert plain(output) == plain(NEW.outputs[1])
    assert specialist.arguments_for(NEW.inputs[1], "unknown").output is None


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (Message("user"),),
        (Message("assistant", "", tool_calls=(ToolCall("", "look_up", "broken"),)),),
        (Message("tool", "[" * 10_000),),
        (Message("user", "\ud83d" * 50),),
    ],
)
def test_odd_conversations_are_survived(trained: Trained, messages: tuple[Message, ...]) -> None:
    prediction = trained.specialist.predict(Input("", (), messages, TOOLS))
    assert 0 <= prediction.signal <= 1
    trained.specialist.explain(Input("", (), messages, TOOLS))


def test_nothing_to_learn_is_a_clear_error() -> None:
    with pytest.raises(LearningError, match="none of the reference answers calls a tool"):
        train(Steps(STEPS.inputs, [None] * len(STEPS.inputs)))
    one = Steps(STEPS.inputs[:5], STEPS.outputs[:5])
    with pytest.raises(LearningError, match="all inputs are equal"):
        train(one)


def _loop_steps(seed: int) -> Steps:
    """What the agent of a loop does once the order is looked up: it tracks the parcel, or ends."""
    llm, found = ParcelModel(closing=CLOSING), Steps([], [])
    for case in cases(60, seed):
        for step in list(steps(loop(case), llm))[1:2]:
            told = step.request.messages
            found.inputs.append(Input(transcript_of(told), (), told, step.request.tools))
            found.outputs.append(step.answer.tool_calls or step.answer.text)
    return found


def test_it_learns_when_to_end_a_loop_in_fixed_words(tmp_path: Path) -> None:
    contract = CallContract(("look_up_order", "track_parcel"), says=(CLOSING,))
    trained, new = train(_loop_steps(0), contract), _loop_steps(1)
    assert {type(output) for output in new.outputs} == {str, tuple}
    assert right(trained, new) >= 0.95
    ending = new.inputs[new.outputs.index(CLOSING)]
    assert trained.specialist.predict(ending).signal > 0.9
    trained.specialist.save(tmp_path)
    again = restore_call(contract, *read_model(tmp_path), None)
    assert [again.predict(given) for given in new.inputs] == [
        trained.specialist.predict(given) for given in new.inputs
    ]
    assert any(CLOSING in reason.what for reason in trained.specialist.explain(ending))
