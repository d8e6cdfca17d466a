"""Work after answers: what fails is told once a minute."""

import logging

import pytest

from shoal.assembly import background
from shoal.assembly.background import Background
from shoal.assembly.regime import Regime
from shoal.errors import EngineUnreachable


class Held(Regime):
    def __init__(self) -> None:
        self.held = 0

    def hold(self) -> None:
        self.held += 1

    def let_go(self) -> None:
        self.held -= 1


async def fails(number: int) -> None:
    raise EngineUnreachable(f"call {number} was never recorded")


async def test_many_failures_are_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    work, regime = Background("audit"), Held()
    with caplog.at_level(logging.WARNING):
        for number in range(40):
            work.start(regime, fails(number))
        await work.settle()
        await work.close()
    first, last = caplog.messages
    assert first == "audit failed: call 0 was never recorded"
    assert last == "audit failed 39 more times"
    assert work.failures == 40
    assert regime.held == 0


async def test_what_failed_meanwhile_is_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, regime, now = Background("audit"), Held(), 1_000.0
    monkeypatch.setattr(background.time, "monotonic", lambda: now)
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            now += 59.0 * (number == 3) + 1.0
            work.start(regime, fails(number))
            await work.settle()
        await work.close()
    assert [line.removeprefix("audit failed: ") for line in caplog.messages] == [
        "call 0 was never recorded",
        "call 3 was never recorded (2 more since the last such line)",
    ]
