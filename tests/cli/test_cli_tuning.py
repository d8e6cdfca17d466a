"""``shoal collections tune``: a file of known answers, taken, refused, or told what is wrong."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import msgspec
import pytest
from command_line import Desk

from shoal.chat import Answer, Message, Request
from shoal.config import read_config
from shoal.retrieval.collection import Collection
from shoal.retrieval.shelf_tables import words_digest
from shoal.routing.receipt import Receipt
from shoal.storage import CallRecord, Feedback, Store
from tiny_encoder import TinyEncoder

TOPICS = 12


@pytest.fixture
def manual(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A collection of twelve pages, in an encoder that needs no weights."""
    for module in ("collections", "tuning"):
        monkeypatch.setattr(f"shoal.cli.{module}.Encoder", lambda threads=1: TinyEncoder())
    pages = desk.folder / "pages"
    pages.mkdir()
    for topic in range(TOPICS):
        (pages / f"page{topic}.txt").write_text(f"proper{topic} proper{topic} proper{topic}")
    desk.printed("collections", "add", "manual", str(pages))
    return desk


@pytest.fixture
def write(desk: Desk) -> Callable[..., Path]:
    def written(*lines: object) -> Path:
        path = desk.folder / "known.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        return path

    return written


def known(n: int) -> list[dict[str, str]]:
    said = "slang{0} slang{0} slang{0} ask{1}"
    return [
        {"question": said.format(at % TOPICS, at), "document": f"page{at % TOPICS}.txt"}
        for at in range(n)
    ]


def first(desk: Desk) -> str:
    found = json.loads(desk.printed("collections", "search", "manual", "slang7 slang7", "--json"))
    return Path(found[0]["document"]["name"]).name


def test_what_was_learned_is_proven_and_used(manual: Desk, write: Callable[..., Path]) -> None:
    file = write(*known(200))
    said = manual.printed("collections", "tune", "manual", str(file))
    assert "makes the search of manual better, with 95 % confidence" in said
    assert "Not promised:" in said
    assert first(manual) == "page7.txt"
    assert said.startswith(f"From {file}: 200 questions.\nFrom feedback: 0 questions of 0 calls.")
    shown = manual.printed("collections", "tune", "manual", "--show")
    assert said.endswith(shown)
    assert shown.startswith("Certificate: the adapter")
    assert "searched with: adapter; `shoal" in manual.printed("collections", "show", "manual")
    assert "adapter" in manual.printed("collections", "list")
    assert "as before" in manual.printed("collections", "tune", "manual", "--drop")
    assert "was not tuned" in manual.printed("collections", "tune", "manual", "--drop")


def test_what_people_called_right_is_learned_from(manual: Desk) -> None:
    with manual.store() as store:
        heard(store, manual, 200)
    said = manual.printed("collections", "tune", "manual")
    assert said.startswith("From feedback: 200 questions of 200 calls (1 more cite nothing that is")
    assert "the adapter makes the search of manual better" in said
    assert first(manual) == "page7.txt"
    result = manual.run("collections", "tune", "manual", "--no-feedback")
    assert result.exit_code == 2


def test_a_model_judges_where_passages_may_go(manual: Desk) -> None:
    far = 'engine = "remote"\nbase_url = "https://far.example/v1"\nprovider = "openai"\n'
    manual.add_settings(f"[models.far]\n{far}")
    with manual.store() as store:
        heard(store, manual, 3)
    tune = ("collections", "tune", "manual", "--no-feedback", "--judge")
    result = manual.run(*tune, "gpt", "--most", "2")  # it echoes, which is neither yes nor no
    assert result.exit_code == 2
    assert "Judged by gpt: 0 of 2 questions (2 unclear, 0 withheld" in result.stdout
    assert "nothing to learn from" in result.stdout
    assert "far may not judge passages of manual" in manual.refused(*tune, "far")
    assert "no model named 'nobody'" in manual.refused(*tune, "nobody")


