"""Laws of spans: whatever a call was, its span can be sent, and nothing that was said is in it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from otlp_receiver import running_receiver
from shoal.chat import Answer, Message, Request, Usage
from shoal.errors import CallerGone, EngineRefused, EngineUnreachable, StoreError, UnknownModel
from shoal.formats.embeddings import EmbeddingRequest
from shoal.gateway.ended import Asked, Ended
from shoal.gateway.otlp import OtlpCollector
from shoal.gateway.spans import Span, span_of
from shoal.gateway.trace_parent import TraceParent
from shoal.routing.caller import ANYBODY
from shoal.routing.receipt import CACHE, OWN, Receipt, Tried

SAID = "wqzjx"
"""What was said, in a call's messages, answer, errors and reply."""

texts = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.floats(0, 1e12)
counts = st.integers(-9, 10**6) | st.sampled_from([2**63 - 1, 2**63, 2**70, -(2**70)])
requests = st.builds(
    Request,
    model=texts,
    messages=st.just((Message("user", SAID, parts=f'[{{"text":"{SAID}"}}]'),)),
    tools=st.just(f'[{{"name":"{SAID}"}}]'),
    response_format=texts | st.sampled_from(['{"type":"json_schema"}', f'{{"type":"{SAID}"}}']),
    params=st.just(f'{{"stop":"{SAID}"}}'),
    stream=st.booleans(),
    body=st.just(SAID.encode()),
)
askeds = st.builds(
    Asked,
    request=requests | st.builds(EmbeddingRequest, texts, st.just((SAID,))),
    caller=st.just(ANYBODY),
    episode=texts,
    traceparent=texts,
    began=numbers,
)
trieds = st.builds(
    Tried,
    answerer=texts,
    accepted=st.booleans(),
    reason=st.just(f"the upstream said: {SAID}"),
    latency_ms=numbers,
    at=st.just(0.0) | st.floats(1e9, 4e9),
    error=texts,
)
receipts = st.builds(
    Receipt,
    call_id=texts,
    at=numbers,
    llm=texts,
    answered_by=texts | st.just(CACHE),
    reason=texts,
    task=texts,
    tried=st.lists(trieds, max_size=3).map(tuple),
    certificate=texts,
    cost=st.none() | numbers,
    llm_cost=st.none() | numbers,
    llm_cost_estimated=st.booleans(),
    provider=texts | st.just(OWN),
)
answers = st.builds(
    Answer,
    text=st.just(SAID),
    finish_reason=texts,
    refusal=st.just(SAID),
    model=texts,
    usage=st.none() | st.builds(Usage, counts, counts, counts, counts, st.booleans(), counts),
    body=st.just(SAID.encode()),
    complete=st.booleans(),
)
errors = st.sampled_from(
    [
        None,
        CallerGone(SAID),
        EngineRefused(429, SAID.encode()),
        EngineUnreachable(f"it starts {SAID!r}"),
        StoreError(SAID),
        UnknownModel(SAID),
    ]
)
sents = st.sampled_from(
    [
        b"",
        SAID.encode(),
        f'{{"id":"a","choices":[{{"message":{{"content":"{SAID}"}}}}]}}'.encode(),
        f'data: {{"id":"a","choices":[{{"delta":{{"content":"{SAID}"}}}}]}}\n\n'.encode(),
    ]
)
endeds = st.builds(
    Ended,
    format=st.sampled_from(["chat", "messages", "responses", "embeddings"]),
    asked=askeds,
    receipt=receipts,
    answer=st.none() | answers,
    error=errors,
    overhead_ms=numbers,
    sent=sents,
)
parents = st.none() | st.builds(
    TraceParent, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.just(True)
)


def attributes(span: Span) -> list[int]:
    """How many each span has: what cannot be encoded would be left out."""
    return [len(span.attributes), *(number for each in span.inner for number in attributes(each))]


def test_every_span_can_be_sent_and_holds_nothing_that_was_said() -> None:
    sent: list[int] = []

    @given(endeds, parents)
    @settings(max_examples=300)
    def told(ended: Ended, parent: TraceParent | None) -> None:
        span = span_of(ended, 10**18, 10**18 + 1)
        assert SAID not in repr(span)
        collector.take(span, parent)
        sent.extend(attributes(span))

    with running_receiver() as receiver:
        collector = OtlpCollector(receiver.url)
        told()
        collector.close()
    assert sorted(len(span.attributes) for span in receiver.spans) == sorted(sent)
    assert SAID.encode() not in b"".join(receiver.bodies)
