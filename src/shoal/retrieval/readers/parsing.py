"""Which reader reads what, and which files are only opened in a process of their own."""

from shoal.errors import ReadError
from shoal.retrieval.documents import Content
from shoal.retrieval.readers.archive import check_archive
from shoal.retrieval.readers.code import read_code
from shoal.retrieval.readers.decoding import decode
from shoal.retrieval.readers.html import read_html
from shoal.retrieval.readers.kinds import OFFICE
from shoal.retrieval.readers.mail import read_mail, read_mailbox
from shoal.retrieval.readers.markdown import read_markdown
from shoal.retrieval.readers.notebook import read_notebook
from shoal.retrieval.readers.office import read_office
from shoal.retrieval.readers.pdf import read_pdf
from shoal.retrieval.readers.rows import read_rows
from shoal.retrieval.readers.text import read_text

_APART = frozenset(("pdf", "html", "email", "mbox", *OFFICE))
MOST_HERE = 2_000_000
"""Bytes of a text that are parsed in our own process: up to about a second of CPU."""
_PACKED = frozenset(OFFICE) - {"doc", "ppt", "rtf", "xls"}


def is_read_apart(kind: str, size: int) -> bool:
    """Whether a file is parsed by code that a hostile one might crash, hang or bloat, or is so
    large that it would hold up what else is done here. What is left goes line by line, in time
    linear in its size."""
    return kind in _APART or size > MOST_HERE


def parse(kind: str, data: bytes, most_unpacked: int) -> Content:
    """The content of a file of that kind, at most ``most_unpacked`` bytes unpacked. Raises
    ``ReadError`` (which does not name the file) or ``MissingExtra``."""
    content = _parse(kind, data, most_unpacked)
    if not any(block.text.strip() for block in content.blocks):
        raise ReadError("holds no text")
    return content


def _parse(kind: str, data: bytes, most_unpacked: int) -> Content:
    if kind == "pdf":
        return read_pdf(data)
    if kind in OFFICE:
        if kind in _PACKED:
            check_archive(data, most_unpacked)
        return read_office(data, kind)
    if kind == "email":
        return read_mail(data)
    if kind == "mbox":
        return read_mailbox(data)
    if kind == "notebook":
        return read_notebook(data)
    text = decode(data)
    if kind == "html":
        return read_html(text)
    if kind == "markdown":
        return read_markdown(text)
    if kind in ("csv", "tsv"):
        return read_rows(text, kind)
    return read_text(text) if kind == "text" else read_code(text, kind)
