from collections.abc import Callable
from pathlib import Path

import pytest
from pipelines import Pipeline

from shoal.encoder import Encoder


@pytest.fixture
def pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_encoder: Encoder
) -> Callable[[str], Pipeline]:
    """An example by its name, prepared."""

    def prepared(name: str) -> Pipeline:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("SHOAL_CONFIG", raising=False)
        found = Pipeline(name, tmp_path)
        found.module("prepare").main(tmp_path)
        return found

    return prepared
