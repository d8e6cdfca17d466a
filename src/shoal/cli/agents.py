"""``shoal agents``: those of the settings, and the plans that they need no planner for."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.runs.agent import agents_of
from shoal.assembly.runs.story import story_of
from shoal.cli.certificates import REFUSED
from shoal.cli.context import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    agent_plans,
    open_store,
    store_at,
)
from shoal.cli.printing import Column, Row, say, show_json, show_table
from shoal.config import Config, read_config
from shoal.encoder import Encoder
from shoal.errors import (
    ArtifactError,
    CallFileError,
    ConfigError,
    LearningError,
    MalformedRequest,
    NotFound,
)
from shoal.flywheel.overview import verdict_of
from shoal.flywheel.plan_learner import AgentPlans
from shoal.flywheel.planned_runs import known_of, learnable, planned_runs
from shoal.flywheel.promotion import promote as promote_task
from shoal.flywheel.promotion import usable_certificate
from shoal.flywheel.stored_plans import (
    LEAST,
    Terms,
    certify_plans,
    drop_plans,
    plans_before,
)
from shoal.guarantees import Certificate, percent
from shoal.planning.generalise import generalise
from shoal.planning.options import plans_id
from shoal.planning.plan import written
from shoal.planning.plan_book import Kept, load_plans
from shoal.planning.recurring import PlanExample
from shoal.specialists.card import Card
from shoal.specialists.senses import Senses
from shoal.storage import Stage, Store

app = typer.Typer(no_args_is_help=True, help="Agents: list them, learn which plan a goal asks for.")

_COLUMNS = (
    Column("AGENT"),
    Column("PLANS BY", shrinks=True),
    Column("STORED PLANS", right=True),
    Column("STAGE"),
    Column("AUDITS", right=True),
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The agent's name.")]


class Shown(Struct, frozen=True):
    """One agent of the list; ``plans`` are stored ones from files, ``proven`` those that the newest
    certificate tells apart. ``certificate`` is what these may be served on, "" if they may not,
    then ``why_not`` says why; ``audits`` were made of it, of which ``errors`` came out wrong."""

    name: str
    by: str
    plans: list[str]
    proven: list[str] = []
    stage: Stage = "observe"
    certificate: str = ""
    audits: int = 0
    errors: int = 0
    why_not: str = ""


class Learned(Struct, frozen=True):
    """How an attempt ended: plans, examples, a certificate's id or why there is none."""

    plans: list[str]
    examples: int
    certificate: str
    reason: str


