"""What every kind of specialist offers: a row of functions, one row a kind."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Specialist, Trained
from shoal.tasks.contract import Contract, Output
from shoal.tasks.input import Input


class Recipe(Struct, frozen=True):
    """A way to train a kind.

    ``encoder``: it needs the encoder, and so does serving. ``cost`` is about how many ms of CPU an
    answer takes. ``share`` of an attempt's error budget, relative to that of the other recipes
    tried, goes to testing what it yields. ``held_out``: training takes so long that its calibration
    examples are kept away from training, instead of training once for each part left out.
    """

    kind: str
    name: str
    encoder: bool
    cost: float
    share: float
    held_out: bool = False


BY_TUNING = "no specialist learns that yet without fine-tuning (fine_tune = true under [learn])"
"""Why answers that have to be written are not learned."""

Fits = Callable[[Contract], bool]
"""Whether outputs of this contract are the kind's to predict, whatever the inputs."""

Refusal = Callable[[Contract, Sequence[Input], Recipe], str]
"""Why the recipe cannot learn a contract that fits, from these inputs (n,), in plain words; "" if
it can. Without inputs it speaks of the contract alone."""

Train = Callable[
    [Contract, Sequence[Input], Sequence[Output | None], Senses | None, Recipe], Trained
]
"""Inputs (n,) and reference outputs (n,), None where the reference breaks the contract -> a
specialist and n predictions by models that had not seen the example, nor one equal to it (none for
a recipe that is ``held_out``). Raises LearningError if nothing can be learned."""

Restore = Callable[[Contract, dict[str, Any], dict[str, Any], Senses | None], Specialist]
"""``model.json`` and the arrays of ``model.safetensors`` -> the specialist that wrote them. Raises
ArtifactError, KeyError, TypeError or ValueError if they do not fit."""


Together = Callable[[Sequence[Input]], Sequence[str] | None]
"""Of inputs (n,) in order of time, the name of what each hangs together with: such inputs are left
out of training together, and are one piece of evidence. None if each stands by itself."""


def apart(inputs: Sequence[Input]) -> None:
    """Each input stands by itself."""


class Kind(Struct, frozen=True):
    """A kind of specialist; ``recipes`` the cheapest first."""

    name: str
    recipes: tuple[Recipe, ...]
    fits: Fits
    refusal: Refusal
    train: Train
    restore: Restore
    together: Together = apart
