"""Tiny models and adapters for the local engine's tests, and engines of them."""

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from local_models import adapter_options

from shoal.engines import LocalOptions
from shoal.engines.local.engine import LocalEngine

if find_spec("xllamacpp") is None or find_spec("gguf") is None:  # the extra local
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model and two strong adapters on it."""
    from tiny_gguf import write_adapter, write_model

    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "base.gguf")
    write_adapter(folder / "one.gguf", 1)
    write_adapter(folder / "two.gguf", 2)
    return folder


@pytest.fixture
def options(models: Path) -> LocalOptions:
    """Those of the random model, with two slots."""
    return LocalOptions(engine="local", path=models / "base.gguf", context_tokens=512)


@pytest.fixture
async def engine(options: LocalOptions) -> AsyncIterator[LocalEngine]:
    """The random model."""
    opened = LocalEngine("m", options)
    yield opened
    await opened.aclose()


@pytest.fixture
async def adapted(models: Path, options: LocalOptions) -> AsyncIterator[dict[str, LocalEngine]]:
    """The base and both adapters, by name."""
    opened = {"base": LocalEngine("base", options)}
    for name in ("one", "two"):
        opened[name] = LocalEngine(name, options, adapter_options(models, name))
    yield opened
    for each in opened.values():
        await each.aclose()
