"""A large file over HTTP that goes on where it broke off, after a kill too.

``huggingface_hub`` finds the file; its own loading begins from nothing in every process (2.4),
which a model of 40 GB does not allow.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from shoal.errors import ArtifactError

Progress = Callable[[int], None]
"""Told how many bytes are there, from time to time."""

PART = ".part"  # the end of the name of what has not come whole yet
_PIECE = 1 << 20
_TRIES, _PAUSE_S = 5, 1.0
_SILENCE_S = 60.0


def download(url: str, headers: Mapping[str, str], path: Path, size: int, told: Progress) -> None:
    """Load what stands at ``url``, ``size`` bytes, into a file that is not there yet.

    Raises:
        ArtifactError: it cannot be reached, does not come whole, or cannot be written; what came
            stays for the next time.
    """
    try:
        asyncio.run(_in_tries(url, headers, path, size, told))
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written: {error.strerror or error}") from None


async def _in_tries(
    url: str, headers: Mapping[str, str], path: Path, size: int, told: Progress
) -> None:
    import aiohttp

    part = path.with_name(path.name + PART)
    failures = 0
    while True:
        before = _length(part)
        try:
            await _go_on(url, headers, part, size, told)
            break
        except (aiohttp.ClientError, TimeoutError) as error:
            failures = 0 if _length(part) > before else failures + 1
            if failures == _TRIES or _is_final(error):
                said = " ".join(str(error).split())[:300] or type(error).__name__
                raise ArtifactError(
                    f"{path.name} did not come whole ({_length(part):,} of {size:,} bytes): "
                    f"{said}; the same command goes on from there"
                ) from None
            await asyncio.sleep(_PAUSE_S * failures)
    part.replace(path)


async def _go_on(
    url: str, headers: Mapping[str, str], part: Path, size: int, told: Progress
) -> None:
    import aiohttp

    begin = _beginning(part, size)
    told(begin)
    if begin == size:
        return
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=_SILENCE_S)
    asked = dict(headers) | {"Range": f"bytes={begin}-", "Accept-Encoding": "identity"}
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.get(url, headers=asked) as reply,
    ):
        if reply.status != 206:  # it gives out nothing but the whole
            begin = 0
        with part.open("ab" if begin else "wb") as file:
            async for piece in reply.content.iter_chunked(_PIECE):
                file.write(piece)
                begin += len(piece)
                told(begin)
                if begin > size:
                    raise aiohttp.ClientPayloadError("more came than was told")
            file.flush()
            os.fsync(file.fileno())
    if begin < size:
        raise aiohttp.ClientPayloadError("it ended early")


def _beginning(part: Path, size: int) -> int:
    """How many bytes are there already; what is longer than the whole is of another file."""
    begin = _length(part)
    if begin > size:
        part.unlink()
        return 0
    part.touch()
    return begin


def _is_final(error: Exception) -> bool:
    """Whether trying again is of no use: the answer was no."""
    status = getattr(error, "status", 0)
    return 400 <= status < 500 and status not in (408, 429)


def _length(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0
