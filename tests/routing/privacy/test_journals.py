"""Redacting the values of a run."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shoal.routing.privacy.journals import JournalScrub
from shoal.routing.privacy.kinds import KINDS

ALL = frozenset(KINDS) - {"name"}
MAIL = "jane.doe@example.com"


def scrubbed(*texts: str) -> list[str]:
    scrub = JournalScrub(ALL)
    for text in texts:
        scrub.look(text)
    return [scrub.apply(text) for text in texts]


def test_what_one_record_reveals_is_removed_from_the_others() -> None:
    first, second = scrubbed('{"password": "Tq7vLp29xWz4"}', '{"note": "try Tq7vLp29xWz4"}')
    assert "Tq7vLp29xWz4" not in first
    assert "Tq7vLp29xWz4" not in second


def test_keys_and_long_numbers_are_looked_at_and_names_of_parts_stay() -> None:
    card = 4111111111111111
    call = "0190b000-0000-7000-8000-000000000001"
    told = {MAIL: 1, "paid": card, "call_id": call, "do": "ask", "id": "mail", "tool": "send_mail"}
    (kept,) = map(json.loads, scrubbed(json.dumps(told)))
    assert kept.pop("[EMAIL]") == 1
    assert kept.pop("paid") == "[CARD]"
    assert kept == {"call_id": call, "do": "ask", "id": "mail", "tool": "send_mail"}


def shape(value: Any) -> Any:
    match value:
        case dict():
            return [shape(one) for one in value.values()]
        case list():
            return [shape(one) for one in value]
        case str():
            return "text"
        case _:
            return value


TEXTS = st.text(max_size=12) | st.builds("{} {} {}".format, st.text(max_size=5), st.just(MAIL),
                                         st.text(max_size=5))  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=4))
def test_the_shape_stays_and_no_address_does(values: list[Any]) -> None:
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    kept = scrubbed(*texts)
    assert [shape(json.loads(one)) for one in kept] == [shape(value) for value in values]
    assert scrubbed(*kept) == kept  # doing it again changes nothing
    assert not any(MAIL in one for one in kept)


def test_what_tools_call_an_id_or_a_place_is_no_name_of_a_part() -> None:
    person = {"id": MAIL, "agent": [MAIL], "tokens": 4111111111111111}
    told = {"id": "mail", "arguments": {"to": person}, "value": [{"id": 1}, MAIL, person]}
    (kept,) = map(json.loads, scrubbed(json.dumps(told)))
    less = {"id": "[EMAIL]", "agent": ["[EMAIL]"], "tokens": "[CARD]"}
    assert kept["id"] == "mail"
    assert kept["arguments"] == {"to": less}
    assert kept["value"] == [{"id": 1}, "[EMAIL]", less]


def test_names_of_parts_stay_behind_values() -> None:
    password = {"password": "Tq7vLp29xWz4"}
    told = {"steps": [{"arguments": password, "id": "Tq7vLp29xWz4"}], "tool": "Tq7vLp29xWz4"}
    (kept,) = map(json.loads, scrubbed(json.dumps(told)))
    assert kept["steps"][0]["id"] == kept["tool"] == "Tq7vLp29xWz4"
    assert kept["steps"][0]["arguments"] != password
