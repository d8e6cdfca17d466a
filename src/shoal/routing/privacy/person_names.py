"""Names of people, by presidio's analyzer: the extra ``privacy``, loaded when first asked for."""

import importlib.util
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Protocol, cast

from shoal.errors import ConfigError, MissingExtra
from shoal.routing.privacy.kinds import Finding, Kind

_MODEL = "en_core_web_lg"  # what presidio uses for English if nobody says otherwise
_LEAST_SCORE = 0.5


class Recognised(Protocol):
    """One result of presidio."""

    start: int
    end: int
    score: float


class Analyzer(Protocol):
    """The one method of presidio's AnalyzerEngine that is used."""

    def analyze(self, text: str, language: str, entities: list[str]) -> Sequence[Recognised]:
        """What it recognised in a text."""


def person_names(text: str, analyzer: Analyzer) -> Iterator[Finding]:
    """Names that the analyzer is at least half sure of."""
    for found in analyzer.analyze(text=text, language="en", entities=["PERSON"]):
        if found.score >= _LEAST_SCORE and found.start < found.end:
            yield Finding("name", found.start, found.end)


@cache
def presidio() -> Analyzer:
    """Presidio's analyzer with its English model; takes seconds the first time.

    Raises:
        MissingExtra: presidio is not installed.
        ConfigError: its model is not (presidio would fetch it from the network unasked).
    """
    if importlib.util.find_spec("presidio_analyzer") is None:
        raise MissingExtra("privacy", "finding names of people")
    if importlib.util.find_spec(_MODEL) is None:
        raise ConfigError(
            f"privacy: names need the model {_MODEL!r}: python -m spacy download {_MODEL}"
        )
    module = importlib.import_module("presidio_analyzer")
    return cast(Analyzer, module.AnalyzerEngine())


def require(kinds: Collection[Kind]) -> None:
    """See at the start, not at the first call, that what ``kinds`` need is there.

    Raises:
        MissingExtra, ConfigError: as ``presidio``.
    """
    if "name" in kinds:
        presidio()
