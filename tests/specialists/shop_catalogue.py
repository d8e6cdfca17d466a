"""Offers beside the products of a catalogue that look most like them, drawn with a seed."""

import numpy as np
from product_pairs import MATCH, Pairs, input_of

from shoal.tasks import Input
from shoal.tasks.contract import Output

_THINGS = ("kettle", "drill", "router", "monitor", "blender")


def catalogue(seed: int, size: int = 60) -> list[dict[str, str]]:
    """Products of the catalogue with this number; no other catalogue has their makers or models."""
    rng = np.random.default_rng(seed)
    makers = [f"{a}{seed}{b}" for a, b in zip("abcdef", "uvwxyz", strict=True)]
    models = rng.choice(9_000, size=size, replace=False) + 1_000
    return [
        {"name": f"{rng.choice(makers)} {rng.choice(_THINGS)} {model}", "price": f"{50 + at}"}
        for at, model in enumerate(models)
    ]


def offers(products: list[dict[str, str]], n: int, seed: int = 0) -> Pairs:
    """A product as another shop writes it, beside itself and three others: four pairs an offer."""
    rng = np.random.default_rng(seed)
    inputs: list[Input] = []
    outputs: list[Output | None] = []
    for number in range(n):
        order = rng.permutation(len(products))[:4]
        sold = products[order[0]]
        _, thing, model = sold["name"].split()
        words = f"{thing} {model} new {number}" if rng.random() < 0.8 else f"{thing} new {number}"
        left = {"name": words, "price": sold["price"]}
        for place, at in enumerate(order):
            inputs.append(input_of(left, products[at]))
            outputs.append(MATCH.labels[place == 0])
    order = rng.permutation(len(inputs))
    return Pairs([inputs[at] for at in order], [outputs[at] for at in order])
