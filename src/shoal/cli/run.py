"""``shoal run``: a plan, or a goal for an agent."""

import asyncio
import getpass
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from shoal.assembly.runs.active import Tell
from shoal.assembly.runs.agent import agents_of
from shoal.assembly.runs.agents import given_of
from shoal.assembly.runs.order import Order
from shoal.assembly.runs.telling import line_of, outcome_json
from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath, open_store
from shoal.cli.performing import Players, players
from shoal.cli.printing import Column, Row, say, show_json, show_table
from shoal.config import Config, read_config
from shoal.errors import ConfigError, MalformedRequest, ShoalError
from shoal.planning.checker import RefusedPlan
from shoal.planning.journal import Decision, Entry
from shoal.planning.outcome import Outcome
from shoal.planning.plan import Plan, read_plan
from shoal.planning.references import as_text
from shoal.planning.rehearsal import Call
from shoal.routing.caller import ANYBODY
from shoal.tools.tool import Json

ENDINGS = {"done": 0, "waiting": 3, "stuck": 4, "over budget": 5}
"""Exit statuses by how a run ended; 1 if it failed."""

_FIRST_AGENT = "[agents.NAME] with a planner (the name of a model) or a plan (a file) makes one"
_COLUMNS = (
    Column("STEP", shrinks=True),
    Column("CALLS", shrinks=True),
    Column("AT MOST", right=True),
    Column("USD AT MOST", right=True),
)


