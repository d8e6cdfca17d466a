"""Recorded calls become examples with everything that is learned from."""

from shoal.chat import Answer, Message, Reasoning, Request
from shoal.storage import Example
from shoal.training.lora.recorded import recorded


def call(reference: Answer) -> Example:
    return Example(
        call_id="c1",
        at=0.0,
        request=Request("m", (Message("user", "longest river?"),), tools='[{"type": "function"}]'),
        reference=reference,
        by="llm",
        sampled=True,
        llm_answer=reference,
    )


def test_question_answer_tools_and_what_was_thought_are_taken_over() -> None:
    thoughts = (Reasoning("It is long."), Reasoning("opaque", sealed=True), Reasoning("The Nile."))
    found = [*recorded([call(Answer(text="Nile", reasoning=thoughts)), call(Answer())])]
    assert len(found) == 1
    assert found[0].messages == (Message("user", "longest river?"),)
    assert found[0].answer.text == "Nile"
    assert found[0].rationale == "It is long.\nThe Nile."
    assert (found[0].key, found[0].tools) == ("c1", '[{"type": "function"}]')
