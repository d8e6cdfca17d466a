"""Damaged specialists are left out; promotions and demotions by others are seen at once."""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from keyword_desk import (
    TASK,
    Clerk,
    ask,
    certify,
    open_desk,
    request_of,
    seen,
    serving,
    text_of,
)

from shoal.assembly import Shoal
from shoal.flywheel.promotion import demote, promote
from shoal.storage import Store, StoreOptions

SMALL = "specialist/department"


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def lose_a_file(folder: Path) -> None:
    (folder / "model.json").unlink()


def forge_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{}")


DAMAGES = [
    (truncate, "model.safetensors: truncated"),
    (flip_a_bit, "model.safetensors: changed"),
    (lose_a_file, "model.json: cannot be read"),
    (forge_the_manifest, "manifest.json: is not what the digest"),
    (shutil.rmtree, "manifest.json: cannot be read"),
]


@pytest.mark.parametrize(("spoil", "why"), DAMAGES)
async def test_a_damaged_specialist_is_left_out(
    store: Store, spoil: Callable[[Path], None], why: str
) -> None:
    card = serving(store)
    spoil(store.artifacts.open(card.artifact))
    async with open_desk(store, Clerk()) as desk:
        handled, answer = await ask(desk, request_of(text_of(0)))
        view = await seen(desk, handled.receipt.call_id)
        health = desk.health()
    assert answer.text == "delivery"
    assert view.receipt.answered_by == "gpt"
    assert view.receipt.reason.startswith("dropped: ")
    assert why in view.receipt.reason
    assert [(tried.answerer, tried.accepted) for tried in view.receipt.tried] == [
        ("specialist", False),
        ("gpt", True),
    ]
    assert not health.ok
    assert health.detail["serving"] == []
    dropped = health.detail["dropped_specialists"]
    assert isinstance(dropped, dict)
    assert why in dropped["department"]


async def test_what_is_loaded_serves_on_though_its_files_are_lost(store: Store) -> None:
    card = serving(store)
    async with open_desk(store, Clerk()) as desk:
        shutil.rmtree(store.artifacts.open(card.artifact))
        handled, _ = await ask(desk, request_of(text_of(0)))
        assert handled.receipt.answered_by == SMALL
        assert desk.health().ok


async def until_stage(desk: Shoal, stage: str) -> float:
    """Seconds until the desk has seen a change; the test fails after five."""
    began = time.perf_counter()
    while desk.roster.posts[TASK.id].stage != stage:
        assert time.perf_counter() - began < 5
        await asyncio.sleep(0.001)
    return time.perf_counter() - began


@pytest.mark.parametrize("home", ["sqlite", "postgres"], indirect=True)
async def test_changes_by_another_process_are_seen_within_100_ms(
    store: Store, options: StoreOptions
) -> None:
    certify(store)
    took = []
    with Store.open(options) as other:
        async with open_desk(store, Clerk()) as desk:
            for _ in range(7):
                promote(other, TASK.id, "serve", "test", "")
                took.append(await until_stage(desk, "serve"))
                handled, _ = await ask(desk, request_of(text_of(0)))
                assert handled.receipt.answered_by == SMALL
                demote(other, TASK.id, "test", "")
                took.append(await until_stage(desk, "observe"))
                handled, _ = await ask(desk, request_of(text_of(0)))
                assert handled.receipt.answered_by == "gpt"
    assert median(took) < 0.1


async def test_a_task_found_by_another_process_is_recognised(
    store: Store, options: StoreOptions
) -> None:
    async with open_desk(store, Clerk()) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        assert handled.receipt.task == ""
        with Store.open(options) as other:
            certify(other)
        await desk.reload()
        handled, _ = await ask(desk, request_of(text_of(0)))
        assert handled.receipt.task == "department"


async def test_without_changes_the_roster_is_not_read_again(store: Store) -> None:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        before = desk.roster
        await ask(desk, request_of(text_of(0)))
        await asyncio.sleep(0.12)
        assert desk.roster is before


async def test_a_roster_that_cannot_be_read_leaves_the_earlier_one_in_force(store: Store) -> None:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        with store.database.transaction() as conn:
            conn.exec_driver_sql("ALTER TABLE standings RENAME TO elsewhere")
            conn.exec_driver_sql("UPDATE meta SET revision = revision + 1")
        await desk.reload()
        health = desk.health()
        assert not health.ok
        assert "an earlier one is in force" in str(health.detail["roster"])
        assert (await ask(desk, request_of(text_of(0))))[0].receipt.answered_by == SMALL
        with store.database.transaction() as conn:
            conn.exec_driver_sql("ALTER TABLE elsewhere RENAME TO standings")
        await desk.reload()
        assert desk.health().ok
