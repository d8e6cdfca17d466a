import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shoal.errors import ArtifactError
from shoal.storage import Artifacts


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "trained"
    (source / "encoder").mkdir(parents=True)
    (source / "weights.safetensors").write_bytes(os.urandom(5000))
    (source / "encoder" / "vocab.json").write_text('["a"]')
    (source / "empty").touch()
    return source


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_what_is_put_is_opened(artifacts: Artifacts, source: Path, tmp_path: Path) -> None:
    digest = artifacts.put(source)
    opened = contents(artifacts.open(digest))
    del opened["manifest.json"]
    assert opened == contents(source)
    assert artifacts.open(digest) == tmp_path / "artifacts" / digest
    assert artifacts.list() == [digest]
    assert stat.S_IMODE((tmp_path / "artifacts").stat().st_mode) == 0o700


def test_the_digest_is_of_the_content(artifacts: Artifacts, source: Path) -> None:
    first = artifacts.put(source)
    assert artifacts.put(source) == first
    (source / "empty").rename(source / "void")
    second = artifacts.put(source)
    (source / "void").write_text("x")
    third = artifacts.put(source)
    assert len({first, second, third}) == 3
    assert artifacts.list() == sorted([first, second, third])


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda file: file.unlink(), "cannot be read: No such file"),
        (lambda file: os.truncate(file, 4999), "truncated: 4999 bytes instead of 5000"),
        (lambda file: file.write_bytes(file.read_bytes() + b"x"), "too long"),
        (lambda file: file.write_bytes(bytes(5000)), "changed"),
    ],
)
def test_damage_is_refused_by_the_name_of_the_file(
    artifacts: Artifacts, source: Path, damage: object, what: str
) -> None:
    digest = artifacts.put(source)
    assert callable(damage)
    damage(artifacts.open(digest) / "weights.safetensors")
    with pytest.raises(ArtifactError, match=f"weights.safetensors: {what}"):
        artifacts.open(digest)
    assert artifacts.put(source) == digest  # putting it again mends it
    artifacts.open(digest)


def test_a_flipped_bit_is_noticed(artifacts: Artifacts, source: Path) -> None:
    digest = artifacts.put(source)
    weights = artifacts.open(digest) / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[2500] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match="changed"):
        artifacts.open(digest)


def test_a_changed_manifest_is_refused(artifacts: Artifacts, source: Path) -> None:
    digest = artifacts.put(source)
    manifest = artifacts.open(digest) / "manifest.json"
    manifest.write_text(manifest.read_text().replace("5000", "4999"))
    with pytest.raises(ArtifactError, match=r"manifest\.json: is not what the digest"):
        artifacts.open(digest)
    manifest.unlink()
    with pytest.raises(ArtifactError, match=r"manifest\.json: cannot be read"):
        artifacts.open(digest)


def test_a_file_that_was_added_is_refused(artifacts: Artifacts, source: Path) -> None:
    digest = artifacts.put(source)
    (artifacts.open(digest) / "encoder" / "extra.json").touch()
    with pytest.raises(ArtifactError, match=r"encoder/extra\.json: not part of the artifact"):
        artifacts.open(digest)


@pytest.mark.parametrize("digest", ["0" * 64, "../../etc", ".", "0" * 63, "G" * 64])
def test_what_is_not_there_is_refused(artifacts: Artifacts, digest: str) -> None:
    with pytest.raises(ArtifactError, match=re.escape(digest)):
        artifacts.open(digest)


def test_what_cannot_be_put_leaves_nothing_behind(
    artifacts: Artifacts, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ArtifactError, match="holds no files"):
        artifacts.put(tmp_path / "nothing")
    with pytest.raises(ArtifactError, match="no such folder"):
        artifacts.put(tmp_path / "nowhere")
    (source / "link").symlink_to("/etc/hostname")
    with pytest.raises(ArtifactError, match="link: is a link"):
        artifacts.put(source)
    (source / "link").unlink()
    (source / "manifest.json").touch()
    with pytest.raises(ArtifactError, match="the store's own"):
        artifacts.put(source)
    assert artifacts.list() == []
    assert not (tmp_path / "artifacts").exists()


def test_an_interrupted_copy_leaves_no_artifact(
    artifacts: Artifacts, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ArtifactError, match="No space left"):
            artifacts.put(source)
    assert list((tmp_path / "artifacts").iterdir()) == []
    artifacts.open(artifacts.put(source))


def test_putting_the_same_at_once(artifacts: Artifacts, source: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        digests = set(threads.map(lambda _: artifacts.put(source), range(12)))
    (digest,) = digests
    artifacts.open(digest)
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == [digest]


def test_unused_ones_are_removed(artifacts: Artifacts, source: Path) -> None:
    kept = artifacts.put(source)
    (source / "empty").write_text("no more")
    unused = artifacts.put(source)
    assert artifacts.remove_unused({kept}) == [unused]
    assert artifacts.list() == [kept]
    artifacts.open(kept)


def test_there_is_nothing_to_remove_in_a_new_store(artifacts: Artifacts) -> None:
    assert artifacts.remove_unused(set()) == []
