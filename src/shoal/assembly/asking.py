"""Answers from documents: ``model: "shoal/ask:NAME"`` asks the collection of that name.

Passages are searched; then either the model that ``[collections.NAME]`` names answers from them, by
a call of its own that is served, recorded and paid like any other, or nobody does and the answer is
taken from a passage word for word. In either case nothing is said without a passage that bears it
out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.library import Library
from shoal.assembly.text_only import refuse_more_than_text
from shoal.chat import Answer, Message, Request, Usage
from shoal.errors import MalformedRequest, NotFound, UnknownModel
from shoal.retrieval import grounding
from shoal.retrieval.collection import Collection
from shoal.retrieval.documents import Hit
from shoal.retrieval.extracting import extract
from shoal.retrieval.grounding import NOTHING, Grounded, Source
from shoal.retrieval.intake import Encodes
from shoal.retrieval.options import CollectionOptions
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.shelf_tables import words_digest
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.receipt import OWN_MODELS, Tried

PREFIX = f"{OWN_MODELS}ask:"
_CHARACTERS_PER_TOKEN = 3  # few, so that what is told of passages surely fits
_RULING = frozenset(("system", "developer"))  # roles
_FEW_WORDS = 4  # of a question that needs the one before it to be understood

AskModel = Callable[[Request], Awaitable[Answer]]


class Told(Struct, frozen=True):
    """The answer, why it is that, the receipt's lines of who was asked, and the digests of the
    passages that the answer cites."""

    answer: Answer
    reason: str
    tried: tuple[Tried, ...]
    cited: tuple[str, ...] = ()


class Asking:
    """Answers from the collections of one library."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def names(self, caller: Caller) -> list[str]:
        """The models of this kind that a caller may ask."""
        allowed, own = caller.spec.models, caller.spec.collections
        there = (name for name in self._library.names() if not own or name in own)
        found = [f"{PREFIX}{name}" for name in there]
        return [name for name in found if not allowed or name in allowed]

    async def answer(
        self,
        request: Request,
        options: Mapping[str, CollectionOptions],
        ask: AskModel,
        caller: Caller = ANYBODY,
    ) -> Told:
        """Answer the question that a conversation ends with.

        Raises:
            UnknownModel: no collection of that name; tells those that the caller may ask.
            MalformedRequest: there is no question, it is too long for the model, or tools or a
                format of the answer are asked for.
            ShoalError: what ``ask`` raises, which has a request answered by a model.
        """
        refuse_more_than_text(
            request,
            "answers from documents and calls none",
            "answers in sentences with citations",
        )
        name = request.model.removeprefix(PREFIX)
        own = options.get(name, CollectionOptions())
        question, searched = questions(request)
        began, at = time.perf_counter(), time.time()
        try:
            hits, encoder = await asyncio.to_thread(self._search, name, searched, own.passages)
        except NotFound as error:
            there = ", ".join(self.names(caller)) or "none"
            raise UnknownModel(
                f"{request.model}: {error}; you may ask: {there}", "model"
            ) from error
        found = f"{len(hits)} passages of {name}"
        line = Tried(name, bool(hits), found, latency_ms=_ms(began), at=at)
        sources = grounding.sources_of(hits)
        if not sources:
            return Told(_written(NOTHING, request.model), found, (line,))
        if own.model is None:
            grounded = await asyncio.to_thread(extract, question, sources[0], encoder)
            return _told(grounded, request.model, f"word for word from {found}", line)
        said = await _by_model(request, question, sources, own, ask)
        grounded = grounding.checked(said.text, sources)
        reason = f"{own.model} answered from {found}; {_judged(grounded)}"
        return _told(grounded, request.model, reason, line)

    def _search(self, name: str, words: str, passages: int) -> tuple[list[Hit], Encodes]:
        def search(collection: Collection) -> tuple[list[Hit], Encodes]:
            return collection.search(words, SearchOptions(k=passages)), collection.encoder

        return self._library.read(name, search)


async def _by_model(
    request: Request,
    question: str,
    sources: Sequence[Source],
    own: CollectionOptions,
    ask: AskModel,
) -> Answer:
    """What the model says, told all at once or, where that is too much, in parts of which it takes
    notes first."""
    assert own.model is not None
    plain = Request(own.model, (), params=request.params)
    before, room = _room(request, question, own.window_tokens)
    parts = grounding.parts_of(sources, room, _tokens)
    if len(parts) == 1:
        rules, asked = grounding.asked(question, parts[0], "")
        return await ask(replace(plain, messages=(rules, *before, asked)))
    noted = [
        (await ask(replace(plain, messages=grounding.asked_for_notes(question, part)))).text
        for part in parts
    ]
    notes = "\n".join(one for one in noted if grounding.NOT_FOUND not in one.lower())
    if not notes:
        return Answer(grounding.NOT_FOUND)
    rules, asked = grounding.asked(question, (), notes)
    return await ask(replace(plain, messages=(rules, *before, asked)))


def _room(request: Request, question: str, window: int) -> tuple[list[Message], int]:
    """What the conversation was before, as far as it fits, and the tokens that this and the
    question leave for passages: half of the window at least. The caller's own rules are kept
    first, then what was said last.

    Raises:
        MalformedRequest: the question alone takes more than the other half.
    """
    left = window // 2 - _tokens(question)
    if left < 0:
        raise MalformedRequest(
            f"messages: the question has about {_tokens(question):,} tokens, and at most "
            f"{window // 2:,} are taken, half of the collection's window_tokens in shoal.toml",
            "messages",
        )
    before = [one for one in request.messages[:-1] if one.text and one.role != "tool"]
    first = sorted(range(len(before)), key=lambda at: (before[at].role not in _RULING, -at))
    kept = set[int]()
    for at in first:
        if _tokens(before[at].text) > left:
            break
        kept.add(at)
        left -= _tokens(before[at].text)
    told = [Message(one.role, one.text) for at, one in enumerate(before) if at in kept]
    return told, window - window // 2 + left


def questions(request: Request) -> tuple[str, str]:
    """The question, and what is searched for: the one before it too where it is short.

    Raises:
        MalformedRequest: the conversation ends with none.
    """
    said = [one.text for one in request.messages if one.role == "user" and one.text.strip()]
    if not said or request.messages[-1].role != "user":
        raise MalformedRequest("messages: expected a question from the user at the end", "messages")
    question = said[-1]
    if len(said) > 1 and len(question.split()) <= _FEW_WORDS:
        return question, f"{said[-2]}\n{question}"
    return question, question


def _told(grounded: Grounded, model: str, reason: str, line: Tried) -> Told:
    cited = tuple(words_digest(source.hit.passage) for source in grounded.sources)
    return Told(_written(grounded, model), reason, (line,), cited)


def _written(grounded: Grounded, model: str) -> Answer:
    """The text and, below it, where each citation is from."""
    lines = [
        f"[{place}] {source.where} ({source.hit.document.name})"
        for place, source in enumerate(grounded.sources, start=1)
    ]
    text = "\n".join((grounded.text, "", *lines)) if lines else grounded.text
    return Answer(text, model=model, usage=Usage())


def _judged(grounded: Grounded) -> str:
    if not grounded.found:
        return "nothing that it said is borne out"
    borne_out = sum(bool(one.cited) for one in grounded.sentences)
    left_out = sum(one.left_out for one in grounded.sentences)
    held = f"{borne_out} {'sentence is' if borne_out == 1 else 'sentences are'} borne out"
    return f"{held}, {left_out} {'was' if left_out == 1 else 'were'} left out" if left_out else held


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def _ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1e3, 3)
