from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.storage import Store, StoreOptions


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(StoreOptions(path=tmp_path / "data")) as store:
        yield store
