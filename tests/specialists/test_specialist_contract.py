"""What every kind of specialist does, whatever its recipe."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from agent_steps import CONTRACT as CALLS
from agent_steps import agent_steps
from desk_messages import FIELDS, HEADS, LABEL, LABELS, SPANS, desk_messages, inputs_of
from loan_rows import RATE, VERDICT, loan_rows
from product_pairs import MATCH, product_pairs

from shoal.encoder import Encoder
from shoal.errors import ArtifactError
from shoal.specialists.card import Card
from shoal.specialists.kind import Kind, Recipe
from shoal.specialists.kinds import KINDS, kind_of
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Specialist, Trained
from shoal.tasks import Contract, Input, Output, read, written
from tiny_encoder import TinyEncoder, tiny_senses

DESK = desk_messages(90)
INPUTS = inputs_of(
    [*desk_messages(25, seed=1).texts, "", "\ud83d?", "something else entirely", "ü" * 3_000]
)


class Case(NamedTuple):
    """What a kind learns from ``inputs``, and is asked after."""

    kind: Kind
    recipe: Recipe
    contract: Contract
    inputs: list[Input]
    outputs: list[Output | None]
    asked: list[Input]


def case_of(
    contract: Contract, kind: str, recipe: str, outputs: list[Output | None] | None = None
) -> Case:
    """What a recipe learns of the desk's messages, unless other ``outputs`` are given."""
    found = kind_of(kind)
    assert found is not None
    chosen = next(each for each in found.recipes if each.name == recipe)
    learned = DESK.outputs(contract) if outputs is None else outputs
    return Case(found, chosen, contract, DESK.inputs, learned, INPUTS)


def matching(recipe: str) -> Case:
    """What a recipe of ``match`` learns, and is asked after: inputs without a pair too."""
    seen, new = product_pairs(60), product_pairs(12, seed=1)
    case = case_of(MATCH, "match", recipe, seen.outputs)
    return case._replace(inputs=seen.inputs, asked=[*new.inputs, *INPUTS[-4:]])


def remembered(contract: Contract) -> Case:
    """What a memo learns when each message comes four times."""
    case = case_of(contract, "memo", "sightings")
    return case._replace(
        inputs=case.inputs * 4, outputs=case.outputs * 4, asked=[*DESK.inputs[:10], *case.asked]
    )


STEPS, OTHER_STEPS = agent_steps(16), agent_steps(4, seed=1)
LOANS, OTHER_LOANS = loan_rows(100), loan_rows(12, seed=1)
ODD_ROWS = [Input('{"amount": "much", "other": [1, "x", {}]}'), Input("amount: 3\npurpose: boat")]


def of_calls(recipe: str) -> Case:
    """What a recipe learns of the agent's steps."""
    found = kind_of("call")
    assert found is not None
    chosen = next(each for each in found.recipes if each.name == recipe)
    return Case(found, chosen, CALLS, *STEPS, [*OTHER_STEPS.inputs, *INPUTS])


def of_loans(contract: Contract, outputs: list[Output | None]) -> Case:
    """What is learned of the applications."""
    found = kind_of("decision")
    assert found is not None
    asked = [*OTHER_LOANS.inputs, *ODD_ROWS, *INPUTS]
    return Case(found, found.recipes[0], contract, LOANS.inputs, outputs, asked)


CASES = {
    "label, terms": case_of(LABEL, "label", "terms"),
    "label, terms and encoder": case_of(LABEL, "label", "terms+encoder"),
    "labels, terms": case_of(LABELS, "labels", "terms"),
    "labels, terms and encoder": case_of(LABELS, "labels", "terms+encoder"),
    "memo, labels": remembered(LABEL),
    "memo, sets of labels": remembered(LABELS),
    "memo, fields": remembered(FIELDS),
    "fields, terms": case_of(HEADS, "fields", "terms"),
    "fields, spans": case_of(SPANS, "fields", "terms+encoder"),
    "fields, all kinds": case_of(FIELDS, "fields", "terms+encoder"),
    "match, pairs": matching("pairs"),
    "match, pairs and encoder": matching("pairs+encoder"),
    "fields, chain": case_of(FIELDS, "fields", "crf+encoder"),
    "call, trees": of_calls("trees"),
    "call, trees and encoder": of_calls("trees+encoder"),
    "decision, label": of_loans(VERDICT, LOANS.verdicts),
    "decision, number": of_loans(RATE, LOANS.rates),
}


