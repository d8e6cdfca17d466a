"""What a call may cost at most, before anybody has counted its tokens."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from shoal.chat import Message, Request, Usage
from shoal.routing.prices import Tariff
from shoal.specialists.card import TokenRates

_BYTES_A_TOKEN = 3  # prose has 4 to 5, code 3, so most texts have fewer tokens than this says
FRAME = 4  # tokens around a message: its role, and marks of where it begins and ends
_A_PART = 1_600  # tokens of an image, or another part that is not text
_TEXTS = ("text", "input_text", "output_text")
_MOST_CHOICES = 128
_FRAMES = 100  # tokens that providers put around a conversation
_LONGEST_ANSWER = 16_384  # tokens


class _Part(Struct):
    """One part of a message's content."""

    type: str = ""


class _Asked(Struct):
    """Fields of ``Request.params`` that say how long the answer may be, whatever the format."""

    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None

    @property
    def limit(self) -> int | None:
        """Tokens that one answer may have; None if that is not said."""
        limits = (self.max_completion_tokens, self.max_tokens, self.max_output_tokens)
        return next((limit for limit in limits if limit is not None and limit >= 0), None)


_asked = msgspec.json.Decoder(_Asked)
_parts = msgspec.json.Decoder(list[_Part])


def expected_usage(request: Request, assumed_output: int, rates: TokenRates | None = None) -> Usage:
    """The tokens a request is reckoned to take at most.

    Input is estimated from its bytes, or by its task's own ``rates``; output is what the request
    allows, else ``assumed_output``, for each of the answers asked for.
    """
    limit = _limits(request).limit
    output = assumed_output if limit is None else limit
    return Usage(_input(request, rates), output * asked_answers(request), estimated=True)


def tokens_at_most(request: Request) -> int:
    """The tokens that a request takes at most, whatever the tokenizer: none is less than a byte of
    UTF-8, but for texts that a tokenizer first makes longer (NFKC, in some older ones). Where the
    request allows any length an answer is taken to have at most 16,384; an image has what is
    usual."""
    limit = _limits(request).limit
    output = _LONGEST_ANSWER if limit is None else limit
    frames = _FRAMES + FRAME * len(request.messages)
    return _bytes(request) + frames + not_text(request) + output * asked_answers(request)


def asked_output(request: Request) -> int | None:
    """The tokens that a request allows an answer; None if it does not say."""
    return _limits(request).limit


def upper_cost(
    request: Request, tariff: Tariff, assumed_output: int, rates: TokenRates | None = None
) -> float | None:
    """USD that a call may cost at most by that; None if the price is unknown."""
    return tariff.cost(expected_usage(request, assumed_output, rates))


def asked_answers(request: Request) -> int:
    """How many answers a request asks for: choices."""
    return min(max(_limits(request).n or 1, 1), _MOST_CHOICES)


def reckoned_tokens(texts: Sequence[str]) -> int:
    """About how many tokens texts have, for there is no tokenizer for every model."""
    return -(-sum(len(text.encode(errors="replace")) for text in texts) // _BYTES_A_TOKEN)


def not_text(request: Request) -> int:
    """About how many tokens the images of a request have, and its other parts that are not text."""
    return _A_PART * sum(_others(message) for message in request.messages if message.parts)


def _limits(request: Request) -> _Asked:
    try:
        return _asked.decode(request.params)
    except msgspec.DecodeError:  # a field of another type: whoever answers will say so
        return _Asked()


def _input(request: Request, rates: TokenRates | None) -> int:
    messages = request.messages
    others = not_text(request)
    if rates is not None and not others:
        return round(sum(len(message.text) for message in messages) * rates.per_character)
    return -(-_bytes(request) // _BYTES_A_TOKEN) + FRAME * len(messages) + others


def _bytes(request: Request) -> int:
    size = len(_utf8(request.tools)) + len(_utf8(request.response_format))
    for message in request.messages:
        size += len(_utf8(message.text))
        size += sum(
            len(_utf8(call.name)) + len(_utf8(call.arguments)) for call in message.tool_calls
        )
    return size


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _others(message: Message) -> int:
    """How many parts of a message are not text; what stands within a part is none."""
    try:
        return sum(part.type not in _TEXTS for part in _parts.decode(message.parts))
    except msgspec.DecodeError:  # of another shape: whoever answers will say so
        return 1
