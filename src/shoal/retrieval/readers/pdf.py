"""PDF: by kreuzberg with headings, lists and tables, else by pypdfium2 with plain paragraphs."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from shoal.errors import MissingExtra, ReadError
from shoal.retrieval.documents import Block, Content, Value
from shoal.retrieval.readers.decoding import tidy
from shoal.retrieval.readers.furniture import without_furniture
from shoal.retrieval.readers.office import attributes_of, blocks_of, extracted, title_in
from shoal.retrieval.readers.text import one_line, paragraphs

MOST_PAGES = 20_000
_KEPT = 0.98  # of a page's signs that its structure must have, else its plain text is taken
_HYPHEN = re.compile("[\x02\ufffe\xad]\\s*")  # at which a word was broken, as PDFium marks it


def read_pdf(data: bytes) -> Content:
    """Blocks with their pages. Raises ``ReadError`` if it is encrypted, damaged or has no text,
    ``MissingExtra`` if there is nothing to read it with."""
    if find_spec("kreuzberg") is not None:
        content = _structured(data)
    elif find_spec("pypdfium2") is not None:
        content = _plain(data)
    else:
        raise MissingExtra("docs", "reading PDF files")
    if not content.blocks:
        raise ReadError("holds no text; it may be a scan: text in images is not read (no OCR)")
    return content


def _structured(data: bytes) -> Content:
    found = extracted(data, "application/pdf", pages=True)
    told: dict[int, list[Block]] = {}
    for block in blocks_of(found.document):
        text = block.text if block.kind in ("table", "code") else one_line(unbroken(block.text))
        told.setdefault(block.page, []).append(Block(block.kind, text, block.level, block.page))
    pages: list[list[Block]] = []
    for page in found.pages or ():
        number = page["page_number"]
        structured, plain = told.get(number, []), unbroken(page["content"])
        # Structure is guessed from positions and sizes; where that loses text, it is not used.
        is_whole = _signs(block.text for block in structured) >= _KEPT * _signs([plain])
        pages.append(structured if is_whole else list(_paragraphs(plain, number)))
    blocks = without_furniture(pages)
    title, attributes = attributes_of(found.metadata)
    return Content("pdf", tuple(blocks), title or title_in(blocks), attributes)


def _plain(data: bytes) -> Content:
    import pypdfium2

    try:
        file = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise ReadError(told_of_pdf(str(error))) from error
    try:
        if len(file) > MOST_PAGES:
            raise ReadError(f"has {len(file):,} pages; at most {MOST_PAGES:,} are read")
        facts = file.get_metadata_dict(skip_empty=True)
        pages = (
            [*_paragraphs(unbroken(_text_of(file, number)), number + 1)]
            for number in range(len(file))
        )
        blocks = without_furniture([*pages])
    finally:
        file.close()
    attributes: dict[str, Value] = {}
    if author := one_line(tidy(facts.get("Author", ""))):
        attributes["author"] = author
    if date := re.match(r"D:(\d{4})(\d\d)(\d\d)", facts.get("CreationDate", "")):
        attributes["date"] = "-".join(date.groups())
    return Content("pdf", tuple(blocks), one_line(tidy(facts.get("Title", ""))), attributes)


def _text_of(file: Any, number: int) -> str:
    page = file[number]
    text = page.get_textpage()
    try:
        return str(text.get_text_bounded())
    finally:
        text.close()
        page.close()


def _paragraphs(text: str, page: int) -> Iterator[Block]:
    """A paragraph ends at a blank line, and where a short line ends a sentence."""
    for part in paragraphs(text):
        lines = part.split("\n")
        short = 0.75 * max(map(len, lines))
        held: list[str] = []
        for line in lines:
            held.append(line)
            if len(line) < short and line.rstrip().endswith((".", ":", "?", "!")):
                yield Block("text", one_line(" ".join(held)), page=page)
                held = []
        if "".join(held).strip():
            yield Block("text", one_line(" ".join(held)), page=page)


def unbroken(text: str) -> str:
    """With the words put together that were broken at the end of a line."""
    return tidy(_HYPHEN.sub("", text))


def told_of_pdf(message: str) -> str:
    """Why PDFium could not open a file, in our words."""
    low = message.lower()
    if "password" in low or "encrypt" in low or "security" in low:
        return "is encrypted with a password; save it without one"
    return f"is damaged: no PDF could be made of it ({one_line(message)[:200]})"


def _signs(texts: Any) -> int:
    return sum(len(text) - text.count(" ") - text.count("\n") for text in texts)
