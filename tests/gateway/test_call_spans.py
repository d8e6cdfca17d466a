"""What is told of a call: its receipt in the words of OpenTelemetry's conventions."""

import pytest

from shoal.chat import Answer, Message, Request, Usage
from shoal.errors import (
    EngineRefused,
    EngineTimeout,
    ShoalError,
    StoreError,
    UnknownModel,
)
from shoal.formats.embeddings import EmbeddingRequest
from shoal.gateway.ended import Asked, Ended
from shoal.gateway.spans import Span, span_of
from shoal.routing.caller import ANYBODY
from shoal.routing.receipt import CACHE, OWN, Receipt, Tried

REQUEST = Request("gpt", (Message("user", "a secret"),))
RECEIPT = Receipt("c-1", 1_700.0, "gpt", "gpt", "no known task", provider="openai")
ANSWER = Answer("a secret", model="gpt-4o-mini-2024-07-18", usage=Usage(60, 20))
BODY = b'{"id":"chatcmpl-7","object":"chat.completion","choices":[{"message":{"content":"a"}}]}'


def told(
    receipt: Receipt = RECEIPT,
    answer: Answer | None = ANSWER,
    error: ShoalError | None = None,
    sent: bytes = BODY,
    request: Request = REQUEST,
    episode: str = "",
) -> Span:
    asked = Asked(request, ANYBODY, episode, "", 0.0)
    return span_of(Ended("chat", asked, receipt, answer, error, 0.1234, sent), 10**18, 2 * 10**18)


def test_an_answer_of_the_llm() -> None:
    span = told()
    assert (span.name, span.start, span.end) == ("chat gpt", 10**18, 2 * 10**18)
    assert (span.remote, span.failed, span.inner) == (True, False, ())
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt",
        "gen_ai.response.id": "chatcmpl-7",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 60,
        "gen_ai.usage.output_tokens": 20,
        "shoal.call_id": "c-1",
        "shoal.format": "chat",
        "shoal.answered_by": "gpt",
        "shoal.cached": False,
        "shoal.reason": "no known task",
        "shoal.overhead_ms": 0.123,
    }


def test_an_answer_of_a_specialist() -> None:
    tried = Tried("specialist/x", True, "enough", 0.93, 0.8, "c-9", 2.5, 1_700.25)
    small = Receipt(
        "c-1",
        1_700.0,
        "gpt",
        "specialist/x",
        "signal 0.93 reaches the threshold",
        "x",
        tried=(tried,),
        certificate="c-9",
        cost=0.0,
        llm_cost=0.004,
        llm_cost_estimated=True,
        provider=OWN,
    )
    span = told(small, Answer("a secret", model="specialist/x", usage=Usage()), sent=b"")
    assert span.attributes["gen_ai.provider.name"] == "shoal"
    assert span.attributes["gen_ai.response.model"] == "specialist/x"
    assert span.attributes["gen_ai.usage.output_tokens"] == 0
    assert span.attributes["shoal.task"] == "x"
    assert span.attributes["shoal.certificate"] == "c-9"
    assert span.attributes["shoal.cost_usd"] == 0.0
    assert span.attributes["shoal.llm_cost_usd"] == 0.004
    assert span.attributes["shoal.llm_cost_estimated"] is True
    assert span.inner == (
        Span(
            "ask specialist/x",
            1_700_250_000_000,
            1_700_252_500_000,
            {
                "shoal.answerer": "specialist/x",
                "shoal.accepted": True,
                "shoal.signal": 0.93,
                "shoal.threshold": 0.8,
                "shoal.certificate": "c-9",
                "shoal.reason": "enough",
            },
            remote=False,
        ),
    )


def test_who_was_asked_and_who_was_passed_over() -> None:
    tried = (
        Tried("specialist/x", False, "the certificate has lapsed", certificate="c-9"),
        Tried("gpt", False, "it said: a secret", latency_ms=5.0, at=1.0, error="upstream_timeout"),
        Tried("mini", True, "stands in for the LLM", latency_ms=7.0, at=1.005),
    )
    first, second = told(Receipt("c", 0.0, "gpt", "mini", "why", tried=tried)).inner
    assert (first.name, first.start, first.end) == ("ask gpt", 10**9, 1_005_000_000)
    assert (first.failed, first.remote) == (True, True)
    assert first.attributes == {
        "shoal.answerer": "gpt",
        "shoal.accepted": False,
        "error.type": "upstream_timeout",
    }
    assert (second.name, second.end, second.failed) == ("ask mini", 1_012_000_000, False)


def test_a_stream_lasts_until_the_call_has_ended() -> None:
    """Of its latency no more is known than when it began."""
    tried = (Tried("gpt", True, "the last rung: the LLM", latency_ms=7.0, at=1.0),)
    receipt = Receipt("c", 0.0, "gpt", "gpt", "why", tried=tried)
    streamed = Request("gpt", REQUEST.messages, stream=True)
    span = told(receipt, sent=b'data: {"id":"chatcmpl-8"}\n\n', request=streamed)
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.response.id"] == "chatcmpl-8"
    assert span.inner[0].end == span.end


