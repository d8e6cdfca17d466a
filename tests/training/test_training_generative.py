"""The door: it loads nothing heavy, and refuses by the name of the extra."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.errors import LearningError, MissingExtra
from shoal.training import generative
from shoal.training.lora.options import TuningOptions

HEAVY = ("torch", "transformers", "peft", "trl", "gguf", "datasets", "ctranslate2")


def test_importing_it_loads_nothing_heavy() -> None:
    code = f"import sys, shoal.training.generative; print([m for m in {HEAVY} if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert ran.stdout.strip() == "[]"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"fine-tuning needs .*shoal\[train\]"):
        generative.fine_tune(tmp_path, [], tmp_path)
    with pytest.raises(MissingExtra, match=r"writing GGUF needs .*shoal\[local\]"):
        generative.to_gguf(tmp_path, tmp_path / "m.gguf")


def test_a_teacher_and_its_recipe_belong_together(tmp_path: Path) -> None:
    with pytest.raises(LearningError, match="a teacher belongs to the recipe"):
        generative.fine_tune(tmp_path, [], tmp_path, TuningOptions(), teacher=tmp_path)
