"""Tool loops: an answer that calls tools, their results, the next answer, until one only talks.

Within a loop the model that began it goes on: its provider has the conversation in its prompt
cache, and what it thought between the calls is signed for it alone. Another is asked if that saves
money all the same.
"""

from collections.abc import Sequence

from shoal.chat import Message, Usage
from shoal.routing.prices import Tariff

_GAIN = 0.1  # share of the cost that a switch must save; what it costs besides, nobody counts


def in_tool_loop(messages: Sequence[Message]) -> bool:
    """Whether the last answer among the messages calls tools, and results of such stand behind."""
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role == "assistant":
            after = messages[at + 1 :]
            return bool(messages[at].tool_calls) and any(m.role == "tool" for m in after)
    return False


def worth_asking(
    models: Sequence[Tariff], share: float, held: Tariff, before: Usage | None
) -> bool:
    """Whether to ask ``models``, of whose answers a ``share`` is accepted, takes less than it saves
    where the model that holds the loop reads the conversation from its cache. True where a price,
    or what was used, is unknown: they are asked outside of loops as well."""
    if before is None:
        return True
    size, said = before.input_tokens + before.output_tokens, before.output_tokens
    stays = held.cost(Usage(size, said, cached_tokens=size))
    costs = [model.cost(Usage(size, said)) for model in models]
    known = [cost for cost in costs if cost is not None]
    return stays is None or len(known) < len(costs) or sum(known) < share * stays


def worth_a_switch(held: Tariff, other: Tariff, before: Usage | None, steps: int) -> bool:
    """Whether ``other`` takes clearly less for the rest of a loop than the model that holds it.

    ``before`` are the tokens of the last of ``steps`` calls of the loop, and as many are reckoned
    to follow. The other reads the whole conversation anew once; then both have it in their caches,
    as far as their tariffs know of such. False where a price, or what was used, is unknown.
    """
    if before is None or steps < 1:
        return False
    size, said = before.input_tokens + before.output_tokens, before.output_tokens
    anew, again = Usage(size, said), Usage(size, said, cached_tokens=size)
    stays, reads, follows = held.cost(again), other.cost(anew), other.cost(again)
    if stays is None or reads is None or follows is None:
        return False
    return reads + (steps - 1) * follows < (1 - _GAIN) * steps * stays
