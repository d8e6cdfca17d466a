"""Finding: overlaps, look-alike characters, names, time."""

import importlib.util
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_sample import KINDS_BY_RULE, samples

from shoal.errors import MissingExtra
from shoal.routing.privacy import KINDS, Finding, find, require

values = [value for row in samples() for _, value in row.found]
texts = st.lists(st.sampled_from([*values, " ", "\n", "x", ",", "-", "1"]), max_size=8).map("".join)
SECONDS = 3.0  # for 200,000 characters, fifteen times what the slowest took when measured
ADVERSARIAL = [
    "a",
    "@",
    "a@",
    "a@a.",
    "1",
    "1 ",
    "1.",
    "1-",
    "+1",
    "+49 ",
    "0",
    "01 ",
    "(0",
    "(415) ",
    "4111 ",
    "9999-",
    "DE89",
    "DE89 ",
    "AA00 ",
    "1.1.1.",
    "1:",
    "2001:",
    "f::",
    "eyJ",
    "eyJaaaaaaaa.",
    "-----BEGIN PRIVATE KEY-----",
    "sk-",
    "sk-aaaaaaaaaaaaaaaaaaa ",
    "token=",
    "password: ",
    "",
    "key",
    "secret ",
    "://a:",
    "Bearer ",
    "phone: ",
    "phone 1",
    "ssn 123-",
    "A",
    "A1",
    "ABCDEFGHI ",
    "=",
    "phone 5550132 ",
    "bob@x.com ",
    "é",
    "–",
    "İ",
    "",
    "card 4111 1111 ",
    "AB 12 ",
    "token                                                 ",
]


def values_in(text: str, *kinds: str) -> list[str]:
    return [text[f.start : f.end] for f in find(text, kinds or KINDS_BY_RULE)]  # type: ignore[arg-type]


@given(texts)
def test_findings_are_in_order_and_never_overlap(text: str) -> None:
    found = find(text, KINDS_BY_RULE)
    assert all(0 <= f.start < f.end <= len(text) for f in found)
    assert all(a.end <= b.start for a, b in pairwise(found))


@given(texts)
def test_other_kinds_than_asked_are_not_found(text: str) -> None:
    assert {f.kind for f in find(text, ("email", "ip"))} <= {"email", "ip"}


def test_nothing_asked_nothing_found() -> None:
    assert find("bob@example.com", ()) == ()


def test_the_longer_of_two_is_kept() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.a1-415-555-0132-b2"
    assert values_in(f"jwt {token}") == [token]


def test_a_password_in_a_url_is_no_address_for_mail() -> None:
    url = "postgres://app:s3cr3tPa55@db.example.com/x"
    assert values_in(url) == ["s3cr3tPa55"]
    assert values_in(url, "email") == []


def test_characters_that_look_alike() -> None:
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in "4111111111111111")
    text = f"card 4111\u00a01111\u00a01111\u00a01111, phone +49\u201130\u2011901820, {wide}"
    assert [f.kind for f in find(text, KINDS_BY_RULE)] == ["card", "phone", "card"]
    assert values_in(text)[0] == "4111\u00a01111\u00a01111\u00a01111"


def test_a_letter_that_grows_in_lower_case_moves_nothing() -> None:
    assert values_in("İİİ password: hunter2") == ["hunter2"]


def test_words_in_scripts_without_capitals() -> None:
    assert values_in("电话 5550132") == ["5550132"]
    assert values_in("ℂ phone 5550132, DE89370400440532013000") == [
        "5550132",
        "DE89370400440532013000",
    ]


def test_a_value_found_after_a_wrong_beginning() -> None:
    assert values_in("0000 4111 1111 1111 1111 99") == ["4111 1111 1111 1111"]


def test_a_word_that_announces_a_secret_behind_another() -> None:
    assert values_in("the secret api_key=a8f3k29dkq03mxz81") == ["a8f3k29dkq03mxz81"]


def test_cut_short_private_key() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIBOgIBAAJBAKj34GkxFhD9"
    assert values_in(f"see {key}") == [key]


class Stub:
    """Takes capitalised words for names, as presidio would report them."""

    def analyze(self, text: str, language: str, entities: list[str]) -> list[SimpleNamespace]:
        assert (language, entities) == ("en", ["PERSON"])
        at = text.index("Ada")
        sure = SimpleNamespace(start=at, end=at + 12, score=0.85)
        return [sure, SimpleNamespace(start=0, end=4, score=0.2)]


def test_names_by_an_analyzer() -> None:
    text = "Yesterday Ada Lovelace wrote"
    assert find(text, ("name",), Stub()) == (Finding("name", 10, 22),)


@pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is not None, reason="installed")
def test_names_need_an_extra() -> None:
    with pytest.raises(MissingExtra, match=r"shoal\[privacy\]"):
        find("Ada Lovelace", KINDS)
    with pytest.raises(MissingExtra):
        require(("name",))
    require(("email",))


@pytest.mark.parametrize("seed", ADVERSARIAL)
def test_time_is_linear_on_adversarial_text(seed: str) -> None:
    text = (seed * 200_000)[:200_000]
    began = time.process_time()
    find(text, KINDS_BY_RULE)
    assert time.process_time() - began < SECONDS


def test_proofs_end_where_a_text_is_full_of_numbers() -> None:
    """Past 500 the check digit must do, so that no text costs seconds; this one's month is 13."""
    assert find("360426199113010079", ("national_id",)) == ()
    assert len(find("360426199113010079, " * 600, ("national_id",))) == 100


def test_private_keys_without_an_end_take_linear_time() -> None:
    began = time.process_time()
    find("-----BEGIN PRIVATE KEY----- " * 40_000, ("secret",))
    assert time.process_time() - began < SECONDS


@settings(max_examples=200)
@given(st.text(max_size=300))
def test_any_text_can_be_searched(text: str) -> None:
    find(text, KINDS_BY_RULE)
