"""Files below one folder: what can be done there, and that no way leads out."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.tools.files import FileLimits, file_tools
from shoal.tools.rooted import Rooted
from shoal.tools.tool import ToolUse
from shoal.tools.toolbox import Toolbox

USE = ToolUse("", 5.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("the secret", encoding="utf-8")
    root = tmp_path / "root"
    (root / "notes" / "old").mkdir(parents=True)
    (root / "a.txt").write_text("first line\nsecond Line\n", encoding="utf-8")
    (root / "notes" / "b.md").write_text("# Grüße\nthe line\n", encoding="utf-8")
    (root / "image.png").write_bytes(b"\x89PNG\0\xff")
    (root / "latin.txt").write_bytes(b"caf\xe9 line")
    return root


def box(root: Path, writes: bool = True, **limits: int) -> Toolbox:
    return Toolbox(file_tools("files", root, writes, FileLimits(**limits)))


async def told(tools: Toolbox, tool: str, **arguments: object):  # type: ignore[no-untyped-def]
    return await tools.call(f"files_{tool}", arguments, USE, None)  # type: ignore[arg-type]


async def test_listing_reading_and_searching(root: Path) -> None:
    tools = box(root)
    listed = (await told(tools, "list")).value
    assert [entry["path"] for entry in listed["entries"]] == [
        "a.txt", "image.png", "latin.txt", "notes",
    ]  # fmt: skip
    below = (await told(tools, "list", path="notes/")).value["entries"]
    assert below[0] == {"path": "notes/b.md", "kind": "file", "bytes": 19}
    read = (await told(tools, "read", path="./notes//b.md")).value
    assert read == {"text": "# Grüße\nthe line\n", "bytes": 19, "next_offset": None}
    found = (await told(tools, "search", text="line")).value
    assert [(hit["path"], hit["line"]) for hit in found["hits"]] == [
        ("a.txt", 1),
        ("notes/b.md", 2),
    ]
    assert found["left_out"] == 2
    ignoring = (await told(tools, "search", text="LINE", ignore_case=True, path="")).value
    assert len(ignoring["hits"]) == 3


async def test_long_files_come_in_pieces_that_cut_no_character(root: Path) -> None:
    text = "äöü€😀" * 40
    (root / "long.txt").write_text(text, encoding="utf-8")
    tools, pieces, offset = box(root, read_bytes=17), [], 0
    while offset is not None:
        found = (await told(tools, "read", path="long.txt", offset=offset)).value
        pieces.append(found["text"])
        offset = found["next_offset"]
    assert "".join(pieces) == text


async def test_searches_are_bounded(root: Path) -> None:
    (root / "many.txt").write_text("needle\n" * 50, encoding="utf-8")
    found = (await told(box(root, hits=5), "search", text="needle")).value
    assert len(found["hits"]) == 5
    assert found["more"]
    small = (await told(box(root, search_file_bytes=10), "search", text="needle")).value
    assert small["hits"] == []
    assert small["left_out"] >= 2


async def test_what_is_no_text_is_told(root: Path) -> None:
    assert "no text file" in (await told(box(root), "read", path="image.png")).error
    assert "0xe9 at 3" in (await told(box(root), "read", path="latin.txt")).error
    assert "no such file" in (await told(box(root), "read", path="nothing.txt")).error
    assert not (await told(box(root), "read", path="notes")).ok
    assert not (await told(box(root), "read", path="")).ok


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "notes/../../secret.txt",
        "/etc/passwd",
        "~/secret.txt",
        "..\\secret.txt",
        "link.txt",
        "out/secret.txt",
        "notes/link.txt",
        "a.txt/../../secret.txt",
        "a\0b",
        "x" * 5_000,
    ],
)
@pytest.mark.parametrize("tool", ["read", "list", "write"])
async def test_no_way_leads_out(root: Path, path: str, tool: str) -> None:
    (root / "link.txt").symlink_to("../secret.txt")
    (root / "notes" / "link.txt").symlink_to(root.parent / "secret.txt")
    (root / "out").symlink_to("..")
    more = {"text": "gotcha", "replace": True} if tool == "write" else {}
    result = await told(box(root), tool, path=path, **more)
    assert not result.ok
    assert "the secret" not in str(result)
    assert (root.parent / "secret.txt").read_text() == "the secret"
    assert sorted(p.name for p in root.parent.iterdir()) == ["root", "secret.txt"]


async def test_searching_follows_no_link_and_waits_for_no_pipe(root: Path) -> None:
    (root / "link.txt").symlink_to("../secret.txt")
    (root / "out").symlink_to("..")
    os.mkfifo(root / "pipe")
    found = await told(box(root), "search", text="secret")
    assert found.value["hits"] == []
    assert "no file" in (await told(box(root), "read", path="pipe")).error


async def test_writing(root: Path) -> None:
    tools = box(root)
    first = await told(tools, "write", path="new/deep/c.txt", text="eins")
    assert first.value == {"bytes": 4, "replaced": False}
    again = await told(tools, "write", path="new/deep/c.txt", text="zwei")
    assert "exists" in again.error
    assert (root / "new/deep/c.txt").read_text() == "eins"
    third = await told(tools, "write", path="new/deep/c.txt", text="drei", replace=True)
    assert third.value["replaced"] is True
    assert (root / "new/deep/c.txt").read_text() == "drei"
    assert os.listdir(root / "new/deep") == ["c.txt"]
    assert not (await told(tools, "write", path="notes", text="x", replace=True)).ok
    assert "bytes" in (await told(box(root, write_bytes=3), "write", path="d", text="four")).error


async def test_without_the_grant_there_is_no_writing(root: Path) -> None:
    assert "no tool" in (await told(box(root, writes=False), "write", path="x", text="y")).error


def test_a_reader_never_sees_half_a_file(root: Path) -> None:
    rooted, seen, stop = Rooted(root), set[bytes](), threading.Event()
    rooted.write("swap.txt", b"a" * 100_000, True)

    def read() -> None:
        while not stop.is_set():
            data, size = rooted.read("swap.txt", 0, 200_000)
            seen.add(data[:1] + data[-1:] + str(len(data) == size).encode())

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(40):
        rooted.write("swap.txt", (b"b" if n % 2 else b"a") * 100_000, True)
    stop.set()
    reader.join()
    assert seen <= {b"aaTrue", b"bbTrue"}


@given(st.text("./~\\abs\0ü", max_size=30))
def test_any_path_stays_below_or_is_refused(path: str) -> None:
    rooted = Rooted(Path(__file__).parent)
    try:
        found, _ = rooted.entries(path, 10)
    except (OSError, ValueError):
        return
    assert {entry.path.split("/")[-1] for entry in found} <= set(os.listdir(Path(__file__).parent))
