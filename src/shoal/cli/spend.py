"""``shoal spend``."""

from enum import StrEnum
from typing import Annotated

import typer

from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath, store_at, task_names
from shoal.cli.figures import money
from shoal.cli.printing import Column, Row, say, show_json, show_table
from shoal.cli.span import read_day
from shoal.storage import SpendRow, Store

_COUNTS = tuple(name for name in SpendRow.__struct_fields__ if name != "group")


class By(StrEnum):
    """What sums are told by."""

    DAY = "day"
    KEY = "key"
    MODEL = "model"
    TASK = "task"


def spend(
    by: Annotated[By, typer.Option(help="A sum for each of these.")] = By.DAY,
    since: Annotated[
        str | None,
        typer.Option(parser=read_day, help="A day (UTC), or so long ago: 7d.", metavar="DAY"),
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show what calls cost, what the LLM would have cost, and what was saved, audits paid.

    Sums marked ~ hold estimates.
    """
    with store_at(config) as store:
        rows = store.spend.list(by.value, since or "")
        names = _names(store, by)
    if as_json:
        show_json([{"name": _name(row, names), "sums": row} for row in rows])
    elif rows:
        titles = (by.value.upper(), "CALLS", "COST", "LLM WOULD COST", "AUDITS", "SAVED")
        columns = [Column(title, right=at > 0, shrinks=at == 0) for at, title in enumerate(titles)]
        lines = [_line(row, _name(row, names)) for row in rows]
        show_table(columns, [*lines, _line(_total(rows), "all")] if len(rows) > 1 else lines)
    else:
        say("Nothing was spent." if not since else f"Nothing was spent since {since}.")


def _names(store: Store, by: By) -> dict[str, str]:
    if by is By.KEY:
        return {row.id: row.name for row in store.keys.list()}
    return task_names(store) if by is By.TASK else {}


def _name(row: SpendRow, names: dict[str, str]) -> str:
    return names.get(row.group, row.group) or "-"


def _line(row: SpendRow, name: str) -> Row:
    mark = "~" if row.estimated else ""
    saved = row.llm_cost - row.cost - row.audit_cost
    sums = (row.cost, row.llm_cost, row.audit_cost, saved)
    notes = []
    if row.unpriced:
        held = f", for which budgets hold {money(row.held)}" if row.held else ""
        notes.append(f"+ {row.unpriced:,} of unknown price{held}")
    if row.estimated:
        notes.append(f"~ {row.estimated:,} of estimated usage")
    cells = (name, f"{row.calls:,}", *(mark + _dollars(amount) for amount in sums))
    return Row(cells, ", ".join(notes))


def _dollars(amount: float) -> str:
    return f"-{money(-amount)}" if amount < 0 else money(amount)


def _total(rows: list[SpendRow]) -> SpendRow:
    sums = {name: sum(getattr(row, name) for row in rows) for name in _COUNTS}
    return SpendRow(group="", **sums)
