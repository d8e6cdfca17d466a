import numpy as np
import pytest

from shoal.errors import ArtifactError
from shoal.specialists import machine
from shoal.specialists.kernel import Features, Floats, KernelOptions, gram, nearness
from shoal.specialists.machine import KernelMachine, Told
from shoal.specialists.senses import Senses
from shoal.specialists.terms import Terms

WORDS = ("parcel", "refund", "order", "cancel", "card", "late", "lost", "wrong", "size", "please")
NEW = ["cancel the card please", "my invoice is wrong", "", "entirely different"]


def texts_and_targets(n: int) -> tuple[list[str], Floats]:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 5)) for _ in range(n)]
    targets = [[1, -1] if "refund" in text else [-1, 1] for text in texts]
    return texts, np.array(targets, np.float32)


def kernel_scores(
    fitted: KernelMachine, texts: list[str], targets: Floats, new: str, senses: Senses | None
) -> Floats:
    """The scores by the dual form alone, over all training texts."""
    embed = senses.embed if senses else lambda _: None
    known = Features(fitted.terms.rows(texts), embed(texts))
    matrix = gram(known, known, fitted.options) + fitted.options.ridge * np.eye(len(texts))
    asked = Features(fitted.terms.rows([new]), embed([new]))
    return np.asarray((gram(asked, known, fitted.options) @ np.linalg.solve(matrix, targets))[0])


@pytest.mark.parametrize("embedded", [False, True])
def test_scores_are_those_of_the_kernel(senses: Senses, embedded: bool) -> None:
    texts, targets = texts_and_targets(60)
    used = senses if embedded else None
    fitted = KernelMachine.train(texts, targets, used).machine
    for new in NEW:
        expected = kernel_scores(fitted, texts, targets, new, used)
        np.testing.assert_allclose(fitted.scores(new, used), expected, atol=1e-3)


@pytest.mark.parametrize("embedded", [False, True])
def test_it_comes_back_from_its_arrays_and_vocabulary(senses: Senses, embedded: bool) -> None:
    used = senses if embedded else None
    fitted = KernelMachine.train(*texts_and_targets(30), used, KernelOptions(ridge=1)).machine
    restored = KernelMachine.restore(fitted.arrays(), fitted.vocabulary(), 2)
    for new in NEW:
        np.testing.assert_array_equal(restored.scores(new, used), fitted.scores(new, used))


def test_files_that_do_not_fit_each_other_are_refused() -> None:
    fitted = KernelMachine.train(*texts_and_targets(30), None).machine
    arrays, vocabulary = fitted.arrays(), fitted.vocabulary()
    with pytest.raises(ArtifactError, match="lack 'idf'"):
        KernelMachine.restore({"weights": arrays["weights"]}, vocabulary, 2)
    with pytest.raises(ArtifactError, match="vocabulary and weights differ"):
        KernelMachine.restore(arrays | {"weights": arrays["weights"][1:]}, vocabulary, 2)
    with pytest.raises(ArtifactError, match="vocabulary and weights differ"):
        KernelMachine.restore(arrays, vocabulary | {"words": vocabulary["words"][1:]}, 2)
    with pytest.raises(ArtifactError, match="vocabulary and weights differ"):
        KernelMachine.restore(arrays, vocabulary, 3)


def test_without_its_encoder_it_says_so(senses: Senses) -> None:
    fitted = KernelMachine.train(*texts_and_targets(30), senses).machine
    with pytest.raises(ArtifactError, match="encoder"):
        fitted.scores("refund", None)


def test_the_newest_train_and_the_older_are_judged_unseen(
    monkeypatch: pytest.MonkeyPatch, senses: Senses
) -> None:
    monkeypatch.setattr(machine, "MOST_EXAMPLES", 40)
    texts, targets = texts_and_targets(60)
    fitted = KernelMachine.train(texts, targets, senses)
    alone = KernelMachine.train(texts[20:], targets[20:], senses)
    assert fitted.left_out.shape == (60, 2)
    np.testing.assert_array_equal(fitted.left_out[20:], alone.left_out)
    for i in range(20):
        expected = alone.machine.scores(texts[i], senses)
        np.testing.assert_allclose(fitted.left_out[i], expected, atol=1e-3)
    assert fitted.machine.terms.words == Terms.fit(texts[20:]).words


