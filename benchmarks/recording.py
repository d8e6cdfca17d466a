"""What recording costs: CPU and bytes a call, system prompt recurring.

python -m benchmarks.recording [--calls 10000] [--url postgresql://user@host/db [--writers 4]]
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import uuid_utils

from shoal.chat import Answer, Message, Request, Usage
from shoal.storage import CallRecord, Store, StoreOptions

_SYSTEM = "You sort the messages of a bank's customers. Answer with exactly one intent. " * 20


def call(number: int) -> CallRecord:
    """A call whose user message is new."""
    messages = (Message("system", _SYSTEM), Message("user", f"where is my card number {number}?"))
    return CallRecord(
        id=str(uuid_utils.uuid7()),
        at=time.time(),
        request=Request("m", messages),
        answer=Answer("card_arrival", usage=Usage(300, 4)),
        answered_by="m",
        llm="m",
    )


def measure(options: StoreOptions, count: int) -> None:
    """One process records, and waits for each hundred calls."""
    calls = [call(number) for number in range(count)]
    store = Store.open(options)
    before = store.database.bytes_used()
    process, began, thread = time.process_time(), time.perf_counter(), 0.0
    for start in range(0, count, 100):  # about as they come at a thousand a second
        submitted = time.thread_time()
        pending = [store.record(c) for c in calls[start : start + 100]]
        thread += time.thread_time() - submitted
        pending[-1].result()
    wall, spent = time.perf_counter() - began, time.process_time() - process
    size = store.database.bytes_used() - before
    store.close()
    print(
        f"durable {options.durable!s:5}: {thread / count * 1e6:.0f} us on the submitting thread, "
        f"{spent / count * 1e6:.0f} us CPU in all, {size / count:.0f} bytes a call, "
        f"{count / wall:,.0f} calls/s"
    )


def fill(options: StoreOptions, count: int) -> None:
    """One of several processes: records as fast as it can."""
    calls = [call(number) for number in range(count)]
    with Store.open(options) as store:
        for start in range(0, count, 1000):
            for future in [store.record(c) for c in calls[start : start + 1000]]:
                future.result()


def measure_together(options: StoreOptions, count: int, writers: int) -> None:
    """How many calls a second several processes record on one store."""
    context = multiprocessing.get_context("forkserver")
    share = count // writers
    processes = [context.Process(target=fill, args=(options, share)) for _ in range(writers)]
    began = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(
        f"{writers} writers : {share * writers / (time.perf_counter() - began):,.0f} calls/s in "
        "sum, the start of the processes included"
    )


def measure_poll(options: StoreOptions) -> None:
    """What asking for the revision costs a gateway that is idle."""
    with Store.open(options) as store:
        store.database.revision()
        began = time.process_time()
        time.sleep(5)
        print(f"polling  : {(time.process_time() - began) / 5:.2%} of a CPU, idle")


def main() -> None:
    """Durable and not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--url", help="an empty database in Postgres, instead of a file")
    parser.add_argument("--writers", type=int, default=0, help="processes that record at once")
    chosen = parser.parse_args()
    for durable in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            options = StoreOptions(path=Path(folder), url=chosen.url, durable=durable)
            measure(options, chosen.calls)
            if chosen.writers:
                measure_together(options, chosen.calls, chosen.writers)
    if chosen.url:
        measure_poll(options)


if __name__ == "__main__":
    main()
