"""Answers without any model of language: the words of a passage that answer, in their sentence.

Whether the documents answer at all is told by two things of the best passage: how near its best
part is to the question in meaning, and which share of the question's content words it has. The
weights are those of a logistic regression on half of XQuAD's articles, where for each question the
passages of its own article were left in or taken out (``benchmarks/answers.py``). It finds
questions about something else; a question on the same matter that no passage answers it mostly
does not.
"""

import math
import re
from functools import cache

from shoal.retrieval.grounding import NOTHING, Grounded, Sentence, Source, share_of_content
from shoal.retrieval.spans import SentenceEncoder, SpanModel, find_span

_MEANING, _WORDS, _NONE = 18.5, 8.65, -12.06
_LEAST = 0.5
_REST = re.compile(r"(?:[:.,/]\d+)+")


def extract(question: str, source: Source, encoder: SentenceEncoder) -> Grounded:
    """The answer that the best passage has, word for word, or that it is not in the documents.

    Raises:
        ArtifactError: what finds answers is missing from the installation.
    """
    if answers(question, source) < _LEAST:
        return NOTHING
    text = source.hit.passage.text
    span = find_span(question, [text], encoder, _model())
    if span is None:
        return NOTHING
    start, end = span.sentence
    sentence = " ".join(text[start:end].split())
    said = " ".join(text[span.start : _end_of_number(text, span.end)].split())
    told = sentence if said == sentence else f"{said}: “{sentence}”"
    return Grounded(f"{told}[1]", (source,), (Sentence(sentence, (source.number,)),))


def answers(question: str, source: Source) -> float:
    """How likely it is, from 0 to 1, that the documents answer the question, by their best
    passage."""
    shared = share_of_content(question, source.hit.passage.searched)
    near = source.hit.meaning or 0.0
    return 1 / (1 + math.exp(-(_MEANING * near + _WORDS * shared + _NONE)))


def _end_of_number(text: str, end: int) -> int:
    """Where a number that ends here goes on: 22:00 and 1.5 are words of several parts."""
    if not end or not text[end - 1].isdigit():
        return end
    rest = _REST.match(text, end)
    return rest.end() if rest else end


@cache
def _model() -> SpanModel:
    return SpanModel.shipped()
