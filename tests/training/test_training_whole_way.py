"""Each architecture the whole way: loaded, tuned, saved, merged, loaded again, written as GGUF,
and answering in llama.cpp as it does in transformers."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tiny_examples import ASKED, EXAMPLES
from tiny_models import TINY

from shoal.tasks import TextContract
from shoal.training.generative import (
    adapter_to_gguf,
    evaluate,
    fine_tune,
    merge,
    to_gguf,
)
from shoal.training.lora.loading import tokenizer_of
from shoal.training.lora.options import TuningOptions

pytest.importorskip("xllamacpp")
LENGTH = 24
OPTIONS = TuningOptions(rank=8, dropout=0.0, epochs=30, rate=2e-2, held_out=0.0, judgements=1)


class Way(NamedTuple):
    base: Path
    adapter: Path
    merged: Path
    prompts: list[list[int]]
    written: list[list[int]]  # by transformers, from the merged checkpoint


@pytest.fixture(scope="module")
def way(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def gone(name: str) -> Way:
        home, base = tmp_path_factory.mktemp(name), tiny(name)
        tuned = fine_tune(base, EXAMPLES, home / "run", OPTIONS)
        merged = merge(base, tuned.adapter, home / "merged")
        return Way(base, tuned.adapter, merged, *greedy(merged))

    return gone


def greedy(folder: Path) -> tuple[list[list[int]], list[list[int]]]:
    import torch
    import transformers

    tokenizer = tokenizer_of(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    texts = [
        tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        for asked in ASKED
    ]
    prompts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    written = []
    for prompt in prompts:
        asked = torch.tensor([prompt])
        with torch.inference_mode():
            ids = model.generate(
                asked,
                attention_mask=torch.ones_like(asked),
                max_new_tokens=LENGTH,
                do_sample=False,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.eos_token_id,
            )
        written.append(ids[0, len(prompt) :].tolist())
    return prompts, written


def agreement(model: Any, way: Way) -> float:
    """Of the tokens that transformers wrote, the share that llama.cpp writes after the same ones
    before."""
    pairs = [
        (model.greedy(prompt + written[:at], 1)[0], token)
        for prompt, written in zip(way.prompts[:4], way.written, strict=False)
        for at, token in enumerate(written)
    ]
    return sum(mine == theirs for mine, theirs in pairs) / len(pairs)


@pytest.mark.parametrize("name", TINY)
def test_f16_writes_the_very_tokens_that_transformers_does(
    way: Callable[[str], Way], tmp_path: Path, name: str
) -> None:
    from llama_cpp import LlamaCpp

    gone = way(name)
    model = LlamaCpp(to_gguf(gone.merged, tmp_path / "model.gguf", "f16"))
    assert [model.greedy(prompt, LENGTH) for prompt in gone.prompts] == gone.written


@pytest.mark.parametrize("name", TINY)
def test_an_adapter_over_the_base_writes_what_the_merged_model_does(
    way: Callable[[str], Way], tmp_path: Path, name: str
) -> None:
    from llama_cpp import LlamaCpp

    gone = way(name)
    base = to_gguf(gone.base, tmp_path / "base.gguf", "f16")
    adapter = adapter_to_gguf(gone.adapter, gone.base, tmp_path / "adapter.gguf")
    bare, model = LlamaCpp(base), LlamaCpp(base, adapter)
    told = [model.greedy(prompt, LENGTH) for prompt in gone.prompts]
    assert told == gone.written
    assert [bare.greedy(prompt, LENGTH) for prompt in gone.prompts] != told


@pytest.mark.parametrize("name", TINY)
def test_the_local_engine_takes_both_files(
    way: Callable[[str], Way], tmp_path: Path, name: str
) -> None:
    from shoal.engines.local.checks import check_adapter, check_model

    gone = way(name)
    header = check_model(to_gguf(gone.base, tmp_path / "base.gguf", "q4_0"), "base", None)
    adapter = adapter_to_gguf(gone.adapter, gone.base, tmp_path / "adapter.gguf")
    check_adapter(adapter, "adapter", header, "base")


@pytest.mark.parametrize("name", TINY)
def test_the_tuned_model_knows_its_examples_by_the_comparator(
    way: Callable[[str], Way], name: str
) -> None:
    gone = way(name)
    assert evaluate(gone.base, gone.adapter, TextContract(), EXAMPLES, LENGTH).share > 0.6
    assert evaluate(gone.base, None, TextContract(), EXAMPLES[:4], LENGTH).share == 0


@pytest.mark.parametrize("name", TINY)
def test_chat_and_tokens_are_those_of_the_checkpoint(
    way: Callable[[str], Way], tmp_path: Path, name: str
) -> None:
    from llama_cpp import LlamaCpp

    gone = way(name)
    tokenizer = tokenizer_of(gone.merged)
    model = LlamaCpp(to_gguf(gone.merged, tmp_path / "model.gguf", "f16"))
    for asked, ids, written in zip(ASKED, gone.prompts, gone.written, strict=True):
        text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        assert model.tokens(text) == ids
        told = tokenizer.decode(written, skip_special_tokens=True).strip()
        assert model.chat(asked, LENGTH).strip() == told


@pytest.mark.parametrize("precision", ["q8_0", "q4_0"])
@pytest.mark.parametrize("name", TINY)
def test_quantised_it_writes_nearly_the_same(
    way: Callable[[str], Way],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    name: str,
    precision: Any,
) -> None:
    from llama_cpp import LlamaCpp

    gone = way(name)
    model = LlamaCpp(to_gguf(gone.merged, tmp_path / "model.gguf", precision))
    share = agreement(model, gone)
    record_property("agreement", share)
    print(f"AGREEMENT {name} {precision} {share:.3f}")
    assert share > {"q8_0": 0.95, "q4_0": 0.5}[precision]
