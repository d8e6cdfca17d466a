"""Operations from an OpenAPI 3 document, those that are asked for by their ``operationId``.

References within the document are followed, none out of it. What is not understood here: bodies
that are not JSON, parameters in cookies, styles of arrays other than repeating the name; security
schemes, whose headers the operator names.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from shoal.tools.http.operation import BODY, Operation, Parameter
from shoal.tools.tool import Json

_METHODS = ("get", "put", "post", "delete", "patch", "head")
_COMPONENTS = "#/components/schemas/"
_MAPS = ("properties", "patternProperties", "$defs", "dependentSchemas")
_MOST_DEPTH = 60
_MOST_DESCRIPTION = 1_000
_NAME = re.compile(r"[^A-Za-z0-9_-]+")


class WrongDocument(ValueError):
    """The document is none of OpenAPI 3, or what is asked for is not in it; says where."""


def operations(
    document: Mapping[str, Any], wanted: Sequence[str], prefix: str = "", url: str = ""
) -> list[Operation]:
    """The ``wanted`` operations, in that order, named ``prefix`` + their id. ``url`` takes the
    place of the document's server.

    Raises:
        WrongDocument: one is not there, or cannot be called.
    """
    if not str(document.get("openapi", "")).startswith("3."):
        raise WrongDocument("openapi: a document of version 3 is expected")
    reader = _Reader(document, prefix, (url or _server(document)).rstrip("/"))
    there = {each["operationId"]: (path, method, item, each)
             for path, method, item, each in _all(document)}  # fmt: skip
    found = []
    for name in wanted:
        if name not in there:
            some = ", ".join(sorted(there)[:50])
            raise WrongDocument(f"there is no operation {name}; there are {some}")
        try:
            found.append(reader.operation(*there[name]))
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise WrongDocument(f"{name}: cannot be read: {type(error).__name__}") from error
    return found


def _all(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    paths = document.get("paths")
    for path, item in paths.items() if isinstance(paths, dict) else ():
        for method in _METHODS:
            each = item.get(method) if isinstance(item, dict) else None
            if isinstance(each, dict) and isinstance(each.get("operationId"), str):
                yield path, method, item, each


def _server(document: Mapping[str, Any]) -> str:
    servers = document.get("servers")
    url = servers[0].get("url") if isinstance(servers, list) and servers else None
    if not isinstance(url, str) or "://" not in url or "{" in url:
        raise WrongDocument("servers: there is no whole address; name one as url")
    return url


class _Reader:
    """Reads the operations of one document."""

    def __init__(self, document: Mapping[str, Any], prefix: str, url: str) -> None:
        self._document, self._prefix, self._url = document, prefix, url

    def operation(self, path: str, method: str, item: Any, each: Any) -> Operation:
        needed: dict[str, Json] = {}
        stated = {}
        for parameter in [*item.get("parameters", []), *each.get("parameters", [])]:
            found = self._followed(parameter)
            stated[found["name"], found["in"]] = found
        body, required = self._body(each.get("requestBody"), needed)
        texts = (each.get("summary"), each.get("description"))
        return Operation(
            name=self._prefix + _NAME.sub("_", each["operationId"]),
            method=method.upper(),
            url=self._url + path,
            description="\n".join(str(t) for t in texts if t)[:_MOST_DESCRIPTION],
            parameters=tuple(self._parameters(stated, needed)),
            body=body,
            body_required=required,
            definitions=self._definitions(needed),
            gives=self._gives(each.get("responses", {})),
        )

    def _parameters(
        self, stated: Mapping[tuple[str, str], Any], needed: dict[str, Json]
    ) -> Iterator[Parameter]:
        names = [name for name, _ in stated]
        for (name, place), found in stated.items():
            required = bool(found.get("required", place == "path"))
            if place not in ("path", "query", "header"):
                if required:
                    raise WrongDocument(f"{name}: parameters in a {place} are not supported")
                continue
            if place == "header" and name.lower() in ("authorization", "content-type", "accept"):
                continue  # OpenAPI ignores these too
            told = self._schema(found.get("schema", {"type": "string"}), needed)
            if found.get("description"):
                told = {**told, "description": str(found["description"])[:300]}
            known = names.count(name) > 1 or name == BODY
            kind = cast(Literal["path", "query", "header"], place)
            argument = f"{place}_{name}" if known else name
            yield Parameter(argument, kind, told, required, name)

    def _body(self, stated: Any, needed: dict[str, Json]) -> tuple[dict[str, Json] | None, bool]:
        if stated is None:
            return None, False
        found = self._followed(stated)
        for kind, content in found.get("content", {}).items():
            if kind.partition(";")[0].endswith(("/json", "+json")):
                told = self._schema(content.get("schema", {}), needed)
                return told, bool(found.get("required", False))
        if found.get("required", False):
            raise WrongDocument("requestBody: only bodies in JSON are supported")
        return None, False

    def _gives(self, responses: Any) -> str:
        """The schema of a good reply, "" where there is no one."""
        good = [self._followed(r) for status, r in responses.items() if str(status).startswith("2")]
        if len(good) != 1 or "application/json" not in good[0].get("content", {}):
            return ""
        needed: dict[str, Json] = {}
        stated = good[0]["content"]["application/json"].get("schema")
        if stated is None:
            return ""
        told = self._schema(stated, needed)
        if definitions := self._definitions(needed):
            told = {**told, "$defs": definitions}
        return msgspec.json.encode(told).decode()

    def _definitions(self, needed: dict[str, Json]) -> dict[str, Json]:
        """All that is referred to, directly or not."""
        done: dict[str, Json] = {}
        while missing := [name for name in needed if name not in done]:
            for name in missing:
                done[name] = self._schema(self._at(_COMPONENTS + name), needed)
        return done

    def _schema(self, stated: Any, needed: dict[str, Json], depth: int = 0) -> dict[str, Json]:
        found = self._converted(stated, needed, depth)
        if not isinstance(found, dict):
            return {} if found is True else {"not": {}}
        return found

    def _converted(self, stated: Any, needed: dict[str, Json], depth: int) -> Any:
        """OpenAPI's schema as JSON Schema's: its references and, of version 3.0, ``nullable`` and
        the boolean limits."""
        if depth > _MOST_DEPTH:
            raise WrongDocument("a schema is nested too deeply")
        if isinstance(stated, list):
            return [self._converted(each, needed, depth + 1) for each in stated]
        if not isinstance(stated, dict):
            return stated
        if isinstance(stated.get("$ref"), str):
            return self._reference(stated["$ref"], needed, depth)
        found = {
            key: {name: self._converted(each, needed, depth + 1) for name, each in value.items()}
            if key in _MAPS and isinstance(value, dict)  # of names that are the document's own
            else value
            if key in ("example", "examples", "default", "enum", "const")
            else self._converted(value, needed, depth + 1)
            for key, value in stated.items()
            if key not in ("xml", "externalDocs", "discriminator")
        }
        for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            strict = isinstance(found.get(exclusive), bool) and found.pop(exclusive)
            if strict and limit in found:
                found[exclusive] = found.pop(limit)
        nullable = found.get("nullable")
        if isinstance(nullable, bool):
            del found["nullable"]
            return {"anyOf": [found, {"type": "null"}]} if nullable else found
        return found

    def _reference(self, to: str, needed: dict[str, Json], depth: int) -> Any:
        name = to.removeprefix(_COMPONENTS)
        if to.startswith(_COMPONENTS) and "/" not in name:
            self._at(to)
            needed[name] = None
            return {"$ref": f"#/$defs/{name}"}
        return self._converted(self._at(to), needed, depth + 1)

    def _followed(self, stated: Any) -> Any:
        """What an object of the document is, references followed."""
        for _ in range(10):
            if "$ref" not in stated:
                return stated
            stated = self._at(stated["$ref"])
        raise WrongDocument("references lead in a circle")

    def _at(self, to: str) -> Any:
        if not to.startswith("#/"):
            raise WrongDocument(f"the reference {to[:100]} leads out of the document")
        found: Any = self._document
        for part in to[2:].split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or part not in found:
                raise WrongDocument(f"the reference {to[:100]} leads nowhere")
            found = found[part]
        return found
