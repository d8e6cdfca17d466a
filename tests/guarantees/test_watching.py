import pytest

from shoal.guarantees import EProcess, Watch

LABELS = ("a", "b", "c")


def test_without_labels_the_average_has_all_of_delta() -> None:
    watch, process = Watch.start(0.05), EProcess.start(0.05)
    for wrong in (True, False, True):
        watch, process = watch.update(wrong, "a"), process.update(wrong)
    assert watch == Watch(process)
    assert watch.levels(0.05) == (0.05, 0.05)
    assert watch.broken(0.05) is None
    broken = watch.update(True).broken(0.05)
    assert broken is not None
    assert (broken.label, broken.delta, broken.process.errors) == (None, 0.05, 3)


def test_the_parts_add_up_to_delta() -> None:
    average, each = Watch.start(0.05, LABELS).levels(0.06)
    assert average == pytest.approx(0.03)
    assert average + 3 * each == pytest.approx(0.06)


def test_a_label_moves_by_its_own_audits_only() -> None:
    watch = Watch.start(0.05, LABELS)
    after = watch.update(True, "a").update(False, "b").update(True, "z").update(True, None)
    assert watch == Watch.start(0.05, LABELS)
    assert after.labels["a"] == EProcess.start(0.05).update(True)
    assert after.labels["b"] == EProcess.start(0.05).update(False)
    assert after.labels["c"] == EProcess.start(0.05)
    assert (after.average.n, after.average.errors) == (4, 3)


def test_what_broke_is_named_the_worst_label_first() -> None:
    watch = Watch.start(0.05, LABELS)
    for _ in range(8):
        watch = watch.update(True, "b").update(True, "c")
    watch = watch.update(True, "c")
    broken = watch.broken(0.05)
    assert broken is not None
    assert (broken.label, broken.process) == ("c", watch.labels["c"])
    assert broken.delta == pytest.approx(0.05 / 6)


def test_a_little_too_much_everywhere_breaks_the_average() -> None:
    watch = Watch.start(0.05, tuple("abcdefghij"))
    for number in range(400):
        watch = watch.update(number // 10 % 6 == 0, "abcdefghij"[number % 10])
        if watch.broken(0.05):
            break
    broken = watch.broken(0.05)
    assert broken is not None
    assert broken.label is None


@pytest.mark.parametrize("delta", [0.0, 1.0])
def test_delta_must_be_a_rate(delta: float) -> None:
    with pytest.raises(ValueError, match="delta"):
        Watch.start(0.05, LABELS).broken(delta)
