"""Made-up requests whose answers have to be written: dates, addresses, quantities, JSON, replies.

Names, numbers and streets are drawn, so hardly any value of the test part occurs in training: what
is right was copied or put together, not remembered.
"""

import json
import random
from collections.abc import Callable

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
STREETS = {"st.": "Street", "rd": "Road", "ave": "Avenue", "ln.": "Lane", "blvd": "Boulevard"}
UNITS = {
    "kilograms": "kg",
    "kilos": "kg",
    "grams": "g",
    "metres": "m",
    "centimetres": "cm",
    "kilometres": "km",
    "inches": "in",
    "litres": "l",
    "degrees celsius": "°C",
}
STATES = {
    "delayed": "is delayed. We will write again when it leaves our warehouse.",
    "shipped": "has left our warehouse and arrives within three days.",
    "lost": "was lost by the carrier. We are sending it again at no cost.",
    "returned": "came back to us. Your money is on its way.",
}
Pair = tuple[str, str]


def date(draw: random.Random) -> Pair:
    """A day in one of five spellings -> 2026-11-30."""
    day, month, year = draw.randint(1, 28), draw.randint(1, 12), draw.randint(1990, 2035)
    name = MONTHS[month - 1]
    ending = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(day, "th")
    said = draw.choice(
        (
            f"{day} {name} {year}",
            f"{name.capitalize()} {day}{ending}, {year}",
            f"{day:02}/{month:02}/{year}",
            f"{day}.{month}.{year}",
            f"the {day}{ending} of {name}, {year}",
        )
    )
    return said, f"{year}-{month:02}-{day:02}"


def address(draw: random.Random) -> Pair:
    """An address in small letters and short forms -> as it is printed."""
    number, street, city = draw.randint(1, 999), _name(draw), _name(draw)
    kind, flat = draw.choice([*STREETS]), draw.randint(1, 60)
    state, code = draw.choice(("il", "ny", "tx", "ca", "wa")), draw.randint(10000, 99999)
    has_flat = draw.random() < 0.5
    said = f"{number} {street} {kind}{f', apt {flat}' if has_flat else ''}, {city} {state} {code}"
    written = f"{number} {street.capitalize()} {STREETS[kind]}"
    written += f", Apartment {flat}" if has_flat else ""
    return said, f"{written}, {city.capitalize()}, {state.upper()} {code}"


def quantity(draw: random.Random) -> Pair:
    """A quantity in a sentence -> number and unit."""
    unit, number = draw.choice([*UNITS]), f"{draw.randint(1, 999)}"
    if draw.random() < 0.4:
        number += f".{draw.randint(1, 9)}"
    said = draw.choice(("about {} {}", "it is {} {} in all", "{} {}", "order {} {} please"))
    return said.format(number, unit), f"{number} {UNITS[unit]}"


def transformed(draw: random.Random) -> Pair:
    """An order in one JSON schema -> in another."""
    first, last = _name(draw).capitalize(), _name(draw).capitalize()
    sku, count, paid = (
        f"{_name(draw)[:3].upper()}{draw.randint(10, 99)}",
        draw.randint(1, 40),
        draw.random() < 0.5,
    )
    given = {
        "customer": {"first": first, "last": last},
        "line": {"sku": sku, "qty": count},
        "paid": paid,
    }
    said = {
        "name": f"{first} {last}",
        "item": sku,
        "quantity": count,
        "status": "paid" if paid else "open",
    }
    return json.dumps(given), json.dumps(said)


def reply(draw: random.Random) -> Pair:
    """An order's state -> a reply from a template."""
    name, order, state = _name(draw).capitalize(), draw.randint(1000, 99999), draw.choice([*STATES])
    said = f"order {order} of {name}: {state}"
    return said, f"Dear {name},\n\nyour order {order} {STATES[state]}\n\nKind regards"


KINDS: dict[str, Callable[[random.Random], Pair]] = {
    "date": date,
    "address": address,
    "quantity": quantity,
    "json": transformed,
    "reply": reply,
}


def made_up(kind: str, count: int, seed: int) -> list[Pair]:
    """So many different inputs and their answers."""
    draw, found = random.Random(f"{kind} {seed}"), dict[str, str]()
    while len(found) < count:
        said, written = KINDS[kind](draw)
        found.setdefault(said, written)
    return list(found.items())


def _name(draw: random.Random) -> str:
    syllables = (
        "ba",
        "lo",
        "mi",
        "ren",
        "tar",
        "vel",
        "so",
        "kin",
        "dor",
        "pa",
        "nel",
        "gri",
        "us",
    )
    return "".join(draw.choice(syllables) for _ in range(draw.randint(2, 3)))
