import pytest
from pydantic import ValidationError

from shoal.routing.promise import PromiseOptions


def test_the_default_is_five_per_cent_with_95_per_cent_confidence() -> None:
    promise = PromiseOptions()
    assert (promise.alpha, promise.confidence, promise.audit_rate) == (0.05, 0.95, 0.05)
    assert promise.delta == pytest.approx(0.05)


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0.0},
        {"alpha": 0.5},
        {"confidence": 0.5},
        {"confidence": 1.0},
        {"audit_rate": -0.1},
        {"audit_rate": 1.1},
        {"alpha": float("nan")},
        {"apha": 0.05},
    ],
)
def test_what_cannot_be_promised_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PromiseOptions(**wrong)


@pytest.mark.parametrize("rate", [0.0, -0.1])
def test_why_something_is_always_audited_is_said(rate: float) -> None:
    with pytest.raises(ValidationError, match="nobody would notice that the promise broke"):
        PromiseOptions(audit_rate=rate)
