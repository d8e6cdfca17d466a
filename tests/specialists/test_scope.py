import numpy as np
import pytest
from desk_messages import LABEL, RECIPE, desk_messages
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.encoder import Encoder
from shoal.errors import ArtifactError
from shoal.specialists.label import LabelSpecialist, train_label
from shoal.specialists.scope import ODD_SHARE, Scope
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelContract

DESK = desk_messages(150)
ODD = [
    "the moon is a quarter million miles from here",
    "which violin concerto did brahms compose",
    "prove that there are infinitely many primes",
    "qwertz zxcvb asdfgh",
]


def some_scores(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)


def some_nearness(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, n).astype(np.float32)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), near=st.booleans())
def test_the_more_familiar_the_likelier_in_scope(seed: int, n: int, near: bool) -> None:
    scope = Scope.fit(some_scores(n, seed), some_nearness(n, seed) if near else None)
    familiarity = np.sort(np.random.default_rng(seed).normal(0, 5, 40))
    ranks, logs = scope.rank(familiarity), scope.log_probability(familiarity)
    assert (np.diff(ranks) >= 0).all()
    assert (np.diff(logs) >= 0).all()
    assert ((ranks > 0) & (ranks < 1)).all()
    assert (logs <= 0).all()


def test_ranks_of_what_it_learned_from_are_uniform() -> None:
    scores, near = some_scores(3_000), some_nearness(3_000)
    scope = Scope.fit(scores, near)
    ranks = np.sort(scope.rank(scope.familiarity(scores, near)))
    np.testing.assert_allclose(ranks, np.linspace(0, 1, 3_000), atol=0.005)


def test_what_it_takes_from_what_is_in_scope_is_the_share_it_expects_to_be_odd() -> None:
    scores, near = some_scores(3_000), some_nearness(3_000)
    scope = Scope.fit(scores, near)
    mean = np.exp(scope.log_probability(scope.familiarity(scores, near))).mean()
    assert mean == pytest.approx(1 - ODD_SHARE, abs=0.01)


def test_both_a_high_lead_and_near_neighbours_count() -> None:
    scope = Scope.fit(some_scores(500), some_nearness(500))
    flat, clear = np.zeros((1, 4), np.float32), np.array([[3, -1, -1, -1]], np.float32)
    far, close = np.array([0.1], np.float32), np.array([0.9], np.float32)
    lowest = scope.familiarity(flat, far)
    assert scope.familiarity(clear, far) > lowest
    assert scope.familiarity(flat, close) > lowest


def test_it_comes_back_from_its_numbers() -> None:
    scope = Scope.fit(some_scores(50), some_nearness(50))
    again = Scope.restore(scope.numbers())
    asked = np.linspace(-3, 3, 9)
    np.testing.assert_array_equal(again.log_probability(asked), scope.log_probability(asked))


def test_numbers_without_quantiles_are_refused() -> None:
    with pytest.raises(ArtifactError, match="no quantiles"):
        Scope.restore({"centre": [0, 0], "spread": [1, 1], "quantiles": []})


def test_odd_inputs_get_a_small_signal(real_encoder: Encoder) -> None:
    trained = train_label(
        LABEL, DESK.inputs, DESK.outputs(LABEL), Senses(real_encoder), RECIPE
    ).specialist
    assert isinstance(trained, LabelSpecialist)
    usual = desk_messages(60, seed=1).inputs
    signals = [trained.predict(given).signal for given in usual]
    for text in ODD:
        assert trained.predict(Input(text)).signal < np.quantile(signals, 0.1)
        assert trained.scope_rank(Input(text)) < 0.05
        assert trained.familiarity(Input(text)) < trained.familiarity(usual[0])


def test_no_examples_twin_has_a_say_in_its_scope(senses: Senses) -> None:
    """Odd inputs that are each sent twice look as odd as they are."""
    odd = [Input(text) for text in ODD]
    outputs = [*DESK.outputs(LABEL), *["delivery"] * len(ODD)]
    once = train_label(LABEL, [*DESK.inputs, *odd], outputs, senses, RECIPE)
    twice = train_label(
        LABEL, [*DESK.inputs, *odd, *odd], [*outputs, *["delivery"] * len(ODD)], senses, RECIPE
    )
    for row in range(150, 154):  # among so few a rank more or less is felt
        again = twice.left_out[row + 4].signal
        assert twice.left_out[row].signal == pytest.approx(again, abs=0.05)
        assert twice.left_out[row].signal == pytest.approx(once.left_out[row].signal, abs=0.05)


def test_of_one_label_all_is_as_usual_as_its_score() -> None:
    trained = train_label(LabelContract(("yes",)), DESK.inputs, ["yes"] * 150, None, RECIPE)
    assert isinstance(trained.specialist, LabelSpecialist)
    assert 0 < trained.specialist.scope_rank(DESK.inputs[0]) < 1
