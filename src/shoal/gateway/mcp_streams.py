"""Standard input and output as the streams of an MCP server.

Not the official SDK's: that reads in a thread, which nothing can wake, so that a process told to
stop would stay until its input ends, with calls not yet written to the store.
"""

import asyncio
import os
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types.jsonrpc import jsonrpc_message_adapter
from pydantic import ValidationError

from shoal.errors import ConfigError

_MOST_LINE = 8_000_000  # bytes

Heard = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Heard], MemoryObjectSendStream[SessionMessage]]


@asynccontextmanager
async def streams() -> AsyncIterator[Streams]:
    """The streams, until the end of the block. What is printed meanwhile goes to standard error,
    and not between the messages.

    Raises:
        ConfigError: they are files, which cannot be waited for.
    """
    sys.stdout.flush()
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        reader, writer = await _pipes(output)
        heard, read = anyio.create_memory_object_stream[Heard](0)
        write, to_send = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_listen, reader, heard)
            tasks.start_soon(_speak, to_send, writer)
            try:
                yield read, write
            finally:
                for stream in (heard, read, write, to_send):
                    stream.close()
                tasks.cancel_scope.cancel()
    finally:
        os.dup2(output, 1)


async def _pipes(output: int) -> tuple[StreamReader, StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=_MOST_LINE)
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        await loop.connect_read_pipe(lambda: protocol, os.fdopen(os.dup(0), "rb"))
        transport, drains = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(os.dup(output), "wb")
        )
    except ValueError as error:
        raise ConfigError(
            "standard input and output: expected pipes, as of a program that starts this one and "
            "speaks MCP with it; found a file"
        ) from error
    return reader, StreamWriter(transport, drains, None, loop)


async def _listen(reader: StreamReader, heard: MemoryObjectSendStream[Heard]) -> None:
    async with heard:
        while line := await _line(reader):
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValidationError as error:
                await heard.send(error)
            else:
                await heard.send(SessionMessage(message))


async def _line(reader: StreamReader) -> bytes:
    """The next line, b"" at the end: of input, or of a line that is too long."""
    try:
        return await reader.readline()
    except ValueError:
        return b""


async def _speak(to_send: MemoryObjectReceiveStream[SessionMessage], writer: StreamWriter) -> None:
    try:
        async for one in to_send:
            said = one.message.model_dump_json(by_alias=True, exclude_unset=True)
            writer.write(said.encode() + b"\n")
            await writer.drain()
    except (anyio.ClosedResourceError, ConnectionError):
        pass  # nobody reads any more; input ends soon
