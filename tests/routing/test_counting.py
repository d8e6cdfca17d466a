"""Who counts the tokens of an answer, and when their number is an estimate."""

import logging
import time

import pytest
from msgspec.structs import replace

from shoal.chat import Answer, Message, Reasoning, Request, ToolCall, Usage
from shoal.routing import counting
from shoal.routing.counting import counted_texts, counted_usage
from shoal.routing.tokenizer import Tokenizer
from tiny_tokenizer import bytes_tokenizer, words_tokenizer

BYTES = Tokenizer(bytes_tokenizer())  # a token a byte
ASKED = Request("gpt", (Message("system", "abc"), Message("user", "héllo")))  # 3 + 6
FRAMES = 3 * 4  # two messages, and the beginning of the answer
SAID = Answer("four")
IMAGE = '[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:,"}}]'


def test_what_the_provider_told_holds() -> None:
    told = Usage(1, 2, cached_tokens=1)
    for answer in (replace(SAID, usage=told), replace(SAID, usage=told, complete=False)):
        assert counted_usage(ASKED, answer, BYTES) == told
        assert counted_usage(ASKED, answer) == told


def test_without_a_tokenizer_bytes_are_reckoned() -> None:
    assert counted_usage(ASKED, SAID) == Usage(3 + 2 * 4, 2, estimated=True)


def test_a_tokenizer_counts_all_text_on_both_sides() -> None:
    assert counted_usage(ASKED, SAID, BYTES) == Usage(9 + FRAMES, 4)
    call = ToolCall("1", "look", '{"a":1}')  # 4 + 7
    thought = Reasoning("hmm", signature="not text")
    said = Message("assistant", "x", name="ann", tool_calls=(call,), reasoning=(thought,))
    asked = replace(ASKED, messages=(said,), tools="[1]", response_format="{}")
    answer = Answer("yes", refusal="no", tool_calls=(call, call), reasoning=(thought,))
    assert counted_usage(asked, answer, BYTES) == Usage(
        1 + 3 + 11 + 3 + 3 + 2 + 4 * (1 + 1 + 1), 3 + 2 + 22 + 3 + 4 * 2
    )


def test_what_is_no_text_is_an_estimate() -> None:
    picture = replace(ASKED, messages=(Message("user", "x", parts=IMAGE),))
    usage = counted_usage(picture, SAID, BYTES)
    assert usage == Usage(1 + 1_600 + 2 * 4, 4, estimated=True)
    sealed = replace(SAID, reasoning=(Reasoning(signature="opaque", sealed=True),))
    found = counted_usage(ASKED, sealed, BYTES)
    assert found is not None
    assert found.estimated


def test_a_text_in_parts_is_text_whatever_stands_beside_it() -> None:
    parts = '[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]'
    asked = replace(ASKED, messages=(Message("user", "x", parts=parts),))
    assert counted_usage(asked, SAID, BYTES) == Usage(1 + 2 * 4, 4)


def test_several_answers_are_as_many_times_the_first() -> None:
    several = replace(ASKED, params='{"n":3}')
    assert counted_usage(several, SAID, BYTES) == Usage(9 + FRAMES, 12, estimated=True)
    assert counted_usage(several, SAID) == Usage(3 + 2 * 4, 6, estimated=True)


@pytest.mark.parametrize("tokenizer", [None, BYTES])
def test_a_stream_that_broke_off(tokenizer: Tokenizer | None) -> None:
    """The input that was told stands; the output is what came, if more."""
    began = Usage(100, 1, cached_tokens=60, estimated=True)
    broken = Answer("0123456789ab", complete=False)
    counted = tokenizer is not None
    output = 12 if counted else 4
    assert counted_usage(ASKED, replace(broken, usage=began), tokenizer) == Usage(
        100, output, cached_tokens=60, estimated=not counted
    )
    most = Usage(100, 50, estimated=True)
    found = counted_usage(ASKED, replace(broken, usage=most), tokenizer)
    assert found is not None
    assert found.output_tokens == 50
    found = counted_usage(ASKED, broken, tokenizer)
    assert found is not None
    assert (found.output_tokens, found.estimated) == (output, not counted)
    assert counted_usage(ASKED, Answer(complete=False), tokenizer) is None
    silent = Answer(complete=False, usage=began)
    assert counted_usage(ASKED, silent, tokenizer) == began


def test_a_stream_that_ended_without_its_last_count() -> None:
    ended = Answer("0123456789", usage=Usage(100, 1, estimated=True))
    assert counted_usage(ASKED, ended, BYTES) == Usage(100, 10)


def test_an_answer_without_words_took_its_input() -> None:
    assert counted_usage(ASKED, Answer(""), BYTES) == Usage(9 + FRAMES, 0)


def test_no_more_is_counted_than_takes_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_CHARACTERS", 10)
    assert counted_usage(ASKED, Answer("12"), BYTES) == Usage(9 + FRAMES, 2)
    usage = counted_usage(ASKED, Answer("1234"), BYTES)  # the last two of the input are left
    assert usage == Usage(3 + 4 + 1 + FRAMES, 4, estimated=True)
    usage = counted_usage(ASKED, Answer("x" * 40), BYTES)
    assert usage == Usage(3 + FRAMES, 10 + 10, estimated=True)


def test_what_a_tokenizer_cannot_count_is_reckoned(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    broken = Tokenizer(words_tokenizer("<none>"))
    usage = counted_usage(ASKED, Answer("The The"), broken)
    assert usage == Usage(3 + FRAMES, 2, estimated=True)
    assert "tokens are reckoned" in caplog.text
    assert "héllo" not in caplog.text
    assert counted_texts(["abc"], broken) is None


def test_texts_that_are_embedded_have_a_beginning_and_an_end() -> None:
    assert counted_texts(["ab", "cde"], BYTES) == Usage(2 + 3 + 2 * 2)


def test_a_million_characters_take_a_second() -> None:
    """Whatever they are."""
    for text in ("a" * 10**6, " " * 10**6, "a b\n" * 250_000, "🐟" * 10**6):
        began = time.process_time()
        usage = counted_usage(Request("gpt", (Message("user", text),)), SAID, BYTES)
        assert time.process_time() - began < 4  # on a machine that is slow
        assert usage is not None
        assert usage.input_tokens >= 10**6 / 3
