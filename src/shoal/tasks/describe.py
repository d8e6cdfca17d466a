"""Tasks and contracts in plain words, for ``shoal tasks show`` and the dashboard."""

from collections.abc import Iterator, Sequence

from shoal.tasks.comparator import comparator_name
from shoal.tasks.contract import (
    CallContract,
    Contract,
    Field,
    FieldsContract,
    LabelContract,
    LabelsContract,
    NumberContract,
    TextContract,
    is_closed,
)
from shoal.tasks.task import Condition, Task
from shoal.tasks.template import CONVERSATION, Template

MAX_LITERAL = 400
MAX_EXAMPLE = 200
MAX_LABELS = 12


def describe(
    task: Task,
    volume: int,
    cost: float | None,
    examples: Sequence[tuple[str, str]] = (),
) -> str:
    """What Shoal knows about a task: template with slots marked, contract, volume, examples.

    ``volume`` is the number of recorded calls, ``cost`` what the LLM took for them in US dollars
    (None if the price is not known), ``examples`` are (input text, answer text).
    """
    return "\n".join(_lines(task, volume, cost, examples))


def explain(contract: Contract) -> str:
    """What the answers look like, in one sentence."""
    match contract:
        case LabelContract(labels=labels, prefix=prefix, reasoned=reasoned):
            after = f", written after {prefix!r}" if prefix else ""
            after += " at the end of reasoning" if reasoned else ""
            return f"one of {len(labels)} labels: {_listed(labels)}{after}"
        case LabelsContract(labels=labels, separator=separator):
            form = (
                f"written with {separator.strip() or separator!r} between"
                if separator
                else "as JSON"
            )
            return f"any of {len(labels)} labels, {form}: {_listed(labels)}"
        case FieldsContract(fields=fields):
            return "a JSON object with " + "; ".join(map(_field, fields))
        case NumberContract(prefix=prefix, suffix=suffix, reasoned=reasoned):
            return f"a number, written as {prefix}123{suffix}" + (
                " at the end of reasoning" if reasoned else ""
            )
        case CallContract(tools=tools, talks=talks, says=says):
            fixed = f", or the words {_listed(tuple(map(repr, says)))}" if says else ""
            return f"calls of tools: {_listed(tools)}{fixed}{', or text' if talks else ''}"
        case TextContract(json=True):
            return "JSON without a fixed set of fields"
        case TextContract():
            return "free text"


def _lines(
    task: Task, volume: int, cost: float | None, examples: Sequence[tuple[str, str]]
) -> Iterator[str]:
    marks = [word for word, is_so in (("pinned", task.pinned), ("ignored", task.ignored)) if is_so]
    yield f"task {task.name} ({task.id}){''.join(', ' + mark for mark in marks)}"
    price = "at an unknown price" if cost is None else f"for ${cost:,.4f}"
    yield f"calls: {volume:,} recorded, answered by the LLM {price}"
    yield f"answers: {explain(task.contract)}"
    yield f"same answer: {comparator_name(task.contract)}"
    how = "" if is_closed(task.contract) else ", by fine-tuning alone"
    learnable = f"a specialist can learn it{how}"
    yield f"learning: {learnable}"
    for condition in task.conditions:
        yield f"only if: {_condition(condition)}"
    for number, template in enumerate(task.templates, 1):
        yield f"template {number} of {len(task.templates)}, slots in «»:"
        yield from _template(template)
    if examples:
        yield "examples:"
    for given, answer in examples:
        yield f"  {_shortened(' '.join(given.split()), MAX_EXAMPLE)}"
        yield f"    → {_shortened(' '.join(answer.split()), MAX_EXAMPLE)}"


def _template(template: Template) -> Iterator[str]:
    """The messages, literals shortened, slots as «name»."""
    names = iter(template.slots)
    for pattern in template.patterns:
        text = _shortened(pattern.literals[0], MAX_LITERAL)
        for literal in pattern.literals[1:]:
            text += f"«{next(names)}»{_shortened(literal, MAX_LITERAL)}"
        head, *rest = text.split("\n")
        yield f"  {pattern.role}: {head}"
        yield from (f"    {line}" for line in rest)
    if template.continues:
        yield f"  «{CONVERSATION}»: whatever follows"


def _field(field: Field) -> str:
    kinds = {
        "label": f"one of {len(field.labels)}: {_listed(field.labels)}",
        "boolean": "true or false",
        "number": "a number",
        "date": "a date",
        "span": "copied from the input",
        "spans": "a list copied from the input",
        "text": "free text",
        "json": "JSON of its own",
    }
    kind = kinds[field.kind] if field.kind != "label" or field.labels else "never seen"
    return f"{field.name} ({kind}{', may be missing' if field.may_miss else ''})"


def _condition(condition: Condition) -> str:
    where = f"slot {condition.slot}" if condition.slot else "the input"
    if condition.equals:
        return f"{where} is {condition.equals!r}"
    return f"{where} contains {condition.contains!r}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_LABELS])
    more = len(names) - MAX_LABELS
    return f"{shown} and {more} more" if more > 0 else shown


def _shortened(text: str, limit: int) -> str:
    """The text with its middle left out if it is too long."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} […{len(text) - 2 * half:,} characters…] {text[-half:]}"
