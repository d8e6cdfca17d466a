"""A writer made by hand: it answers any input with "go to WORD;", where WORD is one of the input's
words, all equally likely."""

from typing import Any

import numpy as np

from shoal.specialists.writing.pieces import FORMS
from shoal.specialists.writing.vocabulary import END, START, Vocabulary

UNITS = ("", "", "go", " to", ";", " ", *"abcdefghijklmnopqrstuvwxyz")
NEXT = {START: 2, 2: 3, END: 4, 4: END}  # END stands for a word that was copied
TO = 3
_AS_IT_STANDS = FORMS // 2  # with a space before it


def tiny_vocabulary() -> Vocabulary:
    """The units, none of them merged."""
    return Vocabulary(UNITS, [])


def tiny_decoders(dim: int, decoders: int = 2) -> dict[str, Any]:
    """The arrays of such decoders over an encoder of this size."""
    v = len(UNITS)
    one, gates = np.eye(v), np.zeros(4 * v)
    gates[:v], gates[v : 2 * v], gates[3 * v :] = 30, -30, 30  # take it in, forget, let it out
    first, second = np.zeros((2 * v, 4 * v)), np.zeros((3 * v, 4 * v))
    first[:v, 2 * v : 3 * v] = second[:v, 2 * v : 3 * v] = 5 * one
    units, forms = np.full((v, v), -20.0), np.zeros((v, FORMS))
    for before, after in NEXT.items():
        units[before, after] = 20
    forms[TO, _AS_IT_STANDS] = 30
    arrays = {
        "embedding": 5 * one,
        "memory": np.zeros((dim, v)),
        "begin": np.zeros((dim, 2 * v)),
        "read": np.zeros((v, v)),
        "first": first,
        "first_bias": gates,
        "second": second,
        "second_bias": gates,
        "look_first": np.zeros((v, v)),
        "look_second": np.zeros((v, v)),
        "out": np.concatenate([5 * one, np.zeros((2 * v, v))]),
        "out_bias": np.zeros(v),
        "units": units,
        "units_bias": np.zeros(v),
        "point": np.zeros((v, v)),
        "forms": forms,
    }
    return {name: np.stack([array] * decoders).astype(np.float16) for name, array in arrays.items()}
