"""OpenAI's embeddings: texts in, a vector each out. Every upstream that has any speaks this."""

import base64
from typing import Literal

import msgspec
import numpy as np
from msgspec import Raw, Struct
from numpy.typing import NDArray

from shoal.chat import Message, Request, Usage
from shoal.errors import EngineUnreachable, MalformedRequest, Untranslatable
from shoal.formats.json_text import (
    decode_reply,
    join_members,
    members_of,
    no_collection,
    replace_members,
)
from shoal.formats.request_fields import read_fields, read_model

PATH = "/embeddings"
Encoding = Literal["float", "base64"]

_READ = ("model", "input")
_TEXTS = msgspec.json.Decoder(str | list[str])
_TOKENS = msgspec.json.Decoder(list[int | list[int]])
_NULL = Raw(b"null")


class EmbeddingRequest(Struct, frozen=True):
    """Texts to be embedded. ``params`` is the JSON text of every other field, ``body`` what the
    caller sent; who changes the others must empty ``body``."""

    model: str
    texts: tuple[str, ...]
    params: str = "{}"
    body: bytes = b""

    def as_chat(self) -> Request:
        """The same as messages, for those who look for something in texts, or count them."""
        messages = tuple(Message("user", text) for text in self.texts)
        return Request(self.model, messages, params=self.params)


class Form(Struct, frozen=True):
    """How vectors are wanted; ``dimensions`` None: as they are."""

    encoding_format: Encoding | None = None
    dimensions: int | None = None


class Embedded(Struct, frozen=True):
    """A reply to a request for embeddings; ``usage`` None where the upstream told none."""

    body: bytes
    usage: Usage | None = None


class _Vector(Struct):
    embedding: Raw
    index: int
    object: str = "embedding"


class _Usage(Struct):
    prompt_tokens: int = 0
    total_tokens: int = 0


class _Reply(Struct):
    data: list[Raw]
    model: str
    usage: _Usage
    object: str = "list"


class _Received(Struct):
    data: list[Raw]
    usage: Raw = _NULL


_FORM = msgspec.json.Decoder(Form)
_RECEIVED = msgspec.json.Decoder(_Received)
_USAGE = msgspec.json.Decoder(_Usage)


@no_collection()
def decode_embeddings(body: bytes, most: int | None = None) -> EmbeddingRequest:
    """Read a request for embeddings of ``most`` texts (None: any number).

    Raises:
        MalformedRequest: not JSON, or no text in it; ``param`` names the field.
        TooManyMessages: more texts than ``most``.
        Untranslatable: tokens stand where texts should.
    """
    fields = read_fields(body, "input", most)
    others = {name: value for name, value in fields.items() if name not in _READ}
    return EmbeddingRequest(
        read_model(fields), _texts(fields.get("input", _NULL)), join_members(others).decode(), body
    )


def form_of(request: EmbeddingRequest) -> Form:
    """How the vectors are wanted.

    Raises:
        MalformedRequest: in no way that there is.
    """
    try:
        return _FORM.decode(request.params)
    except msgspec.ValidationError as error:
        name = "dimensions" if "dimensions" in str(error) else "encoding_format"
        expected = {"dimensions": "a whole number", "encoding_format": '"float" or "base64"'}[name]
        raise MalformedRequest(f"{name}: expected {expected}", name) from None


def encode_embeddings(request: EmbeddingRequest, model: str) -> bytes:
    """The bytes for an upstream that calls its model ``model``: the caller's own, else new ones."""
    name = msgspec.json.encode(model)
    if request.body:
        return replace_members(request.body, {"model": name})
    texts = msgspec.json.encode(request.texts)
    return join_members({"model": name, "input": texts, **members_of(request.params.encode())})


def decode_embedded(reply: bytes) -> Embedded:
    """An upstream's reply; of its vectors nothing is read.

    Raises:
        EngineUnreachable: it is none.
    """
    try:
        received = decode_reply(_RECEIVED, reply)
    except ValueError as error:
        raise EngineUnreachable(f"the reply holds no embeddings: {error}") from None
    try:
        usage = _USAGE.decode(received.usage)
    except msgspec.DecodeError:  # none, or counts that are no numbers: the vectors are good
        return Embedded(reply)
    return Embedded(reply, Usage(max(0, usage.prompt_tokens or usage.total_tokens)))


def encode_embedded(
    model: str, vectors: NDArray[np.float32], encoding: Encoding, tokens: int
) -> bytes:
    """The reply that holds ``vectors`` (n, dim); base64 is of little-endian 32-bit floats."""
    data = [
        msgspec.json.encode(_Vector(Raw(_vector(row, encoding)), index))
        for index, row in enumerate(vectors)
    ]
    reply = _Reply([Raw(item) for item in data], model, _Usage(tokens, tokens))
    return msgspec.json.encode(reply)


def _vector(row: NDArray[np.float32], encoding: Encoding) -> bytes:
    if encoding == "float":
        return msgspec.json.encode(row.tolist())
    return b'"%s"' % base64.b64encode(row.astype("<f4").tobytes())


def _texts(value: Raw) -> tuple[str, ...]:
    try:
        found = _TEXTS.decode(value)
    except msgspec.DecodeError:
        raise _no_texts(value) from None
    if not found:
        raise MalformedRequest("input: expected a text, or a list of texts, found none", "input")
    return (found,) if isinstance(found, str) else tuple(found)


def _no_texts(value: Raw) -> MalformedRequest | Untranslatable:
    try:
        _TOKENS.decode(value)
    except msgspec.DecodeError:
        return MalformedRequest("input: expected a text, or a list of texts", "input")
    return Untranslatable(
        "input: token arrays are not taken, for nobody on the way could read them; send the texts",
        "input",
    )
