"""The Chat Completions wire format: the one place that knows its dictionaries.

Bytes in, ``Request`` and ``Answer`` out, and back. What Shoal does not read is kept as it came.
"""

from shoal.engines.chat_completions.answers import (
    DONE,
    decode_answer,
    encode_answer,
    encode_stream,
)
from shoal.engines.chat_completions.assembler import StreamAssembler
from shoal.engines.chat_completions.events import (
    EventSplitter,
    begins_event,
    data_of,
    is_done,
)
from shoal.engines.chat_completions.json_text import no_collection, parse_strictly
from shoal.engines.chat_completions.requests import (
    asks_usage,
    decode_request,
    digest_request,
    encode_request,
)

__all__ = [
    "DONE",
    "EventSplitter",
    "StreamAssembler",
    "asks_usage",
    "begins_event",
    "data_of",
    "decode_answer",
    "decode_request",
    "digest_request",
    "encode_answer",
    "encode_request",
    "encode_stream",
    "is_done",
    "no_collection",
    "parse_strictly",
]
