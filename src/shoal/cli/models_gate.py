"""``shoal models gate``: learn which member of a mixture answers what belongs to no known task."""

from collections import Counter
from pathlib import Path

from shoal.assembly.mixture import default_of
from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath, open_store
from shoal.cli.models import ModelName
from shoal.cli.models_fit import app
from shoal.cli.printing import Column, Row, say, show_json, show_table
from shoal.config import Config, read_config
from shoal.engines import MixtureOptions
from shoal.errors import ConfigError
from shoal.routing.gate import Gate, Seen, Vectors, gate_text, learn_gate
from shoal.storage import CallFilter, Store

_MOST_CALLS = 400  # of a task, the last; at some 5 ms each
_COLUMNS = (Column("TASK", shrinks=True), Column("GOES TO"), Column("CALLS", True),
            Column("HELD OUT", True), Column("RIGHT", True), Column("UNSURE", True),
            Column("WRONG", True))  # fmt: skip


@app.command()
def gate(name: ModelName, as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Learn, from recorded calls, which member of a mixture answers what belongs to no known task.

    Every fifth call is held out, and told of: how many are right, wrong, or go to the default
    because nothing is like them.
    """
    settings = read_config(config)
    options, path = _mixture(settings, name, config)
    default = default_of(name, options, settings.models)
    with open_store(settings) as store:
        texts = _texts(store)
        unknown = _last(store, "")
    if missing := [task for task in options.tasks if task not in texts]:
        say(f"No calls of {', '.join(missing)} are recorded: see `shoal tasks list`.")
    learned, seen, strays = _learned(texts, unknown)
    learned.save(path)
    goes = {one.task: options.tasks.get(one.task, default) for one in seen}
    strayed = Counter(options.tasks.get(task, default) if task else default for task in strays)
    if as_json:
        show_json({"tasks": seen, "members": goes, "of_no_task": strayed, "path": str(path)})
        return
    show_table(_COLUMNS, [_row(one, goes[one.task], len(texts[one.task])) for one in seen])
    if strays:
        shares = ", ".join(f"{count} to {member}" for member, count in strayed.most_common())
        say(f"Of {len(strays)} recorded calls of no task would go: {shares}.")
    say(f"Written to {path}; a running gateway takes it with: shoal reload")


def _mixture(settings: Config, name: str, config: Path) -> tuple[MixtureOptions, Path]:
    options = settings.models.get(name)
    if not isinstance(options, MixtureOptions):
        there = [one for one, other in settings.models.items() if isinstance(other, MixtureOptions)]
        raise ConfigError(
            f"{config}: models.{name} is no mixture; there are: {', '.join(there) or 'none'}"
        )
    if options.gate is None:
        raise ConfigError(
            f"{config}: models.{name}.gate: expected the file that is to hold what is learned, "
            f'like gate = "{name}.gate.json"'
        )
    return options, options.gate


def _texts(store: Store) -> dict[str, list[str]]:
    """What is encoded of the last calls of each task that has any, by its name."""
    found = {row.name: _last(store, row.id) for row in store.tasks.list()}
    return {name: texts for name, texts in found.items() if texts}


def _last(store: Store, task: str) -> list[str]:
    calls = store.calls.list(CallFilter(task=task, limit=_MOST_CALLS))
    return [gate_text(call.request) for call in calls]


def _learned(texts: dict[str, list[str]], unknown: list[str]) -> tuple[Gate, list[Seen], list[str]]:
    """The gate, how it did, and what it takes calls of no task for."""
    from shoal.encoder import Encoder  # most commands need none

    encoder = Encoder(threads=2)
    vectors: dict[str, Vectors] = {name: encoder.encode(some) for name, some in texts.items()}
    learned, seen = learn_gate(encoder.digest, vectors)
    return learned, seen, [learned.task_of(row)[0] for row in encoder.encode(unknown)]


def _row(one: Seen, member: str, calls: int) -> Row:
    counts = map(str, (calls, one.n, one.right, one.unsure, one.wrong))
    return Row((one.task, member, *counts))
