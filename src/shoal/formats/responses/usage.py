"""Counts of tokens; Responses counts as Shoal does, cached tokens among the input's."""

import msgspec
from msgspec import Raw, Struct

from shoal.chat import Usage


class _InputDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


_USAGE = msgspec.json.Decoder(_Usage | None)


def decode_usage(raw: Raw) -> Usage | None:
    """The counts; None where the provider gave none, or none that can be read."""
    try:
        wire = _USAGE.decode(raw)
    except msgspec.DecodeError:
        return None
    if wire is None or (wire.input_tokens is None and wire.output_tokens is None):
        return None
    inputs = wire.input_tokens_details or _InputDetails()
    outputs = wire.output_tokens_details or _OutputDetails()
    return Usage(
        input_tokens=wire.input_tokens or 0,
        output_tokens=wire.output_tokens or 0,
        cached_tokens=inputs.cached_tokens or 0,
        reasoning_tokens=outputs.reasoning_tokens or 0,
        cache_write_tokens=inputs.cache_write_tokens or 0,
    )


def encode_usage(usage: Usage | None) -> dict[str, object] | None:
    """The counts as Responses writes them."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
