"""Short texts as LLMs vary them: labels in other case, numbers with a unit, stray punctuation."""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

_EDGES = " \t\r\n\"'`*“”‘’«»"
_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+−]?\.\d+")


def bare(text: str) -> str:
    """Without surrounding whitespace, quotes, emphasis and a closing period."""
    stripped = text.strip(_EDGES)
    if stripped.endswith(".") and not stripped.endswith(".."):
        stripped = stripped[:-1].rstrip(_EDGES)
    return stripped


def simplified(text: str) -> str:
    """The key under which spellings of one label fall together: NFKC, bare, caseless, one space."""
    return " ".join(bare(unicodedata.normalize("NFKC", text)).casefold().split())


def flattened(text: str) -> str:
    """NFKC, caseless, runs of whitespace as one space: for comparing spans and finding them."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def concluded(text: str, cue: str) -> str:
    """The rest of the line behind the last cue ("So the answer is "), up to the brace that closes
    one the cue ends with; all of the text if there is no cue."""
    rest = text.rpartition(cue.rstrip())[2].lstrip(" \t\r\n:")
    if closing(cue):
        rest = rest.lstrip("{").partition("}")[0]
    return rest.partition("\n")[0].strip()


def closing(cue: str) -> str:
    """What must stand behind a conclusion because of its cue."""
    return "}" if cue.endswith("{") else ""


def find_label(text: str, labels: tuple[str, ...]) -> str | None:
    """The label meant by a text: equal as it stands, else the only one equal when simplified."""
    stripped = text.strip()
    return stripped if stripped in labels else _by_key(labels).get(simplified(text))


@lru_cache(maxsize=1024)
def _by_key(labels: tuple[str, ...]) -> dict[str, str]:
    """Labels by their simplified spelling, those that share one left out."""
    counts = Counter(map(simplified, labels))
    return {simplified(label): label for label in labels if counts[simplified(label)] == 1}


def number_in(text: str) -> float | None:
    """The number that is all of the text ("1,234.50", "-3"), else None."""
    stripped = text.strip()
    if not _NUMBER.fullmatch(stripped):
        return None
    return float(stripped.replace(",", "").replace("−", "-"))