def run(
    what: Annotated[
        str, typer.Argument(metavar="PLAN|GOAL", help="A plan's file, or a goal in words.")
    ],
    agent: Annotated[
        str, typer.Option("--agent", "-a", help="Who gets the goal; the only agent by default.")
    ] = "",
    given: Annotated[
        str, typer.Option("--input", "-i", help="What a plan is given: JSON, or text.")
    ] = "",
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be called, and call nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Run a plan, or have an agent reach a goal. Progress goes to standard error.

    On a terminal, questions of the plan are asked here; else the run waits. Exit status 3 if it
    waits for a person, 4 if it is stuck, 5 if its budget is used up.
    """
    settings = read_config(config)
    order = _order(settings, what, agent, given)
    try:
        if dry:
            return asyncio.run(_rehearse(settings, order, as_json))
        outcome = asyncio.run(_perform(settings, order, quiet, as_json))
    except RefusedPlan as error:
        wrong = "".join(f"\n  {problem}" for problem in error.problems)
        raise MalformedRequest(f"the plan cannot be run, and nothing was begun:{wrong}") from None
    raise typer.Exit(ENDINGS.get(outcome.state, 1))


def tell_outcome(run_id: str, outcome: Outcome, as_json: bool) -> None:
    """Print how a run ended."""
    if as_json:
        show_json(msgspec.Raw(outcome_json(run_id, outcome)))
        return
    if outcome.state == "done":
        say(as_text(outcome.value))
        return
    at = f" at {outcome.step}" if outcome.step else ""
    ended = "has failed" if outcome.state == "failed" else f"is {outcome.state}"
    say(f"The run {run_id} {ended}{at}{f': {outcome.error}' if outcome.error else ''}")
    if outcome.hint:
        say(outcome.hint)
    if outcome.state == "waiting":
        say(f"`shoal runs show {run_id}` shows the question, `shoal runs approve {run_id}` answers")


def _order(config: Config, what: str, agent: str, given: str) -> Order:
    if what.endswith(".json") and not agent:
        try:
            plan = read_plan(Path(what).read_bytes())
        except OSError as error:
            raise ConfigError(f"{what}: {error.strerror}") from None
        except MalformedRequest as error:
            raise MalformedRequest(f"{what}: {error}") from None
        return Order(plan=plan, given=_given(plan, given))
    name = agent or _only_agent(config)
    found = agents_of({name: config.agents[name]}) if name in config.agents else {}
    own = found[name].plan if found else None
    if own is not None:
        return Order(agent=name, goal=what, given=given_of(own, what, "the goal"))
    return Order(agent=name, goal=what, given=_json(given) if given else {})


def _only_agent(config: Config) -> str:
    if len(config.agents) == 1:
        return next(iter(config.agents))
    there = ", ".join(config.agents)
    which = (
        f"say which with --agent: {there}" if there else f"shoal.toml names none: {_FIRST_AGENT}"
    )
    raise MalformedRequest(f"a goal needs an agent (a plan is a file that ends in .json); {which}")


def _given(plan: Plan, given: str) -> dict[str, Json]:
    if not given:
        return {}
    if given.lstrip().startswith("{"):
        return _json(given)
    return dict(given_of(plan, given, "--input"))


def _json(given: str) -> dict[str, Json]:
    try:
        found: dict[str, Json] = msgspec.json.decode(given, type=dict[str, Json])
    except msgspec.DecodeError as error:
        raise MalformedRequest(f"--input: expected a JSON object: {error}") from None
    return found


async def _rehearse(config: Config, order: Order, as_json: bool) -> None:
    with open_store(config) as store:
        async with players(config, store) as here:
            found = await here.orchestra.rehearse(order, ANYBODY)
    checked = found.checked
    if checked.problems:
        raise RefusedPlan(checked.problems)
    if as_json:
        return show_json(found)
    show_table(_COLUMNS, [_row(one) for one in found.calls])
    least, usual, most = checked.least, checked.usual, checked.most
    say(
        f"At least {least.steps:,.0f} steps, at most {most.steps:,.0f}, {_usd(most.usd)} USD, "
        f"{_count(most.tokens)} tokens and {most.seconds:,.0f} seconds; usually about "
        f"{_usd(usual.usd)} USD and {_count(usual.tokens)} tokens. Nothing was called."
    )
    for warning in checked.warnings:
        say(f"Note: {warning}")


def _row(call: Call) -> Row:
    cells = call.step, call.what, f"{call.times:,}", _usd(call.most.usd)
    return Row(cells, as_text(call.asked))


def _count(number: float) -> str:
    return "unknown" if math.isinf(number) else f"{number:,.0f}"


def _usd(amount: float) -> str:
    return "unknown" if math.isinf(amount) else f"{amount:,.6g}"


async def _perform(config: Config, order: Order, quiet: bool, as_json: bool) -> Outcome:
    with open_store(config) as store:
        async with players(config, store) as here:
            tell = silent if quiet else progress
            run_id = await here.orchestra.begin(order, ANYBODY, tell)
            outcome = await through_questions(here, run_id, tell)
            tell_outcome(run_id, outcome, as_json)  # before audits of it are waited for
            return outcome


def silent(entry: Entry) -> None:
    """Tell nobody."""


def progress(entry: Entry) -> None:
    """Print a line to standard error."""
    if line := line_of(entry):
        typer.echo(line, err=True, nl=False)


async def through_questions(here: Players, run_id: str, tell: Tell) -> Outcome:
    """How a run ends; its questions are asked on the terminal, if there is one."""
    while True:
        outcome = await here.orchestra.outcome(run_id)
        if outcome.state != "waiting" or not _on_terminal():
            return outcome
        try:
            await here.orchestra.require_word(run_id, ANYBODY)
        except ShoalError as error:  # it is not for who sits here to say
            typer.echo(str(error), err=True)
            return outcome
        past = (await here.orchestra.story(run_id, ANYBODY)).past
        step = min(past.open)  # one only: a no may end the run, and what follows changes the rest
        word = await asyncio.to_thread(_word, past.asked[step])
        await here.orchestra.decide(run_id, step, word, ANYBODY, tell)


def _on_terminal() -> bool:
    return sys.stdin.isatty()


def _word(asked: Mapping[str, Json]) -> Decision:
    say(as_text(asked.get("question")))
    if (shown := asked.get("show")) is not None:
        say(as_text(shown))
    return Decision(typer.confirm("Yes?"), getpass.getuser())
