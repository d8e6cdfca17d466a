"""The receipt of one call: who answered, why, and what it cost."""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from shoal.chat import Answer, AnswerStream, Deliberation

CACHE = "cache"
"""Who answered, where the exact cache did."""
OWN = "shoal"
"""The provider of what Shoal answered by itself."""
OWN_MODELS = "shoal/"
"""What the names of Shoal's own models begin with; nothing is learned from calls of these."""


class Tried(Struct, frozen=True):
    """One rung that was asked, or passed over.

    ``signal`` is compared with the certified ``threshold``; both are None for a rung that has no
    signal (the LLM) or that was passed over, for the ``reason`` given. ``at`` is when it was asked
    (0 if it was passed over), ``latency_ms`` how long it took to answer, to begin a stream, or to
    fail; ``error`` one of few words for why it failed.
    """

    answerer: str
    accepted: bool
    reason: str
    signal: float | None = None
    threshold: float | None = None
    certificate: str = ""
    latency_ms: float = 0.0
    at: float = 0.0
    error: str = ""


class Receipt(Struct, frozen=True):
    """Why this answerer answered this call.

    ``cost`` is what the answer cost and ``llm_cost`` what the LLM would have cost, both in USD and
    None where a price is unknown. ``llm_cost_estimated`` says that the LLM's tokens were estimated
    from the task's earlier calls, because the LLM was not asked. ``waited_ms`` is how long
    those who were asked took, until one had answered or begun a stream; ``latency_ms`` ends with
    the answer. ``provider`` is whose model answered, in the words of ``shoal.toml``, or Shoal's
    own; "" where nobody said. ``cited`` are the passages that an answer from a collection rests
    on, by the digests of their words, so that the receipt tells nothing of a document. ``episode``
    is which the call belongs to, "" while that is not known.
    ``deliberation`` is how a strategy came to the answer, None if a model was asked once.
    """

    call_id: str
    at: float
    llm: str
    answered_by: str
    reason: str
    task: str = ""
    task_id: str = ""
    tried: tuple[Tried, ...] = ()
    certificate: str = ""
    sampled: bool = True
    cost: float | None = None
    llm_cost: float | None = None
    llm_cost_estimated: bool = False
    latency_ms: float = 0.0
    waited_ms: float = 0.0
    provider: str = ""
    cited: tuple[str, ...] = ()
    episode: str = ""
    deliberation: Deliberation | None = None


class Served(Struct, frozen=True):
    """What is handed to the gateway: either a whole answer or one on its way. ``limits`` are
    headers that tell what is left of the caller's."""

    receipt: Receipt
    answer: Answer | None = None
    stream: AnswerStream | None = None
    limits: Mapping[str, str] = MappingProxyType({})


class ServedReply(Struct, frozen=True):
    """A whole reply to what is no call: nothing is recorded of it. ``estimated`` if it is a count
    that no provider made; ``request_id`` and ``limits`` as of an answer."""

    body: bytes
    request_id: str = ""
    estimated: bool = False
    limits: Mapping[str, str] = MappingProxyType({})


class ServedEmbeddings(Served, frozen=True, kw_only=True):
    """Embeddings that were served: ``body`` is the whole reply. ``answer`` holds no more than their
    usage."""

    body: bytes
