"""Counts the tokens that nobody told: short texts' at once, long ones' beside the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from shoal.assembly.models import Model
from shoal.assembly.shield import Shield
from shoal.chat import Answer, Request, Usage
from shoal.routing.counting import (
    characters,
    counted_request,
    counted_texts,
    counted_usage,
    is_told,
)

_NOTHING = Answer()
_LONG = 2_000  # characters, a millisecond
_MOST_WAITING = 16  # to be counted, half a second each at most; beyond, tokens are reckoned


class Counting:
    """Counts with the tokenizer of whoever answered."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shoal-tokens")
        self._waiting = 0

    async def usage(
        self, request: Request, answer: Answer, model: Model | None, shield: Shield | None
    ) -> Usage | None:
        """The tokens of an answer by ``model``, None for one that no model of ``shoal.toml`` gave:
        see ``counted_usage``. What ``shield`` took out of the request and put back into the answer
        the model never wrote, so that its count is an estimate."""
        tokenizer = model.tokenizer if model else None
        if model is None or tokenizer is None or is_told(answer):
            return counted_usage(request, answer)
        sent = shield.request_for(model) if shield else request
        size = characters(sent, answer)
        found = await self._aside(size, lambda: counted_usage(sent, answer, tokenizer))
        if found is None:  # nothing came, or too many wait
            return counted_usage(sent, answer)
        return found if sent is request else replace(found, estimated=True)

    async def request(self, request: Request, model: Model) -> Usage:
        """The tokens of a request to ``model``: see ``counted_request``."""
        tokenizer = model.tokenizer
        if tokenizer is None:
            return counted_request(request)
        size = characters(request, _NOTHING)
        found = await self._aside(size, lambda: counted_request(request, tokenizer))
        return found or counted_request(request)

    async def texts(self, texts: Sequence[str], model: Model) -> Usage | None:
        """The tokens of texts that ``model`` embedded; None if they cannot be counted."""
        tokenizer = model.tokenizer
        if tokenizer is None:
            return None
        return await self._aside(sum(map(len, texts)), lambda: counted_texts(texts, tokenizer))

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False)

    async def _aside(self, size: int, count: Callable[[], Usage | None]) -> Usage | None:
        """What ``count`` finds in so many characters; None if too many wait to be counted."""
        if size < _LONG:
            return count()
        if self._waiting >= _MOST_WAITING:
            return None
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, count)
        finally:
            self._waiting -= 1
