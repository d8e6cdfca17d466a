"""The kept conversion: used again, redone if damaged, safe between processes."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from shoal.encoder import Encoder, conversion, find_weights, weights
from shoal.encoder.conversion import convert, read_kept

TEXTS = ["", "refund please", "Where is my parcel?", "cancel it " * 30]


def kept_folder(cache: Path) -> Path:
    (folder,) = cache.iterdir()
    return folder


def test_a_kept_conversion_is_used_again(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Encoder(tiny, tmp_path / "cache")
    monkeypatch.setattr(conversion, "convert", lambda _: pytest.fail("converted again"))
    second = Encoder(tiny, tmp_path / "cache")
    assert first.digest == second.digest
    np.testing.assert_array_equal(first.encode(TEXTS), second.encode(TEXTS))


@pytest.mark.parametrize("name", ["model.bin", "config.json", weights.TOKENIZER, "manifest.json"])
@pytest.mark.parametrize("spoil", [lambda b: b[:-20], lambda b: b[:40] + b"?" + b[41:], None])
def test_a_damaged_conversion_is_noticed_and_redone(
    name: str, spoil: Callable[[bytes], bytes] | None, tiny: Path, tmp_path: Path
) -> None:
    expected = Encoder(tiny, tmp_path / "cache").encode(TEXTS)
    home = kept_folder(tmp_path / "cache")
    if spoil is None:
        (home / name).unlink()
    else:
        (home / name).write_bytes(spoil((home / name).read_bytes()))
    assert read_kept(home) is None
    np.testing.assert_array_equal(Encoder(tiny, tmp_path / "cache").encode(TEXTS), expected)
    assert read_kept(kept_folder(tmp_path / "cache")) is not None


def test_other_weights_have_another_digest(tiny: Path, tmp_path: Path) -> None:
    before = Encoder(tiny, tmp_path / "cache").digest
    tensors = load_file(tiny / weights.TENSORS)
    tensors["encoder.layer.0.output.dense.bias"] += 1
    save_file(tensors, tiny / weights.TENSORS)
    assert Encoder(tiny, tmp_path / "cache").digest != before
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file, where a folder should be")
    assert Encoder(tiny, tmp_path / "cache").encode(["refund"]).shape == (1, 32)
    assert "cannot be kept" in caplog.text


def test_processes_that_convert_at_once_do_not_break_each_other(tiny: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from shoal.encoder import Encoder\n"
        "print(Encoder(Path(sys.argv[1]), Path(sys.argv[2])).encode(['refund please']).tolist())"
    )
    command = [sys.executable, "-c", program, str(tiny), str(tmp_path / "cache")]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)
    ]
    finished = [process.communicate(timeout=60) for process in running]
    assert [errors for _, errors in finished] == [b""] * 4
    assert len({output for output, _ in finished}) == 1
    assert read_kept(kept_folder(tmp_path / "cache")) is not None


def test_losing_the_race_to_keep_is_no_error(tiny: Path, tmp_path: Path) -> None:
    files = convert(find_weights(tiny))
    home = tmp_path / "home"
    real_rename = Path.rename

    def rename_too_late(self: Path, target: Path) -> Path:
        if target == home and not home.exists():
            shutil.copytree(self, home)  # the other process gets there between our two steps
        return real_rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", rename_too_late)
        conversion._keep(files, home)
    assert read_kept(home) == files