def test_every_recipe_of_every_kind_is_here() -> None:
    known = {(case.recipe.kind, case.recipe.name) for case in CASES.values()}
    assert known == {(kind.name, recipe.name) for kind in KINDS for recipe in kind.recipes}


def train(case: Case, senses: Senses) -> Trained:
    assert case.kind.fits(case.contract)
    assert case.kind.refusal(case.contract, case.inputs, case.recipe) == ""
    used = senses if case.recipe.encoder else None
    return case.kind.train(case.contract, case.inputs, case.outputs, used, case.recipe)


def predictions(specialist: Specialist, case: Case) -> list[Prediction]:
    return [*map(specialist.predict, case.asked)]


def card_of(case: Case, specialist: Specialist, encoder: str) -> Card:
    return Card(
        id="card-1",
        task="t1",
        kind=specialist.kind,
        recipe=specialist.recipe,
        contract=case.contract,
        llm="llm",
        encoder=encoder if case.recipe.encoder else "",
        artifact="",
        examples=90,
        agreement=0.9,
        data_digest="",
        trained_at=0.0,
        cpu_seconds=0.0,
    )


@pytest.fixture(scope="module", params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def trained(case: Case, senses: Senses) -> Trained:
    return train(case, senses)


@pytest.fixture
def saved(trained: Trained, tmp_path: Path) -> Path:
    trained.specialist.save(tmp_path)
    return tmp_path


def test_there_is_a_left_out_prediction_for_every_example(case: Case, trained: Trained) -> None:
    assert len(trained.left_out) == (0 if case.recipe.held_out else len(case.inputs))


def test_signals_are_probabilities_and_outputs_keep_the_contract(
    case: Case, trained: Trained
) -> None:
    for prediction in [*trained.left_out, *predictions(trained.specialist, case)]:
        assert 0 <= prediction.signal <= 1
        if prediction.output is not None:
            answer = written(case.contract, prediction.output)
            assert read(case.contract, answer) == prediction.output


def test_it_predicts_the_same_again(case: Case, trained: Trained) -> None:
    assert predictions(trained.specialist, case) == predictions(trained.specialist, case)


def test_training_is_deterministic(case: Case, trained: Trained, senses: Senses) -> None:
    again = train(case, senses)
    assert again.left_out == trained.left_out
    assert predictions(again.specialist, case) == predictions(trained.specialist, case)


def test_threads_may_share_it(case: Case, trained: Trained) -> None:
    expected = predictions(trained.specialist, case)
    found: list[object] = []

    def work() -> None:
        found.append(predictions(trained.specialist, case))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_it_comes_back_from_its_files(
    case: Case, trained: Trained, saved: Path, senses: Senses
) -> None:
    assert {path.name for path in saved.iterdir()} == {"model.json", "model.safetensors"}
    loaded = load_specialist(card_of(case, trained.specialist, senses.digest), saved, senses)
    assert (loaded.kind, loaded.recipe) == (case.kind.name, case.recipe.name)
    for given in case.asked:
        found, expected = loaded.predict(given), trained.specialist.predict(given)
        assert found.output == expected.output
        assert found.signal == pytest.approx(expected.signal, abs=1e-6)


def test_saved_again_it_is_the_same_byte_for_byte(
    case: Case,
    trained: Trained,
    saved: Path,
    senses: Senses,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    loaded = load_specialist(card_of(case, trained.specialist, senses.digest), saved, senses)
    again = tmp_path_factory.mktemp("again")
    loaded.save(again)
    for name in ("model.json", "model.safetensors"):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


def test_reasons_are_finite_and_the_weightiest_come_first(case: Case, trained: Trained) -> None:
    for given in case.asked:
        weights = [abs(reason.weight) for reason in trained.specialist.explain(given)]
        assert weights == sorted(weights, reverse=True)
        assert all(map(math.isfinite, weights))


def test_another_encoder_is_refused(case: Case, trained: Trained, saved: Path) -> None:
    card = card_of(case, trained.specialist, "0" * 64)
    other = tiny_senses(TinyEncoder(digest="1" * 64))
    if not case.recipe.encoder:
        assert load_specialist(card, saved, other).predict(case.asked[0]) is not None
        return
    for senses in (other, None):
        with pytest.raises(ArtifactError, match="another encoder"):
            load_specialist(card, saved, senses)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def emptied(content: bytes) -> bytes:
    return b""


def garbled(content: bytes) -> bytes:
    return b"\xff\xfe" + content[2:]


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("damage", [cut, emptied, garbled])
def test_damaged_files_are_refused(
    case: Case,
    trained: Trained,
    saved: Path,
    senses: Senses,
    name: str,
    damage: Callable[[bytes], bytes],
) -> None:
    path = saved / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArtifactError):
        load_specialist(card_of(case, trained.specialist, senses.digest), saved, senses)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_missing_files_are_refused(
    case: Case, trained: Trained, saved: Path, senses: Senses, name: str
) -> None:
    (saved / name).unlink()
    with pytest.raises(ArtifactError, match="cannot read the specialist"):
        load_specialist(card_of(case, trained.specialist, senses.digest), saved, senses)


def test_files_of_another_specialist_are_refused(
    case: Case, trained: Trained, saved: Path, senses: Senses
) -> None:
    """The vocabulary of one and the numbers of another."""
    model = saved / "model.json"
    altered = model.read_text().replace('"words": [', '"words": ["zzz", ')
    altered = altered.replace('"digests": [', '"digests": ["zzz", ')
    altered = altered.replace('"keys": ["order"', '"keys": ["extra", "order"')
    altered = altered.replace('"grams": ["', '"grams": ["zzz", "')
    altered = altered.replace('"columns": ["', '"columns": ["zzz", "')
    altered = altered.replace('"columns": [{', '"columns": [{"kind": "date", "name": "zzz"}, {')
    model.write_text(altered)
    with pytest.raises(ArtifactError, match="train it again"):
        load_specialist(card_of(case, trained.specialist, senses.digest), saved, senses)


@pytest.mark.parametrize("model", ["[]", "{}", '{"format": 99}', '"text"'])
def test_json_of_another_form_is_refused(
    case: Case, trained: Trained, saved: Path, senses: Senses, model: str
) -> None:
    (saved / "model.json").write_text(model)
    with pytest.raises(ArtifactError, match="this version reads 1"):
        load_specialist(card_of(case, trained.specialist, senses.digest), saved, senses)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.recipe.encoder])
def test_with_the_real_encoder_a_text_alone_is_predicted_as_in_training(
    name: str, real_encoder: Encoder, tmp_path: Path
) -> None:
    case = CASES[name]
    trained = train(case, Senses(real_encoder))
    fresh = Senses(real_encoder)  # remembers nothing of the batches of training
    trained.specialist.save(tmp_path)
    card = card_of(case, trained.specialist, real_encoder.digest)
    loaded = load_specialist(card, tmp_path, fresh)
    for given in [*case.inputs[:20], *case.asked]:
        expected = trained.specialist.predict(given)
        found = loaded.predict(given)
        assert found.output == expected.output
        assert found.signal == pytest.approx(expected.signal, abs=1e-3)
