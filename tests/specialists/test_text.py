"""Kind ``text``, from its files and without torch: it writes, says how sure it is, or declines."""

from pathlib import Path

import numpy as np
import pytest

from shoal.chat import Answer
from shoal.encoder import Encoder
from shoal.errors import ArtifactError, ConfigError, LearningError
from shoal.specialists.card import Card
from shoal.specialists.kind import Recipe
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.specialists.text import KIND, TextSpecialist, texts_of
from shoal.specialists.writing.sureness import Sureness
from shoal.tasks import Contract, Field, FieldsContract, Input, LabelContract, TextContract
from shoal.tasks.comparators import register
from tiny_checkpoint import make_tensors, tiny_checkpoint
from tiny_writer import tiny_decoders, tiny_vocabulary

TEXT = TextContract()
OPEN = FieldsContract((Field("note", "text"),))


class LastWord:
    """A comparator: the same last word; an answer that ends in "nowhere;" is none."""

    def __call__(self, a: Answer, b: Answer) -> bool:
        return self.key(a) == self.key(b)

    def key(self, answer: Answer) -> str | None:
        word = answer.text.split()[-1].lower()
        return None if word == "nowhere;" else word


@pytest.fixture(scope="module")
def senses_of_writer(tmp_path_factory: pytest.TempPathFactory) -> Senses:
    home = tmp_path_factory.mktemp("writer")
    return Senses(Encoder(tiny_checkpoint(home / "weights"), home / "cache"))


def writer(senses: Senses, contract: Contract = TEXT) -> TextSpecialist:
    vocabulary = senses.encoder.weights.architecture().vocabulary
    name = "embeddings.LayerNorm.bias"
    arrays = tiny_decoders(senses.encoder.dim)
    arrays[f"encoder/{name}"] = make_tensors(vocabulary)[name].astype(np.float16)
    return TextSpecialist(contract, arrays, tiny_vocabulary(), 20, Sureness(), senses)


def card(senses: Senses, contract: Contract = TEXT) -> Card:
    return Card("c", "t", "text", "tuned", contract, "llm", senses.digest, "", 9, 1.0, "", 0.0, 0.0)


def test_it_writes_and_is_surer_where_there_is_one_answer(senses_of_writer: Senses) -> None:
    found = writer(senses_of_writer)
    sure, unsure = found.predict(Input("Oslo")), found.predict(Input("Oslo Rome"))
    assert sure.output == "go to Oslo;"
    assert unsure.output in ("go to Oslo;", "go to Rome;")
    assert 0 < unsure.signal < sure.signal < 1


def test_answers_that_mean_the_same_count_together(senses_of_writer: Senses) -> None:
    found = writer(senses_of_writer)
    assert found.predict(Input("Oslo OSLO Rome")).output in ("go to Oslo;", "go to OSLO;")
    assert np.exp(found.meanings("Oslo OSLO Rome")[0].mass) == pytest.approx(2 / 3, abs=1e-3)


def test_what_the_comparator_calls_no_answer_is_dropped(senses_of_writer: Senses) -> None:
    register("last word", LastWord())
    found = writer(senses_of_writer, TextContract(comparator="last word"))
    assert found.predict(Input("nowhere Rome")).output == "go to Rome;"
    assert found.predict(Input("nowhere")).output is None
    assert np.exp(found.meanings("Oslo OSLO Rome")[0].mass) == pytest.approx(2 / 3, abs=1e-3)


def test_a_comparator_that_nobody_knows_is_an_error(senses_of_writer: Senses) -> None:
    with pytest.raises(ConfigError, match="nobody"):
        writer(senses_of_writer, TextContract(comparator="nobody's")).predict(Input("Oslo"))


@pytest.mark.parametrize("contract", [TextContract(json=True), OPEN])
def test_what_breaks_the_contract_is_declined(senses_of_writer: Senses, contract: Contract) -> None:
    assert writer(senses_of_writer, contract).predict(Input("Oslo")).output is None


@pytest.mark.parametrize("text", ["", " \n ", "word " * 300])
def test_inputs_without_words_or_too_long_are_declined(senses_of_writer: Senses, text: str) -> None:
    said = writer(senses_of_writer).predict(Input(text))
    assert (said.output, said.signal) == (None, 0.0)
    assert writer(senses_of_writer).explain(Input(text)) == ()


def test_the_word_that_is_copied_decides(senses_of_writer: Senses) -> None:
    reasons = writer(senses_of_writer).explain(Input("Oslo"))
    assert [reason.what for reason in reasons] == ["Oslo"]
    assert reasons[0].weight > 10


def test_it_comes_back_from_its_files(senses_of_writer: Senses, tmp_path: Path) -> None:
    found = writer(senses_of_writer)
    found.save(tmp_path)
    loaded = load_specialist(card(senses_of_writer), tmp_path, senses_of_writer)
    for text in ("Oslo", "Oslo Rome", "\ud83d?", "ünï 3.5"):
        assert loaded.predict(Input(text)) == found.predict(Input(text))
    assert (loaded.kind, loaded.recipe) == ("text", "tuned")


def test_files_of_another_vocabulary_are_refused(senses_of_writer: Senses, tmp_path: Path) -> None:
    writer(senses_of_writer).save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace('"go", ', ""))
    with pytest.raises(ArtifactError, match="vocabulary"):
        load_specialist(card(senses_of_writer), tmp_path, senses_of_writer)


def test_how_sure_is_learned_from_answers_that_did_not_train(senses_of_writer: Senses) -> None:
    found = writer(senses_of_writer)
    texts = ["Oslo", "Rome", "Oslo Rome", "Lima Rome"] * 10
    said = ["go to Oslo;", "go to Rome;", "go to nobody;", "go to nobody;"] * 10
    sureness = found.learned(texts, said)
    sure, unsure = (
        sureness.probability(found._features(found.meanings(t)[0])) for t in ("Oslo", "Oslo Rome")
    )
    assert sure > 0.8
    assert unsure < 0.3


def test_it_fits_what_has_to_be_written_and_only_tuning_learns_it() -> None:
    assert KIND.fits(TEXT)
    assert KIND.fits(OPEN)
    assert not KIND.fits(LabelContract(("a", "b")))
    assert not KIND.fits(FieldsContract((Field("city", "span"),)))
    recipe = Recipe("text", "tuned", encoder=True, cost=1, share=1, held_out=True)
    with pytest.raises(LearningError, match="fine_tune = true"):
        KIND.train(TEXT, [], [], None, recipe)


def test_what_is_written_is_the_text_of_the_output() -> None:
    assert texts_of(TEXT, ["a", None, ""]) == ["a", None, None]
    assert texts_of(OPEN, [{"note": "x"}, None]) == ['{"note": "x"}', None]
