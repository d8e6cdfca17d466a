"""A plan as a graph in SVG: steps from top to bottom in the order in which they can run, those
beside each other in one row, what lies within a step inside its box. Pure text: no text of a plan
is anything but text in the drawing."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from xml.sax.saxutils import escape

from msgspec import Struct

from shoal.errors import MalformedRequest
from shoal.planning.journal import Past
from shoal.planning.plan import (
    Approve,
    Arm,
    Ask,
    Branch,
    Map,
    Plan,
    Repeat,
    Retrieve,
    Say,
    Step,
    Use,
)
from shoal.planning.shape import Circle, arms, needs, ordered

_WIDTH, _HEIGHT, _GAP, _TITLE = 190.0, 44.0, 28.0, 24.0
_SHOWN = 26  # characters of a line in a box
_COLOURS = {"done": "#d7f0dd", "failed": "#f8d7d7", "begun": "#fdeec4", "": "#ffffff"}
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1c2733}.id{font-weight:600}"
    "rect{stroke:#5b6b7a;rx:6}path{stroke:#5b6b7a;fill:none}"
)


class _Box(Struct):
    """Something drawn, of a size; ``parts`` are boxes within it, at places of their own."""

    id: str
    lines: tuple[str, ...]
    width: float = _WIDTH
    height: float = _HEIGHT
    parts: "list[tuple[float, float, _Box]]" = []
    edges: list[tuple[str, str]] = []


def drawn(plan: Plan, past: Past | None = None) -> str:
    """The SVG of a plan; ``past`` colours the steps by what became of them."""
    whole = _block("", (plan.name,), plan.steps)
    body = "".join(_elements(whole, 8.0, 8.0, past or Past()))
    width, height = whole.width + 16, whole.height + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}"><style>{_STYLE}</style><defs><marker id="end" '
        'viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="#5b6b7a"/></marker></defs>{body}</svg>\n'
    )


def _block(id: str, lines: tuple[str, ...], steps: Sequence[Step]) -> _Box:
    """A box around steps, in rows."""
    wants = {step.id: _needs(step) & {one.id for one in steps} for step in steps}
    rows = _rows(steps, wants)
    parts, y, width = list[tuple[float, float, _Box]](), _TITLE * len(lines) + 8, _WIDTH
    for row in range(1 + max(rows, default=-1)):
        x, tallest = _GAP / 2, 0.0
        for step, own in zip(steps, rows, strict=True):
            if own == row:
                box = _step(step)
                parts.append((x, y, box))
                x, tallest = x + box.width + _GAP, max(tallest, box.height)
        width, y = max(width, x - _GAP / 2), y + tallest + _GAP
    edges = [(name, step.id) for step in steps for name in sorted(wants[step.id])]
    height = max(y - _GAP / 2, _TITLE * len(lines) + 8)
    return _Box(id, lines, width, height, parts, edges)


def _rows(steps: Sequence[Step], wants: Mapping[str, AbstractSet[str]]) -> list[int]:
    """The row of each step, below all that it needs. Those of a plan that cannot be run, as they
    wait for each other, lie below each other."""
    try:
        in_order = ordered(steps)
    except (Circle, MalformedRequest):
        return list(range(len(steps)))
    rows: dict[str, int] = {}
    for step in in_order:
        rows[step.id] = 1 + max((rows.get(name, -1) for name in wants[step.id]), default=-1)
    return [rows[step.id] for step in steps]


def _needs(step: Step) -> frozenset[str]:
    try:
        return needs(step)
    except MalformedRequest:  # a path that is none: the plan cannot be run, but drawn
        return frozenset(step.after)


def _step(step: Step) -> _Box:
    box = _alone(step)
    if step.fallback is None:
        return box
    return _beside(step.id, ("the first that works",), [box, _step(step.fallback)])


def _alone(step: Step) -> _Box:
    lines = (step.id, _what(step))
    match step:
        case Map() | Repeat():
            return _block(step.id, lines, step.steps)
        case Branch():
            return _branch(step, lines)
        case _:
            return _Box(step.id, lines)


def _branch(step: Branch, lines: tuple[str, ...]) -> _Box:
    each = [_block("", (_when(step, arm),), arm.steps) for arm in arms(step)]
    return _beside(step.id, lines, each)


def _beside(id: str, lines: tuple[str, ...], boxes: Sequence[_Box]) -> _Box:
    parts, x, y = list[tuple[float, float, _Box]](), _GAP / 2, _TITLE * len(lines) + 8
    for box in boxes:
        parts.append((x, y, box))
        x += box.width + _GAP
    tallest = max((box.height for box in boxes), default=0.0)
    return _Box(id, lines, max(_WIDTH, x - _GAP / 2), y + tallest + _GAP / 2, parts)


def _when(step: Branch, arm: Arm) -> str:
    if arm is step.default:
        return "else"
    return " and ".join(f"{one.value} {one.op} {one.than}" for one in arm.when) or "always"


def _what(step: Step) -> str:
    match step:
        case Ask():
            return f"ask {step.task or step.model}"
        case Retrieve():
            return f"retrieve {step.collection}"
        case Use():
            return f"tool {step.tool}"
        case Map():
            return f"map {step.over} as {step.name}"
        case Branch():
            return "branch"
        case Repeat():
            return f"repeat, at most {step.at_most} times"
        case Approve():
            return "a person approves"
        case Say():
            return "answer"


def _elements(box: _Box, x: float, y: float, past: Past) -> Iterator[str]:
    fill = _COLOURS[_state(box.id, past)]
    yield f'<rect x="{x:g}" y="{y:g}" width="{box.width:g}" height="{box.height:g}" fill="{fill}"/>'
    for at, line in enumerate(box.lines):
        name = ' class="id"' if at == 0 else ""
        shown = line if len(line) <= _SHOWN else line[:_SHOWN] + "…"
        yield f'<text x="{x + 10:g}" y="{y + 18 + 17 * at:g}"{name}>{escape(_plain(shown))}</text>'
    places = {part.id: (x + dx, y + dy, part) for dx, dy, part in box.parts}
    for dx, dy, part in box.parts:
        yield from _elements(part, x + dx, y + dy, past)
    for begin, end in box.edges:
        yield _edge(places, begin, end)


def _edge(places: Mapping[str, tuple[float, float, _Box]], begin: str, end: str) -> str:
    x1, y1, above = places[begin]
    x2, y2, below = places[end]
    from_x, from_y, to_x = x1 + above.width / 2, y1 + above.height, x2 + below.width / 2
    middle = (from_y + y2) / 2
    path = f"M{from_x:g},{from_y:g} C{from_x:g},{middle:g} {to_x:g},{middle:g} {to_x:g},{y2:g}"
    return f'<path d="{path}" marker-end="url(#end)"/>'


def _state(id: str, past: Past) -> str:
    """What became of a step; of one that ran many times, of any."""
    if not id:
        return ""
    for state, places in (("failed", past.failed), ("done", past.finished), ("begun", past.begun)):
        if any(place == id or place.endswith((f".{id}", f":{id}")) for place in places):
            return state
    return "begun" if id in past.asked else ""


def _plain(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(one if one.isprintable() else " " for one in text)
