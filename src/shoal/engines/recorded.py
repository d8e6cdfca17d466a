"""The engine that plays back recorded calls from a file."""

import asyncio
import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from shoal.chat import Answer, Request
from shoal.engines.options import RecordedOptions
from shoal.engines.written import WrittenStream
from shoal.errors import ConfigError, EngineUnreachable, MalformedRequest, NotRecorded
from shoal.formats.chat_completions import decode_answer, decode_request, digest_request


class _Line(Struct):
    request: Raw
    response: Raw
    latency_ms: float | None = None


class _Recording(Struct, frozen=True):
    answer: Answer
    latency_s: float


_LINE = msgspec.json.Decoder(_Line)


class RecordedEngine:
    """Answers what was asked before as it was answered then.

    The file holds JSON lines (compressed if it ends in ``.gz``) of a Chat Completions ``request``,
    its ``response`` and, if known, ``latency_ms``. Requests are looked up by their messages, tools
    and response format, whatever the model. Several recordings of one request, samples of a model,
    are played in their order, then the last one again and again, or all of them anew.

    Raises:
        ConfigError: no such file, or a line that is no recorded call; names the line.
    """

    def __init__(self, name: str, options: RecordedOptions) -> None:
        self._name = name
        self._path = options.path
        self._takes_time = options.latency == "recorded"
        self._begins_anew = options.again == "all"
        self._recordings: dict[str, list[_Recording]] = defaultdict(list)
        self._played: dict[str, int] = {}
        for digest, recording in _recordings(options.path):
            self._recordings[digest].append(recording)

    @property
    def name(self) -> str:
        """Its name in ``shoal.toml``."""
        return self._name

    async def answer(self, request: Request) -> Answer:
        """The recorded answer.

        Raises:
            NotRecorded: the file holds no answer to this request.
        """
        recording = self._next(request)
        if self._takes_time:
            await asyncio.sleep(recording.latency_s)
        return recording.answer

    async def stream(self, request: Request) -> WrittenStream:
        """The recorded answer as a stream.

        Raises:
            NotRecorded: the file holds no answer to this request.
        """
        return WrittenStream(await self.answer(request))

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def _next(self, request: Request) -> _Recording:
        digest = digest_request(request)
        known = self._recordings.get(digest)
        if known is None:
            last = request.messages[-1].text if request.messages else ""
            raise NotRecorded(
                f"{self._path.name} holds no answer to this request ({digest[:12]}, ending in "
                f"{last[-80:]!r}): a recording answers only what was asked before, with the same "
                "messages, tools and response_format"
            )
        turn = self._played.get(digest, 0)
        self._played[digest] = turn + 1
        return known[turn % len(known) if self._begins_anew else min(turn, len(known) - 1)]


def _recordings(path: Path) -> Iterator[tuple[str, _Recording]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _recording(line, f"{path}, line {number}")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _recording(line: bytes, place: str) -> tuple[str, _Recording]:
    try:
        fields = _LINE.decode(line)
        request = decode_request(bytes(fields.request))
        answer = decode_answer(bytes(fields.response))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{place}: is no recorded call: {error}") from None
    except MalformedRequest as error:
        raise ConfigError(f"{place}: request: {error}") from None
    except EngineUnreachable as error:
        raise ConfigError(f"{place}: response: {error}") from None
    return digest_request(request), _Recording(answer, max(0.0, fields.latency_ms or 0) / 1000)
