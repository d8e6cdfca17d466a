"""Runs that write a lot: others' records are not crowded out, and no run fills the disk."""

from pathlib import Path

import pytest

from run_stage import answer, order_of, plan_of, stage
from shoal.planning.plan import Plan
from shoal.routing.caller import ANYBODY
from shoal.storage import Store, StoreOptions


def copies(count: int) -> Plan:
    """Writes a text of a megabyte down as often as that, all at once."""
    each = {
        "do": "map",
        "id": "each",
        "over": list(range(count)),
        "at_once": count,
        "steps": [answer(["${item}", "x" * 1_000_000], id="copy")],
        "result": "${item}",
    }
    return plan_of(each, answer("${each}"))


async def test_a_run_that_writes_fast_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(StoreOptions(path=tmp_path / "data")) as store:
        most, submit = 0, store.writer.submit

        def watched(*arguments: object, **more: object) -> object:
            nonlocal most
            found = submit(*arguments, **more)  # type: ignore[arg-type]
            most = max(most, store.writer._queued_bytes)
            return found

        monkeypatch.setattr(store.writer, "submit", watched)
        async with stage(store) as on:
            done = await on.orchestra.run(order_of(copies(60)), ANYBODY)
        assert done.value is not None
        assert most < 20_000_000
        assert store.writer.health().dropped == 0


async def test_a_run_that_writes_without_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.assembly.runs.journal._MOST_WRITTEN", 5_000_000)
    with Store.open(StoreOptions(path=tmp_path / "data")) as store:
        async with stage(store) as on:
            done = await on.orchestra.run(order_of(copies(60)), ANYBODY)
            assert done.state == "failed"
            assert "the most it may" in done.error
            (run,) = await on.orchestra.list(ANYBODY)
            assert run.state == "failed"
