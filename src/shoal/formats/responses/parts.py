"""The content of messages, from Responses' parts to Chat Completions' and back."""

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw, Struct

from shoal.chat import Message
from shoal.errors import MalformedRequest, Untranslatable
from shoal.formats.json_text import explain
from shoal.formats.responses.wire_items import kind_of, opening_of


def cannot_say(field: str) -> Untranslatable:
    """The error about a field; what it holds may stand behind its name, in brackets."""
    said = f"{field}: cannot be said in Responses, which the model that answers is asked in"
    return Untranslatable(said, field.split(" ")[0])


class Content(Struct, frozen=True):
    """A content in the dialect of Chat Completions; ``parts`` is None if it was one string."""

    text: str = ""
    parts: list[object] | None = None


class _WirePart(Struct, omit_defaults=True):
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    detail: str | None = None
    input_audio: Raw | None = None


class _Image(Struct):
    url: str
    detail: str | None = None


class _File(Struct):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class _ChatPart(Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: _Image | str | None = None
    file: _File | None = None


_LIST = msgspec.json.Decoder(list[Raw])
_PART = msgspec.json.Decoder(_WirePart)
_CHAT_PART = msgspec.json.Decoder(_ChatPart)
_TEXTS = frozenset(("input_text", "output_text", "text"))


def read_content(raw: Raw, path: str, missing: list[str]) -> Content:
    """A content that came as a string or as parts.

    ``path`` names it; what Chat Completions cannot say is kept as it came, and added to
    ``missing``.

    Raises:
        MalformedRequest: it is neither, or a text in it is none.
    """
    start = opening_of(raw)
    if start == b'"':
        return Content(msgspec.json.decode(raw, type=str))
    if start != b"[":
        raise MalformedRequest(f"{path}: expected a string or a list of parts", path)
    parts: list[object] = []
    texts: list[str] = []
    for index, part in enumerate(_LIST.decode(raw)):
        place = f"{path}[{index}]"
        kind = kind_of(part)
        if kind in _TEXTS:
            text = _text(part, place)
            parts.append({"type": "text", "text": text})
            texts.append(text)
        else:
            parts.append(_chat_part(part, kind, place, missing))
    return Content("\n".join(text for text in texts if text), parts)


def _text(part: Raw, path: str) -> str:
    try:
        return _PART.decode(part).text or ""
    except msgspec.ValidationError as error:
        raise MalformedRequest(*explain(error, path)) from None


def _chat_part(part: Raw, kind: str, path: str, missing: list[str]) -> object:
    translate = _TO_CHAT.get(kind)
    if translate is not None:
        try:
            translated = translate(_PART.decode(part))
        except msgspec.ValidationError:
            translated = None
        if translated is not None:
            return {"type": _CHAT_NAMES.get(kind, kind), **translated}
    missing.append(f"{path} ({kind or 'of no type'})")
    return part


def _image(part: _WirePart) -> dict[str, object] | None:
    if not part.image_url:
        return None
    shown = part.detail not in (None, "auto")
    detail = {"detail": part.detail} if shown else {}
    return {"image_url": {"url": part.image_url, **detail}}


def _file(part: _WirePart) -> dict[str, object] | None:
    if part.file_url or not (part.file_id or part.file_data):
        return None
    return {"file": _given(part, ("file_id", "file_data", "filename"))}


def _audio(part: _WirePart) -> dict[str, object] | None:
    return {"input_audio": part.input_audio} if part.input_audio else None


def _refusal(part: _WirePart) -> dict[str, object] | None:
    return {"refusal": part.refusal or ""}


def _given(part: Struct, names: tuple[str, ...]) -> dict[str, object]:
    return {name: value for name in names if (value := getattr(part, name)) is not None}


_TO_CHAT: Mapping[str, Callable[[_WirePart], dict[str, object] | None]] = {
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
    "refusal": _refusal,
}
_CHAT_NAMES = {"input_image": "image_url", "input_file": "file"}


def write_content(message: Message, path: str) -> object:
    """A message's content as Responses wants it: a string, or a list of parts.

    Raises:
        Untranslatable: a part that this format has not; ``path`` names the message.
    """
    if not message.parts:
        return message.text
    said = message.role == "assistant"
    parts = _LIST.decode(message.parts)
    return [_wire_part(part, said, f"{path}.content[{at}]") for at, part in enumerate(parts)]


def _wire_part(raw: Raw, said: bool, path: str) -> dict[str, object]:
    """``said`` by the model, not to it."""
    try:
        part = _CHAT_PART.decode(raw)
    except msgspec.ValidationError:
        part = _ChatPart()
    if part.type == "text":
        marks: dict[str, object] = {"annotations": []} if said else {}
        kind = "output_text" if said else "input_text"
        return {"type": kind, "text": part.text or "", **marks}
    if part.type == "refusal" and said:
        return {"type": "refusal", "refusal": part.refusal or ""}
    if part.type == "image_url" and part.image_url and not said:
        image = _Image(part.image_url) if isinstance(part.image_url, str) else part.image_url
        detail = image.detail or "auto"
        return {"type": "input_image", "image_url": image.url, "detail": detail}
    if part.type == "file" and part.file and not said:
        return {"type": "input_file", **_given(part.file, ("file_id", "file_data", "filename"))}
    raise cannot_say(f"{path} ({kind_of(raw) or 'of no type'})")
