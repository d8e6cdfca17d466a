"""Asks the rungs below the LLM."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from shoal.assembly.handled import Handled
from shoal.assembly.roster import Post
from shoal.routing.promise import PromiseOptions
from shoal.routing.receipt import Tried
from shoal.routing.rung import Rung, Verdict


class Rungs:
    """The threads in which specialists predict: one for what is served, one for shadows."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shoal-rung")
        self._shadow_pool = ThreadPoolExecutor(1, thread_name_prefix="shoal-shadow")

    async def ask(self, handled: Handled, post: Post) -> Verdict:
        """Have the task's rung answer, unless what it was certified for is not this call."""
        rung = post.rung
        if rung is None:
            return Verdict(None, Tried("specialist", False, f"dropped: {post.problem}"))
        promise = handled.regime.promise(post.task.name)
        refusal = _promises_less(rung, promise) or rung.refusal(
            handled.request, handled.receipt.llm, handled.receipt.at
        )
        if refusal:
            return Verdict(None, rung.passed_over(refusal))
        return await self._ask_on(self._pool, handled)

    async def ask_in_shadow(self, handled: Handled) -> Verdict:
        """In a thread of its own: nobody who is served waits for a shadow."""
        return await self._ask_on(self._shadow_pool, handled)

    async def _ask_on(self, pool: ThreadPoolExecutor, handled: Handled) -> Verdict:
        post, match = handled.post, handled.match
        assert match is not None
        assert post is not None
        assert post.rung is not None
        ask, learned = post.rung.ask, handled.regime.discretion.learned

        def work() -> Verdict:
            return ask(learned(match.input_of(handled.request)), handled.request)

        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def close(self) -> None:
        """Let what runs end, and begin nothing more."""
        self._pool.shutdown(wait=False)
        self._shadow_pool.shutdown(wait=False)


def _promises_less(rung: Rung, promise: PromiseOptions) -> str:
    """Why a certificate does not do for what is to be promised now; "" if it does."""
    certificate = rung.certificate
    if certificate.alpha <= promise.alpha and certificate.confidence >= promise.confidence:
        return ""
    return (
        f"certified for {certificate.alpha:.1%} at {certificate.confidence:.1%} confidence, "
        f"promised is {promise.alpha:.1%} at {promise.confidence:.1%}"
    )
