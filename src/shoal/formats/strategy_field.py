"""The field ``shoal`` of a request, the same in every wire format: what is said to Shoal itself.

It is taken out of the body, for no provider knows it, and kept in ``Request.params`` under a name
that is never sent on.
"""

from msgspec import Raw

from shoal.errors import MalformedRequest
from shoal.formats.json_text import join_members

ASKED = "shoal:asked"
FIELD = "shoal"


def take_asked(fields: dict[str, Raw], body: bytes) -> tuple[bytes, dict[str, bytes | Raw]]:
    """The body without the field, and what it says as parameters; takes it out of ``fields`` too.

    Raises:
        MalformedRequest: it is no object.
    """
    asked = fields.pop(FIELD, None)
    if asked is None:
        return body, {}
    if not bytes(asked).startswith(b"{"):
        raise MalformedRequest(
            'shoal: expected an object, like {"strategy": "vote", "n": 5}', FIELD
        )
    return join_members(fields), {ASKED: asked}
