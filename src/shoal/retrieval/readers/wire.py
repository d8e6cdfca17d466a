"""What goes between a reader and its process: frames of four bytes of length and a body."""

from typing import IO

from msgspec import Struct, msgpack

from shoal.retrieval.documents import Content


class Order(Struct, frozen=True):
    """A file to read; ``seconds`` is how long that may take, ``most`` bytes unpacked."""

    kind: str
    data: bytes
    most: int
    seconds: float


class Reply(Struct, frozen=True):
    """Its content, or why there is none; ``extra`` is what is not installed."""

    content: Content | None = None
    error: str = ""
    extra: str = ""


_MOST = (1 << 32) - 1


def send(stream: IO[bytes], body: Order | Reply) -> None:
    """Write a frame."""
    encoded = msgpack.encode(body)
    if len(encoded) > _MOST:
        raise ValueError(f"a frame holds at most {_MOST:,} bytes, found {len(encoded):,}")
    stream.write(len(encoded).to_bytes(4, "big"))
    stream.write(encoded)
    stream.flush()


def receive(stream: IO[bytes], most: int = _MOST) -> bytes:
    """The body of the next frame; b"" at the end of the stream. Raises ``ValueError`` if it is
    longer than ``most``, ``EOFError`` if it breaks off."""
    head = stream.read(4)
    if not head:
        return b""
    size = int.from_bytes(head, "big")
    if size > most:
        raise ValueError(f"expected a frame of at most {most:,} bytes, found {size:,}")
    body = stream.read(size)
    if len(head) < 4 or len(body) < size:
        raise EOFError("a frame breaks off")
    return body
