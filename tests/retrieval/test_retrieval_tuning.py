"""Tuning of a collection: pairs in, a certificate or a refusal out, and what searches then do."""

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest

from shoal.errors import Conflict, MalformedRequest, NotFound, StoreError
from shoal.guarantees import Paired
from shoal.retrieval.collection import Collection
from shoal.retrieval.documents import Passage
from shoal.retrieval.gain import (
    GainCertificate,
    NoGain,
    Trial,
    begin_attempt,
    next_attempt,
    refusal,
    too_few,
    tried,
    unpromising,
)
from shoal.retrieval.known_answers import (
    KnownAnswer,
    Resolved,
    calibrates,
    cited,
    known_answer,
    resolved,
)
from shoal.retrieval.rerank import Reranking
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.tuned import (
    FOLDER,
    RERANKER,
    Tuned,
    certificate_in,
    lapse,
    standings,
    withdraw,
)
from shoal.retrieval.tuning import certify_reranking, delta_of, passages_of, tune
from shoal.storage.file_lock import FileLock
from tiny_encoder import TinyEncoder

TOPICS = 12


@pytest.fixture
def manual(tmp_path: Path) -> Collection:
    """Twelve pages, each about a thing that people call otherwise than the page does."""
    files = tmp_path / "files"
    files.mkdir()
    for topic in range(TOPICS):
        (files / f"page{topic}.txt").write_text(f"proper{topic} proper{topic} proper{topic}")
    found = Collection.create(tmp_path / "collections" / "manual", TinyEncoder())
    found.add_sources([files])
    found.sync()
    return found


def pairs(found: Collection, n: int, seed: int = 0) -> list[Resolved]:
    """Questions in the other words, with the right page."""
    random, passages = Random(seed), passages_of(found)
    known = []
    for at in range(n):
        topic = random.randrange(TOPICS)
        said = f"slang{topic} slang{topic} slang{topic} ask{seed}{at}"
        one = KnownAnswer(said, document=f"page{topic}.txt")
        known.append((one, passages.right(one)))
    return resolved(known)


def first(found: Collection, topic: int) -> str:
    return Path(found.search(f"slang{topic} slang{topic}")[0].document.name).name


def right(found: Collection) -> int:
    return sum(first(found, topic) == f"page{topic}.txt" for topic in range(TOPICS))


def test_what_helps_is_certified_and_used(manual: Collection) -> None:
    assert right(manual) < 6
    proof = tune(manual, pairs(manual, 200))
    assert isinstance(proof, GainCertificate)
    assert proof.gained > 3 * proof.lost
    assert proof.after > proof.before + 0.3
    assert right(manual) >= 10  # in the open collection too
    assert "better, with 95 % confidence" in proof.describe()
    assert certificate_in(manual.folder / FOLDER) == proof
    again = Collection(manual.folder, TinyEncoder())
    assert right(again) >= 10
    by_meaning = SearchOptions(by="meaning")  # certified for both together only
    plain = manual.search_with("slang1", None, by_meaning)
    assert manual.search("slang1", by_meaning) == plain


def test_what_it_learned_can_be_taken_back(manual: Collection) -> None:
    before = right(manual)
    tune(manual, pairs(manual, 200))
    assert withdraw(manual.folder / FOLDER)
    assert right(manual) == before
    assert not withdraw(manual.folder / FOLDER)
    assert next_attempt(manual.folder / FOLDER) == 2


def test_of_another_encoder_it_is_not_used(manual: Collection) -> None:
    tune(manual, pairs(manual, 200))
    assert Tuned(manual.folder / FOLDER, manual.shelf.encoder).now().adapter is not None
    assert Tuned(manual.folder / FOLDER, "another").now().adapter is None


