"""The circuit breaker, on a clock of its own."""

from shoal.engines.circuit import FAILURES, PAUSE_S, Circuit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Circuit, Clock]:
    clock = Clock()
    circuit = Circuit(clock)
    for _ in range(FAILURES):
        assert not circuit.is_open
        circuit.failed(circuit.begin())
    assert circuit.is_open
    return circuit, clock


def test_it_opens_after_failures_in_a_row_only() -> None:
    circuit = Circuit(Clock())
    for _ in range(3 * FAILURES):
        circuit.failed(circuit.begin())
        circuit.begin()
        circuit.succeeded()
    assert not circuit.is_open


def test_one_probe_passes_when_the_pause_is_over() -> None:
    circuit, clock = opened()
    assert circuit.closes_in_s == PAUSE_S
    clock.now += PAUSE_S
    assert not circuit.is_open
    circuit.begin()
    assert circuit.is_open  # for all others, while the probe is under way
    circuit.succeeded()
    assert not circuit.is_open


def test_a_probe_that_fails_doubles_the_pause() -> None:
    circuit, clock = opened()
    for times in (2, 4, 8):
        clock.now += circuit.closes_in_s
        circuit.failed(circuit.begin())
        assert circuit.closes_in_s == times * PAUSE_S


def test_a_probe_nobody_waited_for_lets_another_pass() -> None:
    circuit, clock = opened()
    clock.now += PAUSE_S
    circuit.abandoned(circuit.begin())
    assert not circuit.is_open


def test_what_was_under_way_when_it_opened_changes_nothing() -> None:
    circuit, clock = opened()
    for _ in range(6):
        circuit.failed(False)
    assert circuit.closes_in_s == PAUSE_S
    clock.now += PAUSE_S
    assert circuit.begin()
    circuit.failed(False)
    circuit.abandoned(False)
    assert circuit.is_open  # the probe is still under way
    circuit.succeeded()
    assert not circuit.is_open
