"""``shoal runs``: what ran, what waits, and how it goes on."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from shoal.assembly.runs.orchestra import Orchestra
from shoal.assembly.runs.order import event_of
from shoal.assembly.runs.story import all_records, story_of
from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath, open_store, store_at
from shoal.cli.figures import short_moment
from shoal.cli.performing import players
from shoal.cli.printing import Column, Row, say, show_json, show_table
from shoal.cli.run import ENDINGS, progress, tell_outcome, through_questions
from shoal.cli.run_tree import tree_lines
from shoal.config import read_config
from shoal.errors import MalformedRequest, NotFound
from shoal.planning.drawing import drawn
from shoal.planning.journal import Decision
from shoal.planning.outcome import Outcome
from shoal.planning.plan import Budget
from shoal.routing.caller import ANYBODY
from shoal.storage import Run, RunState, Store

app = typer.Typer(no_args_is_help=True, help="Runs of plans: list, show, approve, resume, cancel.")

RunId = Annotated[str, typer.Argument(metavar="ID", help="The run, or the end of its id.")]
_COLUMNS = (
    Column("AT (UTC)"),
    Column("PLAN", shrinks=True),
    Column("STATE"),
    Column("USD", right=True),
    Column("ID"),
)


class Shown(Struct, frozen=True):
    """A run with all its records."""

    run: Run
    records: list[dict[str, Any]]


@app.command("list")
def list_runs(
    state: Annotated[
        str | None, typer.Option(help="Of this state only: running, waiting, done, failed, …")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """List runs, newest first."""
    with store_at(config) as store:
        found = store.runs.list(_state(state), limit=limit)
    if as_json:
        return show_json(found)
    if not found:
        return say("No runs: `shoal run` begins one.")
    show_table(_COLUMNS, [_row(run) for run in found])


@app.command()
def show(
    run_id: RunId,
    svg: Annotated[
        Path | None, typer.Option(help="Draw its plan as a graph into this file.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show a run as a tree: each step with its time, its cost, who answered it and why."""
    with store_at(config) as store:
        run = _find(store, run_id)
        records, story = all_records(store, run.id), story_of(store, run.id)
    plan = story.plan
    if svg is not None:
        if plan is None:
            raise NotFound(f"run {run.id} has no plan yet")
        svg.write_text(drawn(plan, story.past), encoding="utf-8")
        return say(f"{svg} is written.")
    if as_json:
        return show_json(Shown(run, [event_of(one) for one in records]))
    for line in tree_lines(run, records):
        say(line)


@app.command()
def approve(
    run_id: RunId,
    step: Annotated[
        str, typer.Argument(metavar="STEP", help="Which question; the only one by default.")
    ] = "",
    no: Annotated[bool, typer.Option("--no", help="Say no.")] = False,
    note: Annotated[str, typer.Option(help="What to say with it.")] = "",
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Answer a question that a run waits with, and go on with the run."""
    word = Decision(not no, getpass.getuser(), note)

    async def decide(orchestra: Orchestra, run: Run) -> None:
        asked = step or await _only_question(orchestra, run)
        await orchestra.decide(run.id, asked, word, ANYBODY, progress)

    _go_on(run_id, config, decide, as_json)


@app.command()
def resume(
    run_id: RunId,
    usd: Annotated[float, typer.Option(min=0, help="Its budget from here on, in USD.")] = 0.0,
    steps: Annotated[int, typer.Option(min=0, help="Its steps at most.")] = 0,
    tokens: Annotated[int, typer.Option(min=0, help="Its tokens at most.")] = 0,
    seconds: Annotated[float, typer.Option(min=0, help="Its seconds at most.")] = 0.0,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Go on with a run that was broken off, or whose budget was used up."""
    raised = Budget(usd=usd, steps=steps, tokens=tokens, seconds=seconds)

    async def go_on(orchestra: Orchestra, run: Run) -> None:
        given = raised if raised != Budget() else None
        await orchestra.resume(run.id, ANYBODY, given, progress)

    _go_on(run_id, config, go_on, as_json)


@app.command()
def settle(
    run_id: RunId,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step where it is stuck.")],
    gave: Annotated[str, typer.Option(help="It was done: what it gave, as JSON.")] = "",
    again: Annotated[bool, typer.Option("--again", help="It was not done: do it again.")] = False,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Say whether a call was made that a run is stuck at, and go on with the run."""
    if bool(gave) == again:
        raise MalformedRequest("say either --gave JSON, what it gave, or --again")
    try:
        value = msgspec.json.decode(gave) if gave else None
    except msgspec.DecodeError as error:
        raise MalformedRequest(f"--gave: expected JSON: {error}") from None

    async def go_on(orchestra: Orchestra, run: Run) -> None:
        if others := await orchestra.settle(run.id, step, ANYBODY, value, again, progress):
            say(f"Settled. It goes on once these are, too: {', '.join(others)}")
            raise typer.Exit(ENDINGS["stuck"])

    _go_on(run_id, config, go_on, as_json)


@app.command()
def cancel(run_id: RunId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """End a run for good."""
    settings = read_config(config)

    async def end() -> str:
        with open_store(settings) as store:
            run = _find(store, run_id)
            async with players(settings, store) as here:
                await here.orchestra.cancel(run.id, ANYBODY)
            return run.id

    say(f"Cancelled {asyncio.run(end())}.")


def _go_on(
    run_id: str,
    config: Path,
    how: Callable[[Orchestra, Run], Awaitable[None]],
    as_json: bool,
) -> None:
    settings = read_config(config)

    async def perform() -> Outcome:
        with open_store(settings) as store:
            run = _find(store, run_id)
            async with players(settings, store) as here:
                await how(here.orchestra, run)
                outcome = await through_questions(here, run.id, progress)
                tell_outcome(run.id, outcome, as_json)  # before audits of it are waited for
                return outcome

    outcome = asyncio.run(perform())
    raise typer.Exit(ENDINGS.get(outcome.state, 1))


async def _only_question(orchestra: Orchestra, run: Run) -> str:
    past = (await orchestra.story(run.id, ANYBODY)).past
    open_ = sorted(past.open)
    if not open_:
        raise NotFound(f"run {run.id} asks nothing: it is {run.state}")
    if len(open_) != 1:
        told = "".join(f"\n  {one}" for one in open_)
        raise NotFound(f"run {run.id}: say which question is answered (STEP); open are:{told}")
    return open_[0]


def _find(store: Store, run_id: str) -> Run:
    """The run of an id, or the only one of the last hundred whose id ends so."""
    try:
        return store.runs.get(run_id)
    except NotFound:
        near = [run for run in store.runs.list(limit=100) if run.id.endswith(run_id)]
        if len(near) != 1 or len(run_id) < 4:
            raise
        return near[0]


def _row(run: Run) -> Row:
    note = run.goal or ""
    return Row((short_moment(run.started_at), run.name, run.state, f"{run.cost:.6f}", run.id), note)


def _state(state: str | None) -> RunState | None:
    if state is None:
        return None
    try:
        return msgspec.convert(state, RunState)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        known = "running, waiting, stuck, done, failed, cancelled"
        raise MalformedRequest(f"--state: expected one of {known}, found {state!r}") from None
