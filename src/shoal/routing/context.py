"""What fits into a model's context: known before any money is spent on what cannot be answered.

Only what is surely too long is refused: tokens are reckoned low here. The rest the upstream judges.
"""

import re
from functools import lru_cache

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from shoal.chat import Message, Request
from shoal.errors import ContextLengthExceeded
from shoal.routing.estimate import asked_output, expected_usage

_MOST_BYTES_A_TOKEN = 6  # English prose has 4 to 5; blanks, which may have 80, are counted once
_BLANKS = re.compile(r"\s+")


@lru_cache(maxsize=1024)
def listed_window(model: str, provider: str | None) -> int | None:
    """The context of a model in tokens, as the public price list has it; None if it has none."""
    try:
        return calc_price(PricedUsage(), model_ref=model, provider_id=provider).model.context_window
    except (LookupError, ValueError):
        return None


def check_context(request: Request, name: str, window: int | None) -> None:
    """See that a request fits into the ``window`` (tokens) of the model ``name``, together with the
    output that it asks for. None: it may.

    Raises:
        ContextLengthExceeded: it surely does not.
    """
    if window is None:
        return
    output = asked_output(request) or 0
    if expected_usage(request, 0).input_tokens + output <= window:  # reckoned high, and quickly
        return
    least = _least_input(request)
    if least + output > window:
        raise ContextLengthExceeded(name, window, least, output)


def _least_input(request: Request) -> int:
    """Tokens of input, reckoned low; pictures and other files count for nothing."""
    texts = [request.tools, request.response_format]
    for message in request.messages:
        texts += _texts(message)
    size = sum(len(_BLANKS.sub(" ", text).encode(errors="replace")) for text in texts)
    return size // _MOST_BYTES_A_TOKEN + len(request.messages)


def _texts(message: Message) -> list[str]:
    return [message.text, *(call.arguments for call in message.tool_calls)]
