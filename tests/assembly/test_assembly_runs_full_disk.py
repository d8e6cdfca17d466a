"""Runs on a disk that is full: who asks is told soon, and nothing is begun that nobody performs."""

import asyncio
import secrets
from pathlib import Path

import pytest

from run_stage import answer, order_of, plan_of, stage, until
from shoal.assembly.runs.leases import Watch
from shoal.errors import StoreError
from shoal.routing.caller import ANYBODY
from shoal.storage import Store, StoreOptions

HASTY = Watch(patience_s=0.3)


def fill(store: Store, pages: int) -> None:
    """Have SQLite find the disk full beyond so many pages, or no fewer than there are."""
    with store.database.transaction() as conn:
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


async def test_who_begins_a_run_on_a_full_disk_is_told_soon(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(StoreOptions(path=tmp_path / "data")) as store:
        async with stage(store, watch=HASTY) as on:
            fill(store, 1)
            long = plan_of(answer(secrets.token_hex(400_000)))  # which does not compress
            with pytest.raises(StoreError, match=r"takes nothing now.*full"):
                async with asyncio.timeout(5):
                    await on.orchestra.begin(order_of(long), ANYBODY)
            assert "cannot be written" in caplog.text
            fill(store, 1_000_000)
            await until(lambda: store.writer.health().ok and not store.writer.health().backlog)
            assert [run.state for run in await on.orchestra.list(ANYBODY)] == ["cancelled"]
            done = await on.orchestra.run(order_of(plan_of(answer(1))), ANYBODY)
            assert done.value == 1
            assert "can be written again" in caplog.text
