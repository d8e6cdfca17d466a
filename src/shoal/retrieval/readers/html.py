"""HTML: headings, paragraphs, lists, tables and code, in the order in which they are written.

No tree is built, so what is nested a million deep costs no more than what is not. What it does not
know: what a style sheet hides, and which part of a page is the article.
"""

from html.parser import HTMLParser

from shoal.retrieval.documents import Block, BlockKind, Content, Value
from shoal.retrieval.readers.text import one_line, row

_DROPPED = frozenset(
    (
        "script", "style", "nav", "template", "svg", "noscript", "iframe", "object", "select",
    )
)  # fmt: skip
_ALWAYS_DROPPED = frozenset(("script", "style"))
_BREAKS = frozenset(
    (
        "address", "article", "aside", "blockquote", "body", "caption", "center", "dd",
        "details", "dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer",
        "form", "header", "hr", "html", "main", "nav", "p", "section", "summary", "ul", "ol",
    )
)  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_FACTS = {
    "author": "author",
    "dc.creator": "author",
    "article:author": "author",
    "date": "date",
    "dc.date": "date",
    "article:published_time": "date",
    "datepublished": "date",
    "description": "description",
}


def read_html(text: str) -> Content:
    """Blocks of the page; the title is that in its head, else its first heading of level 1."""
    page = _Page(_DROPPED)
    page.read(text)
    if page.is_dropping:  # what opened it was never closed, and all after it would be lost
        page = _Page(_ALWAYS_DROPPED)
        page.read(text)
    first = next((block.text for block in page.blocks if block.level == 1), "")
    return Content("html", tuple(page.blocks), one_line(page.title) or first, page.facts)


class _Page(HTMLParser):
    def __init__(self, dropped: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.facts: dict[str, Value] = {}
        self.title = ""
        self._dropped = dropped
        self._dropping: dict[str, int] = {}  # how often each such element is open
        self._open: list[str] = []  # of the block that is not yet done
        self._level, self._depth = 0, 0  # of the heading; of lists
        self._pre = self._in_title = False
        self._tables = 0  # how many are open: what stands in an inner one is text of its cell
        self._rows: list[list[str]] = []

    @property
    def is_dropping(self) -> bool:
        return bool(self._dropping)

    def read(self, text: str) -> None:
        self.feed(text)
        self.close()
        if self._tables:
            self._tables = 1
            self._end_table()
        self._close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._dropped:
            self._dropping[tag] = self._dropping.get(tag, 0) + 1
        elif self._dropping:
            return
        elif tag == "title":
            self._in_title = not self.title
        elif tag in ("meta", "html"):
            self._fact(tag, dict(attrs))
        elif tag == "br":
            self._open.append("\n")
        elif tag == "table":
            self._start_table()
        elif self._tables:
            self._start_in_table(tag)
        elif tag in _HEADINGS:
            self._close()
            self._level, self._depth = _HEADINGS[tag], 0
        elif tag == "pre":
            self._close()
            self._pre = True
        elif tag == "li":
            self._open.append("\n" + "  " * (min(self._depth, 8) - 1) + "- ")
        elif tag in _BREAKS:
            self._start_break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._dropping:
            self._dropping[tag] -= 1
            if not self._dropping[tag]:
                del self._dropping[tag]
        elif self._dropping:
            return
        elif tag == "title":
            self._in_title = False
        elif tag == "table" and self._tables:
            self._end_table()
        elif self._tables:
            self._open.append(" ")
        elif tag in _HEADINGS or tag == "pre":
            self._close()
        elif tag in ("ul", "ol"):
            self._depth = max(0, self._depth - 1)
            if not self._depth:
                self._close()
        elif tag in _BREAKS:
            self._break()

    def handle_data(self, data: str) -> None:
        if self._dropping:
            return
        if self._in_title:
            self.title = (self.title + data)[:1000]
        else:
            self._open.append(data if self._pre or self._tables else _spaced(data))

    def _fact(self, tag: str, attrs: dict[str, str | None]) -> None:
        if tag == "html":
            name, value = "language", attrs.get("lang")
        else:
            asked = attrs.get("name") or attrs.get("property") or attrs.get("itemprop") or ""
            name, value = _FACTS.get(asked.lower(), ""), attrs.get("content")
        if name and value and name not in self.facts:
            self.facts[name] = one_line(value)[:1000]

    def _start_break(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            if not self._depth:
                self._close()
            self._depth += 1
        else:
            self._break()

    def _break(self) -> None:
        """Ends a paragraph, or only a line of a list."""
        if not self._depth:
            self._close()
        elif self._open and not self._open[-1].endswith(("- ", "\n")):
            self._open.append("\n" + "  " * min(self._depth, 8))

    def _close(self) -> None:
        text = "".join(self._open)
        self._open = []
        kind: BlockKind = "heading" if self._level else "code" if self._pre else "text"
        if kind == "heading":
            text = one_line(text)
        elif kind == "code":
            text = text.strip("\n").rstrip()
        else:
            lines = (_tidy(line) for line in text.split("\n"))
            text = "\n".join(line for line in lines if line.strip(" -")).strip()
        if text.strip():
            self.blocks.append(Block(kind, text, self._level))
        self._level, self._pre = 0, False

    def _start_table(self) -> None:
        if not self._tables:
            self._close()
            self._depth = 0
        self._tables += 1

    def _start_in_table(self, tag: str) -> None:
        if self._tables > 1 or tag not in ("tr", "td", "th"):
            self._open.append(" ")
            return
        self._end_cell()
        if tag == "tr" or not self._rows:
            self._rows.append([])
        if tag != "tr":
            self._rows[-1].append("")

    def _end_cell(self) -> None:
        """What was read since goes into the last cell; what stood before any is a caption."""
        text, self._open = one_line("".join(self._open)), []
        if not text:
            return
        if self._rows and self._rows[-1]:
            self._rows[-1][-1] = text
        elif self._rows:
            self._rows[-1].append(text)
        else:
            self.blocks.append(Block("text", text))

    def _end_table(self) -> None:
        self._tables -= 1
        if self._tables:
            self._open.append(" ")
            return
        self._end_cell()
        rows, self._rows = [cells for cells in self._rows if any(cells)], []
        if max(map(len, rows), default=0) > 1 and len(rows) > 1:
            self.blocks.append(Block("table", "\n".join(row(cells) for cells in rows)))
        else:  # it only lays out
            self.blocks += [Block("text", cell) for cells in rows for cell in cells if cell]


def _spaced(data: str) -> str:
    """Line ends of the source mean no more than spaces."""
    return data.replace("\n", " ") if "\n" in data else data


def _tidy(line: str) -> str:
    """Single spaces, but for those that indent a point of a list."""
    inside = line.lstrip(" ")
    indent = len(line) - len(inside) if inside.startswith("- ") else 0
    return " " * indent + one_line(inside)
