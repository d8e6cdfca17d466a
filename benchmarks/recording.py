"""What recording costs: CPU and bytes a call, system prompt recurring.

python -m benchmarks.recording [--calls 10000]
"""

import argparse
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


def main() -> None:
    """Durable and not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    count = parser.parse_args().calls
    for durable in (False, True):
        calls = [call(number) for number in range(count)]
        with tempfile.TemporaryDirectory() as folder:
            store = Store.open(StoreOptions(path=Path(folder), durable=durable))
            process, thread = time.process_time(), 0.0
            pending = []
            for start in range(0, count, 100):  # about as they come at a thousand a second
                began = time.thread_time()
                pending = [store.record(c) for c in calls[start : start + 100]]
                thread += time.thread_time() - began
                pending[-1].result()
            spent = time.process_time() - process
            size = store.database.bytes_used()
            store.close()
        print(
            f"durable {durable!s:5}: {thread / count * 1e6:.0f} us on the submitting thread, "
            f"{spent / count * 1e6:.0f} us CPU in all, {size / count:.0f} bytes a call"
        )


if __name__ == "__main__":
    main()
