"""Markdown: headings, fenced code, tables, paragraphs with their lists, and front matter.

Follows CommonMark where the cut of a passage depends on it; the signs of emphasis and links stay as
they were written. MediaWiki's headings (``== Name ==`` on a line), which mean nothing else here,
are headings too. What it does not know: HTML inside, indented code, headings inside lists.
"""

import re
import tomllib

from shoal.retrieval.documents import Block, Content, Value
from shoal.retrieval.readers.marked import between, title_of
from shoal.retrieval.readers.text import one_line, row

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})\s*$")
_FIELD = re.compile(r"([\w -]{1,60}):[ \t]+(.*)$")
_EMBEDDED = re.compile(r"(data:[\w/.+-]{1,80};base64,)[A-Za-z0-9+/=]{80,}")


def read_markdown(text: str) -> Content:
    """Blocks of the text; the title is that of the front matter, else the heading of level 1 that
    it begins with, if there is no other."""
    lines = _EMBEDDED.sub(r"\1", text).split("\n")
    attributes, start = _front_matter(lines)
    blocks = _Blocks(lines, start).read()
    title = str(attributes.pop("title", ""))
    return Content("markdown", tuple(blocks), title or title_of(blocks), attributes)


class _Blocks:
    """Goes through the lines once; ``_open`` holds those of the paragraph that is not yet done."""

    def __init__(self, lines: list[str], start: int) -> None:
        self._lines, self._at = lines, start
        self._blocks: list[Block] = []
        self._open: list[str] = []

    def read(self) -> list[Block]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if heading := _HEADING.match(line):
                self._close()
                self._add_heading(heading[2] or "", len(heading[1]))
            elif wiki := between(line):
                self._close()
                self._blocks.append(wiki)
            elif fence := _FENCE.match(line):
                self._close()
                self._fenced(fence[1])
            elif not line.strip():
                self._close()
            elif self._open and (under := _UNDERLINE.match(line)) and _is_prose(self._open[0]):
                text, self._open = " ".join(self._open), []
                self._add_heading(text, 1 if under[1][0] == "=" else 2)
            elif self._open and _is_ruled(line) and "|" in self._open[-1]:
                header = self._open.pop()
                self._close()
                self._table(header)
            else:
                self._open.append(line)
            self._at += 1
        self._close()
        return self._blocks

    def _close(self) -> None:
        text = "\n".join(self._open).strip("\n").rstrip()
        if text.strip():
            self._blocks.append(Block("text", text))
        self._open = []

    def _add_heading(self, text: str, level: int) -> None:
        text = one_line(text)
        bare = text.rstrip("#")
        text = bare.strip() if bare.endswith(" ") or not bare else text
        if text:
            self._blocks.append(Block("heading", text, level))

    def _fenced(self, fence: str) -> None:
        inside = []
        self._at += 1
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                break
            inside.append(line)
            self._at += 1
        if any(line.strip() for line in inside):
            self._blocks.append(Block("code", "\n".join(inside).strip("\n")))

    def _table(self, header: str) -> None:
        rows = [header]
        while self._at + 1 < len(self._lines) and "|" in self._lines[self._at + 1]:
            self._at += 1
            rows.append(self._lines[self._at])
        self._blocks.append(Block("table", "\n".join(_cells(line) for line in rows)))


def _cells(line: str) -> str:
    inside = line.strip()
    inside = inside.removeprefix("|").removesuffix("|").replace("\\|", "\ue000")
    return row([cell.replace("\ue000", "|") for cell in inside.split("|")])


def _is_ruled(line: str) -> bool:
    return "|" in line and "-" in line and not line.strip("-|: \t")


def _is_prose(line: str) -> bool:
    return not line.lstrip().startswith(("-", "*", "+", ">", "|"))


def _front_matter(lines: list[str]) -> tuple[dict[str, Value], int]:
    """What stands between two lines of --- (YAML, its plain fields only) or +++ (TOML) at the top,
    and the number of the line after it."""
    mark = lines[0].rstrip() if lines else ""
    if mark not in ("---", "+++"):
        return {}, 0
    end = next((n for n, line in enumerate(lines[1:200], 1) if line.rstrip() == mark), 0)
    inside = lines[1:end]
    if not end or not (mark == "+++" or any(_FIELD.match(line) for line in inside)):
        return {}, 0
    return (_toml(inside) if mark == "+++" else _yaml(inside)), end + 1


def _yaml(lines: list[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for line in lines:
        if (field := _FIELD.match(line)) and (text := field[2].strip()):
            quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
            found[field[1].strip().lower()] = text[1:-1] if quoted else _typed(text)
    return found


def _typed(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"[+-]?\d{1,15}(\.\d{1,15})?", text):
        return float(text)
    if text.startswith("[") and text.endswith("]"):
        return ", ".join(part.strip().strip("\"'") for part in text[1:-1].split(","))
    return text


def _toml(lines: list[str]) -> dict[str, Value]:
    try:
        table = tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return {}
    found: dict[str, Value] = {}
    for key, value in table.items():
        if isinstance(value, list):
            found[key.lower()] = ", ".join(str(part) for part in value)
        elif isinstance(value, bool | str):
            found[key.lower()] = value
        elif not isinstance(value, dict):
            is_number = isinstance(value, int | float)
            found[key.lower()] = float(value) if is_number else str(value)
    return found
