"""The header ``traceparent`` of W3C Trace Context: the caller's span, and whether it is sampled."""

import re

from msgspec import Struct

_FORM = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})"
    r"-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


class TraceParent(Struct, frozen=True):
    """The caller's span."""

    trace_id: int
    span_id: int
    sampled: bool


def read_trace_parent(header: str) -> TraceParent | None:
    """The span that a header names; None if it names none as it should.

    Later versions than 00 may say more at the end, which is not read.

    >>> read_trace_parent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").sampled
    True
    >>> read_trace_parent("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01")
    """
    found = _FORM.fullmatch(header)
    if found is None or (found["version"] == "00" and found["more"]):
        return None
    sampled = bool(int(found["flags"], 16) & 1)
    return TraceParent(int(found["trace"], 16), int(found["span"], 16), sampled)
