"""Finding the task of a request: a dictionary look-up, then a few string comparisons."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from shoal.chat import Message, Request
from shoal.tasks.input import Input
from shoal.tasks.task import Task
from shoal.tasks.template import (
    Pattern,
    Template,
    content_of,
    skeletons_of,
)


class Match(Struct, frozen=True):
    """A request's task, the template that recognised it and the values of its slots."""

    task: Task
    template: Template
    values: tuple[str, ...]

    @property
    def input_text(self) -> str:
        """The values of the slots as one text."""
        return self.template.input_text(self.values)

    def input_of(self, request: Request) -> Input:
        """What a specialist reads of the request that this is the match of."""
        slots = tuple(zip(self.template.slots, self.values, strict=True))
        return Input(self.input_text, slots, request.messages, request.tools)


class Matcher:
    """Recognises the requests of a fixed set of tasks; built anew when the set changes.

    Templates are looked up by skeleton and the constant messages they begin with; among those left
    the most specific wins: conditions before none, then more constant text, then the smaller id.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = tuple(tasks)
        self._index: dict[str, _Shelf] = defaultdict(_Shelf)
        for task in sorted(self.tasks, key=lambda task: task.id):
            for template in task.templates:
                self._index[template.skeleton].add(task, template)
        for shelf in self._index.values():
            shelf.sort()

    def match(self, request: Request) -> Match | None:
        """The request's task, None if there is none or people chose to ignore it."""
        found = self.find(request)
        return None if found is None or found.task.ignored else found

    def find(self, request: Request) -> Match | None:
        """The request's task, the ignored ones included."""
        for opening in (False, True):
            for skeleton in skeletons_of(request, opening=opening):
                shelf = self._index.get(skeleton)
                if shelf and (found := shelf.find(request.messages)):
                    return found
        return None


_Entry = tuple[Task, Template]

HEAD = 24
"""Characters by which templates are looked up that begin with so many constant ones."""


class _Shelf:
    """The templates of one skeleton, by how many constant messages they begin with and which."""

    def __init__(self) -> None:
        self.by_constants: dict[int, dict[tuple[str, ...], _Row]] = {}

    def add(self, task: Task, template: Template) -> None:
        constants = _constants(template.patterns)
        depth = self.by_constants.setdefault(len(constants), {})
        depth.setdefault(constants, _Row()).add(task, template, len(constants))

    def sort(self) -> None:
        for depth in self.by_constants.values():
            for row in depth.values():
                row.sort()

    def find(self, messages: Sequence[Message]) -> Match | None:
        best: Match | None = None
        for count, depth in self.by_constants.items():
            key = tuple(content_of(message) for message in messages[:count])
            row = depth.get(key)
            for entries in row.entries(messages, count) if row else ():
                found = _first(entries, messages)
                if found and (best is None or _order_of(found) < _order_of(best)):
                    best = found
        return best


class _Row:
    """Templates alike in the messages they begin with, by how the next message begins."""

    def __init__(self) -> None:
        self._by_head: dict[str, list[_Entry]] = defaultdict(list)

    def add(self, task: Task, template: Template, place: int) -> None:
        patterns = template.patterns[place:]
        literal = patterns[0].literals[0] if patterns else ""
        self._by_head[literal[:HEAD] if len(literal) >= HEAD else ""].append((task, template))

    def sort(self) -> None:
        for entries in self._by_head.values():
            entries.sort(key=_order)

    def entries(self, messages: Sequence[Message], place: int) -> Iterator[list[_Entry]]:
        """The templates that may match, in at most two lists, each the most specific first."""
        head = content_of(messages[place])[:HEAD] if place < len(messages) else ""
        for key in {head, ""}:
            if key in self._by_head:
                yield self._by_head[key]


def _first(entries: Sequence[_Entry], messages: Sequence[Message]) -> Match | None:
    for task, template in entries:
        values = template.match_messages(messages)
        if values is not None and all(c.holds(template, values) for c in task.conditions):
            return Match(task, template, values)
    return None


def _constants(patterns: Sequence[Pattern]) -> tuple[str, ...]:
    constants: list[str] = []
    for pattern in patterns:
        if pattern.slots:
            break
        constants.append(pattern.literals[0])
    return tuple(constants)


def _order(entry: _Entry) -> tuple[int, int, str]:
    task, template = entry
    return (-len(task.conditions), -template.weight, task.id)


def _order_of(match: Match) -> tuple[int, int, str]:
    return _order((match.task, match.template))
