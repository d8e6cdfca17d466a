"""GGUF files in fewer bits: what changes, what does not, and that nothing half-made is left."""

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize, quantize

from shoal.errors import ArtifactError, ConfigError, LearningError
from shoal.training.gguf import files
from shoal.training.gguf.requantising import requantise
from shoal.training.model_compressing import compress_model
from tiny_gguf import write_model

Type = gguf.GGMLQuantizationType


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("source") / "model.gguf")


def tensors(path: Path) -> dict[str, gguf.gguf_reader.ReaderTensor]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


@pytest.mark.parametrize(("precision", "kind"), [("q8_0", Type.Q8_0), ("q4_0", Type.Q4_0)])
def test_matrices_have_fewer_bits_and_vectors_stay(
    source: Path, tmp_path: Path, precision: str, kind: Type
) -> None:
    path = requantise(source, tmp_path / "out.gguf", precision)  # type: ignore[arg-type]
    before, after = tensors(source), tensors(path)
    assert list(before) == list(after)
    for name, tensor in before.items():
        if len(tensor.shape) == 1:
            assert np.array_equal(tensor.data, after[name].data)
        else:
            wanted = Type.Q8_0 if name == "output.weight" else kind
            assert after[name].tensor_type == wanted
            assert np.array_equal(after[name].data, quantize(tensor.data, wanted))
    assert path.stat().st_size < source.stat().st_size / 2


def test_all_else_is_as_it_was(source: Path, tmp_path: Path) -> None:
    path = requantise(source, tmp_path / "out.gguf", "q8_0")
    old, new = gguf.GGUFReader(source).fields, gguf.GGUFReader(path).fields
    kept = [n for n in old if not n.startswith("GGUF.") and n != "general.file_type"]
    assert kept
    for name in kept:
        assert old[name].contents() == new[name].contents(), name


def test_what_was_quantised_is_read_back(source: Path, tmp_path: Path) -> None:
    eight = requantise(source, tmp_path / "eight.gguf", "q8_0")
    four = requantise(eight, tmp_path / "four.gguf", "q4_0")
    name = "blk.0.attn_q.weight"
    seen = dequantize(tensors(eight)[name].data, Type.Q8_0)
    assert np.array_equal(tensors(four)[name].data, quantize(seen, Type.Q4_0))


def test_more_bits_are_refused(source: Path, tmp_path: Path) -> None:
    four = requantise(source, tmp_path / "four.gguf", "q4_0")
    with pytest.raises(LearningError, match="no more bits than q8_0"):
        requantise(four, tmp_path / "eight.gguf", "q8_0")
    assert not (tmp_path / "eight.gguf").exists()


def test_a_truncated_file_is_refused(source: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(source.read_bytes()[:-1000])
    with pytest.raises(ConfigError, match="truncated"):
        requantise(cut, tmp_path / "out.gguf", "q8_0")
    with pytest.raises(ArtifactError, match="no such file or folder"):
        compress_model(tmp_path / "none.gguf", tmp_path, ["q8_0"], [])


def test_a_full_disk_leaves_what_was_there(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.gguf"
    path.write_bytes(b"an earlier file")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.gguf.GGUFWriter, "write_tensors_to_file", full)
    with pytest.raises(ArtifactError, match="No space left"):
        requantise(source, path, "q8_0")
    assert path.read_bytes() == b"an earlier file"
    assert [each.name for each in tmp_path.iterdir()] == ["out.gguf"]


def test_files_are_compared_by_what_they_write(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    rows = compress_model(source, tmp_path, ["q8_0", "q4_0"], ["the other one", "in and on"])
    assert [row.name for row in rows] == ["model.gguf", "model-q8_0.gguf", "model-q4_0.gguf"]
    assert (rows[0].same, rows[0].n, rows[0].first_words) == (2, 2, 1.0)
    assert rows[0].file_mb > rows[1].file_mb > rows[2].file_mb
    assert all(0 <= row.low <= row.high <= 1 for row in rows)
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {row.name for row in rows[1:] if row.front}
    assert source.exists()
