import numpy as np

from shoal.specialists.head import Head


def test_targets_are_one_hot_with_minus_one_elsewhere() -> None:
    head = Head("colour", ("red", "green", None))
    np.testing.assert_array_equal(
        head.targets(["green", None, "violet"]), [[-1, 1, -1], [-1, -1, 1], [-1, -1, -1]]
    )


def test_true_and_one_are_different_values() -> None:
    np.testing.assert_array_equal(
        Head("paid", (False, True)).targets([True, 1.0]), [[-1, 1], [-1, -1]]
    )


def test_it_decides_for_the_best_by_its_margin_over_the_next() -> None:
    best, margins = Head("x", ("a", "b", "c")).decide(
        np.array([[0.1, 0.9, -1], [2, -1, 1.5]], np.float32)
    )
    np.testing.assert_array_equal(best, [1, 0])
    np.testing.assert_allclose(margins, [0.8, 0.5], atol=1e-6)


def test_a_single_value_is_as_sure_as_its_score() -> None:
    best, margins = Head("x", ("only",)).decide(np.array([[1.0], [-0.5]], np.float32))
    np.testing.assert_array_equal(best, [0, 0])
    np.testing.assert_allclose(margins, [2.0, 0.5])


def test_names_that_say_something_are_told() -> None:
    head = Head(
        "label", ("card_arrival", "topUp", "B2", "A/C", "Refund not showing up", "42", None)
    )
    assert head.told() == [(0, "card arrival"), (1, "top up"), (4, "refund not showing up")]


def test_names_are_told_whatever_their_script() -> None:
    assert Head("label", ("Überweisung-fehlt", True)).told() == [(0, "überweisung fehlt")]
