"""What people called right of answers from a collection, as known answers to it."""

from pathlib import Path

import msgspec
import pytest
from keyword_desk import ask, models
from msgspec.structs import replace

from shoal.assembly import Regime, Shoal
from shoal.assembly.approved import approved
from shoal.assembly.library import Library
from shoal.chat import Answer, Message, Request, Usage
from shoal.engines import WrittenStream
from shoal.retrieval.collection import Collection
from shoal.retrieval.known_answers import resolved
from shoal.retrieval.options import CollectionOptions
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.storage import Feedback, Store
from tiny_encoder import TinyEncoder

PAGES = {
    "rivers.md": "# Rivers\n\nThe Foss is 31.5 kilometres long and joins the Ouse at York.\n",
    "bridges.md": "# Bridges\n\nMonk Bridge in York was widened in 1926.\n",
    "walls.md": "# Walls\n\nThe city walls of York are 3.4 kilometres round.\n",
}
MODEL = "shoal/ask:york"


class Quoting:
    """A model that answers with a sentence of the passage that has a word of the question."""

    name = "gpt"

    async def answer(self, request: Request) -> Answer:
        question = request.messages[-1].text.rpartition("Question: ")[2]
        said = {
            "Foss": "The Foss is 31.5 kilometres long [1].",
            "Bridge": "Monk Bridge in York was widened in 1926 [1].",
            "both": "The Foss joins the Ouse at York [1]. The walls are 3.4 kilometres round [2].",
        }
        text = next((one for word, one in said.items() if word in question), "not in the documents")
        return Answer(text, model=self.name, usage=Usage(9, 9))

    async def stream(self, request: Request) -> WrittenStream:
        return WrittenStream(await self.answer(request))

    async def aclose(self) -> None: ...


@pytest.fixture
def library(tmp_path: Path) -> Library:
    york = Collection.create(tmp_path / "collections" / "york", TinyEncoder())
    for name, text in PAGES.items():
        york.intake.add(name, text.encode())
    york.close()
    return Library(tmp_path / "collections", TinyEncoder)


async def heard(
    store: Store, library: Library, *said: tuple[str, str, str], before: tuple[Message, ...] = ()
) -> list[str]:
    """Ask each question and give a verdict, or the right answer; the ids of the calls."""
    own = {"york": CollectionOptions(model="gpt")}
    regime = Regime(models(Quoting()), {}, PromiseOptions(), collections=own)
    ids = list[str]()
    async with Shoal(store, regime, library=library) as desk:
        for question, verdict, answer in said:
            request = Request(MODEL, (*before, Message("user", question)))
            handled, _ = await ask(desk, request)
            await desk.settle()
            ids.append(handled.receipt.call_id)
            if verdict or answer:
                await desk.feedback(ids[-1], verdict, answer)
    return ids


def texts(library: Library, store: Store, **options: PrivacyOptions) -> dict[str, set[str]]:
    """The beginnings of the right passages of every question."""
    with library.using("york") as york:
        known = resolved(approved(store, york, **options).known)
        return {
            one.question: {p.text.split()[0] for p in york.shelf.passages(list(one.right)).values()}
            for one in known
        }


async def test_what_was_called_right_is_known(store: Store, library: Library) -> None:
    await heard(
        store,
        library,
        ("How long is the Foss?", "right", ""),
        ("When was the Bridge widened?", "wrong", ""),
        ("Where do both end?", "right", ""),
        ("Who lives there?", "right", ""),
        ("And the Bridge?", "", ""),
    )
    assert texts(library, store) == {
        "How long is the Foss?": {"The"},
        "Where do both end?": {"The"},
    }
    with library.using("york") as york:
        found = approved(store, york)
    assert (found.calls, found.uncited, found.gone) == (3, 1, 0)
    assert [len(right) for _, right in found.known] == [1, 1, 1]  # the second cites two passages


async def test_the_answer_that_a_person_wrote_counts_where_it_is_the_same(
    store: Store, library: Library
) -> None:
    await heard(
        store,
        library,
        ("How long is the Foss?", "", "the Foss is 31.5 kilometres  long."),
        ("When was the Bridge widened?", "", "In 1927."),
    )
    assert list(texts(library, store)) == ["How long is the Foss?"]


async def test_the_newest_word_counts(store: Store, library: Library) -> None:
    (call,) = await heard(store, library, ("How long is the Foss?", "right", ""))
    assert len(texts(library, store)) == 1
    with store.database.transaction() as conn:
        store.feedback.insert(conn, Feedback(call_id=call, at=9e9, verdict="wrong"))
    assert texts(library, store) == {}


async def test_passages_are_known_again_until_their_words_are_gone(
    store: Store, library: Library
) -> None:
    await heard(store, library, ("How long is the Foss?", "right", ""))
    with library.using("york") as york:
        york.shelf.remove(["rivers.md"])
        found = approved(store, york)
        assert (found.calls, found.gone, found.known) == (1, 1, [])
        york.intake.add("elsewhere/water.md", PAGES["rivers.md"].encode())
        york.follow()
        ((_, right),) = approved(store, york).known
        assert {p.text.split()[1] for p in york.shelf.passages(list(right)).values()} == {"Foss"}


async def test_a_short_question_is_known_as_it_was_searched(store: Store, library: Library) -> None:
    earlier = Message("user", "Tell me of the river Foss."), Message("assistant", "What of it?")
    await heard(store, library, ("Foss how long?", "right", ""), before=earlier)
    assert list(texts(library, store)) == ["Tell me of the river Foss.\nFoss how long?"]


async def test_what_may_not_be_learned_is_taken_out(store: Store, library: Library) -> None:
    await heard(store, library, ("Tell ann@example.org how long the Foss is", "right", ""))
    (question,) = texts(library, store, privacy=PrivacyOptions(learn="redacted"))
    assert "ann@example.org" not in question
    assert "Foss" in question


async def test_of_other_collections_and_older_calls(store: Store, library: Library) -> None:
    (call,) = await heard(store, library, ("How long is the Foss?", "right", ""))
    kept = store.calls.get(call)
    receipt = msgspec.json.decode(kept.receipt)
    assert receipt.pop("cited")
    older = replace(kept, id=call[:-4] + "0000", receipt=msgspec.json.encode(receipt))
    other = replace(
        kept, id=call[:-4] + "1111", request=replace(kept.request, model="shoal/ask:other")
    )
    for record in (older, other):
        store.record(record).result(5)
        word = Feedback(call_id=record.id, at=1.0, verdict="right")
        with store.database.transaction() as conn:
            store.feedback.insert(conn, word)
    with library.using("york") as york:
        found = approved(store, york)
    assert (found.calls, found.uncited, len(found.known)) == (2, 1, 1)
