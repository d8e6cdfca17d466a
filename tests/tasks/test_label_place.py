import pytest

from shoal.tasks import LabelContract
from shoal.tasks.label_place import place_of_label, rationale

PLAIN = LabelContract(("refund", "cancel"))
PREFIXED = LabelContract(("refund", "cancel"), prefix="Label: ")
REASONED = LabelContract(("A", "B"), prefix="So the answer is ", reasoned=True)


@pytest.mark.parametrize(
    ("contract", "text", "label", "place"),
    [
        (PLAIN, "refund", "refund", 0),
        (PLAIN, ' "Refund".', "refund", 2),
        (PLAIN, "something else", "refund", None),
        (PREFIXED, "Label: cancel", "cancel", 7),
        (REASONED, "A is not it. So the answer is (B).", "B", 31),
        (REASONED, "So the answer is A. No: So the answer is B.", "B", 41),
    ],
)
def test_where_a_label_stands(
    contract: LabelContract, text: str, label: str, place: int | None
) -> None:
    assert place_of_label(contract, text, label) == place


def test_the_rationale_is_what_stands_before_the_last_conclusion() -> None:
    assert rationale(REASONED, "It barks. So the answer is A.") == "It barks."
    assert rationale(REASONED, "So the answer is A.") == ""
    assert rationale(REASONED, "It never concludes.") == ""
    assert rationale(PREFIXED, "Well. Label: refund") == ""
