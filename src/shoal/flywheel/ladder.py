"""The ladder: candidate specialists for a task, cheapest first."""

from collections.abc import Sequence

from msgspec import Struct

from shoal.errors import LearningError
from shoal.flywheel.lessons import Lessons
from shoal.specialists.fields import train_fields
from shoal.specialists.label import train_label
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Trained
from shoal.tasks import Field, FieldsContract, LabelContract, Task
from shoal.tasks.describe import explain


class Recipe(Struct, frozen=True):
    """A way to train. ``share`` of an attempt's error budget goes to testing what it yields."""

    name: str
    encoder: bool
    share: float


LADDER = (
    Recipe("terms", encoder=False, share=0.2),
    Recipe("terms+encoder", encoder=True, share=0.8),
)
"""Terms alone answer in about 0.3 ms, with the encoder in 4 ms, and with fewer errors."""


def recipes_for(task: Task) -> tuple[Recipe, ...]:
    """The recipes that can learn the task's contract.

    Raises:
        LearningError: none can; says why.
    """
    match task.contract:
        case LabelContract():
            return LADDER
        case FieldsContract(fields=fields):
            strange = [field for field in fields if field.kind in ("text", "json")]
            if strange:
                raise LearningError(
                    f"field {strange[0].name!r} holds {strange[0].kind}, which is neither a label "
                    "nor copied from the input: no specialist learns that yet"
                )
            spans = _has_spans(fields)
            return tuple(recipe for recipe in LADDER if recipe.encoder or not spans)
        case contract:
            raise LearningError(
                f"its answers are {explain(contract)}: no specialist learns that yet"
            )


def why_not(task: Task) -> str:
    """Why no specialist can learn the task, in plain words; "" if one can."""
    try:
        recipes_for(task)
    except LearningError as error:
        return str(error)
    return ""


def effort(task: Task) -> int:
    """Orders tasks by the CPU that training them takes: labels, fields, fields copied from the
    input."""
    match task.contract:
        case FieldsContract(fields=fields):
            return 2 if _has_spans(fields) else 1
        case _:
            return 0


def _has_spans(fields: Sequence[Field]) -> bool:
    return any(field.kind in ("span", "number") for field in fields)


def train(lessons: Lessons, recipe: Recipe, senses: Senses | None) -> Trained:
    """Train one candidate.

    Raises:
        LearningError: the contract cannot be learned.
        ArtifactError: the encoder's weights are missing or damaged.
    """
    senses = senses if recipe.encoder else None
    match lessons.task.contract:
        case LabelContract() as contract:
            return train_label(contract, lessons.texts, lessons.outputs, senses, recipe.name)
        case FieldsContract() as contract:
            return train_fields(contract, lessons.texts, lessons.outputs, senses, recipe.name)
        case contract:
            raise LearningError(f"no specialist learns {explain(contract)} yet")
