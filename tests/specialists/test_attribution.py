import numpy as np
import pytest
from desk_messages import DEPARTMENTS, LABEL, RECIPE, desk_messages

from shoal.specialists.attribution import (
    MOST_PARTS,
    MOST_REASONS,
    occlusion,
    reasons_for,
    term_shares,
)
from shoal.specialists.label import train_label
from shoal.specialists.machine import KernelMachine
from shoal.specialists.senses import Senses
from shoal.tasks import Input
from tiny_encoder import TinyEncoder, tiny_senses

DESK = desk_messages(150)
TARGETS = np.where(
    np.array(DESK.outputs(LABEL))[:, None] == np.array(DEPARTMENTS), np.float32(1), np.float32(-1)
)
DIRECTION = np.array([1, -1, 0], np.float32)  # delivery against payments


def machine(senses: Senses | None = None) -> KernelMachine:
    return KernelMachine.train(DESK.texts, TARGETS, senses).machine


def spans(text: str) -> list[tuple[int, int]]:
    found, start = [], 0
    for word in text.split(" "):
        found.append((start, start + len(word)))
        start += len(word) + 1
    return found


@pytest.mark.parametrize("text", ["hello my parcel is late", "the invoice is wrong wrong wrong"])
def test_shares_of_terms_add_up_to_the_score(text: str) -> None:
    """Exactly: what words get is what the linear part of the score is."""
    fitted = machine()
    shares = term_shares(fitted, text, spans(text), DIRECTION)
    assert shares.sum() == pytest.approx(float(fitted.scores(text, None) @ DIRECTION), abs=1e-4)


def test_occlusion_is_what_leaving_a_word_out_changes(senses: Senses) -> None:
    fitted, text = machine(senses), "hello my parcel is late"
    lost = occlusion(fitted, text, spans(text), DIRECTION, senses)
    whole = fitted.meaning([text], senses)[0] @ DIRECTION
    without = fitted.meaning(["hello my  is late"], senses)[0] @ DIRECTION
    assert lost[2] == pytest.approx(float(whole - without), abs=1e-5)


@pytest.mark.parametrize("embedded", [False, True])
def test_the_word_that_tells_comes_first(senses: Senses, embedded: bool) -> None:
    used = senses if embedded else None
    trained = train_label(LABEL, DESK.inputs, DESK.outputs(LABEL), used, RECIPE).specialist
    given = Input("hello, my package courier")
    assert trained.predict(given).output == "delivery"
    first, *_ = trained.explain(given)
    assert first.what in ("package", "courier")
    assert first.weight > 0


def test_a_word_for_another_label_speaks_against() -> None:
    trained = train_label(LABEL, DESK.inputs, DESK.outputs(LABEL), None, RECIPE).specialist
    given = Input("the courier never came with my package and the invoice")
    weights = {reason.what: reason.weight for reason in trained.explain(given)}
    assert weights["courier"] > 0 > weights["invoice"]


def test_the_encoder_sees_a_bounded_number_of_texts() -> None:
    encoder = TinyEncoder()
    senses = tiny_senses(encoder)
    fitted = machine(senses)
    before = len(encoder.encoded)
    found = reasons_for(fitted, " ".join(f"word{i} parcel" for i in range(500)), DIRECTION, senses)
    assert len(encoder.encoded) - before <= MOST_PARTS
    assert 0 < len(found) <= MOST_REASONS


@pytest.mark.parametrize("text", ["", " . ", "\ud83d", "İ parcel", "ﬀ ß late"])
def test_any_text_has_reasons_or_none(senses: Senses, text: str) -> None:
    for reason in reasons_for(machine(senses), text, DIRECTION, senses):
        assert reason.what
        assert np.isfinite(reason.weight)


def test_offsets_survive_letters_that_grow_in_lower_case() -> None:
    whats = {r.what for r in reasons_for(machine(), "İİİİ my parcel is late", DIRECTION, None)}
    assert "parcel" in whats
