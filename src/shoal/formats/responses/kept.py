"""Responses that are kept: what may be asked about one, and a recorded call told as one."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from shoal.chat import Answer, Request
from shoal.errors import MalformedRequest, Untranslatable
from shoal.formats.json_text import members_of, members_or_none, word_of
from shoal.formats.responses.answers import ResponseText, output_items, text_part
from shoal.formats.responses.params import OWN
from shoal.formats.responses.requests import built_fields
from shoal.formats.wire_format import Envelope

Act = Literal["retrieve", "delete", "cancel", "input_items"]

_METHODS = {"delete": "DELETE", "cancel": "POST"}
_BEHIND = {"cancel": "/cancel", "input_items": "/input_items"}
_MOST_ITEMS = 100
_ITEMS = 20  # where the caller does not say how many


class AskedResponse(Struct, frozen=True):
    """What somebody asks about the response ``id``; ``query`` is what stands behind the path."""

    id: str
    act: Act
    query: tuple[tuple[str, str], ...] = ()

    @property
    def method(self) -> str:
        """Of HTTP."""
        return _METHODS.get(self.act, "GET")

    @property
    def path(self) -> str:
        """Under the base URL of an endpoint."""
        return f"/responses/{self.id}{_BEHIND.get(self.act, '')}"

    def check(self) -> None:
        """Refuse what is not passed on.

        Raises:
            MalformedRequest: the answer is to be streamed once more.
        """
        if dict(self.query).get("stream", "false") != "false":
            said = "stream: a response that is kept is not streamed again; leave it out, and poll"
            raise MalformedRequest(said, "stream")


def previous_of(request: Request) -> str:
    """The id of the response that a request goes on from; "" if it does from none."""
    if request.format != "responses":
        return ""
    return word_of((members_or_none(request.body) or {}).get("previous_response_id"))


def recalled(request: Request) -> Request | None:
    """A recorded request as the Responses request that it was, its ``body`` written anew; None if
    it came in another format, was not to be kept, or asked for what is not recorded."""
    params = members_of(request.params.encode())
    own = members_or_none(bytes(params.pop(OWN, Raw(b"null"))))
    if own is None or bytes(own.get("store", b"")) == b"false":
        return None
    instructed = own.pop("instructions", None) is not None and bool(request.messages)
    bare = replace(request, body=b"", format="responses")
    try:
        fields = built_fields(bare, instructed)
    except Untranslatable:
        return None
    body = msgspec.json.encode({**fields, "store": True, **own})
    return replace(bare, body=body)


def encode_kept(answer: Answer, envelope: Envelope, error: str) -> bytes:
    """A recorded answer to a request that was ``recalled``; ``error`` as recorded."""
    text = ResponseText(envelope)
    items = [msgspec.json.encode(item) for item in output_items(answer, envelope)]
    return text.failed(answer, items, error) if error else text.ended(answer, items)


def encode_items(envelope: Envelope, query: Sequence[tuple[str, str]]) -> bytes:
    """The page of input items that ``query`` asks for; those of a request that was ``recalled``.

    Raises:
        MalformedRequest: it asks for none that there is.
    """
    said = msgspec.json.decode(envelope.request.body)["input"]
    items = [_item(item, f"item_{envelope.id}_{at}") for at, item in enumerate(said)]
    page, more = _page(items, dict(query))
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
    told = {"object": "list", "data": page, "first_id": None, "last_id": None, "has_more": more}
    return msgspec.json.encode(told | ends)


def _item(wire: dict[str, Any], made: str) -> dict[str, Any]:
    item = {"id": made, "type": "message", "status": "completed", **wire}
    content = item.get("content")
    if item["type"] == "message" and isinstance(content, str):
        said = item["role"] == "assistant"
        part = text_part(content) if said else {"type": "input_text", "text": content}
        item["content"] = [part]
    if item["type"] == "reasoning":
        del item["status"]
    return item


def _page(
    items: list[dict[str, Any]], query: Mapping[str, str]
) -> tuple[list[dict[str, Any]], bool]:
    """The items of a page, newest first unless asked otherwise, and whether more follow."""
    order, limit, after = query.get("order", "desc"), query.get("limit", ""), query.get("after")
    if order not in ("asc", "desc"):
        raise MalformedRequest("order: expected asc or desc", "order")
    most = int(limit) if limit.isdecimal() and limit.isascii() and len(limit) < 4 else 0
    if limit and not 1 <= most <= _MOST_ITEMS:
        raise MalformedRequest(f"limit: expected a number from 1 to {_MOST_ITEMS}", "limit")
    listed = items if order == "asc" else items[::-1]
    if after is not None:
        ids = [item["id"] for item in listed]
        if after not in ids:
            raise MalformedRequest(f"after: there is no item {after!r}", "after")
        listed = listed[ids.index(after) + 1 :]
    page = listed[: most or _ITEMS]
    return page, len(page) < len(listed)
