"""Messages to a support desk and what is to be learned of them, drawn with a seed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from shoal.specialists.kind import Recipe
from shoal.tasks import Contract, Field, FieldsContract, Input, LabelContract, LabelsContract
from shoal.tasks.contract import Output, Scalar

DEPARTMENTS = ("delivery", "payments", "returns")
LABEL = LabelContract(DEPARTMENTS)
LABELS = LabelsContract((*DEPARTMENTS, "urgent"))
FIELDS = FieldsContract(
    (
        Field("department", "label", DEPARTMENTS),
        Field("urgent", "boolean"),
        Field("order", "span", optional=True),
        Field("amount", "number", nullable=True, missing="null"),
    )
)
HEADS = FieldsContract(FIELDS.fields[:2])
SPANS = FieldsContract(FIELDS.fields[2:])

RECIPE = Recipe("any", "recipe", encoder=True, cost=1, share=1)

_TOLD = {
    "delivery": ("my parcel is late", "the courier never came", "where is my package"),
    "payments": ("you charged my card twice", "the invoice is wrong", "my payment failed"),
    "returns": ("i want to send it back", "the size does not fit", "please take it back"),
}
_GREETINGS = ("hello", "hi there", "good morning", "dear team")


class Desk(NamedTuple):
    """Messages, and what each of them is by ``FIELDS``."""

    texts: list[str]
    rows: list[dict[str, Scalar]]

    @property
    def inputs(self) -> list[Input]:
        """What specialists read."""
        return inputs_of(self.texts)

    def outputs(self, contract: Contract) -> list[Output | None]:
        """What is to be learned."""
        if isinstance(contract, LabelContract):
            return [str(row["department"]) for row in self.rows]
        if isinstance(contract, LabelsContract):
            marks = [(str(row["department"]), row["urgent"]) for row in self.rows]
            return [(name, "urgent") if urgent else (name,) for name, urgent in marks]
        assert isinstance(contract, FieldsContract)
        names = [field.name for field in contract.fields]
        return [{name: row[name] for name in names} for row in self.rows]


def inputs_of(texts: Sequence[str]) -> list[Input]:
    """Texts as inputs of one slot."""
    return [Input(text) for text in texts]


def desk_messages(n: int, seed: int = 0) -> Desk:
    """Draw ``n`` messages."""
    rng = np.random.default_rng(seed)
    desk = Desk([], [])
    for _ in range(n):
        row: dict[str, Any] = {
            "department": str(rng.choice(DEPARTMENTS)),
            "urgent": bool(rng.random() < 0.4),
            "order": f"AB-{rng.integers(10_000, 99_999)}" if rng.random() < 0.6 else None,
            "amount": float(rng.integers(5, 500)) if rng.random() < 0.5 else None,
        }
        desk.texts.append(_text(row, rng))
        desk.rows.append(row)
    return desk


def _text(row: dict[str, Any], rng: np.random.Generator) -> str:
    parts = [str(rng.choice(_GREETINGS)), str(rng.choice(_TOLD[row["department"]]))]
    if row["order"]:
        parts.append(f"my order is {row['order']}")
    if row["amount"]:
        parts.append(f"it was {row['amount']:.0f} euros")
    if row["urgent"]:
        parts.append("this is urgent, answer today")
    return ", ".join(parts)
