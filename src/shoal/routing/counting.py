"""The tokens that an answer took: as its provider counted them, else as its model's tokenizer does,
else reckoned from bytes.

A tokenizer knows the tokens of a text exactly. What a model's template puts around it (roles,
marks, how tools are written down) it does not know: that is reckoned at ``FRAME`` tokens for each
message, each call of a tool, and the beginning of the answer. Not counted is reasoning that nobody
is shown.
"""

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from shoal.chat import Answer, Request, ToolCall, Usage
from shoal.routing.estimate import (
    FRAME,
    asked_answers,
    expected_usage,
    not_text,
    reckoned_tokens,
)
from shoal.routing.tokenizer import Tokenizer

log = logging.getLogger(__name__)

MOST_CHARACTERS = 1_000_000  # of a call that are counted, half a second; the rest is reckoned


def is_told(answer: Answer) -> bool:
    """Whether a provider has counted all tokens of an answer."""
    usage = answer.usage
    return usage is not None and not usage.estimated


def characters(request: Request, answer: Answer) -> int:
    """How much there is to count."""
    return sum(map(len, _asked(request))) + sum(map(len, _said(answer)))


def counted_usage(
    request: Request, answer: Answer, tokenizer: Tokenizer | None = None
) -> Usage | None:
    """The tokens of an answer; marked as estimated unless all were told, or counted.

    Of a stream, a provider may have told the input and no more than the first of the output: then
    that is counted from what came. None if nothing came: whether it was worked on
    nobody knows.
    """
    told = answer.usage
    if told is not None and (not told.estimated or (answer.complete and tokenizer is None)):
        return told
    if told is None and not answer.complete and not any(_said(answer)):
        return None
    found = _counted(request, answer, tokenizer) if tokenizer else _reckoned(request, answer)
    if told is None:
        return found
    output = max(told.output_tokens, found.output_tokens)
    estimated = found.estimated or not any(_said(answer))
    return replace(told, output_tokens=output, estimated=estimated)


def counted_request(request: Request, tokenizer: Tokenizer | None = None) -> Usage:
    """The tokens of a request, of which there is no answer."""
    return _counted(request, Answer(), tokenizer) if tokenizer else expected_usage(request, 0)


def counted_texts(texts: Sequence[str], tokenizer: Tokenizer) -> Usage | None:
    """The tokens of texts that were embedded; None if they cannot be counted."""
    counter = _Counter(tokenizer)
    tokens = counter.count(texts, marked=True)
    return None if counter.failed else Usage(tokens, estimated=not counter.exact)


class _Counter:
    """Counts up to ``MOST_CHARACTERS`` of one call. ``exact`` says that all was counted."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._left = tokenizer, MOST_CHARACTERS
        self.exact, self.failed = True, False

    def count(self, texts: Sequence[str], marked: bool = False) -> int:
        counted, rest = [], []
        for text in filter(None, texts):
            counted.append(text[: self._left])
            rest.append(text[self._left :])
            self._left -= len(counted[-1])
        self.exact = self.exact and not any(rest)
        try:
            return self._tokenizer.count(counted, marked) + reckoned_tokens(rest)
        except ValueError as error:
            log.warning("tokens are reckoned, the tokenizer cannot count them: %s", error)
            self.exact, self.failed = False, True
            return reckoned_tokens(texts)


def _counted(request: Request, answer: Answer, tokenizer: Tokenizer) -> Usage:
    counter = _Counter(tokenizer)
    output = counter.count(_said(answer)) + FRAME * len(answer.tool_calls)
    asked = counter.count(_asked(request))
    calls = sum(len(message.tool_calls) for message in request.messages)
    frames = FRAME * (len(request.messages) + calls + 1)
    others, answers = not_text(request), asked_answers(request)
    hidden = any(block.sealed for block in answer.reasoning)
    exact = counter.exact and not others and not hidden and answers == 1
    return Usage(asked + frames + others, output * answers, estimated=not exact)


def _reckoned(request: Request, answer: Answer) -> Usage:
    output = reckoned_tokens(_said(answer)) * asked_answers(request)
    return replace(expected_usage(request, 0), output_tokens=output)


def _asked(request: Request) -> list[str]:
    texts = [request.tools, request.response_format]
    for message in request.messages:
        texts += [message.text, message.name, *_calls(message.tool_calls)]
        texts += [block.text for block in message.reasoning]
    return texts


def _said(answer: Answer) -> list[str]:
    texts = [answer.text, answer.refusal, *_calls(answer.tool_calls)]
    return texts + [block.text for block in answer.reasoning]


def _calls(calls: tuple[ToolCall, ...]) -> list[str]:
    return [text for call in calls for text in (call.name, call.arguments)]
