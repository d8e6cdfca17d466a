"""``shoal models``: files taken from here and from a hub, endpoints found, what fits."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Desk

from fake_hub import COMMIT, FakeHub, served
from shoal.config import read_config
from shoal.engines.weights import endpoints
from shoal.engines.weights.kept import KeptModels

REPOSITORY = "maker/small-GGUF"
FILE = "small-Q4_K_M.gguf"
CONTENT = b"GGUF" + bytes(range(256)) * 30_000


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {FILE: CONTENT, "small-Q8_0.gguf": CONTENT * 2, "README.md": b"words"}
    with served(FakeHub(REPOSITORY, files)) as found:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield found


def adding(desk: Desk, hub: FakeHub) -> subprocess.Popen[str]:
    """``shoal models add`` in a process of its own, to be killed."""
    own = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "shoal", "models", "add", "small", f"{REPOSITORY}/{FILE}"),
            *("-c", str(desk.config)),
        ],
        env=os.environ | own | {"HF_HOME": str(desk.folder / "hf")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_one_of_the_hub_is_fetched_named_and_removed(desk: Desk, hub: FakeHub) -> None:
    out = desk.printed("models", "add", "small", f"{REPOSITORY}:q4_k_m", "-c", str(desk.config))
    assert "models.small" in out
    settings = read_config(desk.config)
    kept = KeptModels(settings.store.path / "models").get("small")
    assert Path(kept.path).read_bytes() == CONTENT
    assert (kept.revision, kept.sha256) == (COMMIT, hashlib.sha256(CONTENT).hexdigest())
    assert settings.models["small"].engine == "local"
    assert "exists already" in desk.refused(
        "models", "add", "small", kept.path, "-c", str(desk.config)
    )
    desk.printed("models", "remove", "small", "-c", str(desk.config))
    assert "small" not in read_config(desk.config).models
    assert not Path(kept.path).exists()


@pytest.mark.slow
def test_what_was_killed_goes_on_where_it_was(desk: Desk, hub: FakeHub) -> None:
    before = desk.config.read_text()
    hub.pause_at = 6_000_000
    first = adding(desk, hub)
    assert hub.paused.wait(60)
    while not any(part.stat().st_size for part in desk.folder.rglob("*.part")):
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert desk.config.read_text() == before, "nothing half-added"
    second = adding(desk, hub)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    kept = KeptModels(read_config(desk.config).store.path / "models").get("small")
    assert Path(kept.path).read_bytes() == CONTENT
    assert hub.ranges[0] == "bytes=0-"
    assert int(hub.ranges[1].removeprefix("bytes=").rstrip("-")) > 0, "it began from nothing"


def test_what_is_not_what_the_hub_told_is_refused(desk: Desk, hub: FakeHub) -> None:
    hub.tells = "0" * 64
    args = ("models", "add", "small", f"{REPOSITORY}/{FILE}", "-c", str(desk.config))
    assert "not what the hub told" in desk.refused(*args)
    assert "small" not in read_config(desk.config).models


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f"{REPOSITORY}:Q2_K", "no such file; there are:"),
        (f"{REPOSITORY}/other.gguf", "no such file; there are:"),
        ("maker/nothing-GGUF", "not to be had from the hub"),
    ],
)
def test_what_the_hub_has_not(desk: Desk, hub: FakeHub, source: str, said: str) -> None:
    assert said in desk.refused("models", "add", "small", source, "-c", str(desk.config))


def test_a_file_stays_where_it_is(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(CONTENT)
    desk.printed("models", "add", "mine", str(file), "-c", str(desk.config))
    rows = json.loads(desk.printed("models", "list", "--check", "--json", "-c", str(desk.config)))
    (row,) = [row for row in rows if row["name"] == "mine"]
    assert (row["kept"]["path"], row["wrong"]) == (str(file), "")
    file.write_bytes(CONTENT[:-1] + b"?")
    shown = desk.printed("models", "list", "--check", "-c", str(desk.config))
    assert "changed since it was added" in shown or "digest" in shown
    desk.printed("models", "remove", "mine", "-c", str(desk.config))
    assert file.exists()


@pytest.mark.parametrize(
    ("content", "said"), [(b"PK\3\4 a zip", "no GGUF file"), (b"", "no GGUF file")]
)
def test_a_file_that_is_none_changes_nothing(
    desk: Desk, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "odd.gguf"
    file.write_bytes(content)
    before = desk.config.read_text()
    assert said in desk.refused("models", "add", "odd", str(file), "-c", str(desk.config))
    assert desk.config.read_text() == before


def test_settings_changed_by_hand_are_left(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(CONTENT)
    desk.printed("models", "add", "mine", str(file), "-c", str(desk.config))
    desk.config.write_text(desk.config.read_text() + "input_price = 0.5\n\n[learn]\n")
    changed = desk.config.read_text().replace('engine = "local"', 'engine   = "local"')
    desk.config.write_text(changed)
    shown = desk.printed("models", "remove", "mine", "-c", str(desk.config))
    assert "changed by hand" in shown
    assert desk.config.read_text() == changed


def test_programs_on_the_usual_ports_are_found(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def found() -> list[endpoints.Endpoint]:
        return [endpoints.Endpoint("ollama", "http://127.0.0.1:11434/v1", ("gpt", "granite4:3b"))]

    monkeypatch.setattr("shoal.cli.models.found_endpoints", found)
    shown = desk.printed("models", "find", "-c", str(desk.config))
    assert '[models."granite4:3b"]' in shown
    assert '[models."gpt"]' not in shown, "it is named already"
    desk.printed("models", "find", "--add", "-c", str(desk.config))
    assert read_config(desk.config).models["granite4:3b"].engine == "remote"


def test_what_fits_is_told_without_settings(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.config.unlink()
    told = json.loads(desk.printed("models", "fit", "--json", "-c", str(desk.config)))
    assert {one["verdict"] for one in told["fits"]} <= {"well", "slowly", "hardly", "too large"}
    assert "no model called" in desk.refused("models", "fit", "gpt-9", "-c", str(desk.config))
