"""Calls laid out for comparison: pools of equal skeleton, each call as the texts of its messages.

A conversation that grows from call to call is compared by its opening (the messages up to the first
of the user), so that its calls are of one kind whatever their length. Where the messages between
recur exactly in many calls they are no conversation but examples in the prompt, and all messages
are compared.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from msgspec import Struct

from shoal.chat import Answer, Message, Request
from shoal.tasks.clause_index import Document
from shoal.tasks.template import (
    LEADING_ROLES,
    content_of,
    opening_length,
    opening_skeleton_of,
    skeleton_of,
)


class ObservedCall(Struct, frozen=True):
    """A recorded call, as far as discovery needs it."""

    id: str
    request: Request
    answer: Answer


class Pool(Struct, frozen=True):
    """Calls that may share templates.

    ``documents`` are distinct and sorted, ``calls[i]`` are those whose messages are
    ``documents[i]``. ``opening``: the documents hold only the messages up to the first of the user.
    """

    documents: tuple[Document, ...]
    calls: tuple[tuple[ObservedCall, ...], ...]
    roles: tuple[str, ...]
    opening: bool

    def continues(self, call: ObservedCall) -> bool:
        """Whether the call has messages beyond its document."""
        return len(call.request.messages) > len(self.roles)


def pools_of(calls: Iterable[ObservedCall], min_calls: int) -> list[Pool]:
    """The pools of these calls with at least ``min_calls`` different documents, largest first."""
    calls = list(calls)
    examples = _recurring_examples(calls, min_calls)
    sorted_out: dict[tuple[bool, str], list[ObservedCall]] = defaultdict(list)
    for call in calls:
        whole = _examples_key(call.request) in examples
        skeleton = skeleton_of(call.request) if whole else opening_skeleton_of(call.request)
        sorted_out[not whole, skeleton].append(call)
    pools = [_pool(found, opening) for (opening, _), found in sorted(sorted_out.items())]
    kept = [pool for pool in pools if len(pool.documents) >= min_calls]
    return sorted(kept, key=lambda pool: -len(pool.documents))


def _pool(calls: Sequence[ObservedCall], opening: bool) -> Pool:
    texts: dict[str, str] = {}
    by_document: dict[Document, list[ObservedCall]] = defaultdict(list)
    first = calls[0].request
    length = opening_length(first) if opening else len(first.messages)
    for call in calls:
        contents = (content_of(message) for message in call.request.messages[:length])
        by_document[tuple(texts.setdefault(text, text) for text in contents)].append(call)
    documents = sorted(by_document)
    return Pool(
        tuple(documents),
        tuple(tuple(by_document[document]) for document in documents),
        tuple(message.role for message in first.messages[:length]),
        opening,
    )


def _recurring_examples(calls: Sequence[ObservedCall], min_calls: int) -> set[bytes]:
    """Keys of the examples in prompts: equal in many calls that end differently."""
    endings: dict[bytes, set[str]] = defaultdict(set)
    for call in calls:
        key = _examples_key(call.request)
        if key:
            endings[key].add(_ending(call.request.messages))
    return {key for key, ends in endings.items() if len(ends) >= min_calls}


def _ending(messages: Sequence[Message]) -> str:
    """What varies from call to call: the last message that is not the beginning of the answer."""
    last = messages[-2] if messages[-1].role == "assistant" else messages[-1]
    return content_of(last)


def _examples_key(request: Request) -> bytes:
    """Digest of skeleton and messages between the system prompt and the last; b"" if none are."""
    messages = request.messages
    start = next((i for i, m in enumerate(messages) if m.role not in LEADING_ROLES), len(messages))
    if len(messages) - start < 2:
        return b""
    prefilled = messages[-1].role == "assistant"
    examples = messages[start : -2 if prefilled else -1]
    constant = [content_of(m) for m in (*examples, *(messages[-1:] if prefilled else ()))]
    key = "\0".join([skeleton_of(request), *constant])
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
