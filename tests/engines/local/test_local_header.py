"""The head of a model's file: read as it is, and refused where it is damaged."""

import asyncio
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_models import asked

from shoal.engines import LocalOptions
from shoal.engines.local.checks import check_model
from shoal.engines.local.engine import LocalEngine
from shoal.engines.local.header import read_header
from shoal.engines.local.memory import available_memory, need_of
from shoal.errors import ConfigError, EngineError
from tiny_gguf import write_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("header") / "m.gguf")


def test_what_it_says(whole: Path) -> None:
    header = read_header(whole)
    assert header.architecture == "llama"
    assert header.number("block_count") == 2
    assert header.tensors["token_embd.weight"].shape == (64, 275)
    assert header.values["tokenizer.ggml.tokens"] == 275
    need = need_of(header)
    assert need.weights == whole.stat().st_size
    assert need.a_token == 2 * 2 * (16 + 16) * 2  # layers, heads, keys and values, bytes
    assert need.fitting(need.total(500)) == 500
    assert need.fitting(10) == 0


def test_there_is_memory() -> None:
    assert (available_memory() or 10**9) > 10**8


@settings(max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(whole: Path, share: float) -> None:
    cut = whole.with_name("cut.gguf")
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(ConfigError, match=r"truncated|is no GGUF file"):
        check_model(cut, "models.m", None)


@settings(max_examples=80)
@given(data=st.data())
def test_a_damaged_head_is_read_or_refused(whole: Path, data: st.DataObject) -> None:
    """Nothing else is raised, and no time or memory lost on lengths that lie."""
    sent = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 9_000))
        sent[place : place + 8] = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.integers(0, 2**64 - 1).map(lambda n: struct.pack("<Q", n)),
            )
        )
    odd = whole.with_name("odd.gguf")
    odd.write_bytes(sent)
    with suppress(ConfigError):
        need_of(check_model(odd, "models.m", None))


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_file_that_is_not_refused_kills_nobody_but_its_process(
    whole: Path, data: st.DataObject
) -> None:
    sent = bytearray(whole.read_bytes())
    place = data.draw(st.integers(24, 9_000))
    sent[place : place + 4] = data.draw(st.binary(min_size=1, max_size=4))
    odd = whole.with_name("odd.gguf")
    odd.write_bytes(sent)

    async def ask() -> None:
        engine = LocalEngine("m", LocalOptions(engine="local", path=odd, context_tokens=256))
        try:
            await engine.answer(asked())
        finally:
            await engine.aclose()

    with suppress(ConfigError, EngineError):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("m.gguf", b"", "is no GGUF file"),
        ("m.safetensors", b"\x08" + b"\0" * 40, "it has to be converted first"),
        ("m.gguf", b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "is GGUF of version 1"),
        ("m.gguf", b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "is damaged"),
        ("m.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "does not say its general.architec"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        check_model(tmp_path / name, "models.m", None)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models.m.path: .*no such file"):
        check_model(tmp_path / "gone.gguf", "models.m", None)
    with pytest.raises(ConfigError, match=r"models.m.path: .*cannot be read"):
        check_model(tmp_path, "models.m", None)
