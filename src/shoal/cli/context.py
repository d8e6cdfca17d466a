"""What every command needs: the settings, the store they name, and a way to print."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from shoal.config import Config, read_config
from shoal.errors import NotFound
from shoal.flywheel.finding import known_tasks
from shoal.planning.options import plans_id
from shoal.storage import Store
from shoal.tasks import Task, TextContract, edits

if TYPE_CHECKING:
    from shoal.flywheel.learner import Learner
    from shoal.flywheel.plan_learner import AgentPlans

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", envvar="SHOAL_CONFIG", help="The settings file.")
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for machines.")]
DEFAULT_CONFIG = Path("shoal.toml")

console = Console()


@contextmanager
def open_store(config: Config) -> Iterator[Store]:
    """The store of these settings.

    Raises:
        StoreError: it cannot be opened; StoreDamaged if that is for what is in it.
    """
    store = Store.open(config.store)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def store_at(path: Path) -> Iterator[Store]:
    """The store of a settings file."""
    with open_store(read_config(path)) as store:
        yield store


def new_learner(config: Config, store: Store) -> "Learner":
    """A learner as the settings say.

    Raises:
        ConfigError: a comparator or validator cannot be loaded.
    """
    # most commands need no learner, and it takes a second to load
    from shoal.assembly.hooks import register_hooks
    from shoal.cli.commissioning import commissions
    from shoal.flywheel.learner import Learner

    register_hooks(config.judging_options(), config.folder)
    return Learner(
        store,
        config.learn,
        config.promises(),
        config.promise,
        config.reference_label,
        privacy=config.privacy,
        cascade=config.cascade,
        own=config.lesson_options(),
        ask=commissions(config, store),
        agents=[agent_plans(config, name) for name in config.agents],
        reasoning=config.reasoning,
    )


def agent_plans(config: Config, name: str) -> "AgentPlans":
    """What is to be learned of an agent.

    Raises:
        NotFound: there is no such agent; tells those there are.
        ConfigError: a plan of it cannot be read.
    """
    # as above: parts that most commands do not need
    from shoal.assembly.runs.agent import agents_of
    from shoal.flywheel.plan_learner import AgentPlans

    if name not in config.agents:
        there = ", ".join(config.agents) or "none"
        raise NotFound(f"no agent named {name!r}; the settings name: {there}")
    agent = agents_of({name: config.agents[name]})[name]
    stored = tuple(agent.stored.values())
    return AgentPlans(name, agent.options.planner or "", stored, config.plans_promise(name))


def find_task(store: Store, name: str) -> Task:
    """The task of this name or id.

    Raises:
        NotFound: there is none; the message lists those there are.
    """
    return edits.find_task(known_tasks(store), name)


def find_rung(store: Store, name: str) -> Task:
    """As ``find_task``; ``plans:AGENT`` are the stored plans of an agent, which no call belongs to.

    Raises:
        NotFound: there is none.
    """
    if name.startswith(plans_id("")) and store.attempts.list(name):
        return Task(name, name, (), TextContract())
    return find_task(store, name)


def task_names(store: Store) -> dict[str, str]:
    """The name of each task by its id."""
    return {row.id: row.name for row in store.tasks.list()}
