"""GGUF: what is refused, by what words; that nothing is left half-made; what else is in a row."""

import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_training_lora_tuning import files_up_to
from tiny_models import tiny_model

from shoal.errors import ArtifactError
from shoal.training.generative import to_gguf
from shoal.training.gguf.architectures import ARCHITECTURES
from shoal.training.gguf.blocks import Blocks
from shoal.training.gguf.checkpoint_config import CheckpointConfig
from shoal.training.gguf.settings import context_of
from shoal.training.gguf.tensors import TYPES, Names, Tensor
from shoal.training.gguf.weights import Rows, Weights

Changed = Callable[..., Path]


@pytest.fixture
def changed(tiny: Callable[[str], Path], tmp_path: Path) -> Changed:
    """A copy of a tiny checkpoint, other settings in its config.json."""

    def made(name: str, **settings: Any) -> Path:
        folder = shutil.copytree(tiny(name), tmp_path / name)
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
        return folder

    return made


def test_an_unknown_architecture_is_refused_by_name_with_those_known(
    changed: Changed, tmp_path: Path
) -> None:
    folder = changed("llama3", architectures=["MambaForCausalLM"])
    with pytest.raises(ArtifactError, match="MambaForCausalLM cannot be written") as refused:
        to_gguf(folder, tmp_path / "m.gguf")
    assert all(row.name in str(refused.value) for row in ARCHITECTURES)
    assert not (tmp_path / "m.gguf").exists()


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("llama3", {"hidden_act": "relu"}, "`hidden_act` is 'relu'"),
        ("gemma2", {"query_pre_attn_scalar": 99}, "query_pre_attn_scalar must be 32"),
        ("gemma2", {"layer_types": ["full_attention"] * 4}, "must take turns"),
        ("llama3", {"rope_parameters": {"rope_type": "odd"}}, "rope of type 'odd'"),
        ("llama3", {"num_hidden_layers": None}, "`num_hidden_layers` is missing"),
        ("llama3", {"vocab_size": 10}, "the model 10"),
        ("granite", {"num_hidden_layers": 1}, "has no tensor 'model.layers.1"),
        ("llama3", {"architectures": []}, "names its `architectures`"),
    ],
)
def test_settings_that_llama_cpp_cannot_do_are_refused(
    changed: Changed, tmp_path: Path, name: str, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArtifactError, match=words):
        to_gguf(changed(name, **settings), tmp_path / "m.gguf")


def test_a_truncated_checkpoint_is_refused(changed: Changed, tmp_path: Path) -> None:
    folder = changed("llama3")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=r"its header tells of .*fetch it again"):
        to_gguf(folder, tmp_path / "m.gguf")
    path.write_bytes(b"\xff" * 7)
    with pytest.raises(ArtifactError, match="truncated, or no safetensors"):
        to_gguf(folder, tmp_path / "m.gguf")
    path.unlink()
    with pytest.raises(ArtifactError, match="no such file"):
        to_gguf(folder, tmp_path / "m.gguf")


def test_a_tokenizer_that_llama_cpp_has_no_name_for_is_refused(
    changed: Changed, tmp_path: Path
) -> None:
    folder = changed("llama3")
    path = folder / "tokenizer.json"
    told = json.loads(path.read_text())
    told["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": "[a-z]+"}
    path.write_text(json.dumps(told))
    with pytest.raises(ArtifactError, match=r"no name for; known are gpt-2, .*tekken"):
        to_gguf(folder, tmp_path / "m.gguf")
    path.unlink()
    with pytest.raises(ArtifactError, match=r"neither tokenizer\.json nor tokenizer\.model"):
        to_gguf(folder, tmp_path / "m.gguf")


