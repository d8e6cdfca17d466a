"""Recorded calls as a generative model learns them.

What privacy rules take out of a call before it is stored is not in it, so it is not learned either.
"""

from collections.abc import Iterable, Iterator

from shoal.storage import Example
from shoal.training.lora.chat_examples import ChatExample


def recorded(examples: Iterable[Example]) -> Iterator[ChatExample]:
    """Each call with its reference's answer. What the reference thought, where its provider showed
    it, is the rationale; a call of which nobody said what is right is left out."""
    for example in examples:
        answer = example.reference
        if not answer.text.strip() and not answer.tool_calls:
            continue
        yield ChatExample(
            messages=example.request.messages,
            answer=answer,
            rationale="\n".join(thought.text for thought in answer.reasoning if not thought.sealed),
            key=example.call_id,
            tools=example.request.tools,
        )
