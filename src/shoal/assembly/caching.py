"""A call and the exact cache: what is answered from it, and what is kept for it."""

from msgspec.structs import replace

from shoal.assembly.handled import Handled
from shoal.assembly.regime import Regime
from shoal.assembly.roster import Post
from shoal.assembly.shield import Shield
from shoal.chat import Answer, Request
from shoal.engines import WrittenStream
from shoal.routing.answer_cache import Cached
from shoal.routing.caller import Caller
from shoal.routing.receipt import CACHE, OWN


def look_up(
    regime: Regime, post: Post | None, caller: Caller, shield: Shield, request: Request
) -> tuple[bytes, Cached | None]:
    """What the answer to a request may be kept under, b"" if it may not, and what is kept there."""
    if post is None or not _is_open(shield):
        return b"", None
    key = regime.cache.key(post.task.name, caller.key, request)
    return key, regime.cache.get(key, post.task.name)


def by_cache(handled: Handled, cached: Cached) -> Handled:
    """The call answered from the cache. It is never part of the unbiased sample: nothing small was
    asked, and the LLM was not either."""
    receipt = replace(
        handled.receipt,
        answered_by=CACHE,
        reason=f"{cached.model} answered the same request {cached.age_s:.0f} s ago",
        sampled=False,
        provider=OWN,
    )
    streamed = WrittenStream(cached.answer) if handled.request.stream else None
    return replace(
        handled,
        receipt=receipt,
        cached=cached,
        answer=None if streamed else cached.answer,
        stream=streamed,
    )


def keep_cached(handled: Handled, answer: Answer) -> None:
    """Keep the answer of the LLM that was asked for, whole and without an error, if it may be."""
    llm = handled.model
    if handled.cache_key and llm is not None and handled.answerer is llm:
        handled.regime.cache.put(handled.cache_key, answer, llm.name)


def _is_open(shield: Shield) -> bool:
    """Whether the privacy rules found nothing in a request that they redact or keep local."""
    return shield.vault is None and not shield.local_only
