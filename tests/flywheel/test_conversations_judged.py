"""Steps of conversations, as a trial splits and judges them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from shoal.chat import Answer, Message, ToolCall
from shoal.flywheel.lessons import Lesson, Lessons, together_in
from shoal.flywheel.trial import Prepared, judge, training_part
from shoal.guarantees import Refusal
from shoal.specialists.call import KIND
from shoal.specialists.label import KIND as LABEL
from shoal.specialists.specialist import Prediction, Reason
from shoal.tasks import CallContract, Input, LabelContract, Task
from shoal.tasks.template import CONVERSATION

CONTRACT = CallContract(("look_up",), talks=True)
TASK = Task("t-agent", "agent", (), CONTRACT)
CALLED = (ToolCall("", "look_up", '{"id": 1}'),)


@dataclass
class Parrot:
    kind, recipe = "call", "parrot"

    def predict(self, given: Input) -> Prediction:
        return Prediction(CALLED, 0.9)

    def explain(self, given: Input) -> tuple[Reason, ...]:
        return ()

    def save(self, folder: Path) -> None: ...


def lesson(episode: int, step: int, right: bool = True) -> Lesson:
    opening = f"I am user {episode}."
    said = [Message("user", opening), *[Message("tool", f"{n}") for n in range(step)]]
    answer = Answer(tool_calls=CALLED) if right else Answer("Let me see.")
    given = Input(" ".join(m.text for m in said), (), tuple(said))
    call_id = f"call-{episode}-{step}"
    return Lesson(
        call_id, given, answer.tool_calls or None, answer, None, True, episode=f"e{episode}"
    )


def prepared(lessons: list[Lesson]) -> Prepared:
    unseen = tuple((each, Prediction(CALLED, 0.9 - 1e-4 * n)) for n, each in enumerate(lessons))
    return Prepared(KIND.recipes[0], CONTRACT, Parrot(), unseen, 0.1)


def test_few_conversations_prove_nothing_however_many_steps() -> None:
    few = [lesson(episode, step) for episode in range(10) for step in range(30)]
    many = [lesson(episode, step) for episode in range(150) for step in range(2)]
    assert isinstance(judge(prepared(few), 0.1, 0.05), Refusal)
    assert not isinstance(judge(prepared(many), 0.1, 0.05), Refusal)


def test_labels_in_a_conversation_are_proven_over_conversations_too() -> None:
    """As a router gives them, that is asked after each step whether to go on."""

    def labels(episodes: int, steps: int) -> Prepared:
        seen = []
        for number in range(episodes * steps):
            begun, text = f"I am {number % episodes}.", f"step {number // episodes}"
            given = Input(f"{begun} {text}", (("message", begun), (CONVERSATION, text)))
            said, name = Answer("GO"), f"e{number % episodes}"
            one = Lesson(f"call-{number}", given, "GO", said, None, True, episode=name)
            seen.append((one, Prediction("GO", 0.9 - 1e-4 * number)))
        contract = LabelContract(("GO", "STOP"))
        return Prepared(LABEL.recipes[0], contract, Parrot(), tuple(seen), 0.1)

    assert isinstance(judge(labels(10, 30), 0.1, 0.05), Refusal)
    assert not isinstance(judge(labels(150, 2), 0.1, 0.05), Refusal)


def test_each_tool_is_proven_over_conversations_too() -> None:
    few = [lesson(episode, step) for episode in range(10) for step in range(30)]
    many = [lesson(episode, step) for episode in range(150) for step in range(2)]
    assert isinstance(judge(prepared(few), 0.1, 0.05, per_label=True), Refusal)
    assert not isinstance(judge(prepared(many), 0.1, 0.05, per_label=True), Refusal)


def test_calls_without_a_conversation_are_judged_by_their_inputs() -> None:
    alone = [lesson(episode, 0) for episode in range(100)]
    assert together_in(alone) == [each.text for each in alone]
    assert not isinstance(judge(prepared(alone), 0.1, 0.05), Refusal)
    again = [lesson(episode % 10, 0) for episode in range(100)]
    assert isinstance(judge(prepared(again), 0.1, 0.05), Refusal)


@pytest.mark.parametrize("episodes", [40])
def test_what_is_held_out_is_held_out_whole(episodes: int) -> None:
    found = [lesson(episode, step) for episode in range(episodes) for step in range(4)]
    lessons = Lessons(TASK, "gpt", tuple(found), None)
    kept = {each.episode for each in training_part(lessons, KIND.recipes[0]).lessons}
    apart = {each.episode for each in found} - kept
    assert apart
    assert kept
    assert len(training_part(lessons, KIND.recipes[0]).lessons) == 4 * len(kept)
