"""The wire formats: bytes in, ``Request`` and ``Answer`` out, and back.

A folder per format is the one place that knows its dictionaries; gateway and engines know only the
``WireFormat`` that each of them is. What Shoal does not read is kept as it came.
"""

from shoal.formats.assembler import AnswerAssembler, deltas_of
from shoal.formats.caller_headers import with_headers
from shoal.formats.catalogue import FORMATS
from shoal.formats.json_text import parse_strictly
from shoal.formats.wire_format import Envelope, ErrorText, StreamWriter, Target, WireFormat

__all__ = [
    "FORMATS",
    "AnswerAssembler",
    "Envelope",
    "ErrorText",
    "StreamWriter",
    "Target",
    "WireFormat",
    "deltas_of",
    "parse_strictly",
    "with_headers",
]
