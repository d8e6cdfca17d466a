"""A tiny BERT with random weights, for all that does not depend on what the weights know."""

from pathlib import Path

import pytest

from tiny_checkpoint import tiny_checkpoint


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "tiny")
