"""Whatever JSON a caller sends, halves of characters and all: no error of Shoal's own making."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from fake_keys import FakeKeys
from hypothesis import given, settings
from hypothesis import strategies as st
from live import FakeDesk

from shoal.engines import EchoOptions, open_engine
from shoal.gateway import GatewayOptions, create_app

CHAT, FEEDBACK = "/v1/chat/completions", "/shoal/feedback"
texts = st.sampled_from(
    ["\ud83d", "\ude00", "a\ud83d", "\ude00\ud83d", "😀", "echo", ""]
) | st.text(st.characters(), max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
message = st.fixed_dictionaries(
    {"role": st.just("user") | values, "content": texts | values},
    optional={"name": texts, "tool_calls": values, "\ud83d": values},
)
chat = st.fixed_dictionaries(
    {"model": st.just("echo") | values, "messages": st.lists(message | values, max_size=3)},
    optional={"stream": st.booleans() | values, "tools": values, "\ud83d": values, "user": texts},
)
feedback = st.fixed_dictionaries(
    {"call_id": texts | values},
    optional={"verdict": st.just("right") | values, "answer": texts | values, "\ud83d": values},
)


@st.composite
def bodies(draw: st.DrawFn, shape: st.SearchStrategy[Any]) -> bytes:
    """JSON text, whose strings may hold half a pair as an escape, or as three bytes of no UTF-8;
    a key may come twice."""
    value = draw(shape | values)
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()) and isinstance(value, dict):
        text = text[:-1] + ',"\\ud83d":1,"\\ud83d":2}'
    return text.encode(errors="surrogatepass")


def asked(method: str, path: bytes, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of the reply; what the application lets through fails the test."""
    app = create_app(
        FakeDesk(open_engine("echo", EchoOptions(engine="echo"))), GatewayOptions(), FakeKeys()
    )
    scope = {
        "type": "http",
        "method": method,
        "path": path.decode(errors="replace"),  # as uvicorn reads it
        "raw_path": quote_from_bytes(path).encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def talk() -> None:
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> MutableMapping[str, Any]:
            return waiting.pop() if waiting else await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await app(scope, receive, send)

    asyncio.run(talk())
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def check(status: int, reply: bytes) -> None:
    assert status < 500
    if status >= 400:
        assert set(json.loads(reply)["error"]) == {"message", "type", "param", "code"}


@settings(max_examples=150, deadline=None)
@given(bodies(chat))
def test_any_chat(body: bytes) -> None:
    check(*asked("POST", CHAT.encode(), body))


@settings(max_examples=150, deadline=None)
@given(bodies(feedback))
def test_any_feedback(body: bytes) -> None:
    check(*asked("POST", FEEDBACK.encode(), body))


@settings(max_examples=50, deadline=None)
@given(texts.map(lambda text: text.encode(errors="surrogatepass")) | st.binary(max_size=9))
def test_any_name(name: bytes) -> None:
    check(*asked("GET", b"/v1/models/" + name))
    check(*asked("GET", b"/shoal/calls/" + name))


@pytest.mark.parametrize("field", ["call_id", "answer", "verdict"])
def test_half_a_character_in_feedback(field: str) -> None:
    given = {"call_id": "a", "answer": "b"} | {field: "\ud83d"}
    status, reply = asked("POST", FEEDBACK.encode(), json.dumps(given).encode())
    assert status == 400
    assert b"half of a surrogate pair" in reply
