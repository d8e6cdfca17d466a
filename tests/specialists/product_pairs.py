"""Pairs of product records and whether they match, drawn with a seed."""

import json
from typing import NamedTuple

import numpy as np

from shoal.tasks import Input, LabelContract
from shoal.tasks.contract import Output

MATCH = LabelContract(("different", "same"))

_BRANDS = ("sony", "canon", "lg", "bosch", "philips", "nikon")
_THINGS = ("digital camera", "washing machine", "lcd tv", "laser printer", "dvd player")
_COLOURS = ("black", "white", "silver", "red")


class Pairs(NamedTuple):
    """Inputs of two slots, and the label of each."""

    inputs: list[Input]
    outputs: list[Output | None]


def product_pairs(n: int, seed: int = 0) -> Pairs:
    """A third match: the same model number, spelled otherwise, and about the same price. The others
    share brand and thing."""
    rng = np.random.default_rng(seed)
    inputs: list[Input] = []
    outputs: list[Output | None] = []
    for _ in range(n):
        brand, thing = str(rng.choice(_BRANDS)), str(rng.choice(_THINGS))
        numbers = rng.choice(9_000, size=2, replace=False) + 1_000
        same = bool(rng.random() < 1 / 3)
        price = float(rng.integers(50, 900))
        colour = str(rng.choice(_COLOURS))
        left = {"name": f"{brand} {colour} {thing} {brand[:2]}{numbers[0]}", "price": f"{price}"}
        model = numbers[0] if same else numbers[1]
        right = {
            "name": f"{brand} {brand[:2].upper()}-{model} {thing}",
            "price": f"{price * rng.uniform(0.8, 1.1) if same else rng.integers(50, 900):.2f}",
        }
        inputs.append(input_of(left, right))
        outputs.append(MATCH.labels[same])
    return Pairs(inputs, outputs)


def input_of(left: dict[str, str], right: dict[str, str]) -> Input:
    """Two slots of JSON."""
    one, other = json.dumps(left), json.dumps(right)
    return Input(f"left: {one}\nright: {other}", (("left", one), ("right", other)))
