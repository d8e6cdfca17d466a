"""A reranker for a collection: trained, certified or refused, kept, loaded, and no longer used."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.assembly import reranker_training
from shoal.assembly.kept_reranker import KeptReranker, clear, open_collection
from shoal.assembly.library import Library
from shoal.assembly.reranker_training import Lesson, best_weight, paired, tune_reranker
from shoal.errors import LearningError
from shoal.guarantees import Paired
from shoal.retrieval.adapter import Adapter, digest_of
from shoal.retrieval.collection import Collection, rebuild
from shoal.retrieval.gain import CERTIFICATE, GainCertificate, NoGain, next_attempt
from shoal.retrieval.known_answers import KnownAnswer, Resolved, calibrates, resolved
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.tuned import FOLDER, RERANKER, certificate_in, install, standings, withdraw
from shoal.retrieval.tuning import passages_of
from tiny_encoder import TinyEncoder

MACHINES = ("conveyor", "press", "mixer", "furnace", "crane", "lathe", "boiler", "chiller")
PARTS = [f"{letters}-{number}" for letters in ("KX", "BRT") for number in (4417, 4471, 7144)]
ASKED = (
    "what torque for the {machine} seal {part}",
    "{machine} {part}: torque?",
    "seal {part} of {machine}",
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of a workshop, all alike but for a machine and a part number; their folder."""
    folder = tmp_path_factory.mktemp("plain") / "workshop"
    random = Random(0)
    with closing(Collection.create(folder, TinyEncoder())) as found:
        for machine in MACHINES:
            for part in PARTS:
                text = (
                    f"The seal {part} of the {machine} is tightened with "
                    f"{random.randrange(20, 90)} Nm after cleaning the seat; replace the ring when "
                    f"the {machine} was opened."
                )
                found.intake.add(f"{machine}/{part}.txt", text.encode())
        found.follow()
    return folder


