"""The recipes that fine-tune, in the form in which the other recipes are known.

They are ``held_out``: training once takes minutes, so the calibration examples stay out of it, and
``Trained.left_out`` is empty. Listing them loads no torch.
"""

import importlib.util
from collections.abc import Sequence

from shoal.errors import LearningError
from shoal.specialists.kind import Recipe
from shoal.specialists.kinds import kind_of
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Trained
from shoal.specialists.tuned_encoder import TUNED
from shoal.tasks import Contract, Input, Output
from shoal.training.hints import Aids

RECIPES = (
    Recipe("label", TUNED, encoder=True, cost=8, share=0.5, held_out=True),
    Recipe("fields", TUNED, encoder=True, cost=8, share=0.5, held_out=True),
    Recipe("match", TUNED, encoder=True, cost=20, share=0.4, held_out=True),
    Recipe("text", TUNED, encoder=True, cost=25, share=1.0, held_out=True),
)

_EXTRA = "fine-tuning needs the extra `train`: pip install 'shoal[train]'"


def missing() -> str:
    """Why nothing can be fine-tuned here, in plain words; "" if it can."""
    return "" if importlib.util.find_spec("torch") else _EXTRA


def refusal(contract: Contract, inputs: Sequence[Input], recipe: Recipe) -> str:
    """Why the recipe cannot learn this, in plain words; "" if it can."""
    if why := missing():
        return why
    kind = kind_of(recipe.kind)
    if kind is None or not kind.fits(contract):
        return f"its answers are none that a {recipe.kind} gives"
    return kind.refusal(contract, inputs, kind.recipes[-1] if kind.recipes else recipe)


def train(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses | None,
    recipe: Recipe,
    aids: Aids | None = None,
) -> Trained:
    """Fine-tune on all inputs (n,) and outputs (n,), None where the reference breaks the contract.
    Of the ``aids``, hints help labels only.

    Raises:
        LearningError: the extra is not installed, there is no encoder, or nothing can be learned.
    """
    if why := missing():
        raise LearningError(why)
    if senses is None:
        raise LearningError("fine-tuning starts from the encoder, and there is none")
    aids = aids or Aids()
    match recipe.kind:
        case "label":
            from shoal.training.label import tune_label

            return Trained(tune_label(contract, inputs, outputs, senses, aids=aids), [])
        case "fields":
            from shoal.training.fields import tune_fields

            tuned = tune_fields(contract, inputs, outputs, senses, folder=aids.folder)
            return Trained(tuned, [])
        case "match":
            from shoal.training.match import tune_match

            matcher = tune_match(contract, inputs, outputs, senses, folder=aids.folder)
            return Trained(matcher, [])
        case "text":
            from shoal.training.text import tune_text

            writer = tune_text(contract, inputs, outputs, senses, folder=aids.folder)
            return Trained(writer, [])
        case kind:
            raise LearningError(f"no recipe fine-tunes a {kind}")
