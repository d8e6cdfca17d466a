"""What tells good candidates from others: checkers, which say what is wrong, and scorers."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from shoal.chat import Answer, Request
from shoal.retrieval.documents import Passage
from shoal.retrieval.rerank import Reranker


class Checker(Protocol):
    """A check of one answer, as validators are. Threads may share it."""

    @property
    def name(self) -> str:
        """What is checked, in few words."""

    def complaint(self, request: Request, answer: Answer) -> str:
        """What is wrong with the answer, in plain words; "" if nothing was found."""


class Scorer(Protocol):
    """What ranks candidates. Threads may share it."""

    @property
    def name(self) -> str:
        """What is scored, in few words."""

    def scores(self, request: Request, answers: Sequence[Answer]) -> Sequence[float]:
        """How good each of n answers is, the higher the better."""


class Reranked:
    """A reranker of passages as a scorer: how likely a candidate answers what was asked."""

    name = "reranker"

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker

    def scores(self, request: Request, answers: Sequence[Answer]) -> Sequence[float]:
        """The query is what the user said last."""
        said = [message.text for message in request.messages if message.role == "user"]
        passages = [
            Passage(text=answer.text, number=at, document=0, position=at)
            for at, answer in enumerate(answers)
        ]
        return [float(one) for one in self._reranker.scores(said[-1] if said else "", passages)]


async def complaint_of(checkers: Sequence[Checker], request: Request, answer: Answer) -> str:
    """The first complaint about an answer, "" if there is none. In a thread: a command or a query
    may take long."""
    if not checkers:
        return ""

    def first() -> str:
        found = (checker.complaint(request, answer) for checker in checkers)
        return next(filter(None, found), "")

    return await asyncio.to_thread(first)
