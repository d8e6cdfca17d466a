"""Conversations as chains of nodes, each stored once.

The root of a chain is what the request offers besides its messages (tools, response format), and
each message is a node under the one before it. A node is known by the digest of its parent's digest
and its own JSON, so equal prefixes are the same nodes: a conversation that grows by a message costs
a node, and a system prompt that recurs is stored once. On reading, every digest is checked.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from hashlib import blake2b
from itertools import islice

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, RootTransaction, Row, delete, exists, select, update

from shoal.chat import Message, Request
from shoal.errors import StoreDamaged
from shoal.storage.database import in_slices
from shoal.storage.packing import pack, unpack
from shoal.storage.prepared import InsertNew
from shoal.storage.schema import calls, meta, nodes

_DIGEST_BYTES = 16
_KNOWN = 16_384  # nodes remembered per connection, about 3 MB

_encode = msgspec.json.Encoder().encode
_root = msgspec.json.Decoder(tuple[str, str])
_message = msgspec.json.Decoder(Message)

_add = InsertNew(nodes, key="digest", generated="id")


class Conversation(Struct, frozen=True):
    """The part of a request that is stored as nodes."""

    tools: str
    response_format: str
    messages: tuple[Message, ...]


class _Known:
    """The nodes a connection has lately written or looked up, so that it need not ask again.

    It lives in ``conn.info``, which ``Database`` empties when anything is rolled back. What another
    process removes is noticed by the count of expiries, read once in each transaction.
    """

    def __init__(self) -> None:
        self.ids: OrderedDict[bytes, int] = OrderedDict()
        self.expiries = -1
        self.transaction: RootTransaction | None = None

    def get(self, digest: bytes) -> int | None:
        found = self.ids.get(digest)
        if found is not None:
            self.ids.move_to_end(digest)
        return found

    def put(self, digest: bytes, node: int) -> None:
        self.ids[digest] = node
        if len(self.ids) > _KNOWN:
            self.ids.popitem(last=False)


def save(conn: Connection, request: Request) -> int:
    """Store what is new of the conversation; returns the node of its last message."""
    known = _known(conn)
    digest, parent = b"", None
    for body in _bodies(request):
        digest = _digest(digest, body)
        node = known.get(digest)
        if node is None:
            node = _insert(conn, digest, parent, body)
            known.put(digest, node)
        parent = node
    assert parent is not None  # there is always a root
    return parent


def digests(request: Request, messages: int) -> list[bytes]:
    """What the nodes of a request are known by, of the root and of so many messages."""
    found = [b""]
    for body in islice(_bodies(request), messages + 1):
        found.append(_digest(found[-1], body))
    return found[1:]


def load(conn: Connection, last: Iterable[int]) -> dict[int, Conversation]:
    """The conversations that end in these nodes.

    Raises:
        StoreDamaged: a node is missing or is not what its digest says.
    """
    wanted = set(last)
    chain = _Chains(_with_ancestors(conn, wanted))
    return {node: chain.conversation(node) for node in wanted}


def collect(conn: Connection, candidates: Iterable[int]) -> int:
    """Remove those of ``candidates`` and of their ancestors that nothing refers to any more.

    Returns how many were removed. Other connections forget what they know of nodes.
    """
    removed = 0
    left = set(candidates)
    while left:
        gone = dict(_unreferenced(conn, left))
        for ids in in_slices(gone):
            conn.execute(delete(nodes).where(nodes.c.id.in_(ids)))
        removed += len(gone)
        left = {parent for parent in gone.values() if parent is not None}
    if removed:
        conn.execute(update(meta).values(expiries=meta.c.expiries + 1))
        conn.info.clear()
    return removed


class _Chains:
    """Fetched nodes, decoded once each and checked against their digests."""

    def __init__(self, rows: Iterable[Row[int, int | None, bytes, bytes]]) -> None:
        self._parents: dict[int, int | None] = {}
        self._digests: dict[int, bytes] = {}
        self._bodies: dict[int, Message | tuple[str, str]] = {}
        for node, parent, digest, packed in rows:  # parents come before their children
            body = unpack(packed)
            if _digest(b"" if parent is None else self._digests.get(parent, b"?"), body) != digest:
                raise _damaged(node)
            self._parents[node] = parent
            self._digests[node] = digest
            self._bodies[node] = (_root if parent is None else _message).decode(body)

    def conversation(self, last: int) -> Conversation:
        messages: list[Message] = []
        node: int | None = last
        while node is not None:
            body = self._bodies.get(node)
            if body is None:
                raise _damaged(node)
            if isinstance(body, Message):
                messages.append(body)
            else:
                tools, response_format = body
            node = self._parents[node]
        return Conversation(tools, response_format, tuple(reversed(messages)))


def _known(conn: Connection) -> _Known:
    known: _Known = conn.info.setdefault("known_nodes", _Known())
    transaction = conn.get_transaction()
    if known.transaction is not transaction:
        known.transaction = transaction
        expiries: int = conn.exec_driver_sql("SELECT expiries FROM meta").scalar_one()
        if expiries != known.expiries:
            known.ids.clear()
            known.expiries = expiries
    return known


def _bodies(request: Request) -> Iterator[bytes]:
    yield _encode((request.tools, request.response_format))
    for message in request.messages:
        yield _encode(message)


def _digest(parent: bytes, body: bytes) -> bytes:
    return blake2b(parent + body, digest_size=_DIGEST_BYTES).digest()


def _insert(conn: Connection, digest: bytes, parent: int | None, body: bytes) -> int:
    row = {"digest": digest, "parent": parent, "body": pack(body)}
    new = _add(conn, row)
    return _add.number_of(conn, digest) if new is None else new


def _with_ancestors(
    conn: Connection, last: Collection[int]
) -> list[Row[int, int | None, bytes, bytes]]:
    found: dict[int, Row[int, int | None, bytes, bytes]] = {}
    for ids in in_slices(last):
        chain = select(nodes.c.id, nodes.c.parent).where(nodes.c.id.in_(ids)).cte(recursive=True)
        chain = chain.union(
            select(nodes.c.id, nodes.c.parent).join(chain, nodes.c.id == chain.c.parent)
        )
        query = select(nodes.c.id, nodes.c.parent, nodes.c.digest, nodes.c.body)
        for row in conn.execute(query.join(chain, nodes.c.id == chain.c.id)):
            found[row.id] = row
    return [found[node] for node in sorted(found)]


def _unreferenced(conn: Connection, candidates: Iterable[int]) -> Iterator[tuple[int, int | None]]:
    child = nodes.alias("child")
    free = ~exists().where(calls.c.node == nodes.c.id) & ~exists().where(
        child.c.parent == nodes.c.id
    )
    for ids in in_slices(candidates):
        query = select(nodes.c.id, nodes.c.parent).where(nodes.c.id.in_(ids) & free)
        yield from conn.execute(query)


def _damaged(node: int) -> StoreDamaged:
    return StoreDamaged(
        f"a stored message (node {node}) is missing or not what its digest says: the database file "
        "was changed from outside; restore it from a backup"
    )
