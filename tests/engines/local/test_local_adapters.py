"""Base and adapters share a process, and none is given what another has read."""

import asyncio
import random
from pathlib import Path

import pytest
from local_models import adapter_options, asked

from shoal.engines import LocalOptions, open_engine
from shoal.engines.local.bases import open_bases
from shoal.engines.local.engine import LocalEngine
from shoal.errors import ConfigError
from tiny_gguf import write_adapter, write_model

TEXTS = ("hi", "in the end", "in the end there is the thing", "an other one " * 12)


async def alone(options: LocalOptions, models: Path, name: str) -> list[str]:
    """What one of them answers in a process in which nothing else has been asked before each."""
    said = []
    for text in TEXTS:
        base = LocalEngine("base", options)
        one = LocalEngine(name, options, adapter_options(models, name)) if name != "base" else base
        said.append((await one.answer(asked(text))).text)
        for each in {one, base}:
            await each.aclose()
    return said


async def test_each_answers_as_it_does_alone(
    adapted: dict[str, LocalEngine], models: Path, options: LocalOptions
) -> None:
    expected = {name: await alone(options, models, name) for name in adapted}
    for place in range(len(TEXTS)):
        assert len({answers[place] for answers in expected.values()}) == 3, "they differ"
    order = [(name, place) for name in adapted for place in range(len(TEXTS))] * 3
    random.Random(0).shuffle(order)
    for name, place in order:
        said = (await adapted[name].answer(asked(TEXTS[place]))).text
        assert said == expected[name][place], (name, place)
    several = await asyncio.gather(
        *(adapted[name].answer(asked(TEXTS[place])) for name, place in order[:30])
    )
    for (name, place), answer in zip(order[:30], several, strict=True):
        assert (answer.text, answer.model) == (expected[name][place], name)


async def test_all_share_one_process(adapted: dict[str, LocalEngine]) -> None:
    for each in adapted.values():
        await each.answer(asked())
    (base,) = open_bases()
    assert {id(each.base) for each in adapted.values()} == {id(base)}
    use = base.begin(None)
    assert use is not None
    assert use.adapters == 2
    base.end(use)


async def test_one_that_comes_later_is_loaded_and_nobody_is_cut_off(
    options: LocalOptions, models: Path
) -> None:
    base = LocalEngine("base", options)
    long = asked(max_tokens=300)
    expected = (await base.answer(long)).text
    stream = await base.stream(long)
    pieces = aiter(stream)
    await anext(pieces)
    late = LocalEngine("one", options, adapter_options(models, "one"))
    assert (await late.answer(asked())).text != (await base.answer(asked())).text
    async for _ in pieces:
        pass
    assert stream.answer.complete
    assert stream.answer.text == expected
    await late.aclose()
    await base.aclose()
    assert open_bases() == ()


def test_one_of_another_base_is_refused(
    tmp_path: Path, models: Path, options: LocalOptions
) -> None:
    write_adapter(tmp_path / "wide.gguf", width=128)
    write_adapter(tmp_path / "deep.gguf", layers=3)
    write_adapter(tmp_path / "other.gguf", architecture="granite")
    (tmp_path / "base.gguf").write_bytes((models / "base.gguf").read_bytes())
    for name, why in (
        ("wide", "made for another base: blk.0.attn_q.weight is"),
        ("deep", "the base has no blk.2.attn_q.weight"),
        ("other", "of the architecture 'granite'; base is 'llama'"),
        ("base", "is no adapter"),
        ("gone", "no such file"),
    ):
        with pytest.raises(ConfigError, match=r"models\.x\.path") as refusal:
            LocalEngine("x", options, adapter_options(tmp_path, name))
        assert why in str(refusal.value)
    assert open_bases() == ()


def test_a_base_that_is_none_is_refused(models: Path, options: LocalOptions) -> None:
    with pytest.raises(ConfigError, match=r"models.x.base: .*\(b\), found 'base'"):
        open_engine("x", adapter_options(models, "one"), {"b": options})


def test_an_adapter_is_no_model(models: Path) -> None:
    with pytest.raises(ConfigError, match='engine = "adapter"'):
        LocalEngine("m", LocalOptions(engine="local", path=models / "one.gguf"))


async def test_another_model_does_not_take_its_adapters(models: Path, tmp_path: Path) -> None:
    path = write_model(tmp_path / "other.gguf", seed=5)
    one = LocalEngine("a", LocalOptions(engine="local", path=models / "base.gguf"))
    other = LocalEngine("b", LocalOptions(engine="local", path=path))
    assert one.base is not other.base
    await one.aclose()
    await other.aclose()