def test_a_full_disk_leaves_what_was_there_and_nothing_else(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "m.gguf"
    before = to_gguf(tiny("llama3"), path, "q4_0").read_bytes()
    with files_up_to(100_000), pytest.raises(ArtifactError, match="nothing was left half-made"):
        to_gguf(tiny("llama3"), path, "f16")
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["m.gguf"]


def test_numbers_that_f16_cannot_hold_are_named() -> None:
    rows = Rows(np.full((2, 32), 1e6, np.float32), bfloat16=False)
    written = Blocks(Tensor("wide", rows, TYPES["f16"]))
    with pytest.raises(ArtifactError, match="wide: holds numbers"), open("/dev/null", "wb") as file:
        written.tofile(file)


def test_a_model_without_tokenizer_json_is_read_from_its_pieces(
    changed: Changed, tmp_path: Path
) -> None:
    """And has the same tokens and the same order of merging."""
    folder = changed("llama2")
    both = gguf.GGUFReader(to_gguf(folder, tmp_path / "both.gguf"))
    (folder / "tokenizer.json").unlink()
    pieces = gguf.GGUFReader(to_gguf(folder, tmp_path / "pieces.gguf"))

    def field(reader: Any, name: str) -> Any:
        return reader.get_field(f"tokenizer.ggml.{name}").contents()

    assert field(both, "tokens") == field(pieces, "tokens")
    assert field(both, "add_space_prefix") == field(pieces, "add_space_prefix")
    scores = [np.array(field(reader, "scores")) for reader in (both, pieces)]
    made = np.array(field(both, "token_type")) == 1
    made &= np.array([len(token) > 1 for token in field(both, "tokens")])
    assert made.sum() > 50
    np.testing.assert_array_equal(*(np.argsort(-found[made], kind="stable") for found in scores))


def test_windows_that_llama_cpp_does_not_have_cut_the_context(changed: Changed) -> None:
    rows = {row.name: row for row in ARCHITECTURES}
    mistral = CheckpointConfig(changed("mistral", sliding_window=100))
    assert context_of(mistral, rows["MistralForCausalLM"]) == 100
    gemma = CheckpointConfig(changed("gemma2"))
    assert context_of(gemma, rows["Gemma2ForCausalLM"]) == 512


@pytest.mark.parametrize(
    ("name", "rope"),
    [
        ("llama2", {"rope_type": "linear", "factor": 2.0}),
        ("llama2", {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}),
        (
            "phi4",
            {
                "rope_type": "longrope",
                "short_factor": [1.0 + 0.1 * n for n in range(8)],
                "long_factor": [2.0 + 0.5 * n for n in range(8)],
            },
        ),
        ("phi4", {"partial_rotary_factor": 0.75}),
    ],
)
def test_stretched_rope_computes_what_transformers_does(
    tmp_path: Path, name: str, rope: dict[str, Any]
) -> None:
    """The logits' likeliest token after each of 60 prompts, float32 on both sides."""
    import torch
    import transformers
    from llama_cpp import LlamaCpp

    settings: dict[str, Any] = {"rope_parameters": {"rope_theta": 10_000.0} | rope}
    if rope.get("rope_type") == "longrope":  # the whole context is longer than that trained on
        settings["original_max_position_embeddings"] = 16
    folder = tiny_model(name, tmp_path / "model", **settings)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    ids = torch.randint(10, 300, (1, 60), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        likeliest = model(ids).logits[0].argmax(-1).tolist()
    told = LlamaCpp(to_gguf(folder, tmp_path / "m.gguf", "f32"))
    at = [24, 30, 41, 52, 59]
    assert [told.greedy(ids[0, : n + 1].tolist(), 1)[0] for n in at] == [likeliest[n] for n in at]


def test_several_files_and_bfloat16_are_read_as_one(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(tiny("llama3"), dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "parts", max_shard_size="40KB")
    assert len([*(tmp_path / "parts").glob("*.safetensors")]) > 1
    weights = Weights.of(tmp_path / "parts")
    for name, tensor in model.state_dict().items():
        if name in weights:
            np.testing.assert_array_equal(weights[name].read(slice(None)), tensor.float().numpy())
    assert len([*weights]) > 15


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    raw = np.lib.format.open_memmap(tmp_path / "t.npy", "w+", np.uint16, (1 << 14, 1 << 11))
    written = Blocks(Tensor("t", Rows(raw, bfloat16=True), TYPES["q8_0"]))
    tracemalloc.start()
    with open("/dev/null", "wb") as file:
        written.tofile(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < raw.size * 4 * 0.8  # what it would be in float32; and the same for any length


@given(
    heads=st.integers(1, 8),
    groups=st.sampled_from([1, 2, 4]),
    half=st.integers(1, 16),
)
def test_re_ordered_rows_turn_as_they_did(heads: int, groups: int, half: int) -> None:
    """Numbers i and i + half of each head become neighbours, and none is lost."""
    config = CheckpointConfig.__new__(CheckpointConfig)
    config.settings = {
        "num_attention_heads": heads * groups, "num_key_value_heads": heads,
        "head_dim": 2 * half, "hidden_size": 1, "num_hidden_layers": 1,
    }  # fmt: skip
    names = Names(config, ARCHITECTURES[0])
    for layer, count in (("q_proj", heads * groups), ("k_proj", heads)):
        order = names.order(f"model.layers.0.self_attn.{layer}.weight")
        assert order is not None
        assert sorted(order) == [*range(count * 2 * half)]
        pairs = order.reshape(-1, 2)
        np.testing.assert_array_equal(pairs[:, 1] - pairs[:, 0], half)
    assert names.order("model.layers.0.self_attn.v_proj.weight") is None
