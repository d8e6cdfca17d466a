"""A run as a tree, of text: steps within the steps that hold them."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from shoal.planning.references import as_text
from shoal.storage import Run, RunRecord

_INNER = re.compile(r"^(?P<outer>.+?(?:\[\d+\]|#\d+|:\w+))\.(?P<rest>.+)$")
_SHOWN = 160
_MOST_LINES = 500


def tree_lines(run: Run, records: Sequence[RunRecord]) -> Iterator[str]:
    """The lines of the tree."""
    took = run.updated_at - run.started_at
    yield f"{run.name}  {run.state}  {took:,.1f} s  {run.cost:.6f} USD  {run.tokens:,} tokens"
    yield f"run {run.id}  episode {run.episode}" + (f"  agent {run.agent}" if run.agent else "")
    if run.goal:
        yield f"goal: {_short(run.goal)}"
    top = _Place()
    for record in records:
        _put(record, top)
    for shown, line in enumerate(_drawn(top, 0)):
        if shown == _MOST_LINES:
            yield f"… and more: `shoal runs show {run.id} --json` has all {len(records):,}"
            return
        yield line


class _Place:
    """What was recorded of one step, and of the steps within it, each where it began: those of
    items that were worked on side by side are not told in the order of their records."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.inner: dict[str, _Place] = {}

    def within(self, name: str) -> "_Place":
        return self.inner.setdefault(name, _Place())

    def tell(self, line: str) -> None:
        if self.lines and line.startswith(self.lines[-1]):
            self.lines.pop()  # the same again, with what became of it
        self.lines.append(line)


def _put(record: RunRecord, top: _Place) -> None:
    place, step = top, record.step
    while (found := _INNER.match(step)) is not None:
        place, step = place.within(found["outer"]), found["rest"]
    place = place.within(step or f"record {record.seq}")  # of the whole run: as they came
    place.tell(_told(record, step))


def _drawn(place: _Place, depth: int) -> Iterator[str]:
    for name, one in place.inner.items():
        if not one.lines:
            yield _indent(depth) + name
        for line in one.lines:
            yield _indent(depth) + line.replace("\n", f"\n{_indent(depth)}")
        yield from _drawn(one, depth + 1)


def _told(record: RunRecord, step: str) -> str:
    body: dict[str, Any] = msgspec.json.decode(record.body)
    match record.kind:
        case "finished":
            return f"{step}  {_who(record, body)}".rstrip() + _result(body)
        case "failed":
            instead = "  (something stands in its place)" if body.get("handled") else ""
            return f"{step}  failed: {_short(str(body.get('error', '')))}{instead}"
        case "started":
            return f"{step}  begins: {_short(as_text(body.get('arguments')))}"
        case "waiting":
            shown = "" if body.get("show") is None else f" {_short(as_text(body['show']))}"
            return f"{step}  asks: {_short(str(body.get('question', '')))}{shown}"
        case "decided":
            word = "yes" if body.get("approved") else "no"
            note = f": {body['note']}" if body.get("note") else ""
            return f"{step}  {body.get('by') or 'a person'} said {word}{note}"
        case "planned":
            return (
                f"planned by {body.get('by', '')}: {body.get('why', '')}  {_cost(record)}".rstrip()
            )
        case "ended" | "paused":
            error = f": {body['error']}" if body.get("error") else ""
            return f"{record.state}{error}"
        case _:
            return record.kind


def _who(record: RunRecord, body: dict[str, Any]) -> str:
    parts = [f"{body['ms']:,.0f} ms" if "ms" in body else "", _cost(record), body.get("by", "")]
    parts.append(f"({body['why']})" if body.get("why") else "")
    return "  ".join(part for part in parts if part)


def _cost(record: RunRecord) -> str:
    return f"{record.cost:.6f} USD" if record.cost else ""


def _result(body: dict[str, Any]) -> str:
    value = as_text(body.get("value"))
    return f"\n  = {_short(value)}" if value else ""


def _short(text: str) -> str:
    told = " ".join(text.split())
    return told if len(told) <= _SHOWN else told[:_SHOWN] + " …"


def _indent(depth: int) -> str:
    return "  " * (depth + 1)
