"""``shoal calls``: list, show, export, import."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly import tariff_of
from shoal.assembly.call_lines import LineReader, encode_line, is_whole
from shoal.assembly.explaining import explain
from shoal.assembly.importing import Imported, import_calls
from shoal.assembly.loader import Loader
from shoal.assembly.record import view
from shoal.cli.call_file import CallFile, open_source, open_target
from shoal.cli.context import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    find_task,
    open_store,
    store_at,
    task_names,
)
from shoal.cli.figures import short_moment
from shoal.cli.printing import Column, Row, say, show_json, show_table, warn
from shoal.cli.receipt import describe
from shoal.config import Config, read_config
from shoal.errors import CallFileError
from shoal.flywheel.finding import known_tasks
from shoal.routing.prices import Tariff
from shoal.storage import CallFilter, CallRecord, Store
from shoal.tasks import Matcher

app = typer.Typer(no_args_is_help=True, help="Recorded calls: list, show, export, import.")

_DAY = 86_400.0
_COLUMNS = (
    Column("AT (UTC)"),
    Column("TASK", shrinks=True),
    Column("ANSWERED BY", shrinks=True),
    Column("MS", right=True),
    Column("ID"),
)
TaskOption = Annotated[
    str | None, typer.Option("--task", help='Of this task only; "" for calls without one.')
]


class CallSummary(Struct, frozen=True):
    """A call without what was said; ``task`` is a name, costs are USD."""

    id: str
    at: float
    task: str
    answered_by: str
    llm: str
    reason: str
    error: str
    latency_ms: float
    cost: float | None
    llm_cost: float | None
    sampled: bool
    episode: str
    source: str


@app.command("list")
def list_calls(
    task: TaskOption = None,
    answered_by: Annotated[
        str | None, typer.Option(help="Answered by this model, or specialist/TASK, only.")
    ] = None,
    episode: Annotated[str | None, typer.Option(help="Of this episode only.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """List recorded calls, newest first."""
    with store_at(config) as store:
        of_task = _task_id(store, task)
        which = CallFilter(task=of_task, answered_by=answered_by, episode=episode, limit=limit)
        calls, names = store.calls.list(which), task_names(store)
    if as_json:
        show_json([_summary(call, names.get(call.task, "")) for call in calls])
    elif calls:
        show_table(_COLUMNS, [_row(call, names.get(call.task, "-")) for call in calls])
    else:
        asked = task is not None or answered_by is not None or episode is not None
        say("No such calls." if asked else "No calls.")


@app.command()
def show(
    call_id: Annotated[str, typer.Argument(metavar="ID")],
    why: Annotated[
        bool, typer.Option("--why", help="Also which words decided for its specialist.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show one call: who answered and why, what it cost, and what was said."""
    settings = read_config(config)
    with open_store(settings) as store:
        found = view(store, call_id)
        if why:
            reasons = explain(store, Loader(store), store.calls.get(call_id), settings.privacy)
            found = replace(found, reasons=reasons)
        if as_json:
            show_json(found)
        else:
            task = task_names(store).get(store.calls.get(call_id).task, "none")
            say(describe(store, found, task))


@app.command()
def export(
    task: TaskOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; compressed if it ends in .gz.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write calls as JSON lines, oldest first: what the `recorded` engine plays back."""
    written = left_out = 0
    with store_at(config) as store:
        which, names = _task_id(store, task), task_names(store)
        with open_target(output) as target:
            for page in store.calls.history(which):
                lines = [
                    encode_line(call, names.get(call.task, "")) for call in page if is_whole(call)
                ]
                target.write(b"".join(lines))
                written += len(lines)
                left_out += len(page) - len(lines)
    without = f"; {left_out:,} without a whole answer were left out" if left_out else ""
    warn(f"{written:,} calls exported{without}")


@app.command("import")
def import_file(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help='A file, may be compressed; "-": standard input.')
    ],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that are no call.")
    ] = False,
    model: Annotated[
        str, typer.Option(help="Whose answers they are, for lines that name no model.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Import calls from JSON lines: an export of Shoal's, logs, fine-tuning lines, batches."""
    settings = read_config(config)
    with open_source(file) as source:
        if not skip_bad:
            _check(source, model)
        with open_store(settings) as store:
            calls = _calls(source, LineReader(model, time.time()), skip_bad)
            done = _import(settings, store, calls)
    say(_told(done, source.name))
    if done.old:
        warn(
            f"{done.old:,} of them are older than store.keep_days ({settings.store.keep_days}), so "
            "the learner removes them when it next looks for old calls; a larger number keeps them"
        )


def _task_id(store: Store, task: str | None) -> str | None:
    return find_task(store, task).id if task else task


def _summary(call: CallRecord, task: str) -> CallSummary:
    fields = {name: getattr(call, name) for name in CallSummary.__struct_fields__}
    return CallSummary(**fields | {"task": task})


def _row(call: CallRecord, task: str) -> Row:
    who = "failed" if call.error else call.answered_by
    kind, _, of = who.partition("/")
    if kind in ("specialist", "agreement") and of == task:
        who = kind
    return Row((short_moment(call.at), task, who, f"{call.latency_ms:.0f}", call.id))


def _check(source: CallFile, model: str) -> None:
    """Read every line, so that nothing is imported of a file with a bad one.

    Raises:
        CallFileError: there is one; names the first.
    """
    reader, first, bad = LineReader(model, time.time()), "", 0
    for place, line in source.lines():
        try:
            reader.read(line)
        except CallFileError as error:
            first = first or f"{place}: {error}"
            bad += 1
    if bad:
        more = f" (and {bad - 1:,} more bad lines)" if bad > 1 else ""
        raise CallFileError(f"{first}{more}; nothing was imported, --skip-bad imports the rest")


def _calls(source: CallFile, reader: LineReader, skip_bad: bool) -> Iterator[CallRecord]:
    for place, line in source.lines():
        try:
            yield reader.read(line)
        except CallFileError as error:
            if not skip_bad:
                raise CallFileError(f"{place}: {error}") from None
            warn(f"{place}: {error}; left out")


def _import(config: Config, store: Store, calls: Iterator[CallRecord]) -> Imported:
    tariffs = {name: tariff_of(name, options) for name, options in config.models.items()}

    def tariff(name: str) -> Tariff:
        return tariffs.get(name) or Tariff(model=name)

    kept_since = time.time() - config.store.keep_days * _DAY
    return import_calls(store, calls, Matcher(known_tasks(store)), tariff, kept_since)


def _told(done: Imported, name: str) -> str:
    text = f"{done.added:,} calls imported from {name}, {done.matched:,} of them of known tasks."
    return f"{text} {done.known:,} were there already." if done.known else text
