"""What a request asks for in its own wire format and no other can say.

The decoder of a format lists it in ``Request.params``, under a name that no provider uses, as the
caller wrote it: ``["tools[2] (web_search_20250305)"]``. Whoever writes the request in another
format refuses it there. Names that begin with ``shoal:`` are never sent.
"""

import msgspec
from msgspec import Raw

from shoal.errors import Untranslatable
from shoal.formats.json_text import members_of

UNTRANSLATABLE = "shoal:untranslatable"
_OWN = "shoal:"
_NAMES = msgspec.json.Decoder(list[str])


def translatable_params(params: str) -> dict[str, Raw]:
    """The members of ``params`` that are to be said in another format than they came in.

    Raises:
        Untranslatable: the request asks for more than that; names it.
    """
    members = members_of(params.encode())
    if UNTRANSLATABLE in members and (names := _names(members[UNTRANSLATABLE])):
        said = "cannot be said in the wire format of the model that answers"
        raise Untranslatable(f"{', '.join(names)}: {said}", names[0].split(" ")[0])
    return without_own(members)


def without_own(members: dict[str, Raw]) -> dict[str, Raw]:
    """All members but those that Shoal keeps for itself."""
    return {name: value for name, value in members.items() if not name.startswith(_OWN)}


def _names(value: Raw) -> list[str]:
    try:
        return _NAMES.decode(value)
    except msgspec.DecodeError:  # a caller made it up
        return [UNTRANSLATABLE]