@pytest.mark.parametrize("damage", ["bytes", "gone", "certificate"])
def test_a_damaged_adapter_is_not_used(manual: Collection, damage: str) -> None:
    tune(manual, pairs(manual, 200))
    folder = manual.folder / FOLDER
    (model,) = folder.glob("*.safetensors")
    if damage == "bytes":
        model.write_bytes(model.read_bytes()[:-1] + b"\x07")
    elif damage == "gone":
        model.unlink()
    else:
        (folder / "certificate.json").write_text("{}")
    assert Tuned(folder, manual.shelf.encoder).now().adapter is None
    Collection(manual.folder, TinyEncoder()).search("slang1")


def test_pairs_that_teach_nothing_are_refused(manual: Collection) -> None:
    random = Random(1)
    known = [
        Resolved(f"proper{topic} ask{at}", frozenset({random.randrange(1, TOPICS + 1)}))
        for at, topic in enumerate(random.choices(range(TOPICS), k=120))
    ]
    outcome = tune(manual, known)
    assert isinstance(outcome, NoGain)
    assert outcome.tried.n > 0
    assert "Not used" in outcome.describe()
    assert certificate_in(manual.folder / FOLDER) is None


def test_too_few_pairs_spend_no_attempt(manual: Collection) -> None:
    known = pairs(manual, 60)
    held = [one for one in known if calibrates(one.question)]
    rest = [one for one in known if not calibrates(one.question)]
    outcome = tune(manual, held[:5] + rest)
    assert isinstance(outcome, NoGain)
    assert outcome.needed == 3  # one more that is held back, of every two and a half
    assert "No attempt was spent" in outcome.describe()
    assert next_attempt(manual.folder / FOLDER) == 1
    assert isinstance(tune(manual, []), NoGain)


class Knows:
    """A reranker that knows which page a question means, or says the opposite."""

    def __init__(self, sign: int) -> None:
        self.sign = sign

    def scores(self, query: str, passages: Sequence[Passage]) -> np.ndarray:
        wanted = query.split()[0].replace("slang", "proper")
        says = np.array([wanted in one.text.split() for one in passages], float)
        return says if self.sign > 0 else 1 - says


class Always:
    """The same reranker, whatever the adapter."""

    def __init__(self, reranking: Reranking) -> None:
        self.reranking = reranking

    def in_force(self, adapter: str) -> Reranking | None:
        return self.reranking


def test_a_reranker_needs_a_certificate_too(manual: Collection) -> None:
    known = pairs(manual, 120)
    worse = Reranking(Knows(-1), weight=1.0, most=TOPICS, close=9.0)
    refused = certify_reranking(manual, worse, "0" * 64, known)
    assert isinstance(refused, NoGain)
    assert (refused.attempt, refused.needed) == (1, None)
    assert certificate_in(manual.folder / RERANKER) is None
    better = Reranking(Knows(1), weight=1.0, most=TOPICS, close=9.0)
    proof = certify_reranking(manual, better, "1" * 64, known)
    assert isinstance(proof, GainCertificate)
    assert (proof.what, proof.lost, proof.attempt) == ("reranker", 0, 2)
    assert certificate_in(manual.folder / RERANKER) == proof
    assert isinstance(certify_reranking(manual, better, "1" * 64, known[:3]), NoGain)
    with_it = Collection(manual.folder, TinyEncoder(), Always(better))
    assert right(with_it) == TOPICS
    best, *others = with_it.search("slang1", SearchOptions(k=3))
    assert (best.chance, [one.chance for one in others]) == (1.0, [0.0, 0.0])
    by_words = SearchOptions(by="words")
    assert with_it.search("proper1", by_words) == manual.search("proper1", by_words)


