"""What a call may cost at most, before anybody has counted its tokens."""

import re

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Request, Usage
from shoal.routing.prices import Tariff
from shoal.specialists.card import TokenRates

_BYTES_A_TOKEN = 3  # prose has 4 to 5, code 3, so most texts have fewer tokens than this says
_A_MESSAGE = 4  # tokens that its frame takes
_A_PART = 1_600  # tokens of an image, or another part that is not text
_NOT_TEXT = re.compile(r'"type"\s*:\s*"(?!text|input_text|output_text)')
_MOST_CHOICES = 128


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


def expected_usage(request: Request, assumed_output: int, rates: TokenRates | None = None) -> Usage:
    """The tokens a request is reckoned to take at most.

    Input is estimated from its bytes, or by its task's own ``rates``; output is what the request
    allows, else ``assumed_output``, for each of the answers asked for.
    """
    asked = _limits(request)
    limit = asked.limit
    output = assumed_output if limit is None else limit
    choices = min(max(asked.n or 1, 1), _MOST_CHOICES)
    return Usage(_input(request, rates), output * choices, estimated=True)


def asked_output(request: Request) -> int | None:
    """The tokens that a request allows an answer; None if it does not say."""
    return _limits(request).limit


def upper_cost(
    request: Request, tariff: Tariff, assumed_output: int, rates: TokenRates | None = None
) -> float | None:
    """USD that a call may cost at most by that; None if the price is unknown."""
    return tariff.cost(expected_usage(request, assumed_output, rates))


def counted_usage(request: Request, answer: Answer) -> Usage | None:
    """The tokens of an answer: as its provider counted them, else an estimate.

    Of a stream that broke off, a provider may have told the input and no more than the first of the
    output: then that is estimated from what came. None if nothing came: whether it was worked on
    nobody knows.
    """
    told = answer.usage
    if told is not None and (answer.complete or not told.estimated):
        return told
    guess = _guessed(request, answer)
    if told is None and not answer.complete and not guess.output_tokens:
        return None
    if told is None:
        return guess
    return replace(told, output_tokens=max(told.output_tokens, guess.output_tokens))


def _guessed(request: Request, answer: Answer) -> Usage:
    """From bytes, for there is no tokenizer for every model."""
    said = [answer.text, answer.refusal, *(call.arguments for call in answer.tool_calls)]
    said += [block.text for block in answer.reasoning]
    output = -(-sum(len(text.encode()) for text in said) // _BYTES_A_TOKEN)
    return Usage(_input(request, None), output, estimated=True)


def _limits(request: Request) -> _Asked:
    try:
        return _asked.decode(request.params)
    except msgspec.DecodeError:  # a field of another type: whoever answers will say so
        return _Asked()


def _input(request: Request, rates: TokenRates | None) -> int:
    messages = request.messages
    others = sum(len(_NOT_TEXT.findall(message.parts)) for message in messages if message.parts)
    if rates is not None and not others:
        return round(sum(len(message.text) for message in messages) * rates.per_character)
    size = len(request.tools.encode()) + len(request.response_format.encode())
    for message in messages:
        size += len(message.text.encode())
        size += sum(len(call.name) + len(call.arguments.encode()) for call in message.tool_calls)
    return -(-size // _BYTES_A_TOKEN) + _A_MESSAGE * len(messages) + _A_PART * others
