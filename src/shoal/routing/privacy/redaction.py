"""Taking what is personal out of a request before it leaves, so that it can be put back."""

from collections.abc import Collection

from msgspec.structs import replace

from shoal.chat import Request
from shoal.routing.privacy.kinds import Kind
from shoal.routing.privacy.person_names import Analyzer
from shoal.routing.privacy.placeholders import numbered, standing
from shoal.routing.privacy.sightings import Sightings
from shoal.routing.privacy.substitution import Substitution
from shoal.routing.privacy.texts import rewrite_request
from shoal.routing.privacy.vault import Vault


def redact(
    request: Request, kinds: Collection[Kind], analyzer: Analyzer | None = None
) -> tuple[Request, Vault]:
    """The request with placeholders for what it holds of ``kinds``, and the vault to restore it.

    Equal values have equal placeholders, and none that stands in the request already is used. The
    redacted request has no ``body``, so that engines build it anew; fields of messages that only
    the body held are gone then. If nothing is found, the request comes back as it is.
    """
    sightings = Sightings(kinds, analyzer)
    sightings.look_at_request(request)
    if not sightings.values:
        return request, Vault({})
    placeholders = numbered(sightings.values, _standing(request))
    substitution = Substitution(sightings, placeholders)
    redacted = rewrite_request(request, substitution.apply)
    return replace(redacted, body=b""), Vault(placeholders)


def _standing(request: Request) -> set[str]:
    keys: set[str] = set()

    def look(place: str, text: str, key: str) -> str:
        keys.update(standing(text))
        return text

    rewrite_request(request, look)
    return keys
