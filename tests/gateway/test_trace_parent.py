"""What callers send as traceparent, read as OpenTelemetry itself reads it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shoal.gateway.trace_parent import TraceParent, read_trace_parent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def hexes(length: int) -> st.SearchStrategy[str]:
    digits = st.text("0123456789abcdef", min_size=length, max_size=length)
    return digits | st.sampled_from(["0" * length, "f" * length, "A" * length, "0" * (length - 1)])


headers = st.text(st.characters(exclude_categories=["C"]), max_size=60) | st.builds(
    "{}-{}-{}-{}{}".format,
    hexes(2),
    hexes(32),
    hexes(16),
    hexes(2),
    st.sampled_from(["", "-", "-more", "x"]),
)


@given(headers)
@example(f"00-{TRACE}-{SPAN}-01")
@example(f"cc-{TRACE}-{SPAN}-01-what-the-future-brings")
@example(f"00-{TRACE}-{SPAN}-01-00")
def test_it_is_read_as_opentelemetry_reads_it(header: str) -> None:
    header = header.strip(" \t")  # as the server does
    theirs = TraceContextTextMapPropagator().extract({"traceparent": header}, Context())
    found = get_current_span(theirs).get_span_context()
    expected = TraceParent(found.trace_id, found.span_id, found.trace_flags.sampled)
    assert read_trace_parent(header) == (expected if found.is_valid else None)


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False)])
def test_the_flags_say_whether_it_is_sampled(flags: str, sampled: bool) -> None:
    expected = TraceParent(int(TRACE, 16), int(SPAN, 16), sampled)
    assert read_trace_parent(f"00-{TRACE}-{SPAN}-{flags}") == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
    ],
)
def test_what_is_malformed_names_nobody(header: str) -> None:
    assert read_trace_parent(header) is None
