"""Where model files come from, and which fit."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.engines.weights import endpoints
from shoal.engines.weights.families import BITS, FAMILIES
from shoal.engines.weights.fitting import USUAL_SHARE, fit, fits, measured_share, weight_bytes
from shoal.engines.weights.hub import HubFile, Listing, chosen
from shoal.engines.weights.kept import KeptModel, KeptModels, Speed
from shoal.engines.weights.machine import Machine, this_machine
from shoal.engines.weights.source import HubSource, quantisation_of, read_source, shards_of
from shoal.errors import ArtifactError, ConfigError, NotFound

LAPTOP = Machine(free_bytes=12_000_000_000, cores=8, bandwidth=60e9)
LLAMA = next(family for family in FAMILIES if family.name == "Llama 3.1 8B")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("maker/small-GGUF", HubSource("maker/small-GGUF")),
        ("hf.co/maker/small-GGUF:Q4_0", HubSource("maker/small-GGUF", "", "Q4_0")),
        ("maker/small/sub/a.gguf@v1", HubSource("maker/small", "sub/a.gguf", "", "v1")),
        (
            "https://huggingface.co/maker/small/resolve/main/a.gguf",
            HubSource("maker/small", "a.gguf"),
        ),
    ],
)
def test_names_of_the_hub(text: str, meant: HubSource) -> None:
    assert read_source(text) == meant


@pytest.mark.parametrize(
    "text", ["", "small", "./none.gguf", "/no/file", "maker/small/../../etc", "maker/small/a.bin",
             "maker/small/a.gguf:Q4_0", "a b/c", "\0"]
)  # fmt: skip
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_source(text)


@given(st.text(max_size=60))
def test_any_text_is_a_source_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        read_source(text)


def test_quantisations_and_parts() -> None:
    assert quantisation_of("granite-4.0-micro-Q4_K_M.gguf") == "Q4_K_M"
    assert quantisation_of("x/model-bf16-00001-of-00002.gguf") == "BF16"
    assert quantisation_of("model.gguf") == ""
    assert shards_of("m-00001-of-00003.gguf")[2] == "m-00003-of-00003.gguf"
    assert shards_of("m.gguf") == ["m.gguf"]


def listed(*names: str) -> Listing:
    return Listing("maker/small", "c", tuple(HubFile(name, 1, "") for name in names))


def test_the_usual_quantisation_is_taken_and_every_part() -> None:
    found = listed("m-Q8_0.gguf", "m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf")
    names = [file.name for file in chosen(HubSource("maker/small"), found)]
    assert names == ["m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf"]
    with pytest.raises(ArtifactError, match="missing on the hub"):
        chosen(HubSource("maker/small"), listed("m-00001-of-00002.gguf"))
    with pytest.raises(ArtifactError, match="several files fit"):
        chosen(HubSource("m/s", "", "Q8_0"), listed("a-Q8_0.gguf", "b-Q8_0.gguf"))


def test_sizes_are_those_of_published_files() -> None:
    """The files of Llama 3.1 8B: 4.92 GB as Q4_K_M, 16.07 GB as F16; its cache 128 KiB a token."""
    assert weight_bytes(LLAMA.parameters, "Q4_K_M") == pytest.approx(4.92e9, rel=0.01)
    assert weight_bytes(LLAMA.parameters, "F16") == pytest.approx(16.07e9, rel=0.01)
    assert LLAMA.cache_bytes(1) == 131_072


def test_a_window_bounds_the_cache() -> None:
    gemma = next(family for family in FAMILIES if family.windowed)
    growth = gemma.cache_bytes(8_192) - gemma.cache_bytes(4_096)
    assert growth == gemma.cache_bytes(4_096) // 2


@given(st.sampled_from(FAMILIES), st.sampled_from(list(BITS)), st.integers(256, 200_000))
def test_more_memory_and_speed_never_make_it_worse(family, kind, tokens) -> None:
    order = ["too large", "hardly", "slowly", "well"]
    larger = Machine(LAPTOP.free_bytes * 2, 8, LAPTOP.bandwidth * 2)
    small, large = (fit(family, kind, tokens, machine, 0.4) for machine in (LAPTOP, larger))
    assert order.index(small.verdict) <= order.index(large.verdict)
    assert small.size == large.size
    assert small.tokens <= family.context


def test_the_finest_that_runs_well_is_named() -> None:
    (found,) = fits([LLAMA], Machine(64_000_000_000, 16, 200e9), 4_096)
    assert (found.quantisation, found.verdict) == ("Q8_0", "well")
    (found,) = fits([LLAMA], Machine(2_000_000_000, 2, 20e9), 4_096)
    assert found.verdict == "too large"


def test_what_was_measured_here_is_believed(tmp_path: Path) -> None:
    speed = Speed(reading=100.0, writing=10.0, threads=2, at=0.0)
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF")
    model = KeptModel(name="m", path=str(file), files=(str(file),), source="s", sha256="x",
                      size=3_000_000_000, changed_at=file.stat().st_mtime, speed=speed)  # fmt: skip
    assert measured_share([model], LAPTOP) == pytest.approx(0.5)
    assert measured_share([], LAPTOP) is None
    assert 0 < USUAL_SHARE < 1
    shelf = KeptModels(tmp_path / "models")
    shelf.put(model)
    assert shelf.get("m") == model
    assert "changed" in shelf.get("m").state
    file.unlink()
    assert shelf.get("m").state == "its file is gone"
    shelf.forget("m")
    with pytest.raises(NotFound):
        shelf.get("m")
    (tmp_path / "models" / "models.json").write_text("[")
    with pytest.raises(ArtifactError, match=r"models\.json"):
        shelf.all()


def test_this_machine_has_memory_and_reads_it() -> None:
    machine = this_machine()
    assert machine.free_bytes > 100_000_000
    assert machine.cores >= 1
    assert machine.bandwidth > 1e8


async def test_only_who_speaks_as_they_do_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiohttp import web

    from shoal.engines.presets import Preset

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "granite"}]})

    async def other(request: web.Request) -> web.Response:
        return web.Response(text="<html>a page of somebody else</html>")

    app = web.Application()
    app.router.add_get("/v1/models", models)
    app.router.add_get("/other/models", other)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    known = {
        "ollama": Preset(f"{address}/v1"),
        "vllm": Preset(f"{address}/other"),
        "llama-server": Preset("http://127.0.0.1:9"),
        "openai": Preset(address, "K", "openai"),
    }
    monkeypatch.setattr(endpoints, "PRESETS", known)
    found = await endpoints.found_endpoints()
    await runner.cleanup()
    assert [(one.preset, one.models) for one in found] == [("ollama", ("granite",))]


def test_many_at_once_lose_no_model(tmp_path: Path) -> None:
    def keep(number: int) -> None:
        row = KeptModel(name=f"m{number}", path="p", files=(), source="s", sha256="x", size=1,
                        changed_at=0.0)  # fmt: skip
        KeptModels(tmp_path / "models").put(row)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(keep, range(24)))
    assert len(KeptModels(tmp_path / "models").all()) == 24
