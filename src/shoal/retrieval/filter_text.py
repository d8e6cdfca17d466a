"""Filters as a line of text, for a command line: ``year >= 2020 and lang in ("en", "de")``.

``and`` binds closer than ``or``; parentheses group. Comparisons are = != > >= < <= in, and not in.
Text stands in quotes, double or single, with a backslash before a quote or a backslash; a key that
is no plain word may stand in quotes too.
"""

import re
from typing import NamedTuple, NoReturn, cast

from shoal.errors import MalformedRequest
from shoal.retrieval.documents import Value
from shoal.retrieval.filters import (
    MOST_DEPTH,
    MOST_KEY,
    Compound,
    Filter,
    Join,
    Operator,
    check_size,
    comparison,
)

MOST_CHARACTERS = 20_000

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.:-])
      | (?P<word>[^\W\d][\w.-]*)
      | (?P<sign>[<>!=]=|<>|[=<>(),])
      | (?P<end>$)
    )""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS: dict[str, Operator] = {
    "=": "eq",
    "==": "eq",
    "!=": "ne",
    "<>": "ne",
    ">": "gt",
    ">=": "gte",
    "<": "lt",
    "<=": "lte",
}
_RESERVED = ("and", "or", "not", "in", "true", "false")


class _Token(NamedTuple):
    kind: str  # text, number, word, sign or end
    written: str
    at: int  # character, from 0


def filter_from_text(text: str) -> Filter:
    """The filter that ``text`` says.

    Raises ``MalformedRequest``, which tells what was expected and at which character, from 1.
    """
    if len(text) > MOST_CHARACTERS:
        raise MalformedRequest(
            f"filter: {len(text):,} characters; at most {MOST_CHARACTERS:,} are taken", "filter"
        )
    parser = _Parser(text)
    found = parser.joined("or", 0)
    if parser.now.kind != "end":
        parser.refuse("'and', 'or' or the end")
    check_size(found)
    return found


class _Parser:
    """By recursive descent, one function a level of precedence; ``now`` is the token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.now = self._read(0)

    def joined(self, join: Join, depth: int) -> Filter:
        """Comparisons joined by ``or`` (or, one level down, by ``and``)."""
        parts = [self._joined_below(join, depth)]
        while self._at_word(join):
            self._advance()
            parts.append(self._joined_below(join, depth))
        return parts[0] if len(parts) == 1 else Compound(join, tuple(parts))

    def refuse(self, expected: str) -> NoReturn:
        token = self.now
        found = f"found {token.written}" if token.written else "the text ends there"
        self._fail(token.at, f"expected {expected}, {found}")

    def _joined_below(self, join: Join, depth: int) -> Filter:
        return self.joined("and", depth) if join == "or" else self._factor(depth)

    def _factor(self, depth: int) -> Filter:
        if self.now.written != "(":
            return self._comparison()
        if depth + 1 >= MOST_DEPTH:
            self._fail(self.now.at, f"nested deeper than {MOST_DEPTH} levels")
        self._advance()
        inner = self.joined("or", depth + 1)
        self._expect(")")
        return inner

    def _comparison(self) -> Filter:
        start = self.now.at
        key = self._key()
        operator = self._operator()
        value = self._values() if operator in ("in", "nin") else self._value()
        try:
            return comparison(operator, key, value, key)
        except MalformedRequest as error:
            self._fail(start, str(error))

    def _key(self) -> str:
        token = self.now
        if token.kind == "text":
            key = _unquoted(token.written)
        elif token.kind == "word" and token.written.lower() not in _RESERVED:
            key = token.written
        else:
            self.refuse("the name of an attribute or '('")
        if not 0 < len(key) <= MOST_KEY:
            self._fail(token.at, f"a name has 1 to {MOST_KEY} characters")
        self._advance()
        return key

    def _operator(self) -> Operator:
        negated = self._at_word("not")
        if negated:
            self._advance()
        if self._at_word("in"):
            self._advance()
            return "nin" if negated else "in"
        operator = _OPERATORS.get(self.now.written) if self.now.kind == "sign" else None
        if negated or operator is None:
            self.refuse("'in'" if negated else "one of = != > >= < <= in, or not in")
        self._advance()
        return operator

    def _values(self) -> list[Value]:
        self._expect("(")
        values = [self._value()]
        while self.now.written == ",":
            self._advance()
            values.append(self._value())
        self._expect(")")
        return values

    def _value(self) -> Value:
        token = self.now
        if token.kind == "text":
            value: Value = _unquoted(token.written)
        elif token.kind == "number":
            value = float(token.written)
        elif token.written.lower() in ("true", "false"):
            value = token.written.lower() == "true"
        else:
            self.refuse("a number, true, false, or text in quotes")
        self._advance()
        return value

    def _at_word(self, word: str) -> bool:
        return self.now.kind == "word" and self.now.written.lower() == word

    def _expect(self, sign: str) -> None:
        if self.now.written != sign:
            self.refuse(repr(sign))
        self._advance()

    def _advance(self) -> None:
        self.now = self._read(self.now.at + len(self.now.written))

    def _read(self, start: int) -> _Token:
        match = _TOKEN.match(self._text, start)
        if match is not None:
            kind = cast(str, match.lastgroup)
            return _Token(kind, match[kind], match.start(kind))
        rest = self._text[start:].lstrip()
        at = len(self._text) - len(rest)
        if rest[0] in "\"'":
            self._fail(at, f"the quote {rest[0]} is never closed")
        word = re.split(r"[\s,()]", rest, maxsplit=1)[0]
        self._fail(at, f"{word[:40]!r} is neither a name, a number nor a sign; put text in quotes")

    def _fail(self, at: int, what: str) -> NoReturn:
        begin, end = max(0, at - 20), at + 20
        excerpt = f"{self._text[begin:at]}⟨here⟩{self._text[at:end]}"
        raise MalformedRequest(f"filter, character {at + 1}: {what}: {excerpt}", "filter")


def _unquoted(written: str) -> str:
    return re.sub(r"\\(.)", r"\1", written[1:-1], flags=re.DOTALL)
