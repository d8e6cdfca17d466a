"""The exact cache: the LLM's answer to the same request of the same caller, from memory.

A request is the same if its body is, byte for byte in every field but those that change no answer
(``stream`` and the like); only the order of its fields is free. Fields that Shoal does not know
count, and so do headers that whoever answers is told. Only requests that state a temperature of 0
are cached: who states none, or another, wants answers that differ.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw, Struct
from pydantic import BaseModel, ConfigDict, Field

from shoal.chat import Answer, Request
from shoal.formats.json_text import members_of
from shoal.routing.rung import beyond

_NO_MATTER = frozenset(
    ("stream", "stream_options", "user", "metadata", "prompt_cache_key", "safety_identifier")
)
_ENTRY_BYTES = 1_500  # what an entry takes beside its texts, rounded up


class CacheOptions(BaseModel):
    """How much memory the exact cache may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_mb: float = Field(default=64, gt=0, allow_inf_nan=False)


class TaskCacheOptions(BaseModel):
    """For how many seconds an answer to a call of a task is given again; None: not at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cache_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Cached(Struct, frozen=True):
    """An answer given before, by whom, and how many seconds ago."""

    answer: Answer
    model: str
    age_s: float


class _Entry(Struct, frozen=True):
    answer: Answer
    model: str
    at: float
    size: int


class _Temperature(Struct):
    temperature: float | None = None


class AnswerCache:
    """The answers of one process, least recently used first out; for one event loop."""

    def __init__(
        self,
        seconds: Mapping[str, float],
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``seconds`` is how long answers are kept, by task name; other tasks are not cached."""
        self._seconds, self._max_bytes, self._clock = dict(seconds), max_bytes, clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self.bytes = 0

    @property
    def is_used(self) -> bool:
        """Whether anything is ever kept."""
        return bool(self._seconds)

    def __len__(self) -> int:
        return len(self._entries)

    def key(self, task: str, caller: str, request: Request) -> bytes:
        """What an answer is kept under; b"" if this request is not cached. ``caller`` is the id of
        the key, "" on a gateway without keys, where all callers are one."""
        if task not in self._seconds or not is_repeatable(request):
            return b""
        return digest(caller, request)

    def get(self, key: bytes, task: str) -> Cached | None:
        """The answer kept under a key, if it is young enough."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self._clock() - entry.at
        if age >= self._seconds.get(task, 0.0):
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return Cached(entry.answer, entry.model, age)

    def put(self, key: bytes, answer: Answer, model: str) -> None:
        """Keep an answer, without the provider's own bytes and ids; makes room for it."""
        kept = msgspec.structs.replace(answer, body=b"", request_id="", id="")
        size = len(msgspec.json.encode(kept)) + _ENTRY_BYTES
        self._remove(key)
        if size > self._max_bytes:
            return
        self._entries[key] = _Entry(kept, model, self._clock(), size)
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: bytes) -> None:
        if entry := self._entries.pop(key, None):
            self.bytes -= entry.size


def is_repeatable(request: Request) -> bool:
    """Whether the same answer does again: a temperature of 0 is stated, and nothing is asked for
    that an answer's text and calls do not hold."""
    try:
        stated = msgspec.json.decode(request.params, type=_Temperature).temperature
    except msgspec.DecodeError:
        return False
    return stated == 0 and not beyond(request)


def digest(caller: str, request: Request) -> bytes:
    """32 bytes, equal only for requests of one caller that are equal in all that matters."""
    fields = members_of(request.body) if request.body else _fields(request)
    told = {name: value for name, value in sorted(fields.items()) if name not in _NO_MATTER}
    # The wire format counts: a field may mean something else in another.
    whole = [caller, request.format if request.body else "", request.model, told, request.headers]
    return hashlib.sha256(msgspec.json.encode(whole)).digest()


def _fields(request: Request) -> dict[str, Raw]:
    """Those of a request that came without a body."""
    return {
        **members_of(request.params.encode()),
        "messages": Raw(msgspec.json.encode(request.messages)),
        "tools": Raw(msgspec.json.encode(request.tools)),
        "response_format": Raw(msgspec.json.encode(request.response_format)),
    }
