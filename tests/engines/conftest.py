"""A real HTTP upstream for the engines' tests."""

from collections.abc import AsyncIterator

import pytest
from scripted_upstream import ScriptedUpstream, running_upstream


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with running_upstream() as scripted:
        yield scripted
