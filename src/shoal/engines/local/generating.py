"""Text from a loaded model without an event loop: for specialists and training, in a thread."""

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from shoal.chat import Usage
from shoal.engines.local.base_model import Adapter, BaseModel, Use
from shoal.engines.local.schemas import check_grammar, check_schema
from shoal.errors import EngineTimeout, EngineUnreachable, MalformedRequest


class Token(Struct, frozen=True):
    """A token of an answer: its text, its log-probability given what stands before, and what else
    was likely there."""

    text: str
    logprob: float
    others: tuple[tuple[str, float], ...] = ()


class Generated(Struct, frozen=True):
    """What a model wrote; ``finish_reason`` "length" if it was cut off. ``tokens`` are empty unless
    they were asked for."""

    text: str
    finish_reason: str
    usage: Usage
    tokens: tuple[Token, ...] = ()

    @property
    def logprob(self) -> float:
        """Of the whole text: the sum over its tokens."""
        return sum(token.logprob for token in self.tokens)


def generate(
    base: BaseModel,
    prompt: str | Sequence[Mapping[str, object]],
    adapter: Adapter | None = None,
    *,
    max_tokens: int = 256,
    temperature: float = 0.0,
    seed: int | None = None,
    stop: Sequence[str] = (),
    schema: Mapping[str, object] | None = None,
    grammar: str = "",
    alternatives: int = 0,
    timeout_s: float = 300.0,
) -> Generated:
    """What ``base`` writes after ``prompt``: a text as it stands, or messages (Chat Completions'
    dictionaries) in the model's chat template. Blocks until it is whole.

    ``schema`` or ``grammar`` (GBNF) is what the text is held to; ``alternatives`` > 0 has it tell
    its tokens, each with at most so many others.

    Raises:
        MalformedRequest, Untranslatable: the prompt is too long, or schema or grammar are not to be
            had.
        EngineError: it cannot be loaded, is busy, or did not answer.
        MissingExtra: ``xllamacpp`` is not installed.
    """
    body: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stop": list(stop),
        "seed": seed,
    }
    if schema is not None:
        check_schema(msgspec.json.encode(schema), "schema")
        body["json_schema"] = schema
    if grammar:
        check_grammar(grammar, "grammar")
        body["grammar"] = grammar
    chat = not isinstance(prompt, str)
    body["messages" if chat else "prompt"] = list(prompt) if chat else prompt
    if alternatives > 0:
        body |= (
            {"logprobs": True, "top_logprobs": alternatives} if chat else {"logprobs": alternatives}
        )
    path = "/v1/chat/completions" if chat else "/v1/completions"
    with base.used(adapter) as use:
        return _read(base, _asked(base, use, path, body, timeout_s))


def _asked(base: BaseModel, use: Use, path: str, body: dict[str, Any], timeout_s: float) -> bytes:
    adapters = [
        {"id": index, "scale": float(index == use.adapter)} for index in range(use.adapters)
    ]
    whole = {name: value for name, value in body.items() if value is not None} | {
        "lora": adapters,
        "cache_prompt": not adapters,
    }
    try:
        status, reply = use.child.ask("POST", path, msgspec.json.encode(whole), timeout_s)
    except TimeoutError:
        base.end_if_stuck(use.child)
        raise EngineTimeout(f"{base.name}: no answer within {timeout_s:g} s") from None
    except (OSError, http.client.HTTPException):
        raise EngineUnreachable(f"{base.name}: the model's process has ended") from None
    if status != 200:
        raise MalformedRequest(f"{base.name}: {said_in(reply)}")
    return reply


def said_in(reply: bytes) -> str:
    """What a reply says went wrong."""
    try:
        return str(json.loads(reply)["error"]["message"])[:600]
    except (ValueError, KeyError, TypeError):
        return reply[:200].decode(errors="replace")


def _read(base: BaseModel, reply: bytes) -> Generated:
    try:
        told = json.loads(reply)
        choice, usage = told["choices"][0], told["usage"]
        written = choice["text"] if "text" in choice else choice["message"]["content"]
        tokens = tuple(_token(one) for one in (choice.get("logprobs") or {}).get("content") or ())
        return Generated(
            written or "",
            choice["finish_reason"] or "stop",
            Usage(usage["prompt_tokens"], usage["completion_tokens"]),
            tokens,
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise EngineUnreachable(f"{base.name}: the reply holds no text: {error!r}") from None


def _token(told: dict[str, Any]) -> Token:
    others = tuple((one["token"], one["logprob"]) for one in told.get("top_logprobs", ()))
    return Token(told["token"], told["logprob"], others)
