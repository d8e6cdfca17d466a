"""A call as a span: what is told of it, in the words of OpenTelemetry's conventions for GenAI.

They are still in development; this follows their own repository, semantic-conventions-genai, as of
2026. What begins with ``shoal.`` is Shoal's own. Nothing that was said is told, and no error's
text, which may quote it. Spans of those who were asked have Shoal's own attributes alone, so that
nobody counts a call, or its tokens, twice.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec
from msgspec import Struct

from shoal.chat import Answer, Request, Usage
from shoal.errors import UnknownModel, kind_of
from shoal.formats.events import EventSplitter, begins_event, data_of
from shoal.gateway.ended import Ended
from shoal.routing.receipt import CACHE, Tried

Value = str | int | float | bool | tuple[str, ...]
Attributes = dict[str, Value]

_LONGEST = 500  # characters of a text: names and headers come from outside
_MOST_TOKENS = 2**63 - 1  # what OTLP can count
_PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "aws": "aws.bedrock",
        "azure": "azure.ai.openai",
        "google": "gcp.gen_ai",
        "mistral": "mistral_ai",
        "moonshotai": "moonshot_ai",
        "x-ai": "x_ai",
    }
)
"""The conventions' names of providers, where the price list has others."""


class Span(Struct, frozen=True):
    """A stretch of time, in nanoseconds since 1970. ``remote``: another process was asked."""

    name: str
    start: int
    end: int
    attributes: Attributes
    remote: bool = True
    failed: bool = False
    inner: tuple["Span", ...] = ()


def span_of(ended: Ended, start: int, end: int) -> Span:
    """The span of a call, and in it one of each who was asked."""
    found = {
        name: _bounded(value)
        for name, value in (*_conventional(ended), *_own(ended))
        if value not in (None, "", ())
    }
    return Span(
        _name(ended),
        start,
        end,
        found,
        failed=ended.error is not None,
        inner=tuple(_inner(tried, ended, end) for tried in ended.receipt.tried if tried.at),
    )


def _name(ended: Ended) -> str:
    """Without the model where nobody knows it: there should be few names."""
    operation = _operation(ended)
    if isinstance(ended.error, UnknownModel):
        return operation
    return f"{operation} {ended.asked.request.model[:_LONGEST]}"


def _operation(ended: Ended) -> str:
    return "embeddings" if ended.format == "embeddings" else "chat"


def _conventional(ended: Ended) -> Iterator[tuple[str, Value | None]]:
    asked, receipt = ended.asked, ended.receipt
    yield "gen_ai.operation.name", _operation(ended)
    yield "gen_ai.provider.name", _PROVIDERS.get(receipt.provider, receipt.provider)
    yield "gen_ai.request.model", asked.request.model
    yield "gen_ai.conversation.id", asked.episode
    if isinstance(asked.request, Request):
        yield "gen_ai.request.stream", asked.request.stream or None
        yield "gen_ai.output.type", _output_type(asked.request)
    if ended.error is not None:
        yield "error.type", kind_of(ended.error)
    if ended.answer is not None:
        yield "gen_ai.response.id", _id_in(ended.sent)
        yield "gen_ai.response.model", ended.answer.model
        yield "gen_ai.response.finish_reasons", _finish_reasons(ended, ended.answer)
        yield from _usage(ended, ended.answer.usage)


def _usage(ended: Ended, usage: Usage | None) -> Iterator[tuple[str, Value | None]]:
    """What was counted, and for this call: what the cache gives again was used for another."""
    if usage is None or usage.estimated or ended.receipt.answered_by == CACHE:
        return
    yield "gen_ai.usage.input_tokens", _count(usage.input_tokens)
    if ended.format == "embeddings":
        return
    yield "gen_ai.usage.output_tokens", _count(usage.output_tokens)
    yield "gen_ai.usage.cache_read.input_tokens", _count(usage.cached_tokens) or None
    yield "gen_ai.usage.cache_creation.input_tokens", _count(usage.cache_write_tokens) or None
    yield "gen_ai.usage.reasoning.output_tokens", _count(usage.reasoning_tokens) or None


def _own(ended: Ended) -> Iterator[tuple[str, Value | None]]:
    receipt = ended.receipt
    yield "shoal.call_id", receipt.call_id
    yield "shoal.episode", receipt.episode
    yield "shoal.format", ended.format
    yield "shoal.answered_by", receipt.answered_by
    yield "shoal.cached", receipt.answered_by == CACHE
    yield "shoal.task", receipt.task
    yield "shoal.reason", receipt.reason
    yield "shoal.certificate", receipt.certificate
    yield "shoal.cost_usd", receipt.cost
    yield "shoal.llm_cost_usd", receipt.llm_cost
    yield "shoal.llm_cost_estimated", receipt.llm_cost_estimated or None
    yield "shoal.overhead_ms", None if ended.overhead_ms is None else round(ended.overhead_ms, 3)


def _inner(tried: Tried, ended: Ended, end: int) -> Span:
    """The span of one who was asked. The reason of a model may be what its upstream said, so that
    of rungs alone is told."""
    is_rung = tried.threshold is not None
    attributes: dict[str, Value | None] = {
        "shoal.answerer": tried.answerer,
        "shoal.accepted": tried.accepted,
        "shoal.signal": tried.signal,
        "shoal.threshold": tried.threshold,
        "shoal.certificate": tried.certificate,
        "shoal.reason": tried.reason if is_rung else "",
        "error.type": tried.error,
    }
    start = round(tried.at * 1e9)
    streams = tried.accepted and not is_rung and _is_stream(ended)
    return Span(
        f"ask {tried.answerer}",
        start,
        end if streams else start + round(tried.latency_ms * 1e6),
        {name: _bounded(value) for name, value in attributes.items() if value not in (None, "")},
        remote=not is_rung,
        failed=bool(tried.error),
    )


def _is_stream(ended: Ended) -> bool:
    request = ended.asked.request
    return isinstance(request, Request) and request.stream


class _Kind(Struct):
    type: str = ""


class _Named(Struct):
    id: str = ""


class _Reply(Struct):
    """A whole reply, or the first event of a stream, in any wire format: where its id is."""

    id: str = ""
    message: _Named | None = None
    response: _Named | None = None


_KIND = msgspec.json.Decoder(_Kind)
_REPLY = msgspec.json.Decoder(_Reply)


def _id_in(sent: bytes) -> str:
    """The id of a reply, or of the stream that begins so; "" where it has none."""
    events = map(data_of, EventSplitter().feed(sent)) if begins_event(sent) else (sent,)
    data = next(filter(None, events), b"")
    try:
        reply = _REPLY.decode(data)
    except (ValueError, RecursionError):
        return ""
    inner = reply.message or reply.response
    return reply.id or (inner.id if inner else "")


def _output_type(request: Request) -> str:
    """The kind of answer that was asked for; "" where none was."""
    try:
        kind = _KIND.decode(request.response_format).type
    except (ValueError, RecursionError):
        return ""
    return "json" if kind.startswith("json") else "text" if kind == "text" else ""


def _finish_reasons(ended: Ended, answer: Answer) -> tuple[str, ...]:
    whole = answer.complete and ended.format != "embeddings"
    return (answer.finish_reason,) if whole and answer.finish_reason else ()


def _count(tokens: int) -> int | None:
    """What upstreams count may be any number."""
    return tokens if 0 <= tokens <= _MOST_TOKENS else None


def _bounded(value: Value) -> Value:
    if isinstance(value, tuple):
        return tuple(text[:_LONGEST] for text in value)
    return value[:_LONGEST] if isinstance(value, str) else value
