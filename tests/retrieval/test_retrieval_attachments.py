"""What is to be attached to a collection, and what became of it."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from shoal.errors import NotFound
from shoal.retrieval.attachments import Attachment, Attachments, Terms

ONE = Attachment(file="file-1", at=1.0, attributes={"a": 1.5}, max_tokens=100, overlap=20)
TWO = replace(ONE, file="file-2", at=2.0)


@pytest.fixture
def said(tmp_path: Path) -> Attachments:
    return Attachments(tmp_path)


def test_nothing_is_made_by_asking(said: Attachments) -> None:
    assert (said.terms(), said.said(), said.waiting(), said.find("x")) == (None, [], None, None)
    assert (said.given(["x"]), said.unfinished()) == ({}, [])
    assert not said.path.exists()


def test_terms(said: Attachments) -> None:
    terms = Terms(title="T", description="D", metadata={"a": "ä"}, days=3, active_at=5.0)
    said.say(terms)
    assert said.terms() == terms
    assert terms.expires_at == 5.0 + 3 * 86_400
    said.used(terms)
    used = said.terms()
    assert used is not None
    assert used.active_at > terms.active_at
    said.used(used)
    assert said.terms() == used


def test_files_wait_in_their_order_until_they_are_settled(said: Attachments) -> None:
    said.attach([TWO, ONE])
    assert said.waiting() == ONE
    assert said.settle(ONE, "completed")
    assert said.waiting() == TWO
    assert said.settle(TWO, "failed", "invalid_file", "it is empty")
    assert said.waiting() is None
    assert said.unfinished() == [("file-2", "failed")]
    failed = said.find("file-2")
    assert failed is not None
    assert (failed.code, failed.reason) == ("invalid_file", "it is empty")
    assert said.given(["file-1", "file-x"]) == {"file-1": {"a": 1.5}}


def test_what_changed_meanwhile_is_not_settled(said: Attachments) -> None:
    said.attach([ONE])
    said.attach([replace(ONE, at=9.0)])
    assert not said.settle(ONE, "completed")
    said.detach(ONE.file)
    assert not said.settle(replace(ONE, at=9.0), "completed")
    assert said.find(ONE.file) is None


def test_batches(said: Attachments) -> None:
    batch = said.attach([ONE, TWO], together=True)
    assert said.attach([replace(ONE, file="file-3")]) == ""
    assert [one.file for one in said.said(batch)] == ["file-1", "file-2"]
    said.settle(ONE, "completed")
    said.cancel(batch)
    assert [one.state for one in said.said(batch)] == ["completed", "cancelled"]
    assert said.batch(batch).cancelled
    waiting = said.waiting()
    assert waiting is not None
    assert waiting.file == "file-3"
    with pytest.raises(NotFound):
        said.batch("vsfb_none")


def test_attributes_that_are_given_later(said: Attachments) -> None:
    said.attach([ONE])
    said.settle(ONE, "completed")
    said.describe(replace(ONE, attributes={"b": True}))
    found = said.find(ONE.file)
    assert found is not None
    assert (found.attributes, found.state) == ({"b": True}, "completed")


def test_what_is_detached_while_it_waits_is_kept_in_mind_and_not_shown(said: Attachments) -> None:
    batch = said.attach([ONE, TWO], together=True)
    said.settle(TWO, "completed")
    assert [said.detach(one.file) for one in (ONE, ONE, TWO)] == [True, True, False]
    assert (said.find(ONE.file), said.waiting()) == (None, None)
    assert (said.said(), said.said(batch), said.unfinished()) == ([], [], [])
    assert not said.settle(ONE, "completed")
    assert said.detached() == [ONE.file]
    said.attach([ONE])  # anew: there is nothing to take out
    said.forget(ONE.file)
    assert (said.detached(), said.waiting()) == ([], ONE)
    said.detach(ONE.file)
    said.forget(ONE.file)
    assert said.detached() == []
