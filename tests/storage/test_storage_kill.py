"""What is left of a store whose process was killed (SIGKILL) at any moment."""

import multiprocessing
import os
import random
import struct
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from shoal.storage import CallRecord, Store, StoreOptions

MakeCall = Callable[..., CallRecord]
MAY_BE_LOST = 0.050  # seconds

spawn = multiprocessing.get_context("forkserver")
spawn.set_forkserver_preload(["shoal.storage"])
entry = struct.Struct("<cid")  # "s"ubmitted or "a"cknowledged, number of the call, when


def record_until_killed(options: StoreOptions, call: CallRecord, journal: Path) -> None:
    """Record a call every half millisecond, and write down what happened to each beside the store.

    What was written to the journal outlives the process, for it is in the system's hands.
    """
    out = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def acknowledged(number: int, future: Future[bool]) -> None:
        if future.result():
            os.write(out, entry.pack(b"a", number, time.monotonic()))

    with Store.open(options) as store:
        for number in range(1_000_000):
            copy = CallRecord(
                id=f"{call.id}-{number:06d}", at=call.at, request=call.request, answer=call.answer
            )
            submitted = entry.pack(b"s", number, time.monotonic())
            store.record(copy).add_done_callback(partial(acknowledged, number))
            os.write(out, submitted)
            time.sleep(0.0005)


def kill_at(process: BaseProcess, journal: Path, seconds: float) -> None:
    """Kill the process that long after it submitted its first call."""
    process.start()
    deadline = time.monotonic() + 30
    while not (journal.exists() and journal.stat().st_size):
        assert time.monotonic() < deadline, "it never began"
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join()
    assert process.exitcode == -9


def read_journal(journal: Path) -> tuple[dict[int, float], set[int]]:
    """When each call was submitted, and which were acknowledged."""
    content = journal.read_bytes()
    whole = content[: len(content) // entry.size * entry.size]
    submitted, acknowledged = {}, set()
    for kind, number, at in entry.iter_unpack(whole):
        if kind == b"s":
            submitted[number] = at
        else:
            acknowledged.add(number)
    return submitted, acknowledged


def stored(options: StoreOptions) -> set[int]:
    with Store.open(options) as store:  # refuses a damaged file
        return {int(call.id[-6:]) for page in store.calls.pages() for call in page}


def seconds_lost(submitted: dict[int, float], left: set[int]) -> float:
    """How long before the last sign of life the oldest lost call was submitted."""
    end = max(submitted.values())
    return max((end - submitted[number] for number in submitted.keys() - left), default=0.0)


def longest_pause(submitted: dict[int, float]) -> float:
    """How long the system kept the submitting thread, which naps half a millisecond, from running:
    a measure of how long it may have kept the writing one."""
    times = [submitted[number] for number in sorted(submitted)]
    return max((after - before for before, after in pairwise(times)), default=0.0)


@pytest.mark.parametrize(("durable", "points"), [(True, 10), (False, 16)])
def test_a_killed_process_loses_no_more_than_it_may(
    options: StoreOptions, make_call: MakeCall, tmp_path: Path, durable: bool, points: int
) -> None:
    draw = random.Random(7)
    written = lost = too_much = 0
    for point in range(points):
        here = StoreOptions(path=tmp_path / str(point), durable=durable)
        journal = tmp_path / f"{point}.journal"
        arguments = (here, make_call(point), journal)
        process = spawn.Process(target=record_until_killed, args=arguments)
        kill_at(process, journal, draw.uniform(0.0, 0.15))
        submitted, acknowledged = read_journal(journal)
        left = stored(here)
        assert acknowledged <= left
        written += len(left)
        lost += len(submitted.keys() - left)
        too_much += seconds_lost(submitted, left) > MAY_BE_LOST + longest_pause(submitted)
    assert written > 0  # else nothing was tested
    assert lost > 0
    assert too_much <= 1  # a busy disk may hold up one, but not two
