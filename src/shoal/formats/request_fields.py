"""The fields of a request that every wire format has: a JSON object with a model, and so on."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from shoal.errors import MalformedRequest, TooManyMessages
from shoal.formats.json_text import members_of, parse_strictly

_MOST_FIELDS = 1_000  # each is handled by itself; real requests have about thirty
_NULL = Raw(b"null")


def read_fields(body: bytes, listed: str, most: int | None) -> dict[str, Raw]:
    """The members of a request's body, each value as the text it came in.

    ``listed`` is the field with the messages, of which there may be ``most`` (None: any number).

    Raises:
        MalformedRequest: what ``parse_strictly`` raises, no object, or one of too many fields.
        TooManyMessages: messages, and parts and calls of tools in them, are more than ``most``.
    """
    value = parse_strictly(body)
    if not isinstance(value, dict):
        raise MalformedRequest("the body must be a JSON object")
    if len(value) > _MOST_FIELDS:
        raise MalformedRequest(
            f"the body has {len(value):,} fields, at most {_MOST_FIELDS:,} are read"
        )
    if most is not None:
        _refuse_many(value.get(listed), listed, most)
    try:
        return members_of(body)
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply") from None


def _refuse_many(messages: object, listed: str, most: int) -> None:
    """Calls of tools and parts count too: what answers a call is a message."""
    if not isinstance(messages, list):
        return
    if (found := len(messages)) <= most:
        items = [item for item in messages if isinstance(item, dict)]
        inner = [item.get(name) for item in items for name in ("tool_calls", "content")]
        found += sum(len(value) for value in inner if isinstance(value, list))
    if found > most:
        raise TooManyMessages(found, most, listed)


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