@pytest.fixture(scope="module")
def trained(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with a reranker."""
    folder = tmp_path_factory.mktemp("trained") / "workshop"
    shutil.copytree(plain, folder)
    with closing(open_collection(folder, TinyEncoder())) as found:
        assert isinstance(tune_reranker(found, known(found, 160)), GainCertificate)
    return folder


@pytest.fixture
def workshop(plain: Path, tmp_path: Path) -> Iterator[Collection]:
    shutil.copytree(plain, tmp_path / "workshop")
    with closing(open_collection(tmp_path / "workshop", TinyEncoder())) as found:
        yield found


@pytest.fixture
def tuned(trained: Path, tmp_path: Path) -> Iterator[Collection]:
    shutil.copytree(trained, tmp_path / "workshop")
    with closing(open_collection(tmp_path / "workshop", TinyEncoder())) as found:
        yield found


def known(found: Collection, n: int, hyphen: str = "") -> list[Resolved]:
    """Questions with the right page; the part number has ``hyphen`` for its own, none as people
    write it who read it off a plate."""
    random, passages, pairs = Random(1), passages_of(found), []
    for at in range(n):
        machine, part = random.choice(MACHINES), random.choice(PARTS)
        written = part.lower().replace("-", hyphen)
        asked = random.choice(ASKED).format(machine=machine, part=written)
        one = KnownAnswer(f"{asked} #{at}", document=f"{machine}/{part}.txt")
        pairs.append((one, passages.right(one)))
    return resolved(pairs)


def new(found: Collection) -> list[Resolved]:
    """Questions that nothing was learned from."""
    return [one for one in known(found, 160) if calibrates(one.question)][:40]


def share_right(found: Collection) -> float:
    asked = new(found)
    first = [found.search(one.question, SearchOptions(k=1))[0] for one in asked]
    pairs = zip(first, asked, strict=True)
    return sum(hit.passage.number in one.right for hit, one in pairs) / len(asked)


def in_force(found: Collection, adapter: str = "", encoder: str = "") -> bool:
    kept = KeptReranker(found.folder / RERANKER, encoder or found.shelf.encoder)
    return kept.in_force(adapter) is not None


def test_numbers_that_people_write_otherwise(workshop: Collection, trained: Path) -> None:
    before = share_right(workshop)  # nothing is in force, and an open collection sees what comes
    assert before < 0.5
    shutil.copytree(trained / RERANKER, workshop.folder / RERANKER)
    assert share_right(workshop) > 0.75
    (standing,) = standings(workshop.folder, workshop.shelf.encoder)
    proof = standing.proof
    assert (proof.what, proof.adapter, proof.attempt, standing.lapsed) == ("reranker", "", 1, "")
    assert proof.gained > 5 * proof.lost
    assert proof.after > proof.before + 0.3
    assert "the reranker makes the search of workshop better" in proof.describe()
    hits = workshop.search("seal kx4417 of press", SearchOptions(k=3))
    assert all(hit.chance is not None for hit in hits)
    assert hits[0].document.name == "press/KX-4417.txt"
    by_words = workshop.search("seal kx4417 of press", SearchOptions(by="words"))
    assert all(hit.chance is None for hit in by_words)


def test_a_library_searches_with_it(tuned: Collection) -> None:
    library = Library(tuned.folder.parent, TinyEncoder)
    with library.using("workshop") as found:
        assert share_right(found) > 0.75
    library.close()
    with closing(Collection(tuned.folder, TinyEncoder())) as without:
        assert share_right(without) < 0.5


def test_questions_in_the_documents_words_leave_nothing_to_gain(workshop: Collection) -> None:
    outcome = tune_reranker(workshop, known(workshop, 120, hyphen="-"))
    assert isinstance(outcome, NoGain)
    assert outcome.tried.gained < 10
    assert "No attempt was spent" in outcome.describe()
    assert next_attempt(workshop.folder / RERANKER) == 1
    assert not in_force(workshop)


def test_right_passages_without_a_pattern_are_refused(workshop: Collection) -> None:
    random = Random(5)
    asked = [
        Resolved(f"torque of the {random.choice(MACHINES)} seal #{at}", frozenset({1}))
        for at in range(160)
    ]
    drawn = [
        Resolved(one.question, frozenset({random.choice(near(workshop, one.question))}))
        for one in asked
    ]
    outcome = tune_reranker(workshop, drawn)
    assert isinstance(outcome, NoGain)
    assert certificate_in(workshop.folder / RERANKER) is None
    assert not list((workshop.folder / RERANKER).glob("models/*"))


def near(found: Collection, question: str) -> list[int]:
    return [hit.passage.number for hit in found.search(question, SearchOptions(k=5))]


def test_too_few_questions(workshop: Collection) -> None:
    outcome = tune_reranker(workshop, known(workshop, 8))
    assert isinstance(outcome, NoGain)
    assert outcome.needed
    held = known(workshop, 60)
    fewer = [one for one in held if calibrates(one.question)]
    fewer += [one for one in held if not calibrates(one.question)][:5]
    outcome = tune_reranker(workshop, fewer)
    assert isinstance(outcome, NoGain)
    assert "30 are needed" in outcome.describe()
    assert outcome.needed
    assert next_attempt(workshop.folder / RERANKER) == 1


def test_what_is_refused_leaves_the_earlier_one(tuned: Collection) -> None:
    there = certificate_in(tuned.folder / RERANKER)
    assert isinstance(tune_reranker(tuned, known(tuned, 120, hyphen="-")), NoGain)
    assert certificate_in(tuned.folder / RERANKER) == there
    clear(tuned.folder / RERANKER)
    assert in_force(tuned)
    withdraw(tuned.folder / RERANKER)
    assert not in_force(tuned)
    assert share_right(tuned) < 0.5  # in the open collection too
    clear(tuned.folder / RERANKER)
    assert not list((tuned.folder / RERANKER).glob("models/*"))


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("file", ["model.json", "reranking.json", "model.safetensors"])
@pytest.mark.parametrize("damage", [change, Path.unlink])
def test_damaged_files_are_not_used(
    tuned: Collection,
    file: str,
    damage: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (path,) = (tuned.folder / RERANKER).glob(f"models/*/{file}")
    damage(path)
    for _ in range(3):
        tuned.search("seal kx4417 of press")
    assert caplog.text.count("the reranker is not used") == 1
    assert not in_force(tuned)


def test_a_damaged_certificate(tuned: Collection) -> None:
    (tuned.folder / RERANKER / CERTIFICATE).write_text("{}")
    assert tuned.search("seal kx4417 of press")[0].chance is None


def test_over_another_adapter_it_lapses(tuned: Collection) -> None:
    there = certificate_in(tuned.folder / RERANKER)
    assert there is not None
    data = Adapter(np.zeros((24, 1), np.float32), np.zeros((1, 24), np.float32)).packed()
    proof = replaced(there, model=digest_of(data), what="adapter")
    install(tuned.folder / FOLDER, data, proof)
    assert tuned.search("seal kx4417 of press")[0].chance is None
    _, lapsed = standings(tuned.folder, tuned.shelf.encoder)
    assert "came since" in lapsed.lapsed
    assert "reranker, not used" in lapsed.describe()
    withdraw(tuned.folder / FOLDER)
    assert tuned.search("seal kx4417 of press")[0].chance is not None


def replaced(proof: GainCertificate, **fields: str) -> GainCertificate:
    return msgspec.structs.replace(proof, **fields)


def test_of_another_encoder_it_lapses(tuned: Collection) -> None:
    other = TinyEncoder(digest="1" * 64)
    folder = tuned.folder
    tuned.close()
    rebuild(folder, other)
    with closing(open_collection(folder, other)) as found:
        assert found.search("seal kx4417 of press")[0].chance is None
        (lapsed,) = standings(folder, other.digest)
        assert "another encoder" in lapsed.lapsed


def test_it_goes_with_the_collection(tuned: Collection) -> None:
    folder = tuned.folder
    Library(folder.parent, TinyEncoder).remove("workshop")
    assert not folder.exists()


def test_without_what_grows_trees(workshop: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranker_training, "why_unavailable", lambda: "no trees here")
    with pytest.raises(LearningError, match="no trees here"):
        tune_reranker(workshop, [])


SHARES = st.integers(0, 64).map(lambda n: n / 64)  # which add up without rounding


def lesson(scores: Sequence[float], right: Sequence[bool], close: bool = True) -> Lesson:
    texts = tuple("" for _ in scores)
    return Lesson("who?", texts, np.array(scores), np.array(right), close)


def test_the_least_weight_that_is_as_good() -> None:
    lessons = [lesson([0.5, 0.45, 0.4], [False, True, False])] * 3
    said = np.array([0.0, 1.0, 0.0] * 3)
    assert best_weight(lessons, said) == 0.1
    assert paired(lessons, said, 0.1) == Paired(3, 3, 0)
    assert paired(lessons, 1 - said, 0.1) == Paired(3, 0, 3)
    assert best_weight(lessons, 1 - said) == 0.0
    far = [lesson([0.9, 0.1], [False, True], close=False)]
    assert paired(far, np.array([0.0, 1.0]), 0.5) == Paired(1, 0, 0)


@given(st.lists(st.tuples(SHARES, SHARES), min_size=2, max_size=6), st.data())
def test_a_weight_of_nothing_changes_nothing(
    rows: list[tuple[float, float]], data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, len(rows) - 1))
    one = lesson([score for score, _ in rows], [at == right for at in range(len(rows))])
    said = np.array([chance for _, chance in rows])
    assert paired([one], said, 0.0).differ == 0
    assert paired([one], np.ones(len(rows)), 0.5).differ == 0  # the same for all
