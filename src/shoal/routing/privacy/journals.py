"""What is personal in the values of a run, as JSON: found in all of them first, then replaced."""

from collections.abc import Collection
from functools import partial

from shoal.routing.privacy.json_strings import JsonStrings
from shoal.routing.privacy.kinds import Kind, label
from shoal.routing.privacy.person_names import Analyzer
from shoal.routing.privacy.sightings import Sightings
from shoal.routing.privacy.substitution import Substitution

_FIXED = frozenset(
    ("do", "id", "op", "as", "after", "type", "task", "tool", "model", "escalate", "collection")
) | {"agent", "call_id", "episode", "place", "state", "steps", "tokens", "output_tokens", "ms"}
"""Keys behind which a journal names parts of a plan, calls and counts: what they name is not
personal, and what tells of the run is read by them."""

_DATA = frozenset(
    ("given", "slots", "where", "arguments", "query", "over", "result", "start", "otherwise")
) | {"value", "than", "show", "done"}
"""Keys behind which it keeps values: a tool's ``id``, ``agent`` or ``place`` is no name of its."""


class JournalScrub:
    """Replaces by ``[EMAIL]`` and the like, without a way back, what is of ``kinds``: also where
    it stands in a value in which nobody would have known it. First ``look`` at all, then
    ``apply``."""

    def __init__(self, kinds: Collection[Kind], analyzer: Analyzer | None = None) -> None:
        self._sightings = Sightings(kinds, analyzer)
        self._substitution: Substitution | None = None

    def look(self, text: str) -> None:
        """Look at a JSON text."""
        JsonStrings(partial(self._sightings.look, ""), _FIXED, numbers=True, data=_DATA).rewrite(
            text
        )

    def apply(self, text: str) -> str:
        """The JSON text without what was found."""
        if not self._sightings.values:
            return text
        if self._substitution is None:
            values = self._sightings.values.items()
            placeholders = {value: f"[{label(kind)}]" for value, kind in values}
            self._substitution = Substitution(self._sightings, placeholders)
        apply = partial(self._substitution.apply, "")
        return JsonStrings(apply, _FIXED, numbers=True, data=_DATA).rewrite(text)


def is_personal(text: str, kinds: Collection[Kind]) -> bool:
    """Whether a JSON text holds anything of ``kinds``, or did before it was redacted."""
    if any(f"[{label(kind)}]" in text for kind in kinds):
        return True
    scrub = JournalScrub(kinds)
    scrub.look(text)
    return scrub.apply(text) != text
