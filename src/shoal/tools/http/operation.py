"""One operation of a service over HTTP, as data, and the request that arguments make of it."""

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct
from yarl import URL

from shoal.tools.tool import Json, schema

_METHODS = {"GET", "HEAD"}
_PLACE = re.compile(r"\{([^{}]+)\}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_HEADERS = {
    *("host", "content-length", "transfer-encoding", "connection", "authorization", "cookie"),
    *("content-type", "accept-encoding", "te", "upgrade", "idempotency-key", "proxy-authorization"),
}
BODY = "body"


class WrongRequest(ValueError):
    """The operation, or the arguments, make no request; the message says why."""


class Parameter(Struct, frozen=True):
    """Where an argument goes. ``name`` is the argument's, ``wire`` how the service calls it."""

    name: str
    place: Literal["path", "query", "header"]
    told: dict[str, Json]
    required: bool = False
    wire: str = ""


class Operation(Struct, frozen=True, kw_only=True):
    """A ``method`` and a ``url`` with ``{name}`` for parameters in its path. ``body`` is the JSON
    Schema of the argument ``body``, None if there is none. ``definitions`` are what schemas refer
    to as ``#/$defs/…``."""

    name: str
    method: str
    url: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: dict[str, Json] | None = None
    body_required: bool = False
    definitions: dict[str, Json] = {}
    gives: str = ""

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method in _METHODS

    @property
    def takes(self) -> str:
        """The JSON Schema of its arguments."""
        told: dict[str, Json] = {each.name: each.told for each in self.parameters}
        required = [each.name for each in self.parameters if each.required]
        if self.body is not None:
            told[BODY] = self.body
            required += [BODY] if self.body_required else []
        whole = msgspec.json.decode(schema(told, required))
        if self.definitions:
            whole["$defs"] = self.definitions
        return msgspec.json.encode(whole).decode()


class Prepared(Struct, frozen=True):
    """A request as it is sent."""

    url: URL
    headers: dict[str, str]
    body: bytes | None


def check_operation(operation: Operation) -> None:
    """Whether an operation hangs together.

    Raises:
        WrongRequest: it does not.
    """
    address = URL(operation.url.replace("{", "").replace("}", ""))
    if address.scheme not in ("http", "https") or not address.host:
        raise WrongRequest("url: expected an http or https address")
    if address.user or address.password:
        raise WrongRequest("url: holds a name or a key; put it into a header by its variable")
    host = operation.url.split("://", 1)[1].split("/", 1)[0]
    if "{" in host or "?" in operation.url or "#" in operation.url:
        raise WrongRequest("url: parameters stand in its path; name those of its query apart")
    names = [each.name for each in operation.parameters]
    if len({*names, BODY}) <= len(names):
        raise WrongRequest(f"two parameters have one name, or one is called {BODY}")
    places = set(_PLACE.findall(operation.url))
    given = {each.wire or each.name for each in operation.parameters if each.place == "path"}
    if places != given:
        raise WrongRequest(f"url: {{{min(places ^ given)}}} is either no parameter or has no place")
    for each in operation.parameters:
        wire = each.wire or each.name
        if each.place == "header" and (not _HEADER.fullmatch(wire) or wire.lower() in _NO_HEADERS):
            raise WrongRequest(f"{wire}: no argument may set this header")


def prepared(operation: Operation, arguments: Mapping[str, Json]) -> Prepared:
    """The request that arguments make.

    Raises:
        WrongRequest: they make none.
    """
    path: dict[str, str] = {}
    query: list[str] = []
    headers: dict[str, str] = {}
    for each in operation.parameters:
        value = arguments.get(each.name)
        wire = each.wire or each.name
        if value is None:
            if each.required:
                raise WrongRequest(f"{each.name}: is missing")
        elif each.place == "path":
            path[wire] = _in_path(each.name, value)
        elif each.place == "query":
            values = value if isinstance(value, list) else [value]
            query += [
                f"{quote(wire, safe='')}={quote(_text(each.name, v), safe='')}" for v in values
            ]
        else:
            headers[wire] = _in_header(each.name, value)
    url = _PLACE.sub(lambda found: path.get(found[1], ""), operation.url)
    body = None
    if operation.body is not None and BODY in arguments:
        body = msgspec.json.encode(arguments[BODY])
        headers["Content-Type"] = "application/json"
    return Prepared(
        URL(url + ("?" + "&".join(query) if query else ""), encoded=True), headers, body
    )


def _in_path(name: str, value: Json) -> str:
    text = _text(name, value)
    if text in ("", ".", ".."):
        raise WrongRequest(f"{name}: {text!r} is no part of a path")
    return quote(text, safe="")


def _in_header(name: str, value: Json) -> str:
    text = _text(name, value)
    if not text.isascii() or not text.isprintable():
        raise WrongRequest(f"{name}: a header holds printable ASCII only")
    return text


def _text(name: str, value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise WrongRequest(f"{name}: this text cannot be sent") from None
        return text
    raise WrongRequest(f"{name}: a text, a number, true or false is expected")
