from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from postgres_home import postgres_url
from shoal.chat import Answer, Message, Request, Usage
from shoal.storage import CallRecord, Store, StoreOptions

MakeCall = Callable[..., CallRecord]


@pytest.fixture(params=["sqlite", "postgres"])
def home(request: pytest.FixtureRequest) -> str:
    """Where the store lies; a module that is about one of them says so by its own ``home``."""
    return str(request.param)


@pytest.fixture
def options(tmp_path: Path, home: str) -> Iterator[StoreOptions]:
    if home == "sqlite":
        yield StoreOptions(path=tmp_path / "data")
        return
    with postgres_url() as url:
        yield StoreOptions(path=tmp_path / "data", url=url)


@pytest.fixture
def store(options: StoreOptions) -> Iterator[Store]:
    with Store.open(options) as store:
        yield store


@pytest.fixture
def make_call() -> MakeCall:
    def make(number: int, **fields: Any) -> CallRecord:
        messages = (
            Message("system", "Answer with the one department that should handle it. " * 20),
            Message("user", f"Order {number} has not arrived, and nobody answers the phone."),
        )
        call: dict[str, Any] = {
            "id": f"0190a000-0000-7000-8000-{number:012d}",
            "at": 1_000_000.0 + number,
            "episode": f"e{number}",
            "request": Request("gpt", messages, params='{"temperature":0}'),
            "answer": Answer("shipping", model="gpt", usage=Usage(200, 2)),
            "answered_by": "gpt",
            "llm": "gpt",
            "cost": 0.001,
            "llm_cost": 0.001,
            "latency_ms": 700.0,
        }
        return CallRecord(**(call | fields))

    return make


@pytest.fixture
def record(store: Store) -> Callable[..., None]:
    def insert(*calls: CallRecord) -> None:
        with store.database.transaction() as conn:
            for call in calls:
                assert store.calls.insert(conn, call)

    return insert