def test_a_reranker_is_certified_over_the_adapter_in_force(manual: Collection) -> None:
    known = pairs(manual, 200)
    better = Reranking(Knows(1), weight=1.0, most=TOPICS, close=9.0)
    assert delta_of(manual) == 0.05
    plain = certify_reranking(manual, better, "1" * 64, known)
    assert isinstance(plain, GainCertificate)
    assert plain.adapter == ""
    encoder = manual.shelf.encoder
    (alone,) = standings(manual.folder, encoder)
    assert (alone.lapsed, alone.describe()) == ("", "reranker")
    adapter = tune(manual, known)
    assert isinstance(adapter, GainCertificate)
    assert "came since" in lapse(plain, encoder, adapter.model)
    first, second = standings(manual.folder, encoder)
    assert (first.lapsed, second.lapsed) == ("", lapse(plain, encoder, adapter.model))
    assert delta_of(manual) == 0.025  # one attempt decided what it is tested over
    outcome = certify_reranking(manual, better, "2" * 64, known)
    assert isinstance(outcome, NoGain)  # nothing is left to gain
    assert (outcome.attempt, outcome.tried.differ) == (2, 0)
    assert certificate_in(manual.folder / RERANKER) == plain
    over = msgspec.structs.replace(plain, adapter=adapter.model)
    assert lapse(over, encoder, adapter.model) == ""
    assert "over the adapter" in over.describe()
    withdraw(manual.folder / FOLDER)
    assert "is gone" in lapse(over, encoder)
    assert "another encoder" in lapse(over, "f" * 64, adapter.model)


def test_a_certificate_tells_of_models_that_judged(manual: Collection) -> None:
    known = pairs(manual, 200)
    assert "may err" not in str(tune(manual, known))
    judged = [msgspec.structs.replace(one, judge="gpt") for one in known[:100]] + known[100:]
    proof = tune(manual, judged)
    assert isinstance(proof, GainCertificate)
    held = sum(calibrates(one.question) for one in known[:100])
    assert (proof.judged, proof.judges) == (held, ("gpt",))
    assert f"gpt said at {held} of them" in proof.describe()


def test_two_at_once(manual: Collection) -> None:
    folder = manual.folder / FOLDER
    folder.mkdir()
    lock = FileLock(folder / "lock")
    assert lock.take()
    with pytest.raises(Conflict, match="being tuned"):
        tune(manual, pairs(manual, 100))
    lock.release()


def test_attempts_are_counted_on_disk(tmp_path: Path) -> None:
    assert [begin_attempt(tmp_path) for _ in range(3)] == [1, 2, 3]
    assert next_attempt(tmp_path) == 4
    (tmp_path / "attempts.json").write_text("many")
    with pytest.raises(StoreError, match="cannot be read"):
        begin_attempt(tmp_path)


def test_a_refusal_says_what_the_next_attempt_needs() -> None:
    said = refusal(Trial(Paired(40, 8, 3), 0.5, 0.6), attempt=1)
    assert said.needed is not None
    assert f"About {said.needed:,} more would show it" in said.describe()
    assert "higher at 8 and lower at 3" in said.describe()
    assert "39 % to 94 % may be gains" in said.describe()
    assert "0.500 before, 0.600 after" in said.describe()
    assert "may be gains" not in refusal(Trial(Paired(9, 0, 0), 0.5, 0.5), attempt=1).describe()
    none = refusal(Trial(Paired(40, 3, 3), 0.5, 0.5), attempt=1)
    assert none.needed is None
    assert "would not show a gain" in none.describe()
    assert too_few(6, attempt=1) is None
    assert too_few(5, attempt=1) is not None
    assert too_few(6, attempt=2) is not None


def test_what_has_little_prospect_is_told_so() -> None:
    said = unpromising(Paired(60, 5, 3), wanted=400, calibrating=40)
    assert said.needed == 900
    assert "5 came out better and 3 worse" in said.describe()
    assert "No attempt was spent" in said.describe()
    assert "would not show a gain" in unpromising(Paired(60, 3, 5), None, 40).describe()


def test_a_certificate_that_contradicts_itself(manual: Collection) -> None:
    proof = tune(manual, pairs(manual, 200))
    assert isinstance(proof, GainCertificate)
    with pytest.raises(ValueError, match="show no gain"):
        msgspec.structs.replace(proof, gained=2, lost=2)


def test_gains_are_counted_by_the_first_right_passage(manual: Collection) -> None:
    asked = [Resolved("proper1", frozenset({1, 2})), Resolved("proper2", frozenset({99}))]
    hits = manual.search("proper1", SearchOptions(k=12, by="words"))
    other = manual.search("proper5", SearchOptions(k=12, by="words"))
    numbers = {hit.passage.number for hit in hits}
    asked[0] = Resolved("proper1", frozenset(numbers))
    found = tried(asked, lambda question: other, lambda question: hits)
    assert found.paired == Paired(2, 1, 0)
    assert (found.before, found.after) == (0.0, 0.5)


