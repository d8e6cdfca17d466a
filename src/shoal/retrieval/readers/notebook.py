"""Jupyter notebooks: their text and their code, without what the code printed."""

import msgspec
from msgspec import Struct

from shoal.errors import ReadError
from shoal.retrieval.documents import Block, Content
from shoal.retrieval.readers.decoding import tidy
from shoal.retrieval.readers.markdown import read_markdown


class _Cell(Struct):
    cell_type: str
    source: str | list[str] = ""


class _Notebook(Struct):
    cells: list[_Cell]


def read_notebook(data: bytes) -> Content:
    """The cells in order (nbformat 4). Raises ``ReadError`` if it is no such notebook."""
    try:
        cells = msgspec.json.decode(data, type=_Notebook).cells
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReadError(f"is no notebook that can be read: {error}") from error
    blocks: list[Block] = []
    title = ""
    for cell in cells:
        text = tidy(cell.source if isinstance(cell.source, str) else "".join(cell.source))
        if cell.cell_type == "markdown":
            found = read_markdown(text)
            title = title or found.title
            blocks += found.blocks
        elif text.strip():
            kept = text.strip("\n").rstrip()
            blocks.append(Block("code" if cell.cell_type == "code" else "text", kept))
    return Content("notebook", tuple(blocks), title)
