"""Streams: wherever a text is cut, the restored text is the same, and little is held back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.routing.privacy import Restorer, Vault

VAULT = Vault(
    {
        "bob@example.com": "[EMAIL_1]",
        "amy@example.org": "[EMAIL_12]",
        'quote " and \\': "[SECRET_1]",
        "536-90-4399": "[NATIONAL_ID_1]",
    }
)
PIECES = [
    "[EMAIL_1]",
    "[EMAIL_12]",
    "[EMAIL_2]",
    "[email 1]",
    "\\[EMAIL\\_1\\]",
    "\\\\[EMAIL\\\\_1\\\\]",
    "[ EMAIL_1 ]",
    "\n[NATIONAL_ID_1]",
    "\\[NATIONAL\\_ID\\_1\\]",
    "[SECRET_1]",
    "[IP_1]",
    "[EMAIL_",
    "[EMAIL",
    "[",
    "]",
    "\\",
    "\\\\",
    "\\[",
    "_1]",
    "\\]",
    " ",
    "1",
    "a",
    "\n**[EMAIL_1]**",
    "[EMAIL_1](mailto:[EMAIL_1])",
    "[[EMAIL_1]]",
    "EMAIL",
    "[national-id 1]",
    '"',
    "\n",
]


def streamed(pieces: list[str], in_json: bool) -> str:
    restorer = Restorer(VAULT, in_json)
    return "".join([*map(restorer.feed, pieces), restorer.end()])


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=8), st.data(), st.booleans())
def test_any_cut_gives_the_same_text(pieces: list[str], data: st.DataObject, in_json: bool) -> None:
    text = "".join(pieces)
    at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    cut = [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]
    assert streamed(cut, in_json) == VAULT.restore_text(text, in_json)
    assert streamed(list(text), in_json) == VAULT.restore_text(text, in_json)


@pytest.mark.parametrize(
    "form",
    [
        "[EMAIL_1]",
        "[email_1]",
        "[Email 1]",
        "[EMAIL-1]",
        "[EMAIL1]",
        "[ EMAIL_1 ]",
        "\\[EMAIL\\_1\\]",
        "[EMAIL\\_1]",
        "\\[EMAIL_1\\]",
    ],
)
def test_obvious_variants_are_restored(form: str) -> None:
    assert VAULT.restore_text(f"to {form}.") == "to bob@example.com."


@pytest.mark.parametrize(
    "text", ["[EMAIL_2]", "[PHONE_1]", "EMAIL_1", "[EMAIL_1", "[MAIL_1]", "[1]"]
)
def test_what_is_unknown_passes_through(text: str) -> None:
    assert VAULT.restore_text(text) == text
    assert streamed(list(text), False) == text


def test_a_backslash_of_the_text_stays() -> None:
    assert VAULT.restore_text("C:\\[EMAIL_1]") == "C:\\bob@example.com"


@given(st.lists(st.sampled_from(PIECES), max_size=6))
def test_no_more_is_held_back_than_may_become_a_placeholder(pieces: list[str]) -> None:
    restorer, text = Restorer(VAULT), "".join(pieces)
    for character in text:
        restorer.feed(character)
        held = restorer._held
        if held:
            assert any(VAULT.restore_text(held + rest) != held + rest for rest in endings()), held


def endings() -> list[str]:
    """Every way to go on, at any point of a placeholder."""
    labels = ("[EMAIL_1", "[EMAIL_12", "[SECRET_1", "[NATIONAL_ID_1")
    return [
        label[at:] + close
        for label in labels
        for at in range(len(label) + 1)
        for close in ("]", "\\]")
    ]


def test_plain_text_is_never_held() -> None:
    restorer = Restorer(VAULT)
    assert restorer.feed("array[0] and [a link](x)") == "array[0] and [a link](x)"
    assert restorer.feed("[P") == "[P"
    assert restorer.feed("[E") == ""
    assert restorer.feed("x") == "[Ex"


def test_arguments_in_pieces_stay_json() -> None:
    pieces = ['{"a": "[SECR', 'ET_1]", "b": "\\\\[EMAIL\\', '\\_1\\\\]"}']
    assert json.loads(streamed(pieces, True)) == {"a": 'quote " and \\', "b": "bob@example.com"}
