"""What was found in the texts of one call, remembered just long enough to replace it."""

from collections.abc import Collection
from functools import partial

from shoal.chat import Request
from shoal.routing.privacy.detection import find
from shoal.routing.privacy.json_strings import JsonStrings
from shoal.routing.privacy.kinds import Finding, Kind
from shoal.routing.privacy.person_names import Analyzer
from shoal.routing.privacy.texts import rewrite_request, unread_fields


class Sightings:
    """Looks at texts for ``kinds``. ``values`` maps each value found to its kind, in the order of
    their first sight; ``places`` each kind to where it stands. Kept in memory only."""

    def __init__(self, kinds: Collection[Kind], analyzer: Analyzer | None = None) -> None:
        self._kinds = frozenset(kinds)
        self._analyzer = analyzer
        self.values: dict[str, Kind] = {}
        self.places: dict[Kind, dict[str, None]] = {}

    def look(self, place: str, text: str, key: str) -> str:
        """Note what the text holds; the text itself comes back."""
        for finding in self.find(text, key):
            self.values.setdefault(text[finding.start : finding.end], finding.kind)
            self.places.setdefault(finding.kind, {})[place] = None
        return text

    def look_at_request(self, request: Request) -> None:
        """Note what any text of the request holds, and any field of a message only in ``body``."""
        rewrite_request(request, self.look)
        for place, text in unread_fields(request):
            JsonStrings(partial(self.look, place)).rewrite(text)

    def find(self, text: str, key: str) -> tuple[Finding, ...]:
        """What the text holds; a key such as "password" says what the value behind it is."""
        if not key or not text:
            return find(text, self._kinds, self._analyzer)
        before = len(key) + 2
        return tuple(
            Finding(finding.kind, finding.start - before, finding.end - before)
            for finding in find(f"{key}: {text}", self._kinds, self._analyzer)
            if finding.start >= before
        )
