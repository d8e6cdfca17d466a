"""E-mail: the subject is the title, the plainest body is the text, attachments are only named."""

import re
from contextlib import suppress
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

from shoal.errors import ReadError
from shoal.retrieval.documents import Block, Content, Value
from shoal.retrieval.readers.decoding import decode, tidy
from shoal.retrieval.readers.html import read_html
from shoal.retrieval.readers.text import one_line, read_text

_FROM = re.compile(rb"^From [^\n]*\d{4}[^\n]*\n", re.MULTILINE)


def read_mail(data: bytes) -> Content:
    """A message: attributes from, to and date (of the sender's clock, as 2025-01-31)."""
    return _read(BytesParser(EmailMessage, policy=policy.default).parsebytes(data))


def read_mailbox(data: bytes) -> Content:
    """Many messages (mbox): each under its subject as a heading."""
    blocks: list[Block] = []
    for raw in _FROM.split(data):
        if raw.strip():
            message = read_mail(raw)
            facts = [f"{name}: {value}" for name, value in message.attributes.items()]
            blocks.append(Block("heading", message.title or "(no subject)", 1))
            blocks += [Block("text", "\n".join(facts))] if facts else []
            blocks += [_deeper(block) for block in message.blocks]
    return Content("mbox", tuple(blocks))


def _read(message: EmailMessage) -> Content:
    blocks = list(_body(message).blocks)
    names = [one_line(part.get_filename() or "") for part in message.iter_attachments()]
    if any(names):
        blocks.append(Block("text", "Attachments: " + ", ".join(filter(None, names))))
    attributes: dict[str, Value] = {}
    for name in ("from", "to"):
        if value := _header(message, name):
            attributes[name] = value
    with suppress(ValueError):  # no date, or none that can be read
        attributes["date"] = parsedate_to_datetime(_header(message, "date")).date().isoformat()
    return Content("email", tuple(blocks), _header(message, "subject"), attributes)


def _header(message: EmailMessage, name: str) -> str:
    try:
        return tidy(one_line(str(message.get(name, ""))))[:1000]
    except (ValueError, LookupError, AttributeError, TypeError):  # of headers that break the rules
        return ""


def _body(message: EmailMessage) -> Content:
    part = message.get_body(("plain", "html"))
    if part is None:
        return Content("text", ())
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return Content("text", ())
    text = _decoded(payload, part.get_content_charset(""))
    return read_html(text) if part.get_content_subtype() == "html" else read_text(text)


def _decoded(payload: bytes, charset: str) -> str:
    try:
        return tidy(payload.decode(charset))
    except (LookupError, ValueError):  # unknown, or not what it says
        try:
            return decode(payload)
        except ReadError:
            return ""


def _deeper(block: Block) -> Block:
    if block.kind != "heading":
        return block
    return Block("heading", block.text, min(6, block.level + 1))
