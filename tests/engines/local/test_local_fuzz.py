"""Nothing that a caller sends ends the process that has the model loaded."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from local_models import TOOLS_TEMPLATE

from shoal.engines import LocalOptions
from shoal.engines.local.engine import LocalEngine
from shoal.errors import EngineError, RequestError
from shoal.formats.chat_completions import decode_request
from tiny_gguf import write_model

NUMBERS: SearchStrategy[object] = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
VALUES: SearchStrategy[object] = st.recursive(
    st.one_of(st.none(), NUMBERS, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = (
    "temperature", "top_p", "min_p", "top_k", "seed", "max_tokens", "max_completion_tokens",
    "n", "stop", "logprobs", "top_logprobs", "logit_bias", "presence_penalty",
    "frequency_penalty", "repeat_penalty", "grammar", "response_format", "tools",
    "tool_choice", "chat_template_kwargs", "stream_options", "repeat_last_n", "samplers",
    "mirostat", "id_slot", "lora", "cache_prompt", "n_probs", "json_schema", "n_predict",
)  # fmt: skip
WORDS = (
    "type", "properties", "items", "enum", "const", "anyOf", "oneOf", "allOf", "required",
    "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "pattern",
    "format", "$ref", "$defs", "additionalProperties", "prefixItems", "not",
)  # fmt: skip
TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
SCHEMAS: SearchStrategy[object] = st.recursive(
    st.one_of(
        st.builds(lambda kind: {"type": kind}, st.sampled_from(TYPES)),
        st.builds(
            lambda text: {"type": "string", "pattern": text}, st.text("^$()[]{}\\ab.*+?|-,19")
        ),
        st.builds(lambda values: {"enum": values}, st.lists(VALUES, max_size=4)),
        st.builds(
            lambda to: {"$ref": to}, st.sampled_from(["#", "#/$defs/a", "#/properties/a", ""])
        ),
        VALUES,
    ),
    lambda inner: st.dictionaries(
        st.sampled_from(WORDS),
        st.one_of(
            inner,
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            VALUES,
        ),
        min_size=1,
        max_size=4,
    ),
    max_leaves=10,
)
GRAMMARS = st.lists(
    st.sampled_from(
        (
            "root ::= ",
            "a ::= ",
            "root",
            "a",
            "(",
            ")",
            "[a-z]",
            "[^",
            "]",
            "|",
            "*",
            "+",
            "{2,",
            "}",
            '"x"',
            '"',
            "\n",
            " ",
            "\\x",
            "%llguidance",
            "é",
            "#",
        )
    ),
    max_size=25,
).map("".join)


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, object]:
    """Requests, most of whose fields make no sense."""
    text = draw(st.text(max_size=60))
    body: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": text}]}
    body |= draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
    if draw(st.booleans()):
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": draw(SCHEMAS)}}
        body["response_format"] = schema
    elif draw(st.booleans()):
        body["grammar"] = "root ::= " + draw(GRAMMARS)
    elif draw(st.booleans()):
        function = {"name": draw(st.text(max_size=8)), "parameters": draw(SCHEMAS)}
        body["tools"] = [{"type": "function", "function": function}]
        body["tool_choice"] = draw(st.sampled_from(["auto", "required", "none", 5]))
    return body


class Runner:
    """An event loop with an engine in it."""

    def __init__(self, path: Path) -> None:
        template = path.with_name("t.jinja")
        template.write_text(TOOLS_TEMPLATE)
        options = LocalOptions(
            engine="local", path=path, context_tokens=256, chat_template=str(template)
        )
        self.loop = asyncio.new_event_loop()
        self.engine = self.loop.run_until_complete(self._open(options))

    async def _open(self, options: LocalOptions) -> LocalEngine:
        return LocalEngine("m", options)

    def ask(self, body: dict[str, object]) -> None:
        """Ask it; what it refuses by an error of ours is well."""
        with suppress(RequestError, EngineError):
            request = decode_request(json.dumps(body).encode())
            self.loop.run_until_complete(asyncio.wait_for(self.engine.answer(request), 60))

    @property
    def pid(self) -> int:
        """Of the process that has the model."""
        self.ask({"model": "m", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1})
        use = self.engine.base.begin(None)
        assert use is not None
        self.engine.base.end(use)
        return use.child.pid


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    opened = Runner(write_model(tmp_path_factory.mktemp("fuzz") / "m.gguf"))
    yield opened
    opened.loop.run_until_complete(opened.engine.aclose())
    opened.loop.close()


@settings(max_examples=20)
@given(body=bodies())
def test_whatever_is_asked(runner: Runner, body: dict[str, object]) -> None:
    before = runner.pid
    runner.ask({"max_tokens": 8} | body)
    assert runner.pid == before


@pytest.mark.slow
@settings(max_examples=3_000)
@given(body=bodies())
def test_whatever_is_asked_often(runner: Runner, body: dict[str, object]) -> None:
    before = runner.pid
    runner.ask({"max_tokens": 8} | body)
    assert runner.pid == before


def nested(depth: int, kind: str) -> object:
    schema: dict[str, object] = {"type": "integer"}
    for _ in range(depth):
        if kind == "object":
            schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
        elif kind == "array":
            schema = {"type": "array", "items": schema}
        else:
            schema = {kind: [schema, {"type": "null"}]}
    return schema


LARGE: list[dict[str, object]] = [
    {"enum": [f"value {i}" for i in range(1_000)]},
    {"enum": [f"value {i}" for i in range(20_000)]},
    {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(150)}},
    {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(1_000)}},
    {"type": "string", "pattern": "^(a|b){0,2000}c{0,2000}$"},
    {"type": "string", "pattern": "^((((a{1,50}){1,50}){1,50}){1,50})$"},
    {"type": "string", "pattern": "(" * 5_000 + ")" * 5_000},
    {"type": "array", "items": {"type": "string", "minLength": 2_000}, "minItems": 2_000},
    *(
        {"allOf": [nested(depth, kind)]}
        for depth in (40, 5_000)
        for kind in ("object", "array", "anyOf")
    ),
]


@pytest.mark.parametrize("schema", LARGE)
def test_large_schemas(runner: Runner, schema: dict[str, object]) -> None:
    before = runner.pid
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}], "max_tokens": 4}
    try:
        runner.ask(body | {"response_format": form})
    except RecursionError:  # of json.dumps
        return
    assert runner.pid == before
