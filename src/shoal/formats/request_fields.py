"""The fields of a request that every wire format has: a JSON object with a model, and so on."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from shoal.errors import MalformedRequest
from shoal.formats.json_text import members_of, parse_strictly

_NULL = Raw(b"null")


def read_fields(body: bytes) -> dict[str, Raw]:
    """The members of a request's body, each value as the text it came in.

    Raises:
        MalformedRequest: what ``parse_strictly`` raises, or no object.
    """
    if not isinstance(parse_strictly(body), dict):
        raise MalformedRequest("the body must be a JSON object")
    try:
        return members_of(body)
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply") from None
    except msgspec.DecodeError:
        half = "a string holds half of a surrogate pair (one \\ud83d without its \\ude00)"
        raise MalformedRequest(f"the body is not Unicode text: {half}") from None


def read_model(fields: Mapping[str, Raw]) -> str:
    """The name of the model that was asked for.

    Raises:
        MalformedRequest: there is none.
    """
    if "model" not in fields:
        raise MalformedRequest("'model' is missing", "model")
    try:
        model = msgspec.json.decode(fields["model"], type=str)
    except msgspec.DecodeError:
        model = ""
    if not model:
        raise MalformedRequest("model: expected the name of a model", "model")
    return model


def read_stream(fields: Mapping[str, Raw]) -> bool:
    """Whether the answer is to be streamed.

    Raises:
        MalformedRequest: neither true nor false.
    """
    value = bytes(fields.get("stream", _NULL))
    if value not in (b"true", b"false", b"null"):
        raise MalformedRequest("stream: expected true or false", "stream")
    return value == b"true"


def read_text(fields: Mapping[str, Raw], name: str, opening: bytes, expected: str) -> str:
    """The JSON text of a field that must begin with ``opening``; "" if it is absent or null.

    Raises:
        MalformedRequest: it begins otherwise.
    """
    value = bytes(fields.get(name, _NULL))
    if value == b"null":
        return ""
    if not value.startswith(opening):
        raise MalformedRequest(f"{name}: expected {expected}", name)
    return value.decode()
