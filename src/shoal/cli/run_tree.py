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
    seen = set[str]()
    shown = 0
    for one in records:
        for line in _lines(one, seen):
            shown += 1
            if shown > _MOST_LINES:
                yield f"… and more: `shoal runs show {run.id} --json` has all {len(records):,}"
                return
            yield line


def _lines(record: RunRecord, seen: set[str]) -> Iterator[str]:
    depth, step = 0, record.step
    while (found := _INNER.match(step)) is not None:
        outer = found["outer"]
        path = f"{depth}{outer}"
        if path not in seen:
            seen.add(path)
            yield f"{_indent(depth)}{outer}"
        depth, step = depth + 1, found["rest"]
    yield _indent(depth) + _told(record, step)


def _told(record: RunRecord, step: str) -> str:
    body: dict[str, Any] = msgspec.json.decode(record.body)
    match record.kind:
        case "finished":
            return f"{step}  {_who(record, body)}\n{_result(body)}".rstrip()
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
    return f"    = {_short(value)}" if value else ""


def _short(text: str) -> str:
    told = " ".join(text.split())
    return told if len(told) <= _SHOWN else told[:_SHOWN] + " …"


def _indent(depth: int) -> str:
    return "  " * (depth + 1)
