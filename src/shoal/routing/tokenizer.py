"""A model's own tokenizer: counts the tokens that its provider did not.

Counting takes some 0.5 µs a character, whatever the text (measured: prose, code, a million equal
letters), and lets other threads run meanwhile. Reading a tokenizer of 200,000 tokens takes half a
second, and does not: a reload that names a new one holds calls up for so long, one that names those
it has does not.
"""

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

from shoal.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Parsed

T = TypeVar("T")

_FILE = "tokenizer.json"
_MOST_BYTES = 100_000_000  # the largest that are published have a third of this
_EXPECTED = f"expected a {_FILE}"
_MOST_SAID = 300  # characters of what others say about a failure
_SAMPLE = "The quick brown fox jumps over the lazy dog, twice."


class Tokenizer:
    """Counts as the models do that were trained with it. Safe to share between threads."""

    def __init__(self, parsed: "Parsed") -> None:
        self._parsed = parsed

    def count(self, texts: Sequence[str], marked: bool = False) -> int:
        """The tokens of these texts, each by itself; ``marked`` with those that the tokenizer puts
        at the beginning and the end of a text.

        Raises:
            ValueError: it has no token for something in them.
        """
        whole = [text.encode(errors="replace").decode() for text in texts]  # no half surrogates
        encode = self._parsed.encode_batch_fast
        return sum(map(len, _guarded(lambda: encode(whole, add_special_tokens=marked))))


_known: WeakValueDictionary[bytes, Tokenizer] = WeakValueDictionary()  # by the file's SHA-256


def names_file(source: str, folder: Path) -> bool:
    """Whether a setting names a file, relative to ``folder``; else it names a repository of the
    hub."""
    is_like_one = source.endswith(".json") or source.startswith((".", os.sep))
    return is_like_one or os.path.exists(folder / source)  # which no odd name makes raise


def open_tokenizer(source: str, place: str) -> Tokenizer:
    """The tokenizer in a file, or in a repository of the Hugging Face hub, whose cache is looked at
    first. ``place`` is the setting that names it.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    path = Path(source) if names_file(source, Path()) else _from_hub(source, place)
    data = _read(path, place)
    digest = sha256(data).digest()
    known = _known.get(digest)
    if known is None:
        known = _known[digest] = _parsed(data, f"{place}: {path}")
    return known


def _read(path: Path, place: str) -> bytes:
    if path.is_dir():
        raise ConfigError(f"{place}: {path}: is a folder; {_EXPECTED}")
    if not path.exists():
        raise ConfigError(f"{place}: {path}: no such file")
    if not path.is_file():
        raise ConfigError(f"{place}: {path}: is no regular file; {_EXPECTED}")
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise ConfigError(f"{place}: {path}: has {size / 1e6:,.0f} MB; {_EXPECTED}")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{place}: {path}: cannot be read: {error.strerror}") from None


def _parsed(data: bytes, place: str) -> Tokenizer:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # whoever counts has one thread
    from tokenizers import Tokenizer as Parsed  # 20 ms, for those that need it

    try:
        parsed = _guarded(lambda: Parsed.from_buffer(data))
        parsed.no_truncation()  # as encoders have it
        parsed.no_padding()
        tokenizer = Tokenizer(parsed)
        found = tokenizer.count([_SAMPLE])
    except ValueError as error:
        raise ConfigError(f"{place}: is damaged, or no tokenizer: {error}; {_EXPECTED}") from None
    if not found:
        raise ConfigError(f"{place}: finds no token in English prose; {_EXPECTED}")
    return tokenizer


def _guarded(work: Callable[[], T]) -> T:
    """What the package gives.

    Raises:
        ValueError: for whatever it raises, in one line.
    """
    try:
        return work()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the package's panics are of no narrower kind
        raise ValueError(_one_line(error)) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:_MOST_SAID]


def _from_hub(repository: str, place: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        try:  # without asking the hub, which takes long where it cannot be reached
            return Path(hf_hub_download(repository, _FILE, local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(hf_hub_download(repository, _FILE))
    except Exception as error:  # noqa: BLE001  # its HTTP client has errors of its own
        raise ConfigError(
            f"{place}: {repository!r} is no file here, and its {_FILE} not to be had from the "
            f"hub: {_one_line(error)}"
        ) from None
