"""CPU time of a record in the journal of a run, hash and chain included, and of checking it.

``python -m benchmarks.run_journal [--url URL]``: 500 runs at a time, records of 300 bytes.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from shoal.storage import Entry, Run, Store, StoreOptions

RUNS, RECORDS = 500, 20_000
BODY = b'{"text":"' + b"a b c d e f g h i j " * 14 + b'"}'
ENTRY = Entry(kind="finished", step="each[3].price", at=2.0, body=BODY, cost=0.1, tokens=4)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of a Postgres database that is empty")
    url = parser.parse_args().url
    with tempfile.TemporaryDirectory() as folder:
        options = StoreOptions(path=Path(folder) / "data", url=url)
        with Store.open(options) as store:
            measure(store)


def measure(store: Store) -> None:
    """Records one, two and fifty at a time, then the check of all."""
    names = [f"r{number:05d}" for number in range(RUNS)]
    with store.database.transaction() as conn:
        for name in names:
            run = Run(id=name, started_at=1.0, owner="a", lease_until=1e12)
            store.runs.start(conn, run)
    for together in (1, 2, 50):
        many = RECORDS // together
        seconds = cpu(lambda n=together, many=many: write(store, names, n, many))
        print(f"{together:3d} together: {seconds / RECORDS * 1e6:6.1f} us CPU a record")
    seconds = cpu(lambda: store.runs.verify())
    print(f"check: {seconds / store.runs.verify().records * 1e6:6.1f} us CPU a record")


def write(store: Store, names: list[str], together: int, many: int) -> None:
    """``many`` times so many records, 500 times in a transaction, as the writer's batches are."""
    for begin in range(0, many, RUNS):
        with store.database.transaction() as conn:
            for number in range(begin, min(begin + RUNS, many)):
                store.runs.extend(conn, names[number % RUNS], "a", [ENTRY] * together)


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
