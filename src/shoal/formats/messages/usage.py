"""Counts of tokens and reasons to stop, in Anthropic's words and in Chat Completions'.

Anthropic counts input that was read from the cache or written to it beside ``input_tokens``.
"""

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import asdict, replace

from shoal.chat import Answer, Usage

_FINISH_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOP_REASONS = {"length": "max_tokens", "content_filter": "refusal"}


class _OutputDetails(Struct):
    thinking_tokens: int | None = None


class Counts(Struct):
    """Counts of tokens as they are sent; those of a stream's end replace those of its start."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None

    def updated(self, later: "Counts") -> "Counts":
        """These, with what ``later`` holds in place of them."""
        held = {name: count for name, count in asdict(later).items() if count is not None}
        return replace(self, **held)

    def usage(self, estimated: bool = False) -> Usage | None:
        """The same as data; None if there is nothing in them."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        details = self.output_tokens_details or _OutputDetails()
        return Usage(
            input_tokens=(self.input_tokens or 0) + read + written,
            output_tokens=self.output_tokens or 0,
            cached_tokens=read,
            reasoning_tokens=details.thinking_tokens or 0,
            estimated=estimated,
            cache_write_tokens=written,
        )


_COUNTS = msgspec.json.Decoder(Counts | None)


def decode_counts(raw: Raw) -> Counts:
    """Counts as they were sent; empty where there are none that can be read."""
    try:
        return _COUNTS.decode(raw) or Counts()
    except msgspec.DecodeError:
        return Counts()


def encode_usage(usage: Usage | None) -> dict[str, object]:
    """Counts as Anthropic writes them; the format wants some, so unknown ones are 0."""
    usage = usage or Usage()
    fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    counts: dict[str, object] = {
        "input_tokens": max(0, fresh),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return counts


def finish_reason(stop_reason: str | None) -> str:
    """Chat Completions' word for a reason to stop, "stop" for any other."""
    return _FINISH_REASONS.get(stop_reason or "", "stop")


def ending_of(answer: Answer) -> dict[str, object]:
    """The members of a message that tell why it ended."""
    refused = bool(answer.refusal) or answer.finish_reason == "content_filter"
    reason = _STOP_REASONS.get(answer.finish_reason, "end_turn")
    if refused:
        reason = "refusal"
    elif answer.tool_calls and reason == "end_turn":  # some servers say "stop" with their calls
        reason = "tool_use"
    ending: dict[str, object] = {"stop_reason": reason, "stop_sequence": None}
    if refused:
        said = answer.refusal or None
        ending["stop_details"] = {"type": "refusal", "category": None, "explanation": said}
    return ending
