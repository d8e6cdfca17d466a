"""What the privacy rules say about one request."""

from typing import Literal

from msgspec import Struct

from shoal.chat import Request
from shoal.errors import PrivacyRefused
from shoal.routing.privacy.kinds import Kind
from shoal.routing.privacy.options import PrivacyOptions
from shoal.routing.privacy.person_names import Analyzer
from shoal.routing.privacy.sightings import Sightings

Action = Literal["refuse", "local_only", "redact", "none"]


class Ruling(Struct, frozen=True):
    """The strictest ``action`` that anything found calls for, because of the kinds ``decisive``.

    ``found`` counts the different values of each kind and ``places`` says where they stand; the
    values themselves are not kept.
    """

    action: Action = "none"
    decisive: tuple[Kind, ...] = ()
    found: dict[Kind, int] = {}
    places: dict[Kind, tuple[str, ...]] = {}

    def refusal(self) -> PrivacyRefused:
        """The error for the caller: kinds and places, never a value."""
        return PrivacyRefused({kind: self.places[kind] for kind in self.decisive})


def judge(request: Request, options: PrivacyOptions, analyzer: Analyzer | None = None) -> Ruling:
    """Search the whole request, and say what must happen to it."""
    if not options.sought:
        return Ruling()
    sightings = Sightings(options.sought, analyzer)
    sightings.look_at_request(request)
    kinds = list(sightings.values.values())
    found = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    places = {kind: tuple(sightings.places[kind]) for kind in found}
    rules: tuple[tuple[Action, tuple[Kind, ...]], ...] = (
        ("refuse", options.refuse),
        ("local_only", options.local_only),
        ("redact", options.redact),
    )
    for action, ruled in rules:
        decisive = tuple(kind for kind in ruled if kind in found)
        if decisive:
            return Ruling(action, decisive, found, places)
    return Ruling()
