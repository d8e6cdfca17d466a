"""Files to content: bounded in size, time and memory, and never by more than one file at fault."""

from types import TracebackType

from msgspec import Struct

from shoal.errors import MissingExtra, ReadError
from shoal.retrieval.documents import Content
from shoal.retrieval.readers.kinds import kind_of
from shoal.retrieval.readers.parsing import is_read_apart, parse
from shoal.retrieval.readers.process import Child
from shoal.retrieval.readers.wire import Order


class ReadOptions(Struct, frozen=True, kw_only=True):
    """What a file may cost: its own size and, if it is packed, unpacked; the time and the memory of
    the process that opens it."""

    max_bytes: int = 100_000_000
    max_unpacked_bytes: int = 500_000_000
    seconds: float = 60.0
    memory_bytes: int = 3 << 30

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: expected more than 0, found {getattr(self, name)}")


class Reader:
    """Reads one file after another; the process that opens them lives until ``close``.

    Safe to share between threads; files that are read in the process wait for each other.
    """

    def __init__(self, options: ReadOptions | None = None) -> None:
        self.options = options or ReadOptions()
        self._child = Child(self.options.memory_bytes, 4 * self.options.max_bytes + (1 << 20))

    def read(self, name: str, data: bytes) -> Content:
        """What is in a file of that name. Raises ``ReadError`` if it is no document, too large,
        empty, encrypted or damaged, or takes too long; ``MissingExtra`` if its reader is not
        installed. Both name the file."""
        options = self.options
        try:
            if len(data) > options.max_bytes:
                most, found = options.max_bytes / 1e6, len(data) / 1e6
                raise ReadError(f"has {found:,.1f} MB; files of up to {most:,.1f} MB are read")
            if not data.strip():
                raise ReadError("holds no text: it is empty")
            kind = kind_of(name, data)
            if not is_read_apart(kind, len(data)):
                return parse(kind, data, options.max_unpacked_bytes)
            order = Order(kind, data, options.max_unpacked_bytes, options.seconds)
            return self._child.read(order)
        except ReadError as error:
            raise type(error)(f"{_shown(name)}: {error}") from error
        except MissingExtra as error:
            told = str(error).partition(" needs an optional")[0]
            raise MissingExtra(error.extra, f"{_shown(name)}: {told}") from error

    def close(self) -> None:
        """End the process; a later file starts another."""
        self._child.close()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read(name: str, data: bytes, options: ReadOptions | None = None) -> Content:
    """What is in one file, as ``Reader.read`` (which is quicker for many files)."""
    with Reader(options) as reader:
        return reader.read(name, data)


def _shown(name: str) -> str:
    """A name that cannot break the line it is told in."""
    kept = name if name.isprintable() else ascii(name)[1:-1]
    return kept if len(kept) <= 300 else "…" + kept[-300:]
