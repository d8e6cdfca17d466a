"""What the plan does by calculation: rows to cases, and rules of thumb in words."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shoal.tools.python import tool


class Transaction(BaseModel):
    """What a case must have to be decided at all; amounts in EUR."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    amount: float = Field(gt=0)
    usual_amount: float = Field(gt=0)
    country: str = Field(pattern=r"^[A-Z]{2}$")
    card_country: str = Field(pattern=r"^[A-Z]{2}$")
    hour: int = Field(ge=0, le=23)
    new_device: bool
    tries_last_hour: int = Field(ge=1)
    account_days: int = Field(ge=0)


@dataclass
class Case:
    """A transaction, or what is wrong with its row."""

    id: str
    transaction: Transaction | None
    problems: list[str]


@tool(effects="reads")
def cases(columns: list[str], rows: list[list[Any]]) -> list[Case]:
    """Rows of the bank's table as cases, in their order.

    Args:
        columns: the names of the columns
        rows: their values
    """
    return [_case(dict(zip(columns, row, strict=True))) for row in rows]


def _case(row: dict[str, Any]) -> Case:
    try:
        return Case(str(row["id"]), Transaction.model_validate(row), [])
    except ValidationError as error:
        told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return Case(str(row["id"]), None, told)


@tool(effects="reads")
def signs(transaction: Transaction) -> list[str]:
    """The rules of thumb that a transaction meets: they decide nothing, they tell where to look.

    Args:
        transaction: as it stands in the case
    """
    one, times = transaction, transaction.amount / transaction.usual_amount
    found = (
        (times >= 3, f"{times:.1f} times the usual amount"),
        (one.new_device, "a device never seen before"),
        (one.country != one.card_country, f"in {one.country} with a card of {one.card_country}"),
        (one.hour < 6, f"at {one.hour} o'clock at night"),
        (one.tries_last_hour >= 3, f"{one.tries_last_hour} tries within an hour"),
        (one.account_days < 30, f"an account {one.account_days} days old"),
    )
    return [words for holds, words in found if holds]
