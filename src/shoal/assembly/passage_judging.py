"""Known answers from a model's judgement: recorded questions to a collection, and for each of the
passages that search ranks first whether it answers.

The model is told one passage and one question at a time, as data between marks, and its word counts
only if it is "yes" or "no" and nothing else. A question that it did not judge clearly for every
passage, or for which it found none right, teaches nothing. Passages leave the machine only for a
model that the collection's settings let read them, and then as the privacy rules say.

What it does not know: whether the model is right, or what it would have said of passages that
search ranks lower. Both stand in the certificate.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct
from sqlalchemy import select

from shoal.assembly.asking import PREFIX, questions
from shoal.assembly.models import Model
from shoal.chat import Answer, Answerer, Request
from shoal.errors import ConfigError, MalformedRequest, NoAnswerer, PrivacyRefused
from shoal.retrieval import grounding
from shoal.retrieval.collection import Collection
from shoal.retrieval.gain import FIRST
from shoal.retrieval.known_answers import Resolved, plain
from shoal.retrieval.options import CollectionOptions
from shoal.retrieval.search import SearchOptions
from shoal.storage import Store
from shoal.storage.calls import read_calls
from shoal.storage.schema import calls

_AT_ONCE = 4  # requests
_LOOKED_AT = 5_000  # calls, the newest
_PARAMS = '{"temperature":0}'


class Judged(Struct, frozen=True):
    """What a model said: of so many ``asked`` questions it found right passages for those that are
    ``known``; ``unclear`` ones had a word that is neither yes nor no, of ``withheld`` ones the
    privacy rules kept something back."""

    known: list[Resolved]
    asked: int
    unclear: int
    withheld: int


def check_judge(model: Model, name: str, own: CollectionOptions) -> None:
    """Whether a model may be told the passages of a collection.

    Raises:
        ConfigError: they would leave this machine, and nothing says that they may.
    """
    if not (model.local or model.name == own.model):
        raise ConfigError(
            f"{model.name} may not judge passages of {name}: they would leave this machine. A "
            f"local model may, and the one that [collections.{name}] in shoal.toml has as `model`"
        )


def recorded_questions(
    store: Store, name: str, most: int, without: Sequence[Resolved] = ()
) -> list[str]:
    """The newest questions that were asked of a collection, as they were searched, each once; not
    those that are known already.

    Raises:
        StoreError: they cannot be read.
    """
    seen = {plain(one.question) for one in without}
    query = select(calls).where(calls.c.model == f"{PREFIX}{name}")
    with store.database.read() as conn:
        found = read_calls(conn, query.order_by(calls.c.number.desc()).limit(_LOOKED_AT))
    new = list[str]()
    for call in found:
        with suppress(MalformedRequest):  # nobody could answer it
            _, searched = questions(call.request)
            if plain(searched) not in seen and len(new) < most:
                seen.add(plain(searched))
                new.append(searched)
    return new


async def judge(
    asking: Answerer, model: str, collection: Collection, asked: Sequence[str]
) -> Judged:
    """Have ``model`` judge the first passages of each question.

    Raises:
        EngineError: it could not answer.
        BudgetExceeded, PriceUnknown: it is more than may be spent.
        StoreError: the collection cannot be read.
    """
    turns = asyncio.Semaphore(_AT_ONCE)
    known, unclear, withheld = list[Resolved](), 0, 0
    for question in asked:
        hits = await asyncio.to_thread(collection.search, question, SearchOptions(k=FIRST))
        sources = grounding.sources_of(hits)
        try:
            words = await _words(asking, model, question, sources, turns)
        except (PrivacyRefused, NoAnswerer):
            withheld += 1
            continue
        if None in words:
            unclear += 1
            continue
        pairs = zip(hits, words, strict=True)
        right = frozenset(hit.passage.number for hit, is_right in pairs if is_right)
        if right:
            known.append(Resolved(question, right, model))
    return Judged(known, len(asked), unclear, withheld)


async def _words(
    asking: Answerer,
    model: str,
    question: str,
    sources: Sequence[grounding.Source],
    turns: asyncio.Semaphore,
) -> list[bool | None]:
    """Of each source; all are asked of before one that failed is told of."""

    async def word(source: grounding.Source) -> bool | None:
        messages = grounding.asked_whether(question, source)
        async with turns:
            return verdict(await asking.answer(Request(model, messages, params=_PARAMS)))

    said = await asyncio.gather(*(word(one) for one in sources), return_exceptions=True)
    for one in said:
        if isinstance(one, BaseException):
            raise one
    return [one for one in said if not isinstance(one, BaseException)]


def verdict(answer: Answer) -> bool | None:
    """What "yes" and "no" mean, with or without a full stop; None of anything else."""
    return {"yes": True, "no": False}.get(answer.text.strip().removesuffix(".").lower())
