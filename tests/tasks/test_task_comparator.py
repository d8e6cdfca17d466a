"""What is the same answer, for each contract."""

import pytest

from shoal.chat import Answer, ToolCall
from shoal.tasks import comparator_name, same
from shoal.tasks.contract import (
    CallContract,
    Contract,
    Field,
    FieldsContract,
    LabelContract,
    NumberContract,
    TextContract,
)

ORDER = FieldsContract(
    (
        Field("id", "span", optional=True),
        Field("kind", "label", ("new", "old")),
        Field("n", "number", nullable=True),
        Field("more", "json", optional=True),
    )
)

STAY = FieldsContract((Field("from", "date"), Field("rooms", "spans", optional=True)))


@pytest.mark.parametrize(
    ("contract", "a", "b", "equal"),
    [
        (LabelContract(("yes", "no")), "yes", " Yes.", True),
        (LabelContract(("yes", "no")), "yes", "no", False),
        (LabelContract(("yes", "no")), "yes", "yes, I think", False),
        (LabelContract(("yes", "no")), "maybe", "maybe", True),
        (ORDER, '{"kind":"new","n":1}', '{"n": 1.0, "kind": "New", "id": null}', True),
        (ORDER, '{"kind":"new","n":1}', '{"kind":"new","n":null}', False),
        (ORDER, '{"kind":"new","n":1,"id":"A  1"}', '{"kind":"new","n":1,"id":"a 1"}', True),
        (ORDER, '{"kind":"new","n":1,"id":""}', '{"kind":"new","n":1}', True),
        (ORDER, '{"kind":"new","n":1,"more":[1]}', '{"kind":"new","n":1,"more":[1.0]}', True),
        (ORDER, '{"kind":"new","n":1,"more":[1]}', '{"kind":"new","n":1,"more":[true]}', False),
        (ORDER, '{"kind":"new","n":1}', '{"kind":"new"', False),
        (STAY, '{"from":"2026-11-30"}', '{"from": "2026-11-30", "rooms": null}', True),
        (STAY, '{"from":"2026-11-30"}', '{"from":"2026-11-29"}', False),
        (
            STAY,
            '{"from":"2026-11-30","rooms":["A  1"]}',
            '{"from":"2026-11-30","rooms":["a 1"]}',
            True,
        ),
        (
            STAY,
            '{"from":"2026-11-30","rooms":["a","b"]}',
            '{"from":"2026-11-30","rooms":["b","a"]}',
            False,
        ),
        (STAY, '{"from":"2026-11-30","rooms":[]}', '{"from":"2026-11-30"}', False),
        (NumberContract(), "1,000", "1000.0", True),
        (NumberContract(), "1", "1.01", False),
        (TextContract(), "Thank  you.", "thank you", True),
        (TextContract(), "Thank you", "Thanks", False),
        (TextContract(json=True), '{"a":1,"b":2}', '{"b": 2, "a": 1}', True),
    ],
)
def test_same_text(contract: Contract, a: str, b: str, equal: bool) -> None:
    assert same(contract, Answer(a), Answer(b)) is equal
    assert same(contract, Answer(b), Answer(a)) is equal


def calling(*calls: tuple[str, str]) -> Answer:
    return Answer("", tuple(ToolCall(str(i), *call) for i, call in enumerate(calls)))


def test_calls_are_compared_by_name_and_json() -> None:
    contract = CallContract(("f", "g"))
    one = calling(("f", '{"a": 1, "b": 2}'))
    assert same(contract, one, calling(("f", '{"b":2,"a":1}')))
    assert not same(contract, one, calling(("g", '{"a": 1, "b": 2}')))
    assert not same(contract, one, calling(("f", '{"a": 1}')))
    assert not same(contract, one, calling(("f", '{"a": 1, "b": 2}'), ("f", "{}")))
    assert same(contract, calling(("f", "")), calling(("f", "{}")))


@pytest.mark.parametrize(
    ("contract", "a", "b", "equal"),
    [
        (NumberContract(absolute=0.5), "10", "10.5", True),
        (NumberContract(absolute=0.5), "10", "10.51", False),
        (NumberContract(relative=0.05), "100", "105", True),
        (NumberContract(relative=0.05), "100", "105.1", False),
        (NumberContract(relative=0.05), "-100", "-104", True),
        (NumberContract(relative=0.9), "1", "-1", False),
        (NumberContract(relative=0.5), "0", "0.001", False),
        (NumberContract(absolute=1, relative=0.05), "100", "104.9", True),
        (NumberContract(absolute=0.1), "0.3", "0.2", True),
        (NumberContract(relative=0.5), "9" * 400, "5", False),
        (NumberContract(relative=0.5), "9" * 400, "-" + "9" * 400, False),
    ],
)
def test_numbers_are_the_same_within_the_tolerance(
    contract: NumberContract, a: str, b: str, equal: bool
) -> None:
    assert same(contract, Answer(a), Answer(b)) is equal
    assert same(contract, Answer(b), Answer(a)) is equal


def test_certificates_name_the_tolerance() -> None:
    assert comparator_name(NumberContract(relative=0.05)) == "equal within 5 %"
    assert comparator_name(NumberContract(absolute=0.5)) == "equal within 0.5"


def test_a_cut_answer_is_not_the_same_as_a_whole_one() -> None:
    contract = LabelContract(("yes", "no"))
    assert not same(contract, Answer("yes"), Answer("yes", complete=False))


def test_every_contract_has_a_name_for_its_comparator() -> None:
    contracts = (
        LabelContract(("a",)),
        ORDER,
        NumberContract(),
        NumberContract(absolute=0.5),
        NumberContract(relative=0.05),
        NumberContract(absolute=0.5, relative=0.05),
        CallContract(("f",)),
        TextContract(),
        TextContract(json=True),
    )
    names = [comparator_name(contract) for contract in contracts]
    assert len(set(names)) == len(names)
    assert names[0] == "equal label"
