"""A real HTTP upstream for the engines' tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scripted_upstream import ScriptedUpstream, running_upstream

from tiny_gguf import write_parrot


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with running_upstream() as scripted:
        yield scripted


@pytest.fixture(scope="session")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's file that answers everything with "é?"."""
    return write_parrot(tmp_path_factory.mktemp("models") / "parrot.gguf", "é?")
