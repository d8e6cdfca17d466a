"""Tokens that a provider did not count, counted by the tokenizer of the model that answered."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from keyword_desk import PRICES, SYSTEM, Clerk, ask, request_of, seen, serving, text_of
from msgspec.structs import replace

from shoal.assembly import Model, Models, Regime, Shoal
from shoal.assembly import counting as module
from shoal.assembly.counting import Counting
from shoal.assembly.shield import shield
from shoal.chat import Answer, Message, Request, Usage
from shoal.engines import AnthropicOptions, EchoOptions, RecordedOptions, RemoteOptions
from shoal.errors import ConfigError, EngineUnreachable
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.routing.tokenizer import Tokenizer
from shoal.storage import Store
from tiny_tokenizer import bytes_tokenizer, words_tokenizer, write

BYTES, WORDS = Tokenizer(bytes_tokenizer()), Tokenizer(words_tokenizer())
TEXT = text_of(0)  # about delivery
LONG = Request("gpt", (Message("user", "word " * 190_000),))


class Uncounted(Clerk):
    """An LLM whose provider counts no tokens."""

    async def answer(self, request: Request) -> Answer:
        return replace(await super().answer(request), usage=None)


@asynccontextmanager
async def desk_of(
    store: Store, *models: Model, audit_rate: float = 1e-12, privacy: PrivacyOptions | None = None
) -> AsyncIterator[Shoal]:
    promise = PromiseOptions(audit_rate=audit_rate)
    there = Models({model.name: model for model in models})
    async with Shoal(store, Regime(there, {}, promise, privacy)) as desk:
        yield desk


async def usage_of(desk: Shoal, request: Request) -> Usage:
    """As it is recorded."""
    handled, _ = await ask(desk, request)
    answer = (await seen(desk, handled.receipt.call_id)).answer
    assert answer is not None
    assert answer.usage is not None
    return answer.usage


async def test_a_call_is_priced_by_what_the_tokenizer_counts(store: Store) -> None:
    async with desk_of(store, Model("gpt", Uncounted(), PRICES, tokenizer=BYTES)) as desk:
        for stream in (False, True):
            usage = await usage_of(desk, request_of(TEXT, stream=stream))
            assert usage == Usage(len(SYSTEM + TEXT) + 3 * 4, len("delivery"))
        await desk.settle()
    (row,) = store.spend.list()
    assert (row.estimated, row.unpriced) == (0, 0)
    cost = (usage.input_tokens * 10 + usage.output_tokens * 100) / 1e6
    assert row.cost == pytest.approx(2 * cost)


async def test_a_stream_that_broke_off_is_counted_by_what_came(store: Store) -> None:
    async with desk_of(store, Model("gpt", Uncounted(), PRICES, tokenizer=BYTES)) as desk:
        handled = await desk.serve(request_of(TEXT, stream=True), "")
        came = Answer("deliv", model="gpt", complete=False, finish_reason="")
        receipt = await desk.finish(handled, came, "the client hung up")
        view = await seen(desk, receipt.call_id)
    assert view.answer is not None
    assert view.answer.usage == Usage(len(SYSTEM + TEXT) + 3 * 4, 5)


async def test_the_tokenizer_is_that_of_the_model_that_answered(store: Store) -> None:
    gone = Uncounted("gpt")
    gone.error = EngineUnreachable("gone", asked=False)
    first = Model("gpt", gone, PRICES, ("mini",), tokenizer=BYTES)
    second = Model("mini", Uncounted("mini"), PRICES, tokenizer=WORDS)
    async with desk_of(store, first, second) as desk:
        usage = await usage_of(desk, request_of(TEXT))
    assert usage == Usage(len(f"{SYSTEM} {TEXT}".split()) + 3 * 4, 1)


async def test_a_specialist_takes_no_tokens(store: Store) -> None:
    serving(store)
    async with desk_of(store, Model("gpt", Uncounted(), PRICES, tokenizer=BYTES)) as desk:
        assert await usage_of(desk, request_of(text_of(1))) == Usage()


async def test_audits_are_counted_too(store: Store) -> None:
    serving(store)
    llm = Model("gpt", Uncounted(), PRICES, tokenizer=BYTES)
    async with desk_of(store, llm, audit_rate=1.0) as desk:
        await ask(desk, request_of(TEXT))
        await desk.settle()
    (row,) = (row for row in store.spend.list("model") if row.group == "gpt")
    assert (row.audits, row.unpriced, row.estimated) == (1, 0, 0)
    assert row.audit_cost > 0


async def test_what_the_model_did_not_write_is_an_estimate(store: Store) -> None:
    """It saw placeholders, and what came back has the values in their place."""
    llm = Model("gpt", Uncounted(), PRICES, local=False, tokenizer=BYTES)
    rules = PrivacyOptions.model_validate({"redact": ["email"]})
    async with desk_of(store, llm, privacy=rules) as desk:
        assert not (await usage_of(desk, request_of(TEXT))).estimated
        asked = request_of(f"{TEXT} ann@example.org")
        usage = await usage_of(desk, asked)
    assert usage.estimated
    sent = (await shield(asked, rules)).outward
    assert usage.input_tokens == sum(len(message.text) for message in sent.messages) + 3 * 4


async def test_long_texts_are_counted_beside_the_event_loop() -> None:
    counting, model = Counting(), Model("gpt", Uncounted(), PRICES, tokenizer=BYTES)
    running = asyncio.create_task(counting.usage(LONG, Answer("x"), model, None))
    longest, last = 0.0, time.perf_counter()
    while not running.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert await running == Usage(5 * 190_000 + 2 * 4, 1)
    assert longest < 0.1
    counting.close()


async def test_no_more_wait_to_be_counted_than_can_be_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 2)
    counting, model = Counting(), Model("gpt", Uncounted(), PRICES, tokenizer=BYTES)
    some = [counting.usage(LONG, Answer("x"), model, None) for _ in range(5)]
    found = await asyncio.gather(*some)
    assert [usage.estimated for usage in found if usage] == [False, False, True, True, True]
    assert await counting.usage(LONG, Answer("x"), model, None) == found[0]
    counting.close()


async def test_models_open_their_tokenizers(tmp_path: Path) -> None:
    path = str(write(bytes_tokenizer(), tmp_path / "tokenizer.json"))
    (tmp_path / "calls.jsonl").touch()
    models = Models.open(
        {
            "a": RemoteOptions(engine="remote", base_url="http://x/v1", tokenizer=path),
            "b": AnthropicOptions(engine="anthropic", tokenizer=path),
            "c": RecordedOptions(engine="recorded", path=tmp_path / "calls.jsonl", tokenizer=path),
            "d": EchoOptions(engine="echo"),
        }
    )
    opened = [models.get(name).tokenizer for name in "abcd"]
    assert opened[0] is not None
    assert opened == [opened[0], opened[0], opened[0], None]
    await models.aclose()
    wrong = RemoteOptions(engine="remote", base_url="http://x/v1", tokenizer=str(tmp_path))
    with pytest.raises(ConfigError, match=r"^models\.gpt\.tokenizer: /.*: is a folder"):
        Models.open({"gpt": wrong})
