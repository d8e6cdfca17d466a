"""``shoal tasks``: list and show, and what people may change: names, parts, what is learned."""

import time
from itertools import islice
from typing import Annotated

import typer
from msgspec import Struct

from shoal.cli.context import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    find_task,
    open_store,
    store_at,
)
from shoal.cli.figures import moment, money, percent
from shoal.cli.printing import Column, Row, say, show_json, show_table, warn
from shoal.config import read_config
from shoal.flywheel import editing
from shoal.flywheel.overview import Proof, TaskOverview, overview
from shoal.guarantees import Certificate
from shoal.storage import Store
from shoal.tasks import Condition, Matcher, Task
from shoal.tasks.contract import FieldsContract, LabelContract
from shoal.tasks.describe import describe, explain

app = typer.Typer(no_args_is_help=True, help="Kinds of call that recur: list, show, change.")

_DAY = 86_400.0
_EXAMPLES = 5
_LOOKED_AT = 300  # latest examples, of which those with different answers are shown
_COLUMNS = (
    Column("TASK", shrinks=True),
    Column("STAGE"),
    Column("ANSWER", shrinks=True),
    Column("CALLS", right=True),
    Column("SMALL", right=True),
    Column("LLM COST", right=True),
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The task's name or id.")]


class TaskSummary(Struct, frozen=True):
    """One task of the list.

    ``small`` counts calls served small, ``llm_cost`` is what the LLM would have taken for the
    ``priced`` calls, in USD; ``why_not`` is "" if the task is certified. ``agreement`` is the proof
    of its cheaper models, None if none was tried, and ``agreeing`` whether they serve.
    """

    id: str
    name: str
    stage: str
    answer: str
    pinned: bool
    ignored: bool
    calls: int
    small: int
    errors: int
    priced: int
    cost: float
    llm_cost: float
    certificate: Certificate | None
    why_not: str
    agreement: Proof | None = None
    agreeing: bool = False


@app.command("list")
def list_tasks(
    days: Annotated[
        float | None, typer.Option(min=0, help="Count calls of the last so many days only.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """List the tasks: stage, calls, share served small, cost, certificate or why there is none."""
    settings = read_config(config)
    since = 0.0 if days is None else time.time() - days * _DAY
    with open_store(settings) as store:
        found = overview(store, settings.learn, since, settings.promise_of)
    known = {item.task.name for item in found}
    if unknown := ", ".join(f"[tasks.{name}]" for name in settings.tasks if name not in known):
        warn(f"{config} speaks of {unknown}, and no task has that name now")
    if as_json:
        show_json([_summary(item) for item in found])
    elif found:
        show_table(_COLUMNS, [_row(item) for item in found])
    else:
        say(f"No tasks yet: one is found when about {settings.learn.min_calls} calls are alike.")


@app.command()
def show(name: Name, as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show one task: its template with slots marked, contract, examples, calls and cost."""
    settings = read_config(config)
    with open_store(settings) as store:
        task = find_task(store, name)
        every = overview(store, settings.learn, 0.0, settings.promise_of)
        item = next(i for i in every if i.task.id == task.id)
        examples = _examples(store, task)
    if as_json:
        given = [{"input": text, "answer": answer} for text, answer in examples]
        show_json({"summary": _summary(item), "task": task, "examples": given})
        return
    cost = item.volume.llm_cost if item.volume.priced else None
    say(describe(task, item.volume.calls, cost, examples))
    say(f"stage: {item.stage}")
    say(f"served small: {percent(item.volume.small, item.volume.calls)} of the calls")
    say(f"certificate: {_proof(item.proof)}")
    if item.agreement is not None:
        state = "serve" if item.agreeing else "observe"
        say(f"cheaper models: {state}; {_proof(item.agreement)}")


@app.command()
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Give a task another name, which stays."""
    settings = read_config(config)
    with open_store(settings) as store:
        old = find_task(store, name).name
        editing.rename(store, name, new)
    say(f"{old} is named {new} now.")
    if old in settings.tasks:
        warn(f"{config}: [tasks.{old}] holds for no task now; rename it too")


@app.command()
def split(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name of the new task.")],
    contains: Annotated[
        str, typer.Option(help="It gets the calls whose input contains this.")
    ] = "",
    equals: Annotated[str, typer.Option(help="It gets the calls whose input is this.")] = "",
    slot: Annotated[str, typer.Option(help="Look at this slot only, not at all the input.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Make some calls of a task a task of their own; what is left must be certified again."""
    with store_at(config) as store:
        condition = Condition(slot=slot, equals=equals, contains=contains)
        done = editing.split(store, name, new, condition)
    task = done.tasks[0].name
    say(f"{done.calls:,} calls of {task} are {new}'s now. {task} observes until certified again.")


@app.command()
def merge(
    name: Name,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The task it becomes part of.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Make a task part of another, which keeps its name and must be certified again."""
    with store_at(config) as store:
        done = editing.merge(store, name, into)
    kept = done.tasks[0].name
    say(f"{done.calls:,} calls of {name} are {kept}'s now. {kept} observes until certified again.")


@app.command()
def pin(name: Name, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Keep discovery from changing a task."""
    with store_at(config) as store:
        done = editing.pin(store, name, pinned=True)
    say(f"{done.tasks[0].name} is pinned: discovery leaves it as it is.")


@app.command()
def unpin(name: Name, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Allow discovery to change a task again."""
    with store_at(config) as store:
        done = editing.pin(store, name, pinned=False)
    say(f"{done.tasks[0].name} is no longer pinned: discovery may widen it.")


@app.command()
def ignore(name: Name, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Neither learn nor serve a task: its calls go to the LLM."""
    with store_at(config) as store:
        done = editing.ignore(store, name, ignored=True)
    say(f"{done.tasks[0].name} is ignored: its calls go to the LLM and nothing learns from them.")


@app.command()
def unignore(name: Name, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Learn and serve a task again."""
    with store_at(config) as store:
        done = editing.ignore(store, name, ignored=False)
    say(f"{done.tasks[0].name} is no longer ignored.")


def _summary(item: TaskOverview) -> TaskSummary:
    task, volume = item.task, item.volume
    return TaskSummary(
        id=task.id,
        name=task.name,
        stage=item.stage,
        answer=_answer(task),
        pinned=task.pinned,
        ignored=task.ignored,
        calls=volume.calls,
        small=volume.small,
        errors=volume.errors,
        priced=volume.priced,
        cost=volume.cost,
        llm_cost=volume.llm_cost,
        certificate=item.proof.certificate,
        why_not=item.proof.why_not,
        agreement=item.agreement,
        agreeing=item.agreeing,
    )


def _row(item: TaskOverview) -> Row:
    volume = item.volume
    cost = money(volume.llm_cost if volume.priced else None)
    cells = (
        item.task.name,
        "ignored" if item.task.ignored else _stage(item),
        _answer(item.task),
        f"{volume.calls:,}",
        percent(volume.small, volume.calls),
        f"> {cost}" if 0 < volume.priced < volume.calls else cost,
    )
    lines = [_proof(item.proof)]
    if item.agreement is not None:
        lines.append(f"cheaper models: {_proof(item.agreement)}")
    return Row(cells, "; ".join(lines))


def _stage(item: TaskOverview) -> str:
    return f"{item.stage}, models serve" if item.agreeing else item.stage


def _proof(proof: Proof) -> str:
    found = proof.certificate
    if found is None:
        return proof.why_not
    return (
        f"certified: at most {percent(found.alpha)} differ from {found.reference}, on about "
        f"{percent(found.coverage)} of the calls, until {moment(found.lapses_at)[:10]}"
    )


def _answer(task: Task) -> str:
    """The contract in a few words."""
    match task.contract:
        case LabelContract(labels=labels):
            return f"{len(labels)} labels"
        case FieldsContract(fields=fields):
            return "JSON: " + ", ".join(field.name for field in fields)
        case contract:
            return explain(contract)


def _examples(store: Store, task: Task) -> list[tuple[str, str]]:
    """Inputs and answers, each answer once, of the latest calls."""
    matcher, found = Matcher((task,)), dict[str, str]()
    for example in islice(store.examples.of(task.id, limit=_LOOKED_AT), _LOOKED_AT):
        match = matcher.find(example.request)
        calls = [f"{call.name}({call.arguments})" for call in example.reference.tool_calls]
        answer = "\n".join((example.reference.text, *calls)).strip()
        if match is not None:
            found.setdefault(answer, match.input_text)
        if len(found) == _EXAMPLES:
            break
    return [(text, answer) for answer, text in found.items()]
