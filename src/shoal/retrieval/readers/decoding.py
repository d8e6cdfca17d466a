"""Bytes to text, where nobody says in which encoding they are."""

import codecs
import re

from shoal.errors import ReadError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEEN = 8192  # bytes by which text is told from other things
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b")) + b"\x7f"
_CONTROL_SIGNS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffe]")
_DECLARED = re.compile(rb"(?:charset|encoding)\s{0,9}=\s{0,9}[\"']?([\w-]{1,40})", re.IGNORECASE)
_SURROGATES = re.compile("[\ud800-\udfff]")


def is_text(head: bytes) -> bool:
    """Whether what begins so is text in some encoding."""
    head = head[:_SEEN]
    if _marked(head) or _wide(head):
        return True
    found = len(head) - len(head.translate(None, _CONTROLS))
    return b"\0" not in head and found <= len(head) // 50


def decode(data: bytes) -> str:
    """The text: by a byte order mark, as UTF-8, as UTF-16 if every other byte is zero, by what it
    declares, else as Windows-1252. Lines end in \\n; control signs are spaces. Raises ``ReadError``
    if that makes no text."""
    encoding = _marked(data) or _wide(data) or "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = _guessed(data, encoding)
    if text.count("\ufffd", 0, _SEEN) > min(len(text), _SEEN) // 10:
        raise ReadError("is not text: its bytes are in no known encoding")
    return tidy(text)


def tidy(text: str) -> str:
    """With \\n at the end of lines, and spaces for control signs and halves of surrogate pairs."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATES.sub("\ufffd", _CONTROL_SIGNS.sub(" ", text))


def _marked(data: bytes) -> str:
    return next((encoding for mark, encoding in _BOMS if data.startswith(mark)), "")


def _wide(data: bytes) -> str:
    """UTF-16 without a mark: most signs of most languages' texts have a zero in one half, and that
    is always the same."""
    head = data[:_SEEN]
    half = len(head) // 2
    even, odd = head[::2].count(0), head[1::2].count(0)
    if half < 2 or max(even, odd) < 0.4 * half or min(even, odd) > 0.02 * half:
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _guessed(data: bytes, encoding: str) -> str:
    if encoding != "utf-8":
        return data.decode(encoding, "replace")
    found = _DECLARED.search(data[:2048])
    try:
        if found and codecs.lookup(found[1].decode()).name not in ("utf-8", "utf-16", "utf-32"):
            return data.decode(found[1].decode(), "replace")
    except (LookupError, ValueError):  # unknown, or no encoding of text ("hex", "idna")
        pass
    return data.decode("cp1252", "replace")
