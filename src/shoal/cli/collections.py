"""``shoal collections``: documents on this machine, taken in, watched and searched."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from msgspec import Struct

from shoal.assembly.kept_reranker import open_collection
from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath
from shoal.cli.figures import moment, one_line
from shoal.cli.intake_bar import intake_bar
from shoal.cli.printing import Column, Row, say, show_json, show_log, show_table, warn
from shoal.cli.workers import when_input_ends
from shoal.config import Config, read_config
from shoal.encoder import Encoder
from shoal.errors import ArtifactError, NotFound, StoreError
from shoal.retrieval import collection as parts
from shoal.retrieval import transfer
from shoal.retrieval.collection import Collection, collections_in
from shoal.retrieval.documents import Hit
from shoal.retrieval.filter_text import filter_from_text
from shoal.retrieval.folders import source_of
from shoal.retrieval.intake import Summary
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_rows import Failure
from shoal.retrieval.tuned import Standing, standings
from shoal.retrieval.watching import watch as watched

log = logging.getLogger(__name__)
app = typer.Typer(
    no_args_is_help=True, help="Documents on this machine: take in, watch, search, move."
)

_COLUMNS = (
    Column("COLLECTION", shrinks=True),
    Column("DOCUMENTS", right=True),
    Column("PASSAGES", right=True),
    Column("MB", right=True),
    Column("TUNED", shrinks=True),
)
FAILED = 1  # exit status
_SHOWN_FAILURES = 20
_SHOWN = 240  # characters of a passage
Name = Annotated[str, typer.Argument(metavar="NAME", help="The collection's name.")]
Paths = Annotated[list[Path] | None, typer.Argument(metavar="PATH", help="Files and folders.")]


class Shown(Struct, frozen=True):
    """One collection of the list: where it takes from, how much it has, what failed, and what makes
    its search better, or did."""

    name: str
    sources: list[str]
    size: parts.Size
    failures: list[Failure]
    tuned: list[Standing]


@app.command()
def add(
    name: Name,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files and folders.")],
    max_tokens: Annotated[
        int, typer.Option(min=32, max=254, help="Of a passage; of a new collection only.")
    ] = 200,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Take files and folders into a collection, made if there is none; later only what changed.
    Exit status 1 if nothing could be taken in.

    What was named is remembered: `shoal collections sync` looks again, and so does `shoal serve`
    by itself.
    """
    settings, encoder = read_config(config), Encoder(threads=2)
    folder = folder_of(settings, name)
    for path in paths:  # before anything is made
        source_of(path)
    if name in collections_in(folder.parent):
        found = open_collection(folder, encoder, settings.place_of(name))
    else:
        found = Collection.create(folder, encoder, max_tokens, settings.place_of(name))
    with closing(found):
        found.add_sources(paths)
        summary = _sync(found)
    if summary.failed and not (summary.written or summary.unchanged):
        raise typer.Exit(FAILED)


