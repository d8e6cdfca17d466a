"""What a conversation states: every value in it that might be an argument of the next call.

Values come from prose (identifiers, numbers, dates, e-mail addresses, names, quoted words), from
the leaves of JSON results with the keys that lead to them, from lists and objects of such results,
and from the arguments of earlier calls. What this module does not know: which of them is meant.
"""

import json
import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from shoal.chat import Message
from shoal.formats.json_schema import Json
from shoal.specialists.calls.schema import arguments_of, canonical, shape_of, type_of
from shoal.specialists.calls.values import WORD, singular, values_in

MOST_MENTIONS = 4_000
"""Of a longer conversation the newest mentions are looked at."""
MOST_TEXT = 20_000
"""Characters of a message that are read as prose: the first and the last half."""
NEAR = 3
"""Words before a value that lead to it."""
CONTEXT = 8
"""Words on either side that describe it."""


class Mention(NamedTuple):
    """A value at one place in a message.

    ``order`` grows along the message. ``source`` says where in general it stands ("user", "tool
    get_order items[].id", "call get_order order_id"), ``path`` are the keys that lead to it in
    JSON, ``before`` the words before it, ``nearby`` the words on both sides and how many words away
    they are (before: less than 0), ``share`` of the message's characters are its own, ``opens``:
    it begins a sentence, so its capital may mean nothing.
    """

    key: str
    value: Json
    role: str
    source: str
    order: int
    path: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    nearby: tuple[tuple[str, int], ...] = ()
    share: float = 0.0
    opens: bool = False


class Place(NamedTuple):
    """Where a candidate stands: so many messages from the end (0: in the last), and how."""

    back: int
    mention: Mention


class Candidate(NamedTuple):
    """A value and all the places where it stands, the oldest first; ``key`` is its canonical
    JSON text, ``shape`` what it looks like."""

    key: str
    value: Json
    type: str
    shape: str
    places: list[Place]

    @classmethod
    def of(cls, key: str, value: Json, places: Iterable[Place] = ()) -> "Candidate":
        """A candidate of this value."""
        return cls(key, value, type_of(value), shape_of(value), list(places))


class Reader:
    """Reads messages; remembers what it found in the ``remember`` last ones."""

    def __init__(self, remember: int = 0) -> None:
        self._remember = remember
        self._known: OrderedDict[tuple[Message, str, int], tuple[Mention, ...]] = OrderedDict()

    def candidates(self, messages: Sequence[Message]) -> dict[str, Candidate]:
        """Every value that the conversation states, by its canonical JSON text."""
        year, callers = _year(messages), _callers(messages)
        read: list[tuple[int, tuple[Mention, ...]]] = []
        made = 0
        for back, message in enumerate(reversed(messages)):
            mentions = self._mentions(message, callers.get(message.tool_call_id, ""), year)
            read.append((back, mentions))
            made += len(mentions)
            if made > MOST_MENTIONS:
                break
        found: dict[str, Candidate] = {}
        for back, mentions in reversed(read):
            for mention in mentions:
                known = found.get(mention.key)
                if known is None:
                    known = Candidate.of(mention.key, mention.value)
                    found[mention.key] = known
                known.places.append(Place(back, mention))
        return found

    def _mentions(self, message: Message, caller: str, year: int) -> tuple[Mention, ...]:
        if not self._remember:
            return tuple(mentions_in(message, caller, year))
        key = (message, caller, year)
        if key not in self._known:
            self._known[key] = tuple(mentions_in(message, caller, year))
            if len(self._known) > self._remember:
                self._known.popitem(last=False)
        return self._known[key]


def words_of(text: str) -> list[str]:
    """Words in lower case without the plural's s; underscores and camel case are taken apart."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return [singular(word) for word in WORD.findall(spaced.lower())]


def mentions_in(message: Message, caller: str, year: int) -> Iterator[Mention]:
    """What one message states. ``caller`` is the tool whose result it is, where its ``name`` does
    not say so; ``year`` that of dates without one (0: unknown)."""
    if message.text:
        structure = _structure(message.text) if message.role == "tool" else None
        if structure is not None:
            yield from _leaves(structure, "tool", f"tool {message.name or caller}")
        else:
            yield from _prose(message.text, message.role, year)
    for call in message.tool_calls:
        arguments = arguments_of(call)
        if arguments:
            yield from _leaves(arguments, "call", f"call {call.name}")


def _structure(text: str) -> Json:
    """The list or object that is all of a text, else None."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _leaves(value: Json, role: str, source: str) -> Iterator[Mention]:
    """Every scalar, list and object in it, depth first, with the keys that lead there."""
    waiting: list[tuple[Json, tuple[str, ...]]] = [(value, ())]
    order = 0
    while waiting and order < MOST_MENTIONS:
        item, path = waiting.pop()
        order += 1
        if path and item is not None:
            place = f"{source} {'.'.join(path)}"
            yield Mention(canonical(item), item, role, place, order, path)
        if isinstance(item, list):
            inside = (*path[:-1], path[-1] + "[]") if path else ("[]",)
            waiting += [(part, inside) for part in reversed(item)]
        elif isinstance(item, dict):
            waiting += [(part, (*path, _general(str(key)))) for key, part in reversed(item.items())]


def _general(key: str) -> str:
    """A key as it recurs: one that holds digits is a name of a thing, not of a kind of thing."""
    return "*" if any(sign.isdigit() for sign in key) and len(key) > 6 else key


def _prose(text: str, role: str, year: int) -> Iterator[Mention]:
    text = text if len(text) <= MOST_TEXT else text[: MOST_TEXT // 2] + text[-MOST_TEXT // 2 :]
    words = [(match.start(), match[0].lower()) for match in WORD.finditer(text)]
    starts = [start for start, _ in words]
    seen: set[tuple[int, int, str]] = set()
    for start, end, value in values_in(text, year):
        key = canonical(value)
        if (start, end, key) in seen:
            continue
        seen.add((start, end, key))
        first, last = bisect_left(starts, start), bisect_left(starts, end)
        left, right = words[max(0, first - CONTEXT) : first], words[last : last + CONTEXT]
        nearby = [(singular(word), at - len(left)) for at, (_, word) in enumerate(left)]
        nearby += [(singular(word), at) for at, (_, word) in enumerate(right, 1)]
        yield Mention(
            key,
            value,
            role,
            role,
            start,
            (),
            tuple(word for _, word in words[max(0, first - NEAR) : first]),
            tuple(nearby),
            (end - start) / len(text),
            text[:start].rstrip(" \"'*(")[-1:] in ("", ".", "!", "?", ":", "\n"),
        )


def _callers(messages: Sequence[Message]) -> dict[str, str]:
    """The tool that was called, by the id of the call."""
    return {call.id: call.name for message in messages for call in message.tool_calls if call.id}


def _year(messages: Sequence[Message]) -> int:
    """The year that dates without one are meant in: the first that is written out, which a system
    prompt does; 0 if there is none."""
    for message in messages:
        found = re.search(r"\b(20\d\d)-[01]\d-[0-3]\d\b", message.text[:MOST_TEXT])
        if found:
            return int(found[1])
    return 0
