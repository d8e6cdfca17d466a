from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.storage import Store, StoreOptions


@pytest.fixture
def options(tmp_path: Path) -> StoreOptions:
    return StoreOptions(path=tmp_path / "data")


@pytest.fixture
def store(options: StoreOptions) -> Iterator[Store]:
    with Store.open(options) as store:
        yield store
