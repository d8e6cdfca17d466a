"""The commands by name: where each one is, and its line in the list of all of them.

To load all commands takes 2 s of CPU, most of it for parts that one command needs. So each is
loaded when it is called, and the list is printed from this table alone.
"""

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, cast

import typer
from typer.core import TyperGroup


class Place(NamedTuple):
    """Where a command, or a group of them, is: a function or a ``typer.Typer`` of a module."""

    module: str  # of this package
    attribute: str
    says: str  # the first paragraph of its help


COMMANDS = {
    "demo": Place(
        "demo",
        "demo",
        "Play a support desk's recorded traffic through Shoal, on one screen, in about a minute.",
    ),
    "init": Place(
        "starter",
        "init",
        "Write a settings file to start from; one that exists is never overwritten.",
    ),
    "serve": Place("serve", "serve", "Run the gateway, and beside it the learner at low priority."),
    "reload": Place(
        "serve",
        "reload",
        "Have running gateways read the settings again; no call is dropped, their log says more.",
    ),
    "learn": Place("serve", "learn", "Run the learner alone: find tasks, certify, promote, watch."),
    "mcp": Place(
        "mcp",
        "mcp",
        "Offer tasks, collections and agents as tools over MCP, on standard input and output.",
    ),
    "certify": Place(
        "certificates",
        "certify",
        "Try to certify a task now; this spends from its error budget.",
    ),
    "train": Place(
        "train",
        "train",
        "Tune a small language model for a task on this machine, certify it, and have it ready.",
    ),
    "certificate": Place(
        "certificates", "certificate", "Show a task's certificate, or why it has none."
    ),
    "compress": Place(
        "compress",
        "compress",
        "Make a task's specialist, or a local model's file, smaller; show what that costs.",
    ),
    "report": Place(
        "report",
        "report",
        "Write a page on a task's certificate that can be shown to an auditor.",
    ),
    "review": Place(
        "review",
        "review",
        "List the calls, drawn at random, that wait for a person's word; or say one.",
    ),
    "ask": Place(
        "asking", "ask", "Answer a question from a collection, with the places that say so."
    ),
    "run": Place(
        "run",
        "run",
        "Run a plan, or have an agent reach a goal. Progress goes to standard error.",
    ),
    "promote": Place(
        "promotion",
        "promote",
        "Let a task's certified specialist shadow the LLM, or serve; gateways see it at once.",
    ),
    "demote": Place(
        "promotion",
        "demote",
        "Take a task's specialist back: its next call goes to the LLM, until a person promotes it.",
    ),
    "log": Place(
        "events",
        "log",
        "What happened, newest first: discovered, certified, refused, promoted, demoted …",
    ),
    "spend": Place(
        "spend",
        "spend",
        "Show what calls cost, what the LLM would have cost, and what was saved, audits paid.",
    ),
    "version": Place("version", "version", "Print the version."),
    "calls": Place("calls", "app", "Recorded calls: list, show, export, import."),
    "tasks": Place("tasks", "app", "Kinds of call that recur: list, show, change."),
    "models": Place(
        "models_gate",  # adds its own to those of ``models_fit``, as that to those of ``models``
        "app",
        "Models: list, add, find, see what fits here, try, remove, learn a gate.",
    ),
    "keys": Place("keys", "app", "Keys of callers: create, list, show, revoke, rotate."),
    "runs": Place("runs", "app", "Runs of plans: list, show, approve, resume, cancel."),
    "agents": Place("agents", "app", "Agents: list them, learn which plan a goal asks for."),
    "audit": Place("audit", "app", "The audit trail of runs: verify, head."),
    "collections": Place(
        "tuning",  # adds its own to those of ``collections``
        "app",
        "Documents on this machine: take in, watch, search, move.",
    ),
}


@cache
def loaded(name: str) -> Any:
    """A command of the table, its module loaded."""
    place = COMMANDS[name]
    found = getattr(import_module(f"shoal.cli.{place.module}"), place.attribute)
    shelf = typer.Typer()
    shelf.callback()(_nothing)  # a Typer with one command and no callback is that command
    if isinstance(found, typer.Typer):
        shelf.add_typer(found, name=name)
    else:
        shelf.command(name)(found)
    return cast(TyperGroup, typer.main.get_command(shelf)).commands[name]


class CommandTable(TyperGroup):
    """The group of all commands."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given | {"commands": _Commands()})

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help of the whole, for which nothing is loaded."""
        lines = [TyperGroup(name=name, help=place.says) for name, place in COMMANDS.items()]
        listed = TyperGroup(
            name=self.name,
            help=self.help,
            params=self.params,
            rich_markup_mode=self.rich_markup_mode,
            commands=lines,
        )
        listed.format_help(ctx, formatter)


class _Commands(dict[str, Any]):
    """Each command by its name, loaded when it is taken out."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COMMANDS))

    def __getitem__(self, name: str) -> Any:
        return loaded(name) if name in self else super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


def _nothing() -> None:
    """What the whole does besides its commands."""
