"""The certificate as a document: what it refuses to say, what it always says."""

import msgspec
import pytest

from shoal.errors import StoreError
from shoal.guarantees import Certificate, PeopleCheck, assumptions_of
from shoal.guarantees.certificate import CROSS_FITTED

_SOUND = Certificate(
    id="c-1",
    task="department",
    specialist="label-7",
    alpha=0.05,
    confidence=0.95,
    delta_spent=0.0304,
    attempt=1,
    threshold=0.83,
    n=1000,
    accepted=712,
    errors=19,
    risk_bound=0.0413,
    coverage=0.712,
    coverage_low=0.683,
    coverage_high=0.74,
    reference="gpt-4o-mini (recorded)",
    comparator="equal label",
    method="held-out",
    data_digest="sha256:0a1b",
    assumptions=assumptions_of("held-out", "gpt-4o-mini (recorded)"),
    issued_at=1735689600.0,
    lapses_at=1738281600.0,
)


def test_json_there_and_back() -> None:
    people = msgspec.structs.replace(_SOUND, people=PeopleCheck(40, 1, 0.113), self_agreement=0.9)
    for certificate in (_SOUND, people):
        assert Certificate.from_json(certificate.to_json()) == certificate
        assert Certificate.from_json(certificate.to_json().decode()) == certificate


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        _SOUND.alpha = 0.5  # type: ignore[misc]


def test_it_lapses_at_its_time() -> None:
    assert not _SOUND.lapsed(_SOUND.lapses_at - 1)
    assert _SOUND.lapsed(_SOUND.lapses_at)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"alpha": 0.0}, "alpha, confidence in"),
        ({"confidence": 1.0}, "alpha, confidence in"),
        ({"delta_spent": 0.06}, "delta_spent in the budget"),
        ({"errors": 713}, "errors <= accepted <= n"),
        ({"accepted": 1001}, "errors <= accepted <= n"),
        ({"risk_bound": 0.0501}, "risk_bound <= alpha"),
        ({"coverage": 0.9}, "coverage in its interval"),
        ({"lapses_at": 0.0}, "issued_at before lapses_at"),
        ({"method": "cross-fitted"}, "CROSS_FITTED said"),
    ],
)
def test_figures_that_contradict_each_other_are_refused(
    change: dict[str, object], rule: str
) -> None:
    with pytest.raises(ValueError, match=f"certificate c-1: {rule}"):
        msgspec.structs.replace(_SOUND, **change)


def test_cross_fitted_scores_are_said_to_be() -> None:
    crossed = msgspec.structs.replace(
        _SOUND, method="cross-fitted", assumptions=assumptions_of("cross-fitted", "the LLM")
    )
    assert CROSS_FITTED in crossed.describe()
    assert "1000 cross-fitted examples" in crossed.describe()
    assert CROSS_FITTED not in _SOUND.describe()


def test_what_was_not_checked_is_said_too() -> None:
    text = _SOUND.describe()
    assert "How often gpt-4o-mini (recorded) agrees with itself was not measured." in text
    assert "No answer of it has been judged by people." in text
    assert text.index("Not promised:") < text.index("exchangeable")


@pytest.mark.parametrize(
    ("agreement", "told"),
    [(0.5, "50 %"), (0.996, "99.6 %"), (0.9996, "99.96 %"), (249_999 / 250_000, "99.9996 %")],
)
def test_nearly_always_is_not_told_as_always(agreement: float, told: str) -> None:
    text = msgspec.structs.replace(_SOUND, self_agreement=agreement).describe()
    assert f"agrees with itself {told} of the time" in text


def test_always_is_told_as_always() -> None:
    text = msgspec.structs.replace(_SOUND, self_agreement=1.0).describe()
    assert "agrees with itself 100 % of the time" in text


def test_every_assumption_is_printed() -> None:
    text = _SOUND.describe()
    assert all(f"- {assumption}" in text for assumption in _SOUND.assumptions)
    assert len(_SOUND.assumptions) >= 4


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "truncated"),
        (b"{}", "missing required field `id`"),
        (_SOUND.to_json().replace(b'"n":1000', b'"n":"many"'), r"\$\.n"),
        (_SOUND.to_json().replace(b'"n":1000', b'"n":10'), "errors <= accepted <= n"),
    ],
)
def test_what_is_no_certificate_is_refused_with_the_place(data: bytes, why: str) -> None:
    with pytest.raises(StoreError, match=f"(?s)not a certificate: .*{why}.*certify"):
        Certificate.from_json(data)
