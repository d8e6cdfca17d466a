"""OpenAI's Responses: the one place that knows its items and events."""

from shoal.formats.chat_completions.errors import encode_error, is_error
from shoal.formats.responses.answers import decode_answer, encode_answer
from shoal.formats.responses.decoder import EventDecoder
from shoal.formats.responses.errors import error_event
from shoal.formats.responses.requests import decode_request, encode_request
from shoal.formats.responses.writer import EventWriter
from shoal.formats.wire_format import WireFormat

RESPONSES = WireFormat(
    name="responses",
    path="/responses",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_answer=decode_answer,
    encode_answer=encode_answer,
    new_decoder=EventDecoder,
    new_writer=EventWriter,
    encode_error=encode_error,
    error_event=error_event,
    is_error=is_error,
    headers=("openai-beta",),
    request_id="x-request-id",
)

__all__ = [
    "RESPONSES",
    "EventDecoder",
    "EventWriter",
    "decode_answer",
    "decode_request",
    "encode_answer",
    "encode_request",
]
