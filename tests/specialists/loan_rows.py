"""Applications for a loan as JSON, and what is decided about them, drawn with a seed."""

import json
from typing import NamedTuple

import numpy as np

from shoal.tasks import Input, LabelContract, NumberContract
from shoal.tasks.contract import Output

VERDICT = LabelContract(("refuse", "grant"))
RATE = NumberContract("", " %", 1, absolute=0.5)
PURPOSES = ("car", "house", "school")


class Loans(NamedTuple):
    """Applications, verdicts and rates."""

    inputs: list[Input]
    verdicts: list[Output | None]
    rates: list[Output | None]


def loan_rows(n: int, seed: int = 0) -> Loans:
    """Granted if the income is over a third of the amount, and always for a house."""
    rng = np.random.default_rng(seed)
    loans = Loans([], [], [])
    for _ in range(n):
        amount, income = int(rng.integers(1_000, 90_000)), int(rng.integers(800, 30_000))
        purpose = str(rng.choice(PURPOSES))
        row = {"applicant": {"income": f"{income:,} EUR"}, "amount": amount, "purpose": purpose}
        loans.inputs.append(Input(json.dumps(row)))
        granted = income > amount / 3 or purpose == "house"
        loans.verdicts.append("grant" if granted else "refuse")
        loans.rates.append(round(2 + amount / 30_000 + (1.5 if purpose == "car" else 0), 1))
    return loans
