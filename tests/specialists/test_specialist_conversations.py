"""Steps of one conversation are left out together."""

import random

import numpy as np

from shoal.specialists.conversations import left_out_together
from shoal.specialists.label import KIND, train_label
from shoal.tasks import Input, LabelContract
from shoal.tasks.template import CONVERSATION

CONTRACT = LabelContract(("CONTINUE", "FINISH"))


def step(opening: str, rest: str) -> Input:
    slots = (("message", opening), (CONVERSATION, rest))
    return Input(f"message: {opening}\nconversation: {rest}", slots)


def test_steps_go_by_how_their_conversation_began() -> None:
    names = left_out_together([step("A1", "one"), step("A1", "two"), step("A2", "one")])
    assert names[0] == names[1] != names[2]


def test_what_is_no_conversation_goes_by_itself() -> None:
    alone = [Input("A1", (("message", "A1"),)), Input("A1 too", (("message", "A1 too"),))]
    assert left_out_together(alone) == ["A1", "A1 too"]
    begun_alike = [Input(f"conversation: {n}", ((CONVERSATION, f"{n}"),)) for n in range(3)]
    assert len(set(left_out_together(begun_alike))) == 3


def test_a_greeting_begins_many_conversations() -> None:
    steps = [step("hi", f"{number}") for number in range(40)]
    assert len(set(left_out_together(steps))) == 40


def test_a_model_does_not_know_a_label_from_its_own_conversation() -> None:
    """The label of a conversation has nothing to do with its words, and is said in each of its
    steps: who saw another step knows it, who saw none can only guess."""
    chance = random.Random(0)
    inputs, outputs = [], []
    for number in range(60):
        name, label = f"{chance.getrandbits(40):x}", chance.choice(CONTRACT.labels)
        for turn in range(4):
            inputs.append(step(f"I am {name}, no. {number}", f"assistant: {name}\n{turn}"))
            outputs.append(label)
    trained = train_label(CONTRACT, inputs, outputs, None, KIND.recipes[0])
    right = [p.output == output for p, output in zip(trained.left_out, outputs, strict=True)]
    assert np.mean(right) < 0.7