@app.command()
def sync(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Default: all.")] = None,
    watch: Annotated[bool, typer.Option(help="Go on, and take in every change.")] = False,
    beside: Annotated[
        bool, typer.Option(hidden=True, help="At low priority, until standard input ends.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Look again where collections take from: changed files are read, removed ones disappear."""
    settings, encoder = read_config(config), Encoder(threads=1 if beside else 2)
    if watch:
        _watch(settings, name, encoder, beside)
        return
    hindered = False
    for each in [name] if name else collections_in(settings.collections_folder):
        try:
            with opened(settings, each, encoder) as found:
                _sync(found)
        except StoreError as error:  # the others are looked at all the same
            if name:
                raise
            warn(f"{each}: {error}")
            hindered = True
    if hindered:
        raise typer.Exit(FAILED)


@app.command("list")
def list_collections(as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """List the collections."""
    settings = read_config(config)
    found = list[Shown]()
    for name in collections_in(settings.collections_folder):
        try:
            found.append(_shown(settings, name))
        except StoreError as error:  # the others are listed all the same
            warn(f"{name}: {error}; `shoal collections remove {name}` removes it")
    if as_json:
        show_json(found)
    elif found:
        show_table(_COLUMNS, [_row(one) for one in found])
    else:
        say("No collections yet: `shoal collections add NAME PATH…` makes one.")


@app.command()
def show(name: Name, as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show a collection: where it takes from, how much it has, and which files failed, and why."""
    settings = read_config(config)
    _require(settings, name)
    one = _shown(settings, name)
    if as_json:
        show_json(one)
        return
    size = one.size
    say(f"{name}: {size.documents:,} documents, {size.passages:,} passages, {_mb(size)} MB")
    for source in one.sources:
        say(f"takes from {source}")
    for standing in one.tuned:
        say(f"searched with: {standing.describe()}; `shoal collections tune {name} --show`")
    _tell_failures(one.failures)


@app.command()
def search(
    name: Name,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Words, or a question.")],
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many passages.")] = 5,
    by: Annotated[
        Literal["both", "words", "meaning"], typer.Option(help="What to search by.")
    ] = "both",
    where: Annotated[
        str | None, typer.Option(help="""A filter, like 'modified >= "2025" and kind = "pdf"'.""")
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=0, max=5, help="Passages before and after each, too.")
    ] = 0,
    explain: Annotated[bool, typer.Option(help="What each score is made of.")] = False,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Search a collection."""
    options = SearchOptions(k, by, filter_from_text(where) if where else None, neighbours)
    with opened(read_config(config), name, Encoder()) as found:
        hits = found.search(query, options)
    if as_json:
        show_json(hits)
        return
    if not hits:
        say("Nothing found.")
    for place, hit in enumerate(hits, start=1):
        say(_hit(place, hit, explain))


@app.command()
def remove(
    name: Name,
    paths: Paths = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Remove what came from a file or folder; without one, the collection. Files stay as they are.

    It asks before a whole collection goes.
    """
    settings = read_config(config)
    if not paths:
        folder = folder_of(settings, name)
        if not folder.is_dir():
            raise NotFound(f"no collection {name!r}")
        typer.confirm(f"Remove the collection {name} with all its indexes?", abort=True)
        parts.remove_collection(folder, settings.place_of)
        say(f"Removed {name}.")
        return
    with opened(settings, name, Encoder()) as found:
        count = sum(found.remove_source(path) for path in paths)
    say(f"Removed {count:,} documents from {name}.")


@app.command()
def rebuild(name: Name, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Encode all passages anew and make the indexes again, as after a change of the encoder."""
    settings, encoder = read_config(config), Encoder(threads=2)
    folder = folder_of(settings, name)
    count = parts.rebuild(folder, encoder)
    with opened(settings, name, encoder) as found:
        found.follow()
    say(f"Encoded {count:,} passages of {name} anew.")


@app.command("export")
def export_collection(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write a collection into one file: documents with their passages and vectors, what it was
    tuned to, and what was said of it by API."""
    transfer.export_collection(folder_of(read_config(config), name), file)
    say(f"Wrote {file}.")


@app.command("import")
def import_collection(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export` wrote.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Make a collection of a file that `export` wrote. It takes from nowhere until told to."""
    settings = read_config(config)
    transfer.import_collection(file, folder_of(settings, name), settings.place_of)
    with opened(settings, name, Encoder()) as found:
        found.follow()
        size = found.size()
    say(f"{name}: {size.documents:,} documents, {size.passages:,} passages.")


def _watch(settings: Config, name: str | None, encoder: Encoder, beside: bool) -> None:
    """Until told to stop; ``beside`` a gateway until that ends, and without a word."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if beside:
        show_log()
        os.nice(10)
        threading.Thread(target=when_input_ends, args=(stop.set,), daemon=True).start()
    else:
        say("Watching; stop with Ctrl-C.")
    root, places = settings.collections_folder, settings.place_of
    for changed, summary in watched(root, encoder, name, stop, places):
        if beside:
            log.info("collection %s: %s", changed, _told(summary))
        else:
            say(f"{changed}: {_told(summary)}")


def folder_of(settings: Config, name: str) -> Path:
    """The folder of one collection, whether or not there is one.

    Raises:
        ConfigError: no collection can have this name.
    """
    parts.check_name(name)
    return settings.collections_folder / name


def _require(settings: Config, name: str) -> None:
    known = collections_in(folder_of(settings, name).parent)
    if name not in known:
        there = f"there are: {', '.join(known)}" if known else "there are none"
        raise NotFound(f"no collection {name!r}; {there}")


@contextmanager
def opened(settings: Config, name: str, encoder: Encoder) -> Iterator[Collection]:
    """An open collection.

    Raises:
        NotFound: there is none of this name; says which there are.
    """
    _require(settings, name)
    folder = folder_of(settings, name)
    with closing(open_collection(folder, encoder, settings.place_of(name))) as found:
        yield found


def _sync(found: Collection) -> Summary:
    with intake_bar(found.name) as tell:
        summary = found.sync(tell)
    say(f"{found.name}: {_told(summary)}")
    _tell_failures(found.failures())
    return summary


def _told(summary: Summary) -> str:
    said = (
        f"{summary.written:,} files taken in ({summary.passages:,} passages), "
        f"{summary.unchanged:,} unchanged, {summary.removed:,} removed"
    )
    return f"{said}, {summary.failed:,} failed" if summary.failed else said


def _tell_failures(failures: list[Failure]) -> None:
    for one in failures[:_SHOWN_FAILURES]:
        warn(f"{one.name}: {one.reason}")
    if len(failures) > _SHOWN_FAILURES:
        warn(f"… and {len(failures) - _SHOWN_FAILURES:,} more files")


def _shown(settings: Config, name: str) -> Shown:
    folder = folder_of(settings, name)
    shelf = Shelf.open(folder)
    try:
        size = parts.size_of(folder, shelf)
        tuned = _standings(folder, shelf)
        return Shown(name, [one.path for one in shelf.sources()], size, shelf.failures(), tuned)
    finally:
        shelf.close()


def _standings(folder: Path, shelf: Shelf) -> list[Standing]:
    try:
        return standings(folder, shelf.encoder)
    except ArtifactError as error:  # searches go on as without
        warn(str(error))
        return []


def _row(one: Shown) -> Row:
    size, failed = one.size, len(one.failures)
    note = f"{failed:,} files failed: `shoal collections show {one.name}`" if failed else ""
    tuned = ", ".join(f"({s.proof.what})" if s.lapsed else s.proof.what for s in one.tuned)
    cells = (one.name, f"{size.documents:,}", f"{size.passages:,}", _mb(size), tuned)
    return Row(cells, note)


def _mb(size: parts.Size) -> str:
    return f"{size.bytes / 1e6:,.1f}"


def _hit(place: int, hit: Hit, explain: bool) -> str:
    page = f", page {hit.passage.page}" if hit.passage.page else ""
    above = " > ".join(hit.passage.headings[1:])
    where = one_line(f"{hit.document.title}{' > ' if above else ''}{above}{page}")
    text = " ".join(hit.passage.text.split())
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
    lines = [
        f"{place}. {where} ({hit.score:.3f})",
        f"   {shown}",
        f"   {one_line(hit.document.name)}",
    ]
    if explain:
        words = "not among the best" if hit.words is None else f"BM25 {hit.words:.2f}"
        meaning = "not known" if hit.meaning is None else f"cosine {hit.meaning:.3f}"
        at = moment(hit.document.at)
        reranked = "" if hit.chance is None else f" reranker: {hit.chance:.2f};"
        lines.append(f"   words: {words}; meaning: {meaning};{reranked} taken in {at} UTC")
    return "\n".join(lines)
