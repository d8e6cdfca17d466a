"""Headings as plain text marks them: between signs (MediaWiki), after them (AsciiDoc), over a rule
(reStructuredText, and many a README).

What it does not know: Org's stars and numbers before headings, which lists have too; lines in
capitals.
"""

import re
from collections.abc import Sequence

from shoal.retrieval.documents import Block

LEVELS = 6
_LONGEST = 200  # characters of a line that may be a heading
# Signs may be parted, as in texts made into tokens (WikiText): = = Name = =
_BETWEEN = re.compile(r" {0,3}((?:= ?){0,5}=) *([^=\s](?:.*[^=\s])?) *\1 *$")
_AFTER = re.compile(r"(={2,6})[ \t]+([^=\s].*)$")
_RULE = re.compile(r"([-=~^\"'`*+#:._])\1{2,}[ \t]*$")
_COLUMNS = re.compile(r"\t|\S {2,}\S|\|")


def between(line: str) -> Block | None:
    """The heading that a line is by signs on both its sides: ``== Name ==``; None if it is none."""
    if not line.lstrip(" ").startswith("=") or len(line) > _LONGEST:
        return None
    found = _BETWEEN.match(line)
    return Block("heading", found[2].strip(), found[1].count("=")) if found else None


def title_of(blocks: Sequence[Block]) -> str:
    """The first heading, if the text begins with it and no other is of the first level: a text of
    several has none that fits all of it. "" if there is none."""
    first = [block.text for block in blocks if block.kind == "heading" and block.level == 1]
    return first[0] if len(first) == 1 and blocks[0].text == first[0] else ""


class Marked:
    """Tells headings from text, one paragraph after another. Rules of one sign are of one level:
    that of the first comes first, as reStructuredText has it."""

    def __init__(self) -> None:
        self._rules: list[tuple[str, bool]] = []

    def blocks(self, paragraph: str) -> list[Block]:
        """The headings and texts in what no blank line parts."""
        lines = paragraph.split("\n")
        heading, at = self._at_top(lines)
        blocks = [heading] if heading else []
        held: list[str] = []
        for line in lines[at:]:
            if (heading := between(line)) is None:
                held.append(line)
                continue
            blocks += [*_text(held), heading]
            held = []
        return [*blocks, *_text(held)]

    def _at_top(self, lines: Sequence[str]) -> tuple[Block | None, int]:
        """The heading that a paragraph begins with, and how many lines that has."""
        first = lines[0].rstrip()
        if (found := _AFTER.match(first)) and len(first) <= _LONGEST and not between(first):
            return Block("heading", found[2], len(found[1])), 1
        over = _RULE.match(first) if len(lines) > 2 else None
        if over and lines[2].rstrip() == first and _is_over(lines[1].strip(), first):
            return self._ruled(lines[1], over[1], True), 3
        under = _RULE.match(lines[1]) if len(lines) > 1 else None
        if under and _is_over(first, lines[1].rstrip()):
            return self._ruled(first, under[1], False), 2
        return None, 0

    def _ruled(self, text: str, sign: str, both: bool) -> Block:
        rule = sign, both
        if rule not in self._rules:
            self._rules.append(rule)
        return Block("heading", text.strip(), min(self._rules.index(rule) + 1, LEVELS))


def _is_over(text: str, rule: str) -> bool:
    """Whether a line with this rule is a heading: about as long, and no row of columns."""
    if not len(text) <= len(rule) <= 2 * len(text) + 8 or len(text) > _LONGEST:
        return False
    is_named = text[:1] not in "-*+>" and any(sign.isalpha() for sign in text)
    return is_named and not _COLUMNS.search(text)


def _text(lines: Sequence[str]) -> list[Block]:
    text = "\n".join(lines).strip("\n").rstrip()
    return [Block("text", text)] if text.strip() else []
