"""What models that Shoal itself is do not do: nobody would heed it, so it is not taken."""

import json

from shoal.chat import Request
from shoal.errors import MalformedRequest


def refuse_more_than_text(request: Request, does: str, says: str) -> None:
    """Refuse tools, a format of the answer, and several answers. The messages say what the model
    ``does`` instead of calling tools, and what it ``says``.

    Raises:
        MalformedRequest: it asks for one of them.
    """
    if json.loads(request.tools or "[]"):
        raise MalformedRequest(
            f"tools: {request.model} {does}; leave them out, or ask another model", "tools"
        )
    if request.response_format and not _is_plain(request.response_format):
        raise MalformedRequest(
            f"response_format: {request.model} {says}, in no other format; leave it out, or ask "
            "another model",
            "response_format",
        )
    count = json.loads(request.params or "{}").get("n")
    if count not in (None, 1):
        raise MalformedRequest(
            f"n: {request.model} gives one answer, and not {str(count)[:20]}; leave n out",
            "n",
        )


def _is_plain(response_format: str) -> bool:
    found = json.loads(response_format)
    return found is None or (isinstance(found, dict) and found.get("type") == "text")
