"""What ``shoal.toml`` says about when two answers of a task are the same, and which are none."""

import re

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, field_validator

from shoal.routing.signals.registry import BUILT_IN
from shoal.tasks.contract import Contract, NumberContract

_TOLERANCE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*")
_HOOK = re.compile(r"[^:\s][^:]*:[A-Za-z_]\w*")
ROWS, SQL, COMMAND = "rows:", "sql:", "command:"


class JudgingOptions(BaseModel):
    """How answers of one task are judged.

    ``tolerance``: two numbers that differ by no more are the same answer; "5 %" of the lesser of
    them, or a number like "0.5". ``comparator``: a function of two answers that says whether they
    are the same, as "checks.py:same_reply" or "package.module:function"; or "rows:shop.sqlite", for
    SQL that gives the same rows. ``validators``: what an answer of cheaper models must pass to
    count: "schema", "tools", "citations", "sql:shop.sqlite", "command:python tests.py", or
    functions of request and answer that return what is wrong, named like comparators.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: str | None = None
    comparator: str = ""
    validators: tuple[str, ...] = Field(default=(), max_length=10)

    @field_validator("tolerance")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None and not _TOLERANCE.fullmatch(value):
            raise ValueError('a tolerance should be like "5 %" or "0.5"')
        return value

    @field_validator("comparator")
    @classmethod
    def _callable(cls, value: str) -> str:
        if value and not value.startswith(ROWS) and not _HOOK.fullmatch(value):
            raise ValueError(
                'a comparator should be like "checks.py:function", "package.module:function" or '
                '"rows:shop.sqlite"'
            )
        return value

    @field_validator("validators")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            known = name in BUILT_IN or name.startswith((SQL, COMMAND))
            if not known and not _HOOK.fullmatch(name):
                names = ", ".join(f'"{built_in}"' for built_in in BUILT_IN)
                raise ValueError(
                    f'a validator should be {names}, or like "sql:shop.sqlite", '
                    f'"command:python tests.py" or "checks.py:function"'
                )
        return value

    def applied(self, contract: Contract) -> Contract:
        """The contract with this comparator, and with this tolerance if it is one of numbers."""
        if contract.comparator != self.comparator:
            contract = replace(contract, comparator=self.comparator)
        if not isinstance(contract, NumberContract):
            return contract
        found = _TOLERANCE.fullmatch(self.tolerance or "")
        amount = float(found[1]) if found else 0.0
        if found and found[2]:
            return replace(contract, absolute=0.0, relative=amount / 100)
        return replace(contract, absolute=amount, relative=0.0)
