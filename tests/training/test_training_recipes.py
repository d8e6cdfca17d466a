import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest
from tiny_messages import LABEL

from shoal.errors import LearningError
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_label import TunedLabel
from shoal.tasks import FieldsContract, Input
from shoal.training.recipes import RECIPES, refusal, train


def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "torch" else known(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)


def test_every_recipe_keeps_its_calibration_examples_apart() -> None:
    assert [recipe.kind for recipe in RECIPES] == ["label", "fields", "match", "text"]
    assert all(recipe.held_out and recipe.encoder for recipe in RECIPES)


def test_a_recipe_trains_its_kind(
    tuned_from: Senses, messages: tuple[list[Input], list[str]]
) -> None:
    trained = train(LABEL, messages[0], messages[1], tuned_from, RECIPES[0])
    assert isinstance(trained.specialist, TunedLabel)
    assert trained.left_out == []


def test_what_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, messages: tuple[list[Input], list[str]]
) -> None:
    with pytest.raises(LearningError, match="starts from the encoder"):
        train(LABEL, *messages, None, RECIPES[0])
    assert refusal(FieldsContract(()), [], RECIPES[0]) != ""
    assert refusal(LABEL, [], RECIPES[0]) == ""
    without_torch(monkeypatch)
    assert "pip install 'shoal[train]'" in refusal(LABEL, [], RECIPES[0])
    with pytest.raises(LearningError, match="needs the extra `train`"):
        train(LABEL, *messages, None, RECIPES[0])


def test_listing_the_recipes_loads_no_torch() -> None:
    code = "import sys, shoal.training.recipes; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
