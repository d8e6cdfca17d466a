"""Known answers: questions to a collection whose right passages somebody told.

They come from a file, one JSON object a line, or from feedback: what grounded answers cited and
people called right. A right passage is told by its text, or by its document and words quoted from
it; without a quote any passage of the document will do.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct

from shoal.errors import MalformedRequest, NotFound
from shoal.retrieval.documents import Hit, Passage
from shoal.retrieval.shelf import Shelf

CALIBRATES = 0.4  # share of the questions that never train
_FEWEST_WORDS = 3  # that tell a passage from others
_DECODED = 1_000


class KnownAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """A question, and one right passage: its text, or the name of its document with a ``quote``."""

    question: str
    passage: str = ""
    document: str = ""
    quote: str = ""


class Resolved(Struct, frozen=True):
    """A question, once, and the numbers of all its right passages; the ``judge`` is the model that
    called them right, "" for people."""

    question: str
    right: frozenset[int]
    judge: str = ""


_DECODER = msgspec.json.Decoder(KnownAnswer)


def known_answer(line: bytes) -> KnownAnswer:
    """Of a line of a file.

    Raises:
        MalformedRequest: it is none; says why.
    """
    try:
        found = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"no known answer: {error}") from None
    if not found.question.strip():
        raise MalformedRequest("question: expected one, found none")
    if bool(found.passage.strip()) == bool(found.document.strip()):
        raise MalformedRequest(
            'expected either "passage", its text, or "document", its name, with or without "quote"'
        )
    return found


def calibrates(question: str) -> bool:
    """Whether a question is on the side that calibrates: always the same one, however it is spaced
    or capitalised."""
    digest = hashlib.sha256(b"calibrates " + plain(question).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:4], "big") < CALIBRATES * 2**32


def plain(text: str) -> str:
    """In lower case, the spaces single; what is equal so counts as equal."""
    return " ".join(text.lower().split())


class Passages:
    """The passages of a collection, looked up by what people say of them. ``search`` finds passages
    by words, the best first."""

    def __init__(self, shelf: Shelf, search: Callable[[str], Sequence[Hit]]) -> None:
        self._shelf, self._search = shelf, search
        self._documents: dict[str, int] | None = None

    def right(self, known: KnownAnswer) -> frozenset[int]:
        """Numbers of the right passages: those with these words, or else those that hold them, or
        that they hold, as when a passage was cut otherwise.

        Raises:
            NotFound: there is none; says what was looked for.
        """
        if known.document:
            return self._of_document(known)
        words = words_of(known.passage)
        near = [hit.passage for hit in self._search(known.passage)]
        texts = [(one.number, words_of(one.text)) for one in near]
        texts += [(one.number, words_of(one.searched)) for one in near if one.headings]
        found = [number for number, text in texts if text == words] or _holding(words, texts)
        if not found:
            raise NotFound(f"no passage of the collection has the words {_short(known.passage)!r}")
        return frozenset(found)

    def _of_document(self, known: KnownAnswer) -> frozenset[int]:
        there = self._shelf.text_of(self._document(known.document))
        if known.quote.strip():
            texts = [(one.number, words_of(one.text)) for one in there]
            found = _holding(words_of(known.quote), texts)
        else:
            found = [one.number for one in there]
        if not found:
            raise NotFound(f"{known.document}: no passage has the words {_short(known.quote)!r}")
        return frozenset(found)

    def _document(self, name: str) -> int:
        """Its number, by id, by name, or by the end of its name if only one ends so."""
        with suppress(NotFound):
            return self._shelf.document(name).number
        ending = [number for full, number in self._names().items() if full.endswith("/" + name)]
        if len(ending) != 1:
            many = "several documents are called" if ending else "there is no document"
            raise NotFound(f"{many} {name!r}")
        return ending[0]

    def _names(self) -> dict[str, int]:
        if self._documents is None:
            self._documents, after = dict[str, int](), 0
            while found := self._shelf.documents(after, _DECODED):
                self._documents |= {one.name: one.number for one in found}
                after = found[-1].number
        return self._documents


def resolved(known: Sequence[tuple[KnownAnswer, frozenset[int]]]) -> list[Resolved]:
    """Each question once, in the order of its first, with the right passages of all its lines."""
    asked: dict[str, tuple[str, set[int]]] = {}
    for one, right in known:
        asked.setdefault(plain(one.question), (one.question, set()))[1].update(right)
    return [Resolved(question, frozenset(right)) for question, right in asked.values()]


def cited(question: str, passages: Iterable[Passage]) -> list[KnownAnswer]:
    """What people called right of an answer: the question, with the passages that it cited. By
    their text, so that it stays known when a document is taken in anew."""
    return [KnownAnswer(question, passage=one.text) for one in passages]


def words_of(text: str) -> str:
    """Words and numbers alone: how a text was wrapped or marked up does not matter."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _holding(words: str, among: Iterable[tuple[int, str]]) -> list[int]:
    """Numbers of the texts that hold these words, or that these hold if they are not too short."""
    if not words:
        return []
    wanted = f" {words} "
    return [
        number
        for number, text in among
        if wanted in f" {text} " or (text.count(" ") >= _FEWEST_WORDS and f" {text} " in wanted)
    ]


def _short(text: str) -> str:
    said = " ".join(text.split())
    return said if len(said) <= 60 else said[:60] + " …"
