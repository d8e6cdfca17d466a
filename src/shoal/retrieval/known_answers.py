"""Known answers: questions to a collection whose right passages somebody told.

They come from a file, one JSON object a line, or from feedback: what grounded answers cited and
people called right. A right passage is told by its text, or by its document and words quoted from
it; without a quote any passage of the document will do.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct

from shoal.errors import MalformedRequest, NotFound
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
    """A question, once, and the numbers of all its right passages."""

    question: str
    right: frozenset[int]


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
    """The passages of a shelf, looked up by what people say of them. It reads all of them once."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._all = [(number, words_of(text)) for number, text in _texts(shelf)]
        self._documents: dict[str, int] | None = None
        self._by_words: dict[str, list[int]] = {}
        for number, words in self._all:
            self._by_words.setdefault(words, []).append(number)

    def right(self, known: KnownAnswer) -> frozenset[int]:
        """Numbers of the right passages: those with these words, those that hold them, or those
        that they hold, as when a passage was cut otherwise.

        Raises:
            NotFound: there is none; says what was looked for.
        """
        if known.document:
            return self._of_document(known)
        words = words_of(known.passage)
        found = self._by_words.get(words) or self._holding(words, self._all)
        if not found:
            raise NotFound(f"no passage of the collection has the words {_short(known.passage)!r}")
        return frozenset(found)

    def _of_document(self, known: KnownAnswer) -> frozenset[int]:
        there = self._shelf.text_of(self._document(known.document))
        if known.quote.strip():
            texts = [(one.number, words_of(one.text)) for one in there]
            found = self._holding(words_of(known.quote), texts)
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

    def _holding(self, words: str, among: Iterable[tuple[int, str]]) -> list[int]:
        if not words:
            return []
        wanted = f" {words} "
        return [
            number
            for number, text in among
            if wanted in f" {text} " or (text.count(" ") >= _FEWEST_WORDS and f" {text} " in wanted)
        ]


def resolved(known: Sequence[tuple[KnownAnswer, frozenset[int]]]) -> list[Resolved]:
    """Each question once, in the order of its first, with the right passages of all its lines."""
    asked: dict[str, tuple[str, set[int]]] = {}
    for one, right in known:
        asked.setdefault(plain(one.question), (one.question, set()))[1].update(right)
    return [Resolved(question, frozenset(right)) for question, right in asked.values()]


def words_of(text: str) -> str:
    """Words and numbers alone: how a text was wrapped or marked up does not matter."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _texts(shelf: Shelf) -> Iterable[tuple[int, str]]:
    for added in shelf.added(0, _DECODED):
        yield from zip(added.numbers.tolist(), added.texts, strict=True)


def _short(text: str) -> str:
    said = " ".join(text.split())
    return said if len(said) <= 60 else said[:60] + " …"
