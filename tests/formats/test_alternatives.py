"""Log-probabilities of an answer's tokens: what is kept of them, whichever way they come."""

import json
import math
from typing import Any

import pytest

from shoal.chat import Alternatives, Answer
from shoal.formats import FORMATS, AnswerAssembler, deltas_of
from shoal.formats.alternatives import near_the_ends
from shoal.formats.reader import StreamReader

SURE, LIKELY, SMALL, NOTHING = math.log(0.999), math.log(0.7), math.log(0.3), -12.0


def token(text: str, own: float = SURE, **others: float) -> dict[str, Any]:
    top = [{"token": name, "logprob": said, "bytes": None} for name, said in others.items()]
    return {"token": text, "logprob": own, "top_logprobs": [{"token": text, "logprob": own}, *top]}


TOKENS = [token("Label:", x=NOTHING), token(" re", LIKELY, cancel=SMALL), token("fund")]
KEPT = (Alternatives(6, " re", ((" re", LIKELY), ("cancel", SMALL))),)


def whole_chat(tokens: object, text: str = "Label: refund") -> Answer:
    choice = {"message": {"content": text}, "logprobs": {"content": tokens}}
    return FORMATS["chat"].decode_answer(json.dumps({"choices": [choice]}).encode())


def streamed_chat() -> Answer:
    events = b""
    for one in TOKENS:
        choice = {"delta": {"content": one["token"]}, "logprobs": {"content": [one]}}
        events += b"data: %s\n\n" % json.dumps({"choices": [choice]}).encode()
    return read_stream("chat", events)


def whole_responses() -> Answer:
    parts = [
        {"type": "output_text", "text": "Label:", "logprobs": TOKENS[:1]},
        {"type": "output_text", "text": " refund", "logprobs": TOKENS[1:]},
    ]
    said = {"output": [{"type": "message", "content": parts}], "status": "completed"}
    return FORMATS["responses"].decode_answer(json.dumps(said).encode())


def streamed_responses() -> Answer:
    events = b""
    for one in TOKENS:
        told = {"type": "response.output_text.delta", "delta": one["token"], "logprobs": [one]}
        events += b"data: %s\n\n" % json.dumps(told).encode()
    return read_stream("responses", events)


def read_stream(name: Any, events: bytes) -> Answer:
    reader = StreamReader(FORMATS[name].new_decoder(False))
    reader.feed(events)
    assert reader.failure is None
    return reader.answer


@pytest.mark.parametrize(
    "answer", [lambda: whole_chat(TOKENS), streamed_chat, whole_responses, streamed_responses]
)
def test_only_where_something_else_was_likely(answer: Any) -> None:
    found = answer()
    assert (found.text, found.alternatives) == ("Label: refund", KEPT)


def test_they_are_taken_apart_and_put_together() -> None:
    assembler = AnswerAssembler()
    for delta in deltas_of(Answer("Label: refund", alternatives=KEPT)):
        assembler.add(delta)
    assert assembler.answer(True).alternatives == KEPT


@pytest.mark.parametrize(
    "tokens",
    [None, "many", [{"token": "Label:"}], TOKENS[1:], [*TOKENS, token("s", LIKELY, x=SMALL)]],
)
def test_what_does_not_fit_the_text_is_left(tokens: object) -> None:
    assert whole_chat(tokens).alternatives == ()
    assert whole_chat(tokens).text == "Label: refund"


def test_places_are_counted_in_characters_though_tokens_may_be_parts_of_one() -> None:
    halves = [list("ü".encode()[:1]), list("ü".encode()[1:])]
    tokens = [token("\\xc3") | {"bytes": halves[0]}, token("\\xbc") | {"bytes": halves[1]}]
    found = whole_chat([*tokens, token("no", LIKELY, yes=SMALL)], "üno").alternatives
    assert [(one.at, one.token) for one in found] == [(1, "no")]


def test_of_a_long_text_both_ends_are_kept() -> None:
    tokens = [token(letter, LIKELY, x=SMALL) for letter in "ab" * 500]
    found = whole_chat(tokens, "ab" * 500).alternatives
    assert [one.at for one in found] == [*range(16), *range(984, 1000)]
    assert near_the_ends(found) == found


def test_of_a_place_the_likeliest_are_kept() -> None:
    others = {f"t{number}": SMALL - number / 10 for number in range(30)}
    (found,) = whole_chat([token("yes", LIKELY, **others)], "yes").alternatives
    assert [name for name, _ in found.tokens] == ["yes", *(f"t{number}" for number in range(19))]
