"""What a server replied to a call, as a tool's result: structured content, else text."""

from typing import TYPE_CHECKING

import msgspec

from shoal.formats.json_schema import breach
from shoal.tools.mcp.options import Limits
from shoal.tools.mcp.plain_text import plain_text
from shoal.tools.tool import ToolResult, failed

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock

_MOST_ERROR = 2_000  # characters


def read_outcome(found: "CallToolResult", gives: str, limits: Limits) -> ToolResult:
    """The result. What is neither text nor structured is named in its place, not passed on.
    ``gives`` is the schema that the server promised for it, "" for none."""
    text = "\n".join(_told(block) for block in found.content)
    if found.is_error:
        return failed(
            plain_text(text, _MOST_ERROR) or "the tool failed and did not say why",
            "this is the server's own word for it; look at the arguments",
        )
    value = text if found.structured_content is None else found.structured_content
    try:
        # there and back: what JSON cannot say, NaN for one, must not come into a plan
        written = msgspec.json.encode(value)
    except (msgspec.EncodeError, UnicodeError, RecursionError) as error:
        return _done_but(f"its result is no JSON: {plain_text(str(error), 200)}")
    if len(written) > limits.result_bytes:
        return _done_but(
            f"its result has {len(written):,} bytes, at most {limits.result_bytes:,} are taken"
        )
    plain = msgspec.json.decode(written)
    if gives and (fault := breach(gives, plain)):
        return _done_but(f"its result breaks its own outputSchema: {plain_text(fault, 300)}")
    return ToolResult(plain)


def _done_but(error: str) -> ToolResult:
    return failed(
        error, "the call was made and came to its end; do not repeat what writes, ask for less"
    )


def _told(block: "ContentBlock") -> str:
    match block.type:
        case "text":
            return block.text.encode("utf-8", "replace").decode()
        case "image" | "audio":
            return (
                f"[{block.type} {plain_text(block.mime_type, 60)}, {len(block.data):,} characters]"
            )
        case "resource_link":
            return f"[link {plain_text(str(block.uri), 500)}]"
        case "resource":
            text = getattr(block.resource, "text", None)
            uri = plain_text(str(block.resource.uri), 500)
            return text if isinstance(text, str) else f"[binary resource {uri}]"
    return "[content of a kind that is not known]"
