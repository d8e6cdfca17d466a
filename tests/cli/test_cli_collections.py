"""``shoal collections`` and ``shoal ask``: from a folder of files to an answer, and back out."""

import json

import pytest
from command_line import Desk

from shoal.errors import ConfigError, MalformedRequest, NotFound
from tiny_encoder import TinyEncoder


@pytest.fixture
def library(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for place in ("collections", "asking"):
        monkeypatch.setattr(f"shoal.cli.{place}.Encoder", lambda threads=1: TinyEncoder())
    files = desk.folder / "files"
    files.mkdir()
    (files / "otters.md").write_text("# Otters\n\nOtters eat crayfish.\n")
    (files / "herons.txt").write_text("Herons wait for fish.\nHerons nest in trees.")
    return desk


@pytest.fixture
def rivers(library: Desk) -> Desk:
    library.printed("collections", "add", "rivers", "files")
    return library


def test_a_folder_becomes_a_collection(library: Desk) -> None:
    assert "No collections yet" in library.printed("collections", "list")
    shown = library.printed("collections", "add", "rivers", "files")
    assert shown == "rivers: 2 files taken in (2 passages), 0 unchanged, 0 removed\n"
    again = library.printed("collections", "add", "rivers", "files")
    assert again == "rivers: 0 files taken in (0 passages), 2 unchanged, 0 removed\n"
    head, row = library.printed("collections", "list").splitlines()
    assert head.split() == ["COLLECTION", "DOCUMENTS", "PASSAGES", "MB", "TUNED"]
    assert row.split()[:3] == ["rivers", "2", "2"]
    (one,) = json.loads(library.printed("collections", "list", "--json"))
    assert (one["name"], one["size"]["documents"]) == ("rivers", 2)


def test_search_tells_where_and_why(rivers: Desk) -> None:
    shown = rivers.printed("collections", "search", "rivers", "crayfish", "-k", "1", "--explain")
    first, text, name, why = shown.splitlines()
    assert first.startswith("1. Otters (")
    assert text == "   Otters eat crayfish."
    assert name.endswith("otters.md")
    assert "words: BM25 " in why
    only = ("--where", 'kind = "text"', "--by", "words")
    assert "herons.txt" in rivers.printed("collections", "search", "rivers", "fish", *only)
    assert rivers.printed("collections", "search", "rivers", "zebra", *only) == "Nothing found.\n"
    hits = json.loads(rivers.printed("collections", "search", "rivers", "fish", "--json"))
    assert {hit["document"]["title"] for hit in hits} == {"Otters", "herons"}


def test_what_is_wrong_is_told(rivers: Desk) -> None:
    assert "there are: rivers" in rivers.refused("collections", "search", "lakes", "fish")
    assert "lower case" in rivers.refused("collections", "add", "My Files", "files")
    refused = rivers.run("collections", "search", "rivers", "fish", "--where", "size >")
    assert isinstance(refused.exception, MalformedRequest)
    unknown = rivers.run("collections", "search", "rivers", "fish", "--where", 'knd = "text"')
    assert "did you mean kind" in str(unknown.exception)
    assert isinstance(rivers.run("collections", "show", "lakes").exception, NotFound)
    assert isinstance(rivers.run("collections", "show", "a/b").exception, ConfigError)
    assert "no such file" in rivers.refused("collections", "add", "rivers", "nowhere")


def test_failed_files_are_listed(rivers: Desk) -> None:
    (rivers.folder / "files" / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    result = rivers.run("collections", "sync")
    assert "0 files taken in (0 passages), 2 unchanged, 0 removed, 1 failed" in result.stdout
    assert "broken.pdf: " in result.stderr
    assert "1 files failed" in rivers.printed("collections", "list")
    assert "takes from" in rivers.run("collections", "show", "rivers").stdout


def test_sources_and_collections_go(rivers: Desk) -> None:
    shown = rivers.printed("collections", "remove", "rivers", "files")
    assert shown == "Removed 2 documents from rivers.\n"
    assert rivers.run("collections", "remove", "rivers", input="n\n").exit_code == 1
    assert "rivers" in rivers.printed("collections", "list")
    assert "Removed rivers." in rivers.printed("collections", "remove", "rivers", input="y\n")
    assert "No collections yet" in rivers.printed("collections", "list")


def test_a_damaged_collection_hinders_no_other_and_can_be_removed(rivers: Desk) -> None:
    damaged = rivers.folder / "shoal-data" / "collections" / "half"
    damaged.mkdir()
    (damaged / "collection.db").write_bytes(b"")
    listed = rivers.run("collections", "list")
    assert listed.stdout.splitlines()[1].split()[0] == "rivers"
    assert "half: " in listed.stderr
    assert "Removed half." in rivers.printed("collections", "remove", "half", input="y\n")
    assert not damaged.exists()


def test_a_collection_moves_and_is_rebuilt(rivers: Desk) -> None:
    file = str(rivers.folder / "rivers.shoal")
    rivers.printed("collections", "export", "rivers", file)
    shown = rivers.printed("collections", "import", "streams", file)
    assert shown == "streams: 2 documents, 2 passages.\n"
    assert "Encoded 2 passages" in rivers.printed("collections", "rebuild", "streams")
    assert "crayfish" in rivers.printed("collections", "search", "streams", "otters eat", "-k", "1")


def test_what_is_not_in_the_documents_is_said(rivers: Desk) -> None:
    result = rivers.run("ask", "rivers", "Who wrote the sonnets?")
    assert (result.exit_code, result.stdout) == (2, "not in the documents\n")
    told = json.loads(rivers.run("ask", "rivers", "Who wrote the sonnets?", "--json").stdout)
    with rivers.store() as store:
        assert store.calls.get(told["call_id"]).answered_by == "shoal/ask:rivers"


def test_a_model_answers(rivers: Desk) -> None:
    rivers.add_settings('[collections.rivers]\nmodel = "echo"\n[models.echo]\nengine = "echo"\n')
    result = rivers.run("ask", "rivers", "Otters eat crayfish [1].")
    assert result.exit_code == 0, result.output  # it echoes what it was told, citation and all
    assert "[1] " in result.stdout