def test_right_passages_are_found_by_what_people_say_of_them(manual: Collection) -> None:
    passages = passages_of(manual)
    whole = passages.right(KnownAnswer("q", passage="Proper3, proper3 —\nPROPER3"))
    assert len(whole) == 1
    assert passages.right(KnownAnswer("q", document="page3.txt")) == whole
    assert passages.right(KnownAnswer("q", document="page3.txt", quote="proper3 proper3")) == whole
    assert passages.right(KnownAnswer("q", passage="proper3 proper3")) == whole
    for wrong, told in (
        (KnownAnswer("q", passage="nowhere"), "no passage of the collection"),
        (KnownAnswer("q", document="page99.txt"), "no document 'page99.txt'"),
        (KnownAnswer("q", document="page3.txt", quote="proper4"), "no passage has the words"),
        (KnownAnswer("q", passage="?!"), "no passage of the collection"),
    ):
        with pytest.raises(NotFound, match=told):
            passages.right(wrong)


def test_a_passage_that_was_cut_otherwise_is_known_again(
    manual: Collection, tmp_path: Path
) -> None:
    (tmp_path / "files" / "voles.txt").write_text("Voles dig deep burrows near slow rivers.")
    manual.sync()
    passages = passages_of(manual)
    right = passages.right(KnownAnswer("q", document="voles.txt"))
    wider = "Of voles. Voles dig deep burrows\nnear slow rivers. They swim, too."
    assert passages.right(KnownAnswer("q", passage=wider)) == right
    assert passages.right(KnownAnswer("q", passage="burrows near slow")) == right
    with pytest.raises(NotFound):
        passages.right(KnownAnswer("q", passage="burrows near fast rivers"))


def test_what_was_cited_is_found_again(manual: Collection) -> None:
    hits = manual.search("proper2", SearchOptions(k=1, by="words"))
    (one,) = cited("what?", [hit.passage for hit in hits])
    assert one.question == "what?"
    assert passages_of(manual).right(one) == {hits[0].passage.number}


def test_a_name_that_two_documents_end_in(manual: Collection, tmp_path: Path) -> None:
    deeper = tmp_path / "files" / "deeper"
    deeper.mkdir()
    (deeper / "page3.txt").write_text("another page")
    manual.sync()
    with pytest.raises(NotFound, match="several documents"):
        passages_of(manual).right(KnownAnswer("q", document="page3.txt"))
    assert passages_of(manual).right(KnownAnswer("q", document=os.fspath(deeper / "page3.txt")))


def test_equal_questions_are_one_and_on_one_side() -> None:
    known = [
        (KnownAnswer("Where is it?", passage="a"), frozenset({1})),
        (KnownAnswer(" where  is it? ", passage="b"), frozenset({2})),
        (KnownAnswer("Who?", passage="c"), frozenset({3})),
    ]
    assert resolved(known) == [
        Resolved("Where is it?", frozenset({1, 2})),
        Resolved("Who?", frozenset({3})),
    ]
    assert calibrates("Where is it?") == calibrates(" where  IS it? ")
    held = sum(calibrates(f"question {at}") for at in range(1_000))
    assert 340 < held < 460


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "no known answer"),
        (b"[]", "no known answer"),
        (b'{"question": " ", "passage": "a"}', "question"),
        (b'{"question": "a"}', "expected either"),
        (b'{"question": "a", "passage": "b", "document": "c"}', "expected either"),
        (b'{"question": "a", "passge": "b"}', "passge"),
        (b'{"question": "\xff", "passage": "b"}', "no known answer"),
    ],
)
def test_lines_that_are_no_known_answer(line: bytes, told: str) -> None:
    with pytest.raises(MalformedRequest, match=told):
        known_answer(line)
