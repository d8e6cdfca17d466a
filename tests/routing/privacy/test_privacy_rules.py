"""The rules: options, rulings, and what a refusal says."""

import pytest
from pydantic import ValidationError

from shoal.chat import Message, Request
from shoal.errors import PrivacyRefused, RequestError
from shoal.routing.privacy import KINDS, PrivacyOptions, Ruling, judge

SAID = Request(
    "m",
    (
        Message("system", "Answer bob@example.com or amy@example.org."),
        Message("user", "bob@example.com pays with 4111 1111 1111 1111 from 192.0.2.1"),
    ),
    params='{"user":"amy@example.org"}',
)


def test_the_strictest_action_counts() -> None:
    options = PrivacyOptions(redact=("email",), local_only=("ip",), refuse=("card",))
    ruling = judge(SAID, options)
    assert ruling.action == "refuse"
    assert ruling.decisive == ("card",)
    assert ruling.found == {"email": 2, "card": 1, "ip": 1}
    assert ruling.places["email"] == ("messages[0]", "messages[1]", "parameters")
    assert judge(SAID, PrivacyOptions(redact=("email",), local_only=("ip",))).action == "local_only"
    assert judge(SAID, PrivacyOptions(redact=("email",), refuse=("iban",))).action == "redact"


def test_nothing_found_and_nothing_asked() -> None:
    assert judge(SAID, PrivacyOptions(refuse=("iban",))) == Ruling()
    assert judge(SAID, PrivacyOptions()) == Ruling()


def test_a_ruling_holds_no_value() -> None:
    ruling = judge(SAID, PrivacyOptions(refuse=("card", "email", "ip")))
    assert not any(value in repr(ruling) for value in ("bob", "amy", "4111", "192.0"))


def test_a_refusal_names_kinds_and_places_only() -> None:
    error = judge(SAID, PrivacyOptions(refuse=("card", "ip"), redact=("email",))).refusal()
    assert isinstance(error, PrivacyRefused)
    assert isinstance(error, RequestError)
    assert (error.status, error.code, error.param) == (403, "privacy_refused", "messages[1]")
    assert "card in messages[1]; ip in messages[1]" in str(error)
    assert not any(value in str(error) for value in ("4111", "192.0", "bob"))


def test_a_field_that_only_the_body_holds_is_judged() -> None:
    body = b'{"messages":[{"role":"assistant","content":"x","reasoning":"ask bob@example.com"}]}'
    said = Request("m", (Message("assistant", "x"),), body=body)
    assert judge(said, PrivacyOptions(refuse=("email",))).places == {
        "email": ("messages[0].reasoning",)
    }


def test_a_kind_stands_in_one_list() -> None:
    with pytest.raises(ValidationError, match="card: given twice"):
        PrivacyOptions(redact=("card",), refuse=("card",))
    with pytest.raises(ValidationError, match="card: given twice"):
        PrivacyOptions(redact=("card", "card"))


@pytest.mark.parametrize("wrong", [{"redact": ["e-mail"]}, {"mask": ["email"]}, {"store": "no"}])
def test_unknown_kinds_and_settings_are_errors(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PrivacyOptions.model_validate(wrong)


def test_names_are_scrubbed_only_where_a_list_has_them() -> None:
    assert PrivacyOptions().scrubbed == set(KINDS) - {"name"}
    assert "name" in PrivacyOptions(redact=("name",)).scrubbed
