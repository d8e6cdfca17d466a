"""Which recorded call a request goes on from, whichever process recorded it.

A call's conversation is a chain of nodes, known by their digests: the messages before an answer
among a request's own are the conversation of the call that got that answer.
"""

from collections.abc import Iterator

from msgspec import DecodeError
from sqlalchemy import select

from shoal.chat import Message, Request
from shoal.errors import StoreDamaged
from shoal.storage.bodies import digests
from shoal.storage.calls import unpack_answer
from shoal.storage.database import Database
from shoal.storage.schema import calls, nodes

_EARLIER = 4  # answers back that are looked for
_MOST = 20  # calls of equal conversations that are looked at, the latest first


def continued(database: Database, request: Request, key: str) -> str:
    """The episode of the latest call of the caller's ``key`` whose messages and answer a request
    begins with; "" if there is none. Takes a millisecond or so, to be spent in a thread.

    Raises:
        StoreError: the store cannot be read.
    """
    before = dict(_before_answers(request))
    if not before:
        return ""
    query = (
        select(calls.c.episode, calls.c.answer, nodes.c.digest)
        .join(nodes, nodes.c.id == calls.c.node)
        .where(nodes.c.digest.in_(before), calls.c.key == key, calls.c.answer.is_not(None))
    )
    with database.read() as conn:
        rows = conn.execute(query.order_by(calls.c.number.desc()).limit(_MOST)).all()
    for episode, answer, digest in rows:
        if episode and _is_answer(answer, before[bytes(digest)]):
            return str(episode)
    return ""


def _before_answers(request: Request) -> Iterator[tuple[bytes, Message]]:
    """For the last answers among the messages: the digest of all before, and the answer."""
    said = [at for at, message in enumerate(request.messages) if message.role == "assistant"]
    if not said:
        return
    found = digests(request, said[-1])
    for at in said[-_EARLIER:]:
        yield found[at], request.messages[at]


def _is_answer(packed: bytes, message: Message) -> bool:
    try:
        answer = unpack_answer(packed)
    except (StoreDamaged, DecodeError):
        return False
    made = [(call.id, call.name) for call in answer.tool_calls]
    echoed = [(call.id, call.name) for call in message.tool_calls]
    return made == echoed and answer.text.strip() == message.text.strip()
