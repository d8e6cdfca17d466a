"""The ladder: candidate specialists for a task, cheapest first."""

from collections.abc import Sequence

from shoal.errors import LearningError
from shoal.flywheel.lessons import Lessons
from shoal.specialists.decision import KIND as DECISION_KIND
from shoal.specialists.decision import decision_kind
from shoal.specialists.kind import Recipe
from shoal.specialists.kinds import KINDS, kind_of
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Trained
from shoal.tasks import FieldsContract, Input, Task
from shoal.tasks.contract import COPIED_KINDS
from shoal.tasks.describe import explain
from shoal.training import recipes
from shoal.training.hints import Aids, Hint, hint_of


def recipes_for(
    task: Task, inputs: Sequence[Input] = (), fine_tune: bool = False
) -> tuple[Recipe, ...]:
    """The recipes that can learn the task's contract, from these inputs if there are any;
    ``fine_tune``: those that tune an encoder for minutes, too.

    Raises:
        LearningError: none can; says why.
    """
    found, reasons, untuned = list[Recipe](), list[str](), list[str]()
    for recipe in recipes.RECIPES if fine_tune else ():
        reason = recipes.refusal(task.contract, inputs, recipe)
        if not reason:
            found.append(recipe)
        elif _by_tuning_alone(recipe, task):
            untuned.append(f"its answers are {explain(task.contract)}: {reason}")
    for kind in KINDS:
        if not kind.fits(task.contract):
            continue
        for recipe in kind.recipes:
            reason = kind.refusal(task.contract, inputs, recipe)
            if reason:
                reasons.append(reason)
            else:
                found.append(recipe)
    if found:
        return tuple(sorted(found, key=lambda recipe: recipe.cost))
    if reasons or untuned:
        raise LearningError([*reasons, *untuned][-1])
    raise LearningError(f"its answers are {explain(task.contract)}: no specialist learns that yet")


def _by_tuning_alone(recipe: Recipe, task: Task) -> bool:
    """Whether the task's contract is the recipe's to learn, and its kind has no lighter one."""
    kind = kind_of(recipe.kind)
    return kind is not None and not kind.recipes and kind.fits(task.contract)


def why_not(task: Task, inputs: Sequence[Input] = ()) -> str:
    """Why no specialist can learn the task, from these inputs if there are any, in plain words; ""
    if one can."""
    try:
        recipes_for(task, inputs)
    except LearningError as error:
        return str(error)
    return ""


def effort(task: Task) -> int:
    """Orders tasks by the CPU that training them takes: labels, fields, fields copied from the
    input."""
    match task.contract:
        case FieldsContract(fields=fields):
            return 2 if any(field.kind in COPIED_KINDS for field in fields) else 1
        case _:
            return 0


def train(lessons: Lessons, recipe: Recipe, senses: Senses | None) -> Trained:
    """Train one candidate.

    Raises:
        LearningError: nothing can be learned.
        ArtifactError: the encoder's weights are missing or damaged.
    """
    contract, needed = lessons.task.contract, senses if recipe.encoder else None
    if recipe in recipes.RECIPES:
        inputs, outputs = lessons.inputs, lessons.outputs
        if lessons.made_up is not None:
            inputs += lessons.made_up.inputs
            outputs += lessons.made_up.outputs
        return recipes.train(
            contract, inputs, outputs, needed, recipe, _aids(lessons, recipe, senses)
        )
    kind = (
        decision_kind(lessons.monotone)
        if recipe.kind == DECISION_KIND.name
        else kind_of(recipe.kind)
    )
    assert kind is not None
    return kind.train(contract, lessons.inputs, lessons.outputs, needed, recipe)


def _aids(lessons: Lessons, recipe: Recipe, senses: Senses | None) -> Aids:
    contract = lessons.task.contract
    hints = tuple(hint_of(contract, one.output, one.llm) for one in lessons.lessons)
    hints += lessons.made_up.hints if lessons.made_up else ()
    known = hints if any(hint != Hint() for hint in hints) else ()
    if lessons.state is None or senses is None:
        return Aids(known)
    return Aids(known, lessons.state / f"{recipe.kind}-{recipe.name}-{senses.digest[:16]}")
