"""Plays the desk's calls through the official client, and keeps count of what came back."""

import asyncio
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from shoal.demo.traffic import MODEL, Call
from shoal.errors import MissingExtra


class Tally:
    """What the desk saw so far; by kind of call."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.small: Counter[str] = Counter()
        self.agreed: Counter[str] = Counter()  # of the small ones, with the recorded answer
        self.task_of: dict[str, str] = {}
        self.small_ms: dict[str, list[float]] = defaultdict(list)

    def add(self, call: Call, answer: str, headers: Any, took_ms: float) -> None:
        """Count one answer; ``headers`` are the receipt's."""
        self.calls[call.kind] += 1
        if headers["x-shoal-task"]:
            self.task_of[call.kind] = headers["x-shoal-task"]
        if headers["x-shoal-answered-by"] != MODEL:
            self.small[call.kind] += 1
            self.agreed[call.kind] += answer == call.answer
            self.small_ms[call.kind].append(took_ms)

    def median_ms(self) -> float | None:
        """The median time of a small answer through HTTP, as the client measured it."""
        times = [took for kind in self.small_ms.values() for took in kind]
        return statistics.median(times) if times else None


class Player:
    """A support desk at work, at speed."""

    def __init__(self, base_url: str, tally: Tally) -> None:
        """``base_url`` is the gateway's, ending in /v1.

        Raises:
            MissingExtra: the official client is not installed.
        """
        try:
            from openai import AsyncOpenAI
        except ImportError:
            raise MissingExtra("demo", "the demonstration") from None
        self._client = AsyncOpenAI(base_url=base_url, api_key="none-needed", max_retries=0)
        self._tally = tally

    async def play(self, calls: Sequence[Call], at_once: int) -> None:
        """Make these calls, in order and ``at_once`` at a time, and count the answers."""
        waiting = iter(calls)
        await asyncio.gather(*(self._work(waiting) for _ in range(at_once)))

    async def one(self, call: Call) -> None:
        """Make one call."""
        began = time.perf_counter()
        reply = await self._client.chat.completions.with_raw_response.create(
            model=MODEL,
            messages=call.messages,  # type: ignore[arg-type]  # plain dicts are what people write
        )
        took_ms = (time.perf_counter() - began) * 1e3
        answer = reply.parse().choices[0].message.content or ""
        self._tally.add(call, answer, reply.headers, took_ms)

    async def _work(self, waiting: Any) -> None:
        for call in waiting:
            await self.one(call)
