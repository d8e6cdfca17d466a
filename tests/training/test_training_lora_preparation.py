"""What is learned from: the answers' tokens and no others, and no calibration example."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_examples import EXAMPLES
from tiny_models import TINY

from shoal.chat import Answer, Message, ToolCall
from shoal.training.lora.chat_examples import ChatExample, after_thinking, as_asked, thinking
from shoal.training.lora.chat_tokens import IGNORED, ChatTokens
from shoal.training.lora.contamination import Calibration
from shoal.training.lora.energy import Meter
from shoal.training.lora.hardware import Hardware, choose
from shoal.training.lora.loading import tokenizer_of
from shoal.training.lora.options import TuningOptions
from shoal.training.lora.preparation import prepare, text_of

OPTIONS = TuningOptions(held_out=0.3, max_tokens=120)


@pytest.fixture(scope="module")
def tokenizer(tiny: Callable[[str], Path]) -> Any:
    return tokenizer_of(tiny("llama3"))


@pytest.mark.parametrize("name", TINY)
def test_the_loss_is_on_the_answer_and_on_its_end(tiny: Callable[[str], Path], name: str) -> None:
    tokenizer = tokenizer_of(tiny(name))
    chat = ChatTokens(tokenizer)
    for example in EXAMPLES:
        row = chat.row(as_asked(example)[0])
        learned = [token for token in row.labels if token != IGNORED]
        assert tokenizer.decode(learned[:-1]).strip() == example.answer.text
        assert learned[-1] == tokenizer.eos_token_id
        start = len(row.ids) - len(learned)
        assert row.labels == [IGNORED] * start + row.ids[start:]
        prompt = tokenizer(chat.prompt(as_asked(example)[0]), add_special_tokens=False)["input_ids"]
        assert row.ids[:start] == prompt  # which is what the model will be asked


def test_bad_examples_are_named_and_left_out(tokenizer: Any) -> None:
    long = ChatExample((Message("user", "tell " * 300),), Answer(text="no"), key="long")
    empty = ChatExample((Message("user", "and?"),), Answer(text=" \n"), key="empty")
    leaked = ChatExample((Message("user", "When is  the GAME?"),), Answer(text="now"), key="leaked")
    found = prepare(
        [*EXAMPLES, long, empty, leaked, EXAMPLES[0]], tokenizer, OPTIONS, ["when is the game?"]
    )
    assert {example.key: example.why for example in found.dropped} == {
        "long": "request and answer are over 120 tokens",
        "empty": "its answer is empty",
        "leaked": "it is exactly a calibration example",
        EXAMPLES[0].key: "it is there twice",
    }
    assert len(found.rows) + len(found.held_out) == len(EXAMPLES)
    assert found.rows
    assert found.held_out


def test_the_same_part_is_held_out_each_time(tokenizer: Any) -> None:
    first = prepare(EXAMPLES, tokenizer, OPTIONS)
    other = prepare(EXAMPLES[::-1], tokenizer, OPTIONS)
    assert sorted(first.held_out) == sorted(other.held_out)


def test_near_copies_are_found_though_all_requests_share_a_template() -> None:
    form = "You are a helpful clerk. Read the letter, then name its department. Letter: "
    words = [f"w{number}" for number in range(400)]
    letters = [form + " ".join(words[12 * n : 12 * n + 12]) for n in range(30)]
    near = letters[3].replace("w40 ", "w40, ").upper()
    calibration = Calibration([letters[7], near], letters, 0.6)
    assert [number for number, text in enumerate(letters) if calibration.has(text)] == [3, 7]
    assert calibration.has(letters[7]) == "exactly"
    assert calibration.has(letters[3]) == "nearly"


@given(texts=st.lists(st.text("ab ,", min_size=1), min_size=1, max_size=12))
def test_a_calibration_text_itself_is_always_found(texts: list[str]) -> None:
    calibration = Calibration(texts, texts, 0.8)
    assert all(calibration.has(text.upper() + " ") == "exactly" for text in texts)


def test_a_system_message_goes_before_the_first_words_where_a_template_has_none(
    tokenizer: Any,
) -> None:
    before = tokenizer.chat_template
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
    example = ChatExample(
        (Message("system", "Be brief."), Message("user", "Hi")), Answer(text="Yes")
    )
    try:
        tokenizer.chat_template = refuses + before
        assert "Be brief.\nHi" in ChatTokens(tokenizer).prompt(as_asked(example)[0])
    finally:
        tokenizer.chat_template = before


def test_thought_comes_before_the_answer_and_is_taken_off_again() -> None:
    reply = thinking(EXAMPLES[0])[0].reply["content"]
    assert EXAMPLES[0].rationale in reply
    assert after_thinking(reply) == EXAMPLES[0].answer.text
    assert after_thinking("plain") == "plain"
    assert thinking(ChatExample((Message("user", "a"),), Answer(text="b"))) == []


def test_calls_of_tools_are_told_as_templates_take_them() -> None:
    call = ToolCall("1", "cancel", '{"order": 3}')
    example = ChatExample((Message("user", "stop"),), Answer(tool_calls=(call,)))
    told = as_asked(example)[0].reply["tool_calls"]
    assert told[0]["function"] == {"name": "cancel", "arguments": {"order": 3}}
    assert text_of(example) == "stop"


def test_the_method_is_what_the_memory_allows() -> None:
    from shoal.errors import LearningError

    here = Path("big")
    gpu = Hardware("cuda", 24 << 30, has_bfloat16=True, has_four_bits=True)
    assert choose("auto", 3 * 10**9, gpu, here) == "lora"
    assert choose("auto", 14 * 10**9, gpu, here) == "qlora"
    assert choose("dora", 3 * 10**9, gpu, here) == "dora"
    with pytest.raises(LearningError, match=r"big: 70\.0 billion weights do not fit .* about 33"):
        choose("auto", 70 * 10**9, gpu, here)
    cpu = Hardware("cpu", 16 << 30, has_bfloat16=False, has_four_bits=False)
    assert choose("auto", 10**9, cpu, here) == "lora"
    with pytest.raises(LearningError, match="bitsandbytes"):
        choose("qlora", 10**9, cpu, here)


def test_energy_is_summed_over_processors_and_over_their_counters_ends(tmp_path: Path) -> None:
    for number, start in enumerate((1_000_000, 9_000_000)):
        package = tmp_path / f"intel-rapl:{number}"
        package.mkdir()
        (package / "max_energy_range_uj").write_text("10000000")
        (package / "energy_uj").write_text(str(start))
    (tmp_path / "intel-rapl:0:0").mkdir()
    meter = Meter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("3000000")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("500000")
    assert meter.read() == pytest.approx(2 + 1.5)
    assert Meter(tmp_path / "nowhere").read() is None
