"""A run as a tree, of text: steps under the step that holds them, in the order in which each was
first written of, and with each leaf the path that ``approve`` and ``settle`` take."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from shoal.planning.references import as_text
from shoal.storage import Run, RunRecord

_PART = re.compile(r"(?P<plan>\d+:)?(?P<id>[^\[#:]+)(?P<which>\[\d+\]|#\d+|:\w+)?")
_SHOWN = 160
_MOST_LINES = 500


class _Node:
    """A step, one item or round or arm of it, or a plan: with what was written of it itself."""

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path
        self.records = list[RunRecord]()
        self.inner = dict[str, _Node]()

    def at(self, name: str, path: str) -> "_Node":
        """The node of that name within it."""
        return self.inner.setdefault(name, _Node(name, path))

    @property
    def cost(self) -> float:
        """USD of it and all within it."""
        own = sum(one.cost for one in self.records)
        return own + sum(one.cost for one in self.inner.values())


def tree_lines(run: Run, records: Sequence[RunRecord]) -> Iterator[str]:
    """The lines of the tree."""
    took = run.updated_at - run.started_at
    yield f"{run.name}  {run.state}  {took:,.1f} s  {run.cost:.6f} USD  {run.tokens:,} tokens"
    yield f"run {run.id}  episode {run.episode}" + (f"  agent {run.agent}" if run.agent else "")
    if run.goal:
        yield f"goal: {_short(run.goal)}"
    for count, line in enumerate(_within(_grown(records), 1)):
        if count == _MOST_LINES:
            yield f"… and more: `shoal runs show {run.id} --json` has all {len(records):,}"
            return
        yield line


def _grown(records: Sequence[RunRecord]) -> _Node:
    root = _Node("", "")
    for one in records:
        if one.step and one.kind not in ("ended", "paused"):  # these name the step that ended it
            _node_of(root, one.step).records.append(one)
        elif one.kind != "paused" or one is records[-1]:  # since then it went on
            root.at(f"record {one.seq}", "").records.append(one)
    return root


def _node_of(root: _Node, step: str) -> _Node:
    node, path = root, ""
    for part in step.split("."):
        found = _PART.fullmatch(part)
        if found is None:  # no path that this version writes
            return root.at(step, step)
        if found["plan"]:
            node = node.at(f"plan {found['plan'][:-1]}", "")
        path = f"{path}.{part}" if path else part
        node = node.at(found["id"], path.removesuffix(found["which"] or ""))
        if found["which"]:
            node = node.at(found["which"].lstrip(":"), path)
    return node


def _within(node: _Node, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for one in node.inner.values():
        if one.path or one.inner:
            yield indent + _line(one)
        elif told := _of_run(one.records[0]):
            yield indent + told
        if one.records and not one.inner and (result := _result(one.records)):
            yield f"{indent}  = {result}"
        yield from _within(one, depth + 1)


def _line(node: _Node) -> str:
    cost = _usd(node.cost)
    if not node.records:
        return f"{node.name}  {cost}".rstrip()
    return "  ".join((node.path, *filter(None, _told(node.records, cost))))


def _told(records: Sequence[RunRecord], cost: str) -> Iterator[str]:
    """What became of one step, in parts of a line: the last of several tries, all words on it."""
    bodies = [_body(one) for one in records]
    for one, body in zip(records, bodies, strict=True):
        if one.kind == "waiting":
            shown = "" if body.get("show") is None else f" {_short(as_text(body['show']))}"
            yield f"asks: {_short(str(body.get('question', '')))}{shown}"
        elif one.kind == "decided":
            word = "yes" if body.get("approved") else "no"
            note = f": {body['note']}" if body.get("note") else ""
            yield f"{body.get('by') or 'a person'} said {word}{note}"
    last, body = records[-1], bodies[-1]
    match last.kind:
        case "finished":
            yield f"{body['ms']:,.0f} ms" if "ms" in body else ""
            yield cost
            yield body.get("by", "")
            yield f"({_short(body['why'])})" if body.get("why") else ""
        case "failed":
            yield cost
            yield f"failed: {_short(str(body.get('error', '')))}"
            yield "(something stands in its place)" if body.get("handled") else ""
        case "started":
            yield f"begun, and not known to be done: {_short(as_text(body.get('arguments')))}"


def _result(records: Sequence[RunRecord]) -> str:
    """What a step gave; "" for a person's word, which was told."""
    kinds = {one.kind for one in records}
    if records[-1].kind != "finished" or not records[-1].step or "decided" in kinds:
        return ""
    return _short(as_text(_body(records[-1]).get("value")))


def _of_run(record: RunRecord) -> str:
    """What happened to the run as a whole; "" where its first lines say so."""
    body = _body(record)
    match record.kind:
        case "run" | "planning":
            return ""
        case "planned":
            told = f"planned by {body.get('by', '')}: {body.get('why', '')}"
            return "  ".join(filter(None, (told, _usd(record.cost))))
        case "failed":
            told = f"not planned by {body.get('by', '')}: {_short(str(body.get('error', '')))}"
            return "  ".join(filter(None, (told, _usd(record.cost))))
        case "ended" | "paused":
            at = f" at {record.step}" if record.step else ""
            error = f": {body['error']}" if body.get("error") else ""
            return f"{record.state}{at}{error}"
        case _:
            return record.kind + (f" by {body['by']}" if body.get("by") else "")


def _body(record: RunRecord) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(record.body)
    return found


def _usd(cost: float) -> str:
    return f"{cost:.6f} USD" if cost else ""


def _short(text: str) -> str:
    told = " ".join(text.split())
    return told if len(told) <= _SHOWN else told[:_SHOWN] + " …"