@app.command("list")
def list_agents(as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """List the agents of the settings, and how far their stored plans have got."""
    settings = read_config(config)
    with open_store(settings) as store:
        found = [_shown(settings, store, name) for name in settings.agents]
        lines = {one.name: _promise(store, one.certificate) for one in found}
    if as_json:
        return show_json(found)
    if not found:
        return say("No agents: [agents.NAME] in the settings makes one.")
    rows = [_row(one, lines[one.name]) for one in found]
    show_table(_COLUMNS, rows)


@app.command()
def learn(
    name: Name,
    examples: Annotated[
        Path | None,
        typer.Option(help='More examples, JSON lines: "goal", "plan" (its name) and "slots".'),
    ] = None,
    least: Annotated[
        int, typer.Option(min=2, help="Goals that must have needed a plan to make it a stored one.")
    ] = LEAST,
    drop: Annotated[bool, typer.Option("--drop", help="Serve no stored plan any more.")] = False,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Learn from an agent's runs which goals recur, and prove how often the plan would be wrong.

    The settings say how often it may be, under [tasks."plans:NAME"]. From then on such goals are
    recognised and their plan is filled in with no planning call. Exit status 2 if nothing can be
    proven yet.
    """
    settings = read_config(config)
    agent = agent_plans(settings, name)
    with open_store(settings) as store:
        if drop:
            drop_plans(store, name)
            return say(f"No stored plan of {name} is served any more.")
        said = _said(examples) if examples else []
        found = _learned(settings, store, agent, said, least)
        told = _promise(store, found.certificate) or f"not certified: {found.reason}"
    if as_json:
        show_json(found)
    else:
        say(f"{len(found.plans)} plans, {found.examples:,} examples: {told}.")
    raise typer.Exit(0 if found.certificate else REFUSED)


@app.command()
def show(
    name: Name,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="One of its stored plans.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Print a stored plan that was learned, as a file of it would be written."""
    with store_at(config) as store:
        kept = _book(store, name)
    found = {one.name: one for one in kept.plans} if kept else {}
    if plan not in found:
        there = ", ".join(found) or "none yet"
        raise NotFound(f"{name} has no stored plan {plan!r} with a certificate; there are: {there}")
    typer.echo(written(found[plan]).decode())


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


def _learned(
    config: Config, store: Store, agent: AgentPlans, said: list[PlanExample], least: int
) -> Learned:
    """Certify what an agent's runs and people say, and serve it if it is proven."""
    task, most = plans_id(agent.name), config.learn.max_examples
    since = store.events.broken_at(task)
    seen = planned_runs(store, agent.name, agent.model, since, most, config.privacy)
    said = learnable(said, config.privacy)
    known = known_of(seen, plans_before(store, agent.name, agent.stored), said, least)
    if not known.plans:
        say(f"No plan recurs yet: none was written for {least} goals of {agent.name}'s runs.")
        raise typer.Exit(REFUSED)
    files = tuple(plan.name for plan in agent.stored)
    terms = Terms(promise=agent.promise, lapse_days=config.learn.lapse_days, files=files)
    if agent.model:
        reference = config.reference_label(agent.model)
        terms = replace(terms, model=agent.model, reference=reference)
    found = certify_plans(store, agent.name, known, lambda: Senses(Encoder()), terms)
    certificate = found.certificate.id if found.certificate else ""
    if certificate:
        promote_task(store, task, "serve", "person", "certified by hand")
    names = [plan.name for plan in known.plans]
    return Learned(names, found.examples, certificate, found.reason)


def _shown(config: Config, store: Store, name: str) -> Shown:
    options = config.agents[name]
    agent = agents_of({name: options})[name]
    by = agent.plan.name if agent.plan else options.planner or "stored plans alone"
    shown = Shown(name, by, list(agent.stored))
    if agent.plan is not None:
        return shown
    task = plans_id(name)
    standing = store.standings.get(task)
    shown = replace(shown, stage=standing.stage if standing else "observe")
    try:
        if kept := _book(store, name):
            shown = replace(shown, proven=[plan.name for plan in kept.plans])
        certificate = usable_certificate(store, task).id
    except (ArtifactError, LearningError) as error:
        return replace(shown, why_not=_why_not(config, store, task, str(error)))
    process = store.audits.process(certificate)
    return replace(shown, certificate=certificate, audits=process.n, errors=process.errors)


def _book(store: Store, name: str) -> Kept | None:
    """The plans that an agent's newest certificate tells apart."""
    rows = store.certificates.list(plans_id(name))
    if not rows:
        return None
    card = msgspec.json.decode(store.cards.get(rows[0].card).spec, type=Card)
    return load_plans(store.artifacts.open(card.artifact))


def _why_not(config: Config, store: Store, task: str, error: str) -> str:
    if store.certificates.list(task):
        return error.replace("shoal certify TASK", "shoal agents learn NAME")
    attempts = store.attempts.list(task)
    if attempts:
        return f"refused: {verdict_of(attempts[-1]).reason}"
    return f"not tried yet: the learner does so at {config.learn.min_examples} runs"


def _row(one: Shown, promise: str) -> Row:
    audits = f"{one.errors} of {one.audits} wrong" if one.audits else ""
    cells = one.name, one.by, f"{len(one.proven or one.plans)}", one.stage, audits
    return Row(cells, promise or one.why_not)


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
