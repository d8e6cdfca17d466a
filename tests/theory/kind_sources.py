"""For each kind of specialist, inputs drawn from a known law, and the law of the answer to each.

The answer to an input is drawn from its law, so a share of errors is unavoidable, and the true risk
of any prediction is what the law leaves of it. How hard an input is differs, and mostly shows.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from message_source import LABELS, MessageSource

from shoal.chat import Message, ToolCall
from shoal.specialists import call, decision, fields, match, multi_label
from shoal.specialists.kind import Recipe
from shoal.tasks import (
    CallContract,
    Contract,
    Field,
    FieldsContract,
    Input,
    LabelContract,
    LabelsContract,
    NumberContract,
    Output,
)
from shoal.tasks.template import transcript_of

Rng = np.random.Generator
Law = list[tuple[Output | None, float]]
"""What may be answered, each with its probability; None: what breaks the contract."""


class Drawn(NamedTuple):
    """``inputs`` (n), and the ``laws`` (n) of their answers."""

    inputs: list[Input]
    laws: list[Law]


class Source(NamedTuple):
    """A contract, the recipe that learns it, and ``draw``: one input and its law."""

    contract: Contract
    recipe: Recipe
    one: Callable[[Rng], tuple[Input, Law]]

    def draw(self, n: int, rng: Rng) -> Drawn:
        """Draw ``n`` inputs, independently."""
        drawn = [self.one(rng) for _ in range(n)]
        return Drawn([given for given, _ in drawn], [law for _, law in drawn])


def answer_of(law: Law, rng: Rng) -> Output | None:
    """One answer, drawn."""
    at = np.cumsum([chance for _, chance in law]).searchsorted(rng.random())
    return law[min(int(at), len(law) - 1)][0]


# -- match: pairs of a catalogue, whose records recur ---------------------------------------------

_BRANDS = ("sony", "canon", "lg", "bosch", "philips", "nikon")
_THINGS = ("digital camera", "washing machine", "lcd tv", "laser printer", "dvd player")
_CATALOGUE, _MISHEARD = 400, 0.04


def pairs(seed: int) -> Source:
    """Records of two shops. The model number is missing in some on the right: then only the price
    tells. A record may have its match in one pair and something else in another."""
    rng = np.random.default_rng(seed)
    lefts, rights, groups = [], [], list[tuple[str, str]]()
    for _ in range(_CATALOGUE):
        brand, thing = str(rng.choice(_BRANDS)), str(rng.choice(_THINGS))
        number, price = rng.integers(1_000, 9_999), rng.uniform(100, 250)
        lefts.append({"name": f"{brand} {thing} {brand[:2]}{number}", "price": f"{price:.0f}"})
        known = "" if rng.random() < 0.6 else f"{brand[:2].upper()}-{number}"
        price *= rng.uniform(0.85, 1.1)
        rights.append({"name": f"{brand} {known} {thing}", "price": f"{price:.2f}"})
        groups.append((brand, thing))
    alike = {
        group: [at for at, other in enumerate(groups) if other == group] for group in set(groups)
    }

    def one(rng: Rng) -> tuple[Input, Law]:
        at = int(rng.integers(_CATALOGUE))
        other = at if rng.random() < 0.4 else int(rng.choice(alike[groups[at]]))
        left, right = json.dumps(lefts[at]), json.dumps(rights[other])
        given = Input(f"left: {left}\nright: {right}", (("left", left), ("right", right)))
        yes = 1 - _MISHEARD if at == other else _MISHEARD
        return given, [("same", yes), ("different", 1 - yes)]

    return Source(LabelContract(("different", "same")), match.KIND.recipes[0], one)


# -- labels: what is said in one half of a message, and in the other if there is one --------------


def label_sets(seed: int) -> Source:
    """One label or two, each by the law of a message of its own."""
    first, second = MessageSource(seed), MessageSource(1_000 + seed)
    contract = LabelsContract((*LABELS, *(f"also {name}" for name in LABELS)))

    def one(rng: Rng) -> tuple[Input, Law]:
        a = first.draw(1, rng)
        if rng.random() < 0.75:
            law = [((name,), chance) for name, chance in zip(LABELS, a.chances[0], strict=True)]
            return Input(a.texts[0]), [*law]
        b = second.draw(1, rng)
        return Input(f"{a.texts[0]} / {b.texts[0]}"), [
            ((name, f"also {other}"), float(p * q))
            for name, p in zip(LABELS, a.chances[0], strict=True)
            for other, q in zip(LABELS, b.chances[0], strict=True)
        ]

    return Source(contract, multi_label.KIND.recipes[0], one)


# -- fields: a label, and a span that is copied ---------------------------------------------------

_FIELDS = FieldsContract(
    (Field("department", "label", LABELS), Field("order", "span", optional=True))
)


def stated(seed: int) -> Source:
    """Of two order numbers the first is meant, most often; a telephone number never is."""
    messages = MessageSource(seed)
    recipe = next(recipe for recipe in fields.KIND.recipes if recipe.name == fields.CHAIN)

    def one(rng: Rng) -> tuple[Input, Law]:
        told = messages.draw(1, rng)
        text, orders = _with_orders(told.texts[0], rng)
        return Input(text), [
            ({"department": name, "order": order}, float(p * q))
            for name, p in zip(LABELS, told.chances[0], strict=True)
            for order, q in orders
        ]

    return Source(_FIELDS, recipe, one)


def _with_orders(text: str, rng: Rng) -> tuple[str, list[tuple[str | None, float]]]:
    """The text with order numbers stated, and the law of the one that is meant."""
    one, other, phone = (int(number) for number in rng.integers(10_000, 99_999, size=3))
    match rng.integers(5):
        case 0:
            return f"{text} call {phone}", [(None, 1.0)]
        case 1:
            return f"{text} order {one} or {other}", [(str(one), 0.8), (str(other), 0.2)]
        case 2:
            return f"{text} call {phone} about order {one}", [(str(one), 0.97), (None, 0.03)]
        case _:
            return f"order {one} {text}", [(str(one), 0.97), (None, 0.03)]


# -- decision: rows of a table --------------------------------------------------------------------

_PURPOSES = ("car", "house", "school")


def verdicts(seed: int) -> Source:
    """The nearer an income is to a part of the amount, the less certain the verdict."""
    part = float(np.random.default_rng(seed).uniform(0.25, 0.4))

    def one(rng: Rng) -> tuple[Input, Law]:
        given, amount, income, purpose = _application(rng)
        margin = (income - part * amount) / 4_000 + (1.5 if purpose == "house" else 0)
        yes = 0.03 + 0.94 / (1 + np.exp(-margin))
        return given, [("grant", float(yes)), ("refuse", float(1 - yes))]

    return Source(LabelContract(("refuse", "grant")), decision.KIND.recipes[0], one)


def rates(seed: int) -> Source:
    """A rate in percent, haggled over where it is for a car."""
    base = float(np.random.default_rng(seed).uniform(2, 4))

    def one(rng: Rng) -> tuple[Input, Law]:
        given, amount, _, purpose = _application(rng)
        usual, odd = round(base + amount / 30_000, 1), 0.4 if purpose == "car" else 0.03
        law: Law = [
            (usual, 1 - odd),
            (round(usual + 2, 1), odd / 2),
            (round(usual + 4, 1), odd / 2),
        ]
        return given, law

    return Source(NumberContract("", " %", 1, absolute=0.5), decision.KIND.recipes[0], one)


def _application(rng: Rng) -> tuple[Input, int, int, str]:
    amount, income = int(rng.integers(1_000, 90_000)), int(rng.integers(800, 30_000))
    purpose = str(rng.choice(_PURPOSES))
    row = {"applicant": {"income": f"{income:,} EUR"}, "amount": amount, "purpose": purpose}
    return Input(json.dumps(row)), amount, income, purpose


# -- call: a step each of so many conversations ---------------------------------------------------

_CALLS = CallContract(("look_up", "refund"), talks=True)
_TEXT = {"type": "string"}
_WAY = {"type": "string", "enum": ["card", "voucher"]}
_TOOLS = json.dumps(
    [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": said,
                "parameters": {"type": "object", "properties": has, "required": list(has)},
            },
        }
        for name, said, has in (
            ("look_up", "Looks up an order.", {"order_id": _TEXT}),
            ("refund", "Pays it back.", {"order_id": _TEXT, "way": _WAY}),
        )
    ]
)
_NUMBERS = ("My order is {}.", "It's {}, I bought it last week.", "Sure: {}", "Order number {}")


def agent(seed: int) -> Source:
    """It looks an order up, and refunds it. Of two orders the first is meant, most often, and where
    no way of paying is asked for it is the card. Steps of one conversation are not independent: one
    is drawn of each."""
    first = float(np.random.default_rng(seed).uniform(0.65, 0.75))

    def one(rng: Rng) -> tuple[Input, Law]:
        order, other = (f"AB-{number}" for number in rng.integers(10_000, 99_999, size=2))
        two, step = rng.random() < 0.45, rng.integers(7)
        named = f"{order} or {other}" if two else order
        hello = _user(f"Hello, I want my money back. ({rng.integers(10**9)})")
        asked = Message("assistant", "Which order is it?")
        told = _user(str(rng.choice(_NUMBERS)).format(named))
        found = _call("look_up", order_id=order)
        meant: Law = [((found,), 0.96), (None, 0.04)]
        if two:
            meant = [((found,), first), ((_call("look_up", order_id=other),), 1 - first)]
        if step == 0:
            return _step([hello]), [(None, 1.0)]
        if step % 2:
            return _step([hello, asked, told]), meant
        seen = [
            hello,
            asked,
            told,
            Message("assistant", "", tool_calls=(found,)),
            Message("tool", json.dumps({"order_id": order, "status": "sent"}), name="look_up"),
            Message("assistant", "Shall I pay it back?"),
        ]
        way, vague = str(rng.choice(("card", "voucher"))), rng.random() < 0.45
        paid = [_call("refund", order_id=order, way=w) for w in (way, _other(way))]
        if vague:
            paid = [_call("refund", order_id=order, way=w) for w in ("card", "voucher")]
            return _step([*seen, _user("Yes, please.")]), [
                ((paid[0],), first),
                ((paid[1],), 1 - first),
            ]
        law: Law = [((paid[0],), 0.96), ((paid[1],), 0.04)]
        return _step([*seen, _user(f"Yes, please, to my {way}.")]), law

    return Source(_CALLS, call.KIND.recipes[0], one)


def _other(way: str) -> str:
    return "voucher" if way == "card" else "card"


def _user(text: str) -> Message:
    return Message("user", text)


def _call(name: str, **arguments: object) -> ToolCall:
    return ToolCall("", name, json.dumps(arguments))


def _step(messages: list[Message]) -> Input:
    return Input(transcript_of(messages), (), tuple(messages), _TOOLS)
