"""The process that makes the transactions, all of it known: nothing here was observed anywhere.

Of each transaction six things are drawn, more or less as on a card account, and from them a risk:

    risk = 1.1 ln(amount / usual amount) + 1.6 [device is new] + 1.4 [country is not the card's]
         + 0.9 [hour is 0 to 5] + 0.5 (tries in the last hour - 1) - 0.5 ln(1 + account's days / 30)

The analyst says "fraud" with probability 1 / (1 + exp(-2.5 (risk - 2.4))), else "legitimate". So
most cases are clear and those near the line are not: there the analyst would not agree with himself
either, and no model can promise to agree with him.
"""

import math
import random
from dataclasses import asdict, dataclass
from typing import Any

COUNTRIES = ("DE", "FR", "NL", "PL", "IT", "US", "BR", "NG")
LINE, STEEPNESS = 2.4, 2.5


@dataclass(frozen=True)
class Transaction:
    """What is known when it has to be decided; amounts in EUR."""

    amount: float
    usual_amount: float
    country: str
    card_country: str
    hour: int
    new_device: bool
    tries_last_hour: int
    account_days: int


def drawn(chance: random.Random) -> Transaction:
    """One transaction."""
    usual = round(math.exp(chance.gauss(3.6, 0.5)), 2)
    odd = chance.random() < 0.3
    card = chance.choice(COUNTRIES[:5])
    return Transaction(
        amount=round(usual * math.exp(chance.gauss(1.4 if odd else 0.0, 0.6)), 2),
        usual_amount=usual,
        country=chance.choice(COUNTRIES) if chance.random() < (0.6 if odd else 0.1) else card,
        card_country=card,
        hour=chance.randrange(24),
        new_device=chance.random() < (0.6 if odd else 0.1),
        tries_last_hour=1 + min(7, int(chance.expovariate(0.5 if odd else 2.0))),
        account_days=int(chance.expovariate(1 / 400)),
    )


def risk(of: Transaction) -> float:
    """See above."""
    return (
        1.1 * math.log(of.amount / of.usual_amount)
        + 1.6 * of.new_device
        + 1.4 * (of.country != of.card_country)
        + 0.9 * (of.hour < 6)
        + 0.5 * (of.tries_last_hour - 1)
        - 0.5 * math.log(1 + of.account_days / 30)
    )


def chance_of_fraud(of: Transaction) -> float:
    """That the analyst says so."""
    return 1 / (1 + math.exp(-STEEPNESS * (risk(of) - LINE)))


def word_of(of: Transaction, chance: random.Random) -> str:
    """What the analyst says."""
    return "fraud" if chance.random() < chance_of_fraud(of) else "legitimate"


def columns(of: Transaction) -> dict[str, Any]:
    """As the analyst is shown it."""
    return asdict(of)
