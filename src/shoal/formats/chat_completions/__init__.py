"""OpenAI's Chat Completions: the one place that knows its dictionaries."""

from shoal.formats.chat_completions.answers import decode_answer, encode_answer
from shoal.formats.chat_completions.chunks import DONE, ChunkDecoder, ChunkWriter
from shoal.formats.chat_completions.errors import encode_error, error_event, is_error
from shoal.formats.chat_completions.requests import (
    asks_usage,
    custom_tools,
    decode_request,
    digest_request,
    encode_request,
    record_request,
)
from shoal.formats.wire_format import WireFormat

CHAT_COMPLETIONS = WireFormat(
    name="chat",
    path="/chat/completions",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_answer=decode_answer,
    encode_answer=encode_answer,
    new_decoder=ChunkDecoder,
    new_writer=ChunkWriter,
    encode_error=encode_error,
    error_event=error_event,
    is_error=is_error,
    headers=("openai-beta",),
    request_id="x-request-id",
)

__all__ = [
    "CHAT_COMPLETIONS",
    "DONE",
    "ChunkDecoder",
    "ChunkWriter",
    "asks_usage",
    "custom_tools",
    "decode_answer",
    "decode_request",
    "digest_request",
    "encode_answer",
    "encode_request",
    "record_request",
]