def test_the_cache_uses_no_tokens() -> None:
    receipt = Receipt("c", 0.0, "gpt", CACHE, "gpt answered the same request", provider=OWN)
    found = told(receipt).attributes
    assert found["shoal.cached"] is True
    assert not [name for name in found if name.startswith("gen_ai.usage")]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, {}),
        (Usage(9, 2, estimated=True), {}),
        (
            Usage(9, 5, 4, 3, cache_write_tokens=1),
            {
                "input_tokens": 9,
                "output_tokens": 5,
                "cache_read.input_tokens": 4,
                "cache_creation.input_tokens": 1,
                "reasoning.output_tokens": 3,
            },
        ),
        (Usage(-1, 2**63), {}),
    ],
)
def test_only_what_was_counted_is_told(usage: Usage | None, expected: dict[str, int]) -> None:
    found = told(answer=Answer(model="up", usage=usage)).attributes
    start = "gen_ai.usage."
    counts = {k.removeprefix(start): v for k, v in found.items() if k.startswith(start)}
    assert counts == expected


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EngineTimeout("a secret"), "upstream_timeout"),
        (EngineRefused(429, b"a secret"), "429"),
        (StoreError("a secret"), "StoreError"),
    ],
)
def test_an_error_is_told_without_its_words(error: ShoalError, kind: str) -> None:
    span = told(answer=None, error=error)
    assert span.failed
    assert span.name == "chat gpt"
    assert span.attributes["error.type"] == kind
    assert "secret" not in repr(span)


def test_a_model_that_nobody_knows_names_no_span() -> None:
    span = told(answer=None, error=UnknownModel("no model named 'gpt'"))
    assert span.name == "chat"
    assert span.attributes["gen_ai.request.model"] == "gpt"


def test_an_answer_that_broke_off_has_no_finish_reason() -> None:
    broken = Answer("a", finish_reason="", complete=False)
    found = told(answer=broken, error=EngineTimeout("late")).attributes
    assert "gen_ai.response.finish_reasons" not in found


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b'{"type":"message","id":"msg_1","content":[{"text":"a"}]}', "msg_1"),
        (b'{"id":"resp_1","object":"response","output":[]}', "resp_1"),
        (b'event: message_start\ndata: {"message":{"id":"msg_2"}}\n\nevent: ping\n\n', "msg_2"),
        (b'event: response.created\ndata: {"response":{"id":"resp_2"}}\n\n', "resp_2"),
        (b'data: {"id":"","choices":[]}\n\n', None),
        (b'data: {"id":7}\n\n', None),
        (b"data: [DONE]\n\n", None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
def test_the_id_of_a_reply_in_any_format(sent: bytes, found: str | None) -> None:
    assert told(sent=sent).attributes.get("gen_ai.response.id") == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", None),
        ('{"type":"json_schema","json_schema":{}}', "json"),
        ('{"type":"json_object"}', "json"),
        ('{"type":"text"}', "text"),
        ('{"type":["odd"]}', None),
    ],
)
def test_the_kind_of_answer_that_was_asked_for(asked: str, found: str | None) -> None:
    request = Request("gpt", REQUEST.messages, response_format=asked)
    assert told(request=request).attributes.get("gen_ai.output.type") == found


def test_providers_are_called_as_the_conventions_call_them() -> None:
    names = {
        stated: told(Receipt("c", 0.0, "gpt", "gpt", "why", provider=stated)).attributes.get(
            "gen_ai.provider.name"
        )
        for stated in ("", "openai", "mistral", "together")
    }
    assert names == {"": None, "openai": "openai", "mistral": "mistral_ai", "together": "together"}


def test_an_episode_is_a_conversation() -> None:
    assert told(episode="morning").attributes["gen_ai.conversation.id"] == "morning"


def test_an_episode_that_was_linked_is_shoals_own_word() -> None:
    attributes = told(Receipt("c", 0.0, "gpt", "gpt", "why", episode="first")).attributes
    assert attributes["shoal.episode"] == "first"
    assert "gen_ai.conversation.id" not in attributes  # which is the application's to give


def test_texts_from_outside_are_cut() -> None:
    span = told(request=Request("m" * 100_000, ()), episode="e" * 100_000)
    assert len(span.name) == 505
    assert len(str(span.attributes["gen_ai.request.model"])) == 500
    assert len(str(span.attributes["gen_ai.conversation.id"])) == 500


def test_embeddings() -> None:
    asked = Asked(EmbeddingRequest("embed", ("a secret",)), ANYBODY, "", "", 0.0)
    receipt = Receipt("c", 0.0, "embed", "embed", "asked for", provider="openai")
    answer = Answer(model="embed", usage=Usage(7))
    span = span_of(Ended("embeddings", asked, receipt, answer, None, 0.1), 1, 2)
    assert span.name == "embeddings embed"
    assert span.attributes["gen_ai.operation.name"] == "embeddings"
    assert span.attributes["gen_ai.usage.input_tokens"] == 7
    assert "gen_ai.usage.output_tokens" not in span.attributes
    assert "gen_ai.response.finish_reasons" not in span.attributes
    assert "secret" not in repr(span)
