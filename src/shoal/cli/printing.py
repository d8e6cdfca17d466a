"""How commands print: prose and tables that fit a terminal, plain and uncut anywhere else, JSON."""

import logging
import textwrap
from collections.abc import Sequence

import msgspec
import typer
from msgspec import Struct
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from shoal.cli.context import console
from shoal.cli.figures import one_line, printable, printable_json

_GAP = "  "
_NARROWEST = 8


class Column(Struct, frozen=True):
    """A column of a table; one that ``shrinks`` gives way where a terminal is too narrow."""

    title: str
    right: bool = False
    shrinks: bool = False


class Row(Struct, frozen=True):
    """A row of a table, and what is said of it underneath."""

    cells: tuple[str, ...]
    note: str = ""


def say(text: str, style: str = "") -> None:
    """Print prose, wrapped at the width of a terminal."""
    if console.is_terminal:
        console.print(Text(printable(text), style=style))
    else:
        typer.echo(printable(text))


def warn(text: str) -> None:
    """Print a remark where it does not mix with the output."""
    typer.echo(f"shoal: {one_line(text)}", err=True)


def show_json(value: object) -> None:
    """Print a value as JSON, for machines."""
    typer.echo(printable_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))


class _Printable(logging.Formatter):
    """What is logged holds texts from traffic, too."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def show_log() -> None:
    """Print what is logged from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def show_table(columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Print a table; cells are cut, and notes wrapped, to the width of a terminal."""
    limit = console.width if console.is_terminal else None
    cells = [tuple(map(one_line, row.cells)) for row in rows]
    titles = tuple(column.title for column in columns)
    widths = _widths(columns, [titles, *cells], limit)
    say(_line(columns, titles, widths), "bold")
    for row, shown in zip(rows, cells, strict=True):
        say(_line(columns, shown, widths))
        if row.note:
            say(_note(row.note, limit))


def _line(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int]) -> str:
    fitted = [_fit(*each) for each in zip(columns, cells, widths, strict=True)]
    return _GAP.join(fitted).rstrip()


def _fit(column: Column, cell: str, width: int) -> str:
    missing = width - cell_len(cell)
    if missing < 0:
        return set_cell_size(cell, width - 1) + "…"
    return " " * missing + cell if column.right else cell + " " * missing


def _widths(
    columns: Sequence[Column], lines: Sequence[Sequence[str]], limit: int | None
) -> list[int]:
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    giving = [place for place, column in enumerate(columns) if column.shrinks]
    while limit is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > limit:
        widest = max(giving, key=lambda place: widths[place], default=None)
        if widest is None or widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _note(text: str, limit: int | None) -> str:
    said = one_line(text)
    if limit is None:
        return _GAP + said
    return textwrap.fill(said, limit, initial_indent=_GAP, subsequent_indent=_GAP)
