"""Office files, EPUB and RTF, and what kreuzberg makes of them.

Nothing is fetched, cached or recognised in images: the OCR, the models and the cache of kreuzberg
are not asked for.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from shoal.errors import MissingExtra, ReadError
from shoal.retrieval.documents import Block, Content, Value
from shoal.retrieval.readers.decoding import tidy
from shoal.retrieval.readers.text import one_line, row

_OPEN = "application/vnd.oasis.opendocument."
_XML = "application/vnd.openxmlformats-officedocument."
_TYPES = {
    "doc": "application/msword",
    "docx": _XML + "wordprocessingml.document",
    "epub": "application/epub+zip",
    "odp": _OPEN + "presentation",
    "ods": _OPEN + "spreadsheet",
    "odt": _OPEN + "text",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": _XML + "presentationml.presentation",
    "rtf": "application/rtf",
    "xls": "application/vnd.ms-excel",
    "xlsx": _XML + "spreadsheetml.sheet",
}


def read_office(data: bytes, kind: str) -> Content:
    """Blocks of an office file. Raises ``ReadError`` if it is damaged, ``MissingExtra`` without
    kreuzberg."""
    if find_spec("kreuzberg") is None:
        raise MissingExtra("docs", f"reading {kind.upper()} files")
    is_book = kind in ("ods", "xls", "xlsx")
    found = extracted(data, _TYPES[kind], is_structured=not is_book)
    title, attributes = attributes_of(found.metadata)
    blocks = tuple(_sheets(found) if is_book else blocks_of(found.document))
    return Content(kind, blocks, title or ("" if is_book else title_in(blocks)), attributes)


def title_in(blocks: Sequence[Block]) -> str:
    """The first block if that is a heading of level 1, else ""."""
    return blocks[0].text if blocks and blocks[0].level == 1 else ""


def extracted(data: bytes, media_type: str, pages: bool = False, is_structured: bool = True) -> Any:
    """kreuzberg's result, with the structure of the document if asked."""
    import kreuzberg

    offline: dict[str, Any] = {"disable_ocr": True}  # of which its type stub does not know
    config = kreuzberg.ExtractionConfig(
        **offline,
        use_cache=False,
        enable_quality_processing=False,
        output_format="markdown" if is_structured else "plain",  # which has no headings in PDFs
        include_document_structure=is_structured,
        pages=kreuzberg.PageConfig(extract_pages=True) if pages else None,
        postprocessor=kreuzberg.PostProcessorConfig(enabled=False),
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
        # By default it takes what stands near the edge of a page for furniture, the title too.
        content_filter=kreuzberg.ContentFilterConfig(
            include_headers=True, include_footers=True, strip_repeating_text=False
        ),
    )
    try:
        return kreuzberg.extract_bytes_sync(data, media_type, config)
    except kreuzberg.KreuzbergError as error:
        parts = one_line(str(error)).removeprefix("ParsingError: ").split(": ")
        message = ": ".join(dict.fromkeys(parts))[:200]  # it repeats itself
        if "password" in message.lower() or "encrypt" in message.lower():
            raise ReadError("is encrypted with a password; save it without one") from error
        if "limit exceeded" in message.lower():
            raise ReadError(f"unpacks to more than is taken: {message}") from error
        raise ReadError(f"is damaged: {message}") from error


def _sheets(found: Any) -> Iterator[Block]:
    """A heading and a table for each sheet that has text. Their structure is not asked for: it
    takes three times the time and four times the memory of the cells alone."""
    names = found.metadata.get("sheet_names") or ()
    for table in found.tables:
        number = table.page_number
        cells = ([tidy(cell) for cell in cells] for cells in table.cells)
        text = "\n".join(row(line) for line in cells if any(map(str.strip, line)))
        if text.strip():
            if 0 < number <= len(names):
                yield Block("heading", one_line(tidy(names[number - 1])), 1, number)
            yield Block("table", text, page=number)


def blocks_of(structure: Any) -> Iterator[Block]:
    """Blocks of kreuzberg's nodes, in their order; what repeats on each page of an office file is
    left out, and the points of a list are one block."""
    points: list[str] = []
    page = 0
    for node in structure["nodes"] if structure else ():
        inside = node["content"]
        kind = inside["node_type"]
        if points and kind != "list_item":
            yield Block("text", "\n".join(points), page=page)
            points = []
        if node.get("content_layer") in ("header", "footer"):
            continue
        page = node.get("page") or 0 if kind != "list_item" or not points else page
        text = tidy(inside.get("text") or "").strip("\n").rstrip()
        if kind == "table":
            text = _table(inside["grid"])
        if not text.strip():
            continue
        if kind == "list_item":
            points.append("- " + text)
        elif kind in ("title", "heading"):
            level = 1 if kind == "title" else max(1, min(6, inside.get("level") or 1))
            yield Block("heading", one_line(text), level, page)
        elif kind in ("table", "code"):
            yield Block(kind, text, page=page)
        else:
            yield Block("text", text, page=page)
    if points:
        yield Block("text", "\n".join(points), page=page)


def _table(grid: Any) -> str:
    rows: dict[int, list[str]] = {}
    for cell in grid["cells"]:
        rows.setdefault(cell["row"], []).append(tidy(cell["content"]))
    lines = (row(rows[number]) for number in sorted(rows) if any(map(str.strip, rows[number])))
    return "\n".join(lines)


def attributes_of(metadata: Any) -> tuple[str, dict[str, Value]]:
    """The title, and author, date (as 2025-01-31) and language where they are told."""
    facts: dict[str, Value] = {}
    authors: Sequence[str] | str = metadata.get("authors") or ()
    authors = authors if isinstance(authors, str) else ", ".join(map(str, authors))
    for name, value in (
        ("author", authors),
        ("date", (metadata.get("created_at") or "")[:10]),
        ("language", metadata.get("language") or ""),
    ):
        if text := one_line(tidy(str(value)))[:1000]:
            facts[name] = text
    return one_line(tidy(str(metadata.get("title") or "")))[:1000], facts
