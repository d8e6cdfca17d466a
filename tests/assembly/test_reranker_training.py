"""A reranker for a collection: trained, certified or refused, kept, loaded, and no longer used."""

import json
from pathlib import Path
from random import Random

import pytest

from shoal.assembly.kept_reranker import KeptReranker, clear, open_collection
from shoal.assembly.library import Library
from shoal.assembly.reranker_training import FEWEST, lessons_from, tune_reranker
from shoal.errors import ArtifactError, LearningError
from shoal.retrieval.adapter import Adapter, digest_of
from shoal.retrieval.collection import Collection, rebuild
from shoal.retrieval.gain import GainCertificate, NoGain, next_attempt
from shoal.retrieval.known_answers import KnownAnswer, Resolved, calibrates, resolved
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.tuned import FOLDER, RERANKER, certificate_in, install, standings, withdraw
from shoal.retrieval.tuning import passages_of
from tiny_encoder import TinyEncoder

MACHINES = ("conveyor", "press", "mixer", "furnace", "crane", "lathe", "boiler", "chiller")
PARTS = [f"{letters}-{number}" for letters in ("KX", "BRT") for number in (4417, 4471, 7144)]
ASKED = ("what torque for the {machine} seal {part}", "{machine} {part}: torque?", "seal {part} of {machine}")  # fmt: skip


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """The pages of a workshop, all alike but for a machine and a part number."""
    root = tmp_path / "collections"
    found = Collection.create(root / "workshop", TinyEncoder())
    random = Random(0)
    for machine in MACHINES:
        for part in PARTS:
            text = (
                f"The seal {part} of the {machine} is tightened with {random.randrange(20, 90)} Nm "
                f"after cleaning the seat; replace the ring whenever the {machine} was opened."
            )
            found.intake.add(f"{machine}/{part}.txt", text.encode())
    found.follow()
    found.close()
    return Library(root, TinyEncoder)


def known(found: Collection, n: int, spelled: str = "") -> list[Resolved]:
    """Questions with the right page; part numbers with ``spelled`` in place of the hyphen, as
    people write them who read them off a plate."""
    random, passages, pairs = Random(1), passages_of(found), []
    for at in range(n):
        machine, part = random.choice(MACHINES), random.choice(PARTS)
        asked = random.choice(ASKED).format(
            machine=machine, part=part.lower().replace("-", spelled)
        )
        one = KnownAnswer(f"{asked} #{at}", document=f"{machine}/{part}.txt")
        pairs.append((one, passages.right(one)))
    return resolved(pairs)


def share_right(found: Collection, asked: list[Resolved]) -> float:
    first = [found.search(one.question, SearchOptions(k=1))[0] for one in asked]
    return sum(hit.passage.number in one.right for hit, one in zip(first, asked, strict=True)) / len(asked)  # fmt: skip


def test_numbers_that_people_write_otherwise(library: Library) -> None:
    with library.using("workshop") as workshop:
        asked = known(workshop, 240)
        held = [one for one in asked if calibrates(one.question)]
        before = share_right(workshop, held)
        proof = tune_reranker(workshop, asked)
        print(proof.describe(), before, share_right(workshop, held))
        assert isinstance(proof, GainCertificate)
