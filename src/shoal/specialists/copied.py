"""The fields that an input states: spans, lists of spans, numbers and dates, from one tagger."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from shoal.specialists.chain_tagger import ChainTagger
from shoal.specialists.notation import Finding, finding, vote
from shoal.specialists.places import locate
from shoal.specialists.senses import Senses
from shoal.specialists.spans import SpanTagger
from shoal.specialists.specialist import Reason
from shoal.specialists.tagger import Tagger
from shoal.tasks.contract import Field, Scalar

Values = dict[str, Scalar]


class CopiedFields:
    """``votes`` of each field by its name: see ``notation``."""

    def __init__(
        self, fields: Sequence[Field], tagger: Tagger, votes: dict[str, int], senses: Senses
    ) -> None:
        self._fields, self._tagger, self._votes, self._senses = fields, tagger, votes, senses

    @classmethod
    def train(
        cls,
        fields: Sequence[Field],
        texts: Sequence[str],
        rows: Sequence[Values | None],
        senses: Senses,
        chain: bool,
    ) -> tuple["CopiedFields", dict[str, list[Finding]]]:
        """Fit, and for each field its findings (n,) by a tagger that had not seen the example.
        ``chain``: by a conditional random field instead of least squares."""
        places = [
            locate(text, fields, row) if row else {} for text, row in zip(texts, rows, strict=True)
        ]
        keys = [field.name for field in fields]
        train = ChainTagger.train if chain else SpanTagger.train
        fitted = train(keys, texts, places, senses, _several(fields))
        votes, findings = {}, {}
        for field in fields:
            each = _votes(field, texts, rows)
            votes[field.name] = sum(each.values())
            findings[field.name] = [
                finding(field, spans[field.name], votes[field.name] - each[text])
                for text, spans in zip(texts, fitted.left_out, strict=True)
            ]
        return cls(fields, fitted.tagger, votes, senses), findings

    @classmethod
    def restore(
        cls,
        fields: Sequence[Field],
        model: dict[str, Any],
        arrays: dict[str, Any],
        senses: Senses,
    ) -> "CopiedFields":
        """Of ``model()`` and ``arrays()``. Raises ArtifactError if they do not fit."""
        keys, several = model["keys"], _several(fields)
        tagger: Tagger = (
            ChainTagger.restore(keys, several, arrays)
            if "transitions" in arrays
            else SpanTagger.restore(keys, arrays["tags"], several)
        )
        return cls(fields, tagger, model.get("votes", {}), senses)

    def model(self) -> dict[str, Any]:
        """All that is no array, for a JSON file."""
        return {"keys": list(self._tagger.keys), "votes": self._votes}

    def arrays(self) -> dict[str, Any]:
        """All numbers, by name, for a safetensors file."""
        return self._tagger.arrays()

    def find(self, text: str) -> dict[str, Finding]:
        """What each field is in one text."""
        spans = self._tagger.find(text, self._senses.tokenise([text])[0])
        return {
            field.name: finding(field, spans[field.name], self._votes.get(field.name, 0))
            for field in self._fields
        }

    def reasons(self, text: str) -> list[Reason]:
        """For each word of a value how much spoke for it, as "field: word"."""
        evidence = self._tagger.evidence(text, self._senses.tokenise([text])[0])
        return [Reason(f"{each.key}: {each.word}", each.weight) for each in evidence]


def _several(fields: Sequence[Field]) -> frozenset[str]:
    return frozenset(field.name for field in fields if field.kind == "spans")


def _votes(field: Field, texts: Sequence[str], rows: Sequence[Values | None]) -> dict[str, int]:
    """The vote of each distinct text."""
    votes: dict[str, int] = defaultdict(int)
    for text, row in zip(texts, rows, strict=True):
        votes[text] += vote(field, text, row[field.name]) if row else 0
    return votes