def heard(store: Store, desk: Desk, n: int) -> None:
    """Answers that cite the right page and were called right, one that cites nothing, and one that
    cites a wrong page and was called wrong."""
    folder = read_config(desk.config).collections_folder
    with closing(Collection(folder / "manual", TinyEncoder())) as found:
        pages = {Path(one.name).name: one.number for one in found.shelf.documents()}
        digest = {
            name: words_digest(found.shelf.text_of(number)[0]) for name, number in pages.items()
        }
    calls = [(one["question"], (digest[one["document"]],), "right") for one in known(n)]
    calls += [("who?", (), "right"), ("slang1 slang1", (digest["page2.txt"],), "wrong")]
    for at, (question, cited, verdict) in enumerate(calls):
        model = "shoal/ask:manual"
        receipt = Receipt(f"call-{at:04}", float(at), model, model, "", cited=cited)
        record = CallRecord(
            id=receipt.call_id,
            at=receipt.at,
            request=Request(model, (Message("user", question),)),
            answer=Answer("It is so."),
            receipt=msgspec.json.encode(receipt),
        )
        store.record(record).result(5)
        word = Feedback(call_id=record.id, at=1.0, verdict=verdict)
        with store.database.transaction() as conn:
            store.feedback.insert(conn, word)


def test_a_reranker_is_trained_shown_and_taken_back(manual: Desk) -> None:
    """Pages that differ by a part number alone, which people write without its hyphen."""
    lines = parts(manual, 160)
    file = manual.folder / "known.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    said = manual.printed("collections", "tune", "manual", str(file), "--rerank")
    assert "the reranker makes the search of manual better" in said
    assert "searched with: reranker; `" in manual.printed("collections", "show", "manual")
    listed = json.loads(manual.printed("collections", "list", "--json"))
    assert [one["proof"]["what"] for one in listed[0]["tuned"]] == ["reranker"]
    found = manual.printed("collections", "search", "manual", "crane kx4471", "--explain")
    assert "crane-KX-4471.txt" in found
    assert "; reranker: 0." in found
    assert "as before" in manual.printed("collections", "tune", "manual", "--drop", "--rerank")
    found = manual.printed("collections", "search", "manual", "crane kx4471", "--explain")
    assert "reranker:" not in found
    assert "searched with" not in manual.printed("collections", "show", "manual")


def parts(desk: Desk, n: int) -> list[dict[str, str]]:
    """Adds the pages, and asks for them."""
    named = [
        (machine, part)
        for machine in ("crane", "press", "mixer", "lathe")
        for part in ("KX-4417", "KX-4471", "BRT-7144", "BRT-4417")
    ]
    for machine, part in named:
        page = desk.folder / "pages" / f"{machine}-{part}.txt"
        page.write_text(f"The seal {part} of the {machine} is tightened with care.")
    desk.printed("collections", "sync", "manual")
    drawn = Random(1).choices(named, k=n)
    return [
        {
            "question": f"{machine} {part.lower().replace('-', '')} seal? #{at}",
            "document": f"{machine}-{part}.txt",
        }
        for at, (machine, part) in enumerate(drawn)
    ]


def test_a_refusal_has_a_status_of_its_own(manual: Desk, write: Callable[..., Path]) -> None:
    result = manual.run("collections", "tune", "manual", str(write(*known(4))))
    assert result.exit_code == 2
    assert "more would show it" in result.stdout


def test_bad_lines_are_told_and_left_out_when_asked(
    manual: Desk, write: Callable[..., Path]
) -> None:
    lost = {"question": "where?", "document": "page99.txt"}
    file = write(*known(200), {"question": "what?"}, lost)
    said = manual.refused("collections", "tune", "manual", str(file))
    assert "known.jsonl, line 201: expected either" in said
    assert "1 more lines; nothing was learned" in said.replace("(and ", "").replace(")", "")
    result = manual.run("collections", "tune", "manual", str(file), "--skip-bad")
    assert result.exit_code == 0
    assert "line 202: there is no document 'page99.txt'" in result.stderr


def test_no_file_and_no_collection(manual: Desk, write: Callable[..., Path]) -> None:
    result = manual.run("collections", "tune", "manual")
    assert result.exit_code == 2
    assert "no answer was called right" in result.stdout
    result = manual.run("collections", "tune", "manual", "--show")
    assert result.exit_code == 2
    assert "not tuned" in result.stdout
    assert "no such file" in manual.refused("collections", "tune", "manual", "nowhere.jsonl")
    said = manual.refused("collections", "tune", "nothing", str(write(*known(3))))
    assert "there are: manual" in said