@pytest.mark.parametrize("embedded", [False, True])
def test_equal_texts_are_left_out_together(senses: Senses, embedded: bool) -> None:
    """A client that tries again must not make a specialist look better than it is."""
    used = senses if embedded else None
    texts, targets = texts_and_targets(40)
    texts, targets = (
        [*texts, *[texts[3]] * 30, texts[8]],
        np.vstack([targets, targets[[3] * 30], -targets[[8]]]),
    )
    fitted = KernelMachine.train(texts, targets, used)
    for i in (3, 8, 40, 70):
        others = [j for j, other in enumerate(texts) if other != texts[i]]
        expected = kernel_scores(
            fitted.machine, [texts[j] for j in others], targets[others], texts[i], used
        )
        np.testing.assert_allclose(fitted.left_out[i], expected, atol=2e-3)


def test_a_twin_among_the_older_is_judged_as_the_newer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_EXAMPLES", 40)
    texts, targets = texts_and_targets(60)
    texts[5] = texts[50]
    left_out = KernelMachine.train(texts, targets, None).left_out
    np.testing.assert_array_equal(left_out[5], left_out[50])


def test_the_older_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_EXAMPLES", 40)
    texts, targets = texts_and_targets(60)
    before = KernelMachine.train(texts, targets, None).machine
    targets[:20] *= -1
    after = KernelMachine.train(texts, targets, None).machine
    np.testing.assert_array_equal(before.weights, after.weights)


@pytest.mark.parametrize("embedded", [False, True])
def test_what_is_told_trains_and_is_not_judged(senses: Senses, embedded: bool) -> None:
    used = senses if embedded else None
    texts, targets = texts_and_targets(40)
    told = Told(["refund please", "no money"], np.array([[1, -1], [-1, 1]], np.float32))
    fitted = KernelMachine.train(texts, targets, used, told=told)
    assert fitted.left_out.shape == (40, 2)
    every, wanted = [*told.texts, *texts], np.vstack([told.targets, targets])
    alone = KernelMachine.train(every, wanted, used)
    np.testing.assert_allclose(fitted.left_out, alone.left_out[2:], atol=1e-4)
    for new in NEW:
        np.testing.assert_allclose(
            fitted.machine.scores(new, used), alone.machine.scores(new, used), atol=1e-5
        )


def test_an_example_equal_to_what_is_told_is_no_twin_of_it() -> None:
    """What is known without traffic is known of a new input too."""
    texts, targets = texts_and_targets(40)
    told = Told([texts[7]], targets[[7]])
    fitted = KernelMachine.train(texts, targets, None, told=told)
    others = [j for j in range(40) if texts[j] != texts[7]]
    expected = kernel_scores(
        fitted.machine,
        [*told.texts, *[texts[j] for j in others]],
        np.vstack([told.targets, targets[others]]),
        texts[7],
        None,
    )
    np.testing.assert_allclose(fitted.left_out[7], expected, atol=1e-3)


def test_nearness_of_a_new_text_and_of_the_older(
    monkeypatch: pytest.MonkeyPatch, senses: Senses
) -> None:
    monkeypatch.setattr(machine, "MOST_EXAMPLES", 40)
    texts, targets = texts_and_targets(60)
    fitted = KernelMachine.train(texts, targets, senses)
    assert fitted.nearness is not None
    for i in range(20):
        near = fitted.machine.look(texts[i], senses).nearness
        assert fitted.nearness[i] == pytest.approx(near, abs=1e-5)
    assert fitted.machine.look("zz yy", senses).nearness == pytest.approx(
        nearness(fitted.machine.cosines(["zz yy"], senses))[0]
    )
    assert KernelMachine.train(texts, targets, None).nearness is None
