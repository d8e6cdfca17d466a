from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres_home import postgres_url
from shoal.storage import Store, StoreOptions


@pytest.fixture
def home(request: pytest.FixtureRequest) -> str:
    """Where the store lies: in a file, or as a test says that is to be run with both."""
    return str(getattr(request, "param", "sqlite"))


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
