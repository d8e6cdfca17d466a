"""``shoal agents``: those of the settings, and the plans that they need no planner for."""

import getpass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from shoal.assembly.runs.agent import agents_of
from shoal.assembly.runs.story import story_of
from shoal.cli.certificates import REFUSED
from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath, open_store, store_at
from shoal.cli.printing import Column, Row, say, show_json, show_table
from shoal.config import Config, read_config
from shoal.encoder import Encoder
from shoal.errors import CallFileError, ConfigError, MalformedRequest, NotFound
from shoal.flywheel.stored_plans import certify_plans, drop_plans, gathered
from shoal.guarantees import Certificate, percent
from shoal.planning.generalise import generalise
from shoal.planning.plan import written
from shoal.planning.recurring import PlanExample
from shoal.planning.stored_planner import plans_id
from shoal.specialists.senses import Senses
from shoal.storage import Store

app = typer.Typer(no_args_is_help=True, help="Agents: list them, learn which plan a goal asks for.")

_COLUMNS = (
    Column("AGENT"),
    Column("PLANS BY", shrinks=True),
    Column("STORED PLANS", right=True),
    Column("CERTIFIED", shrinks=True),
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The agent's name.")]


class Shown(Struct, frozen=True):
    """One agent of the list; ``certificate`` is what its stored plans are served on, "" if none
    are."""

    name: str
    by: str
    plans: list[str]
    certificate: str


@app.command("list")
def list_agents(as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """List the agents of the settings."""
    settings = read_config(config)
    with open_store(settings) as store:
        found = [_shown(settings, store, name) for name in settings.agents]
        lines = {one.name: _promise(store, one.certificate) for one in found}
    if as_json:
        return show_json(found)
    if not found:
        return say("No agents: [agents.NAME] in the settings makes one.")
    rows = [Row((one.name, one.by, f"{len(one.plans)}", lines[one.name])) for one in found]
    show_table(_COLUMNS, rows)


@app.command()
def learn(
    name: Name,
    examples: Annotated[
        Path | None,
        typer.Option(help='More examples, JSON lines: "goal", "plan" (its name) and "slots".'),
    ] = None,
    alpha: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="The share that may be wrong at most.")
    ] = 0.02,
    least: Annotated[
        int, typer.Option(min=2, help="Goals that must have needed a plan to make it a stored one.")
    ] = 20,
    drop: Annotated[bool, typer.Option("--drop", help="Serve no stored plan any more.")] = False,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Learn from an agent's runs which goals recur, and prove how often the plan would be wrong.

    From then on such goals are recognised and their plan is filled in with no planning call. Exit
    status 2 if nothing can be proven yet.
    """
    settings = read_config(config)
    agent = agents_of(settings.agents).get(name)
    if agent is None:
        there = ", ".join(settings.agents) or "none"
        raise NotFound(f"no agent named {name!r}; the settings name: {there}")
    with open_store(settings) as store:
        if drop:
            drop_plans(store, name, getpass.getuser())
            return say(f"No stored plan of {name} is served any more.")
        stored = list(agent.stored.values())
        said = _said(examples) if examples else []
        plans, known = gathered(store, name, stored, said, least)
        if not plans:
            say(f"No plan recurs yet: none was written for {least} goals of {name}'s runs.")
            raise typer.Exit(REFUSED)
        promise = settings.promise.model_copy(update={"alpha": alpha})
        found = certify_plans(
            store, name, plans, known, lambda: Senses(Encoder()), promise, getpass.getuser()
        )
        told = _promise(store, found.certificate)
    if as_json:
        show_json(found)
    elif found.certificate:
        say(f"{len(found.plans)} plans, {found.examples:,} examples: {told}.")
    else:
        say(f"{len(found.plans)} plans, {found.examples:,} examples, not certified: {found.reason}")
    raise typer.Exit(0 if found.certificate else REFUSED)


@app.command()
def promote(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run whose plan is kept.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the stored plan is called.")],
    to: Annotated[Path, typer.Option(help="The folder for its file.")] = Path("plans"),
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Keep the plan of a run as a file: what its goal states becomes an input."""
    with store_at(config) as store:
        run = store.runs.get(run_id)
        story = story_of(store, run.id)
    plan = story.plan
    if plan is None:
        raise NotFound(f"run {run.id} has no plan")
    if story.course and story.course.done:
        raise MalformedRequest(f"run {run.id}: its plan goes on from the results of another one")
    made = generalise(plan, run.goal, name)
    path = to / f"{name}.json"
    if path.exists():
        raise ConfigError(f"{path}: exists already; it was left as it is")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(written(made.plan) + b"\n")
    inputs = ", ".join(made.slots) or "none"
    say(f"{path}: inputs are {inputs}. Read it, and name it under plans of an agent.")


def _shown(config: Config, store: Store, name: str) -> Shown:
    options = config.agents[name]
    agent = agents_of({name: options})[name]
    by = agent.plan.name if agent.plan else options.planner or "stored plans alone"
    standing = store.standings.get(plans_id(name))
    serves = standing is not None and standing.stage == "serve"
    certificate = standing.certificate if standing is not None and serves else ""
    return Shown(name, by, list(agent.stored), certificate)


def _promise(store: Store, certificate: str) -> str:
    if not certificate:
        return ""
    found = Certificate.from_json(store.certificates.get(certificate).spec)
    return (
        f"{percent(found.coverage)} of goals with no planning call, at most "
        f"{percent(found.alpha)} of these wrong"
    )


def _said(path: Path) -> list[PlanExample]:
    found = list[PlanExample]()
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise CallFileError(f"{path}: {error.strerror}") from None
    for at, line in enumerate(lines, 1):
        try:
            found.append(msgspec.json.decode(line, type=PlanExample))
        except msgspec.DecodeError as error:
            raise MalformedRequest(f"{path}:{at}: no example: {error}") from None
    return found
