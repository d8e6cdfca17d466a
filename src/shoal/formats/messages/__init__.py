"""Anthropic's Messages: the one place that knows its dictionaries."""

from shoal.formats.messages.answers import decode_answer, encode_answer
from shoal.formats.messages.errors import encode_error, error_event, is_error
from shoal.formats.messages.events import MessageDecoder
from shoal.formats.messages.requests import decode_request, encode_request
from shoal.formats.messages.writer import MessageWriter
from shoal.formats.wire_format import WireFormat

MESSAGES = WireFormat(
    name="messages",
    path="/messages",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_answer=decode_answer,
    encode_answer=encode_answer,
    new_decoder=MessageDecoder,
    new_writer=MessageWriter,
    encode_error=encode_error,
    error_event=error_event,
    is_error=is_error,
    headers=("anthropic-beta", "anthropic-version"),
    request_id="request-id",
)

__all__ = [
    "MESSAGES",
    "MessageDecoder",
    "MessageWriter",
    "decode_answer",
    "decode_request",
    "encode_answer",
    "encode_request",
]
