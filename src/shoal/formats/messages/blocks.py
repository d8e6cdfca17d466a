"""Content that a user, an assistant or a tool says: blocks of Messages to parts of Chat Completions
and back. A block that has no such part stays the text it came in, among the parts."""

import base64
import re
from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from shoal.errors import Untranslatable

Part = dict[str, object] | Raw
_PDF, _PLAIN = "application/pdf", "text/plain"
_DATA_URL = re.compile(r"data:(?P<kind>[^;,]*)(?:;[^;,]*)*;base64,(?P<data>.*)", re.DOTALL)


class _Source(Struct, frozen=True):
    type: str = ""
    media_type: str = ""
    data: str = ""
    url: str = ""


class _Citations(Struct):
    enabled: bool | None = None


class _Media(Struct):
    """An image or a document."""

    source: _Source = _Source()
    title: str | None = None
    context: str | None = None
    citations: _Citations | None = None


class _Url(Struct):
    url: str = ""


class _File(Struct):
    file_data: str | None = None
    filename: str | None = None


class _Part(Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: _Url | str | None = None
    file: _File | None = None


_MEDIA = msgspec.json.Decoder(_Media)
_RAWS = msgspec.json.Decoder(list[Raw])
_PART = msgspec.json.Decoder(_Part)


def text_part(text: str) -> Part:
    """A text as a part."""
    return {"type": "text", "text": text}


def media_part(kind: str, block: Raw) -> Part:
    """An image or a document as a part; the block itself where there is no such part."""
    try:
        media = _MEDIA.decode(block)
    except msgspec.DecodeError:
        return block
    found = _image(media.source) if kind == "image" else _document(media)
    return block if found is None else found


def _image(source: _Source) -> Part | None:
    if source.type == "base64":
        return {"type": "image_url", "image_url": {"url": _data_url(source)}}
    if source.type == "url":
        return {"type": "image_url", "image_url": {"url": source.url}}
    return None


def _document(media: _Media) -> Part | None:
    """A PDF is a file, a plain text is the text; answers with citations cannot be asked for."""
    if media.citations is not None and media.citations.enabled:
        return None
    source, title = media.source, media.title or ""
    if source.type == "text":
        texts = (title, media.context or "", source.data)
        return text_part("\n".join(text for text in texts if text))
    if source.type != "base64" or source.media_type != _PDF or media.context:
        return None
    return {
        "type": "file",
        "file": {"filename": title or "document.pdf", "file_data": _data_url(source)},
    }


def _data_url(source: _Source) -> str:
    return f"data:{source.media_type};base64,{source.data}"


def said(parts: Sequence[Part]) -> tuple[str, str]:
    """The text of these parts, and their JSON text; "" for that where one text is all there is."""
    texts = [str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part]
    if len(texts) == len(parts) <= 1:
        return "".join(texts), ""
    return "\n".join(text for text in texts if text), msgspec.json.encode(parts).decode()


def text_block(text: str) -> dict[str, object]:
    """A text as a block."""
    return {"type": "text", "text": text}


def blocks_of(text: str, parts: str, place: str, own: bool) -> list[object]:
    """The blocks that say ``parts``, or ``text`` where there are none; empty texts are left out.

    ``place`` names the message that they are of. ``own``: what is no part came in this format, and
    stays as it is.

    Raises:
        Untranslatable: there is no such block.
    """
    if not parts:
        return [text_block(text)] if text else []
    blocks: list[object] = []
    for index, raw in enumerate(_RAWS.decode(parts)):
        block = _block(raw, f"{place}.content[{index}]", own)
        blocks += [] if block is None else [block]
    return blocks


def _block(raw: Raw, place: str, own: bool) -> object:
    try:
        part = _PART.decode(raw)
    except msgspec.DecodeError:
        part = _Part()
    if part.type in ("text", "refusal"):
        text = part.text if part.type == "text" else part.refusal
        return text_block(text) if text else None
    if part.type == "image_url" and part.image_url:
        url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
        return {"type": "image", "source": _image_source(url, place)}
    if part.type == "file" and part.file is not None:
        return _file_block(part.file, place)
    if own:
        return raw
    kind = part.type or "of this form"
    raise Untranslatable(f"{place} ({kind}): Messages has no such content", place)


def _image_source(url: str, place: str) -> dict[str, str]:
    if found := _DATA_URL.fullmatch(url):
        return {"type": "base64", "media_type": found["kind"], "data": found["data"]}
    if url.startswith("data:"):
        raise Untranslatable(f"{place}: Messages takes images in base64 or by their address", place)
    return {"type": "url", "url": url}


def _file_block(file: _File, place: str) -> dict[str, object]:
    """A PDF or a plain text as a document."""
    found = _DATA_URL.fullmatch(file.file_data or "")
    named = {"title": file.filename} if file.filename else {}
    if found and found["kind"] == _PDF:
        source = {"type": "base64", "media_type": _PDF, "data": found["data"]}
        return {"type": "document", "source": source, **named}
    if found and found["kind"] == _PLAIN:
        source = {"type": "text", "media_type": _PLAIN, "data": _plain(found["data"], place)}
        return {"type": "document", "source": source, **named}
    said = f"{place} (file): Messages takes PDFs and plain texts that come with the request"
    raise Untranslatable(said, place)


def _plain(data: str, place: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except ValueError:
        raise Untranslatable(f"{place} (file): the text is not UTF-8 in base64", place) from None
