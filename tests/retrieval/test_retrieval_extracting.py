"""Answers word for word: the words that answer, in their sentence, or none."""

import pytest

from shoal.encoder import Encoder
from shoal.retrieval.documents import Hit, Passage
from shoal.retrieval.extracting import answers, extract
from shoal.retrieval.grounding import NOTHING, Source
from some_document import document_of

GYM = "The gym is on floor 3. It closes at 22:00 on all days of the week."


def source_of(text: str, meaning: float) -> Source:
    passage = Passage(text, ("House rules",), number=1, document=1, position=0)
    document = document_of("/rules.md", "House rules", "markdown")
    return Source(1, Hit(passage=passage, document=document, score=1.0, meaning=meaning))


def test_a_number_is_told_whole(real_encoder: Encoder) -> None:
    found = extract("When does the gym close?", source_of(GYM, 0.6), real_encoder)
    assert found.text.startswith("22:00")
    assert "It closes at 22:00 on all days of the week." in found.text
    assert [one.number for one in found.sources] == [1]


@pytest.mark.parametrize("text", [GYM, ""])
def test_what_is_far_off_is_not_answered(real_encoder: Encoder, text: str) -> None:
    assert extract("Who discovered penicillin?", source_of(text, 0.05), real_encoder) == NOTHING


def test_nearer_and_more_shared_words_are_likelier_to_answer() -> None:
    chances = [
        answers(question, source_of(GYM, meaning))
        for question, meaning in (
            ("Who paints bridges?", 0.1),
            ("Who paints the gym?", 0.3),
            ("When does the gym close?", 0.6),
        )
    ]
    assert chances == sorted(chances)
    assert chances[0] < 0.5 < chances[-1]
