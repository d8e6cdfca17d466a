"""The streams to a server that is a program here, and its end, come what may."""

import asyncio
import os
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from shoal.errors import ToolServerError
from shoal.tools.blanks import Blanks
from shoal.tools.mcp.options import Command, Limits
from shoal.tools.mcp.plain_text import plain_text
from shoal.tools.mcp.sieve import Flooded, Sieve
from shoal.tools.mcp.trouble import Trouble

_CHUNK = 65_536  # bytes
_LAST_WORDS = 500  # characters
_GOES_WITHIN_S = 1.0  # once its input has ended; again once it was told to
_LOOKED_EVERY_S = 0.01

Heard = MemoryObjectSendStream[SessionMessage | Exception]
Streams = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]
]


@asynccontextmanager
async def talking_to(
    command: Command, limits: Limits, trouble: Trouble, on_end: Callable[[], None]
) -> AsyncIterator[Streams]:
    """Start the program, and end it with all that it started at the end of the block. ``on_end`` is
    called when it ends before, and ``trouble`` told why.

    Raises:
        ToolServerError: it cannot be started.
        ConfigError: a variable of the environment is missing.
    """
    process = await _start(command)
    heard, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, to_send = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_listen, process, heard, limits, trouble, on_end)
            tasks.start_soon(_overhear, process, trouble, Blanks(command.secrets()))
            tasks.start_soon(_speak, process, to_send, heard)
            try:
                yield read, write
            finally:
                with anyio.CancelScope(shield=True):
                    await _end(process)
                for stream in (heard, read, write, to_send):
                    stream.close()
                tasks.cancel_scope.cancel()
    finally:
        _kill(process, signal.SIGKILL)  # whoever cancelled this may not have waited


async def _start(command: Command) -> Process:
    try:
        return await asyncio.create_subprocess_exec(
            command.program,
            *command.arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=command.environment(),
            cwd=command.folder or None,
            start_new_session=True,  # so that it can be ended with what it starts
        )
    except (OSError, ValueError) as error:
        raise ToolServerError(f"{command.program!r} cannot be started: {error}") from error


async def _listen(
    process: Process,
    heard: Heard,
    limits: Limits,
    trouble: Trouble,
    on_end: Callable[[], None],
) -> None:
    assert process.stdout is not None
    sieve = Sieve(limits)
    try:
        while data := await process.stdout.read(_CHUNK):
            for message in sieve.take(data):
                await heard.send(message)
            await asyncio.sleep(0)  # a server that floods must not keep the loop to itself
        with anyio.move_on_after(_GOES_WITHIN_S):
            await process.wait()
        trouble.say(
            "it closed its output"
            if process.returncode is None
            else f"it ended with status {process.returncode}"
        )
    except Flooded as error:
        trouble.flooded(str(error))
        _kill(process, signal.SIGKILL)
    except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
        pass  # the session is over: nobody listens
    finally:
        heard.close()
        on_end()


async def _overhear(process: Process, trouble: Trouble, blanks: Blanks) -> None:
    """Read its error output, so that it can go on writing there; keep the last of it."""
    assert process.stderr is not None
    last = b""
    with suppress(OSError):
        while data := await process.stderr.read(_CHUNK):
            last = (last + data)[-4 * _LAST_WORDS :]
            words = blanks.text(" ".join(last.decode("utf-8", "replace").split()))
            trouble.last_words = plain_text(words[-_LAST_WORDS:], _LAST_WORDS)


async def _speak(
    process: Process, to_send: MemoryObjectReceiveStream[SessionMessage], heard: Heard
) -> None:
    assert process.stdin is not None
    try:
        async for one in to_send:
            said = one.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(said.encode() + b"\n")
            await process.stdin.drain()
    except (anyio.ClosedResourceError, OSError):
        heard.close()  # else a call would wait for the reply to what was never sent


async def _end(process: Process) -> None:
    """As the protocol has it: its input ends, then it is told to go, then it is killed."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    if not await _gone(process):
        _kill(process, signal.SIGTERM)
        await _gone(process)
    _kill(process, signal.SIGKILL)
    await _gone(process)


async def _gone(process: Process) -> bool:
    """Whether it ends soon. ``wait`` would wait for whoever holds its pipes, too."""
    until = time.monotonic() + _GOES_WITHIN_S
    while process.returncode is None and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(_LOOKED_EVERY_S)
    return process.returncode is not None


def _kill(process: Process, number: signal.Signals) -> None:
    """Send a signal to it and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
