"""A tiny encoder to be tuned, and messages to tune it on. Without torch nothing here is run."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tiny_messages import SAID

from shoal.encoder import Encoder
from shoal.specialists.senses import Senses
from shoal.tasks import Input
from tiny_checkpoint import tiny_checkpoint

MISSING = importlib.util.find_spec("torch") is None
collect_ignore_glob = ["test_*.py"] if MISSING else []


def pytest_report_header() -> list[str]:
    """Say so, or nobody would know."""
    return ["tests/training is left out: the extra `train` is not installed"] if MISSING else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need torch."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.train)


@pytest.fixture(scope="session")
def tuned_from(tmp_path_factory: pytest.TempPathFactory) -> Senses:
    """The senses of a tiny BERT with random weights, which can be tuned and served."""
    home = tmp_path_factory.mktemp("tiny")
    return Senses(Encoder(tiny_checkpoint(home / "weights"), home / "cache"))


@pytest.fixture(scope="session")
def messages() -> tuple[list[Input], list[str]]:
    """60 messages and their labels."""
    texts = [(text, label) for label, said in SAID.items() for text in said]
    inputs = [Input(f"{text} {extra}") for extra in "abcde" for text, _ in texts]
    return inputs, [label for _ in "abcde" for _, label in texts]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny checkpoint by its name, made once."""
    home = tmp_path_factory.mktemp("models")

    @cache
    def made(name: str) -> Path:
        from tiny_models import tiny_model

        return tiny_model(name, home / name)

    return made
