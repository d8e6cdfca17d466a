"""Runs whose process was killed (SIGKILL) at any moment: nothing that was acknowledged is lost, the
trail is well, and another process goes on from there."""

import multiprocessing
import os
import random
import struct
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest
from test_storage_runs import run_of

from shoal.errors import LeaseLost
from shoal.storage import Entry, RunRecord, Store, StoreOptions

RUNS = 4
LEASE = 5.0
spawn = multiprocessing.get_context("forkserver")
spawn.set_forkserver_preload(["shoal.storage"])
acknowledgement = struct.Struct("<qq")  # number of the run, seq


def work_until_killed(options: StoreOptions, owner: str, now: float, journal: Path) -> None:
    """Start or go on with each run, and record steps of all in turn; some end, and others begin."""
    out = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def acknowledged(number: int, future: Future[RunRecord]) -> None:
        os.write(out, acknowledgement.pack(number, future.result().seq))

    with Store.open(options) as store:
        mine = [int(run.id[-12:]) for run in store.runs.unfinished(now)]
        with store.database.transaction() as conn:
            assert all(store.runs.claim(conn, run_of(n).id, owner, LEASE, now) for n in mine)
        begun = max((int(run.id[-12:]) for run in store.runs.list(limit=1)), default=0)
        for turn in range(1_000_000):
            if len(mine) < RUNS:
                begun += 1
                run = run_of(begun, owner=owner, lease_until=now + LEASE)
                store.writer.submit(partial(store.runs.start, run=run))
                mine.append(begun)
            number = mine[turn % len(mine)]
            ends = turn % 37 == 36
            entry = Entry(kind="ended" if ends else "finished", at=now,
                          state="done" if ends else None, body=b"x" * (turn % 700))  # fmt: skip
            append = partial(append_one, store, run_of(number).id, owner, entry)
            store.writer.submit(append).add_done_callback(partial(acknowledged, number))
            if ends:
                mine.remove(number)
            time.sleep(0.0003)


def append_one(store: Store, run_id: str, owner: str, entry: Entry, conn: object) -> RunRecord:
    return store.runs.extend(conn, run_id, owner, [entry])[0]  # type: ignore[arg-type]


def kill_and_look(options: StoreOptions, points: int, tmp_path: Path) -> None:
    draw, now, acknowledged, went_on = random.Random(6), 1_000.0, 0, 0
    for point in range(points):
        journal, now = tmp_path / f"{point}.journal", now + LEASE + 1
        arguments = (options, f"owner {point}", now, journal)
        process = spawn.Process(target=work_until_killed, args=arguments)
        process.start()
        deadline = time.monotonic() + 30
        while not (journal.exists() and journal.stat().st_size):
            assert time.monotonic() < deadline, "it never began"
            assert process.is_alive()
            time.sleep(0.001)
        time.sleep(draw.uniform(0.0, 0.1))
        process.kill()
        process.join()
        with Store.open(options) as store:
            assert store.runs.verify().findings == []
            content = journal.read_bytes()
            whole = content[: len(content) // acknowledgement.size * acknowledgement.size]
            last = dict[int, int]()
            for number, seq in acknowledgement.iter_unpack(whole):
                last[number] = max(seq, last.get(number, 0))
                acknowledged += 1
            for number, seq in last.items():
                assert store.runs.get(run_of(number).id).records > seq
            left = store.runs.unfinished(now + LEASE)
            went_on += any(run.records > 5 for run in left)
            assert not any(store.runs.unfinished(now + LEASE - 0.1))
    assert acknowledged > points
    assert went_on


def test_killed_runs_are_well_and_go_on(tmp_path: Path) -> None:
    kill_and_look(StoreOptions(path=tmp_path / "data"), 8, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("durable", [False, True])
def test_killed_200_times(tmp_path: Path, durable: bool) -> None:
    kill_and_look(StoreOptions(path=tmp_path / "data", durable=durable), 200, tmp_path)


def race(options: StoreOptions, owner: str, out: Path) -> None:
    """Claim and append to a run as often as that goes, with leases that lapse at once."""
    done = 0
    with Store.open(options) as store:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            with store.database.transaction() as conn:
                store.runs.claim(conn, run_of(1).id, owner, 0.002, time.time())
            for _ in range(3):
                try:
                    with store.database.transaction() as conn:
                        store.runs.append(conn, run_of(1).id, owner, "x", "", b"{}", 1.0)
                except LeaseLost:
                    break
                done += 1
    out.write_text(str(done))


def test_processes_that_fight_for_a_run_leave_one_journal(
    options: StoreOptions, tmp_path: Path
) -> None:
    with Store.open(options) as store:
        with store.database.transaction() as conn:
            store.runs.start(conn, run_of(1))
        outs = [tmp_path / f"{n}.done" for n in range(3)]
        racers = [
            spawn.Process(target=race, args=(options, f"o{n}", out)) for n, out in enumerate(outs)
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(30)
            assert racer.exitcode == 0
        done = [int(out.read_text()) for out in outs]
        assert store.runs.get(run_of(1).id).records == 1 + sum(done)
        assert sum(n > 0 for n in done) >= 2
        assert store.runs.verify().findings == []
