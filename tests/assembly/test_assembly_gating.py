"""Mixtures at Shoal's desk: who answers, and what the receipt says of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from keyword_desk import PRICES, TASK, Clerk, ask, certify, request_of, seen, text_of

from shoal.assembly import Model, Models, Regime, Shoal
from shoal.assembly.gating import member_for, opening
from shoal.assembly.mixture import Mixture, open_mixture
from shoal.chat import Message, Request
from shoal.encoder import Encoder
from shoal.engines import (
    AdapterOptions,
    EchoOptions,
    Engine,
    EngineOptions,
    LocalOptions,
    MixtureEngine,
    MixtureOptions,
)
from shoal.errors import ConfigError, EngineUnreachable
from shoal.flywheel.promotion import promote
from shoal.routing.gate import Gate, gate_text, learn_gate
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store
from tiny_encoder import TinyEncoder

POEM = "Write a poem about the sea and its waves, please, verse {}."


def gate_of(encoder: TinyEncoder) -> Gate:
    """Knows the task's calls and poems."""
    calls = {
        "department": [gate_text(request_of(text_of(number))) for number in range(40)],
        "poems": [gate_text(poem(number)) for number in range(40)],
    }
    return learn_gate(encoder.digest, {k: encoder.encode(v) for k, v in calls.items()})[0]


def poem(number: int) -> Request:
    return Request("desk", (Message("user", POEM.format(number)),))


def mixture(clerks: dict[str, Clerk], gate: Gate | None = None, file: bool = False) -> Mixture:
    engine = MixtureEngine("desk", cast(dict[str, Engine], clerks), "base")
    return Mixture(engine, {"department": "triage", "poems": "poet"}, gate, file)


@asynccontextmanager
async def desk(
    store: Store, gate: Gate | None = None, file: bool = False, fallback: bool = False
) -> AsyncIterator[tuple[Shoal, dict[str, Clerk]]]:
    certify(store)
    clerks = {name: Clerk(name) for name in ("base", "triage", "poet", "other")}
    found = mixture({name: clerks[name] for name in ("base", "triage", "poet")}, gate, file)
    models = {name: Model(name, clerk, PRICES) for name, clerk in clerks.items()}
    after = ("other",) if fallback else ()
    models["desk"] = Model("desk", found.engine, PRICES, after, mixture=found)
    regime = Regime(Models(models), {}, PromiseOptions(audit_rate=1e-12))
    async with Shoal(store, regime, cast(Encoder, TinyEncoder())) as shoal:
        yield shoal, clerks


def asked(clerks: dict[str, Clerk]) -> dict[str, int]:
    return {name: len(clerk.asked) for name, clerk in clerks.items() if clerk.asked}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_known_task_goes_to_its_member(store: Store, streamed: bool) -> None:
    async with desk(store) as (shoal, clerks):
        handled, answer = await ask(shoal, request_of(text_of(0), "desk", stream=streamed))
        view = await seen(shoal, handled.receipt.call_id)
    assert (answer.text, answer.model) == ("delivery", "triage")
    assert asked(clerks) == {"triage": 1}
    receipt = view.receipt
    assert (receipt.llm, receipt.answered_by) == ("desk", "desk")
    said = "triage answers for desk: the task department is given to it"
    assert receipt.reason.startswith(said)
    assert [one.reason for one in receipt.tried] == [said]


async def test_what_is_of_no_task_goes_by_the_gate(store: Store) -> None:
    async with desk(store, gate_of(TinyEncoder()), True) as (shoal, clerks):
        handled, _ = await ask(shoal, poem(99))
        assert asked(clerks) == {"poet": 1}
        assert "of no task; most like the task poems" in handled.receipt.reason
        handled, _ = await ask(shoal, Request("desk", (Message("user", "2 + 2?"),)))
        assert asked(clerks) == {"poet": 1, "base": 1}
        assert "nothing learned is like it" in handled.receipt.reason


@pytest.mark.parametrize(
    ("file", "said"), [(False, "no gate is set"), (True, "no gate has been learned yet")]
)
async def test_without_a_gate_the_default_answers(store: Store, file: bool, said: str) -> None:
    async with desk(store, None, file) as (shoal, clerks):
        handled, _ = await ask(shoal, poem(1))
    assert asked(clerks) == {"base": 1}
    assert said in handled.receipt.reason


async def test_another_encoder_than_the_gates(store: Store) -> None:
    gate = gate_of(TinyEncoder(digest="1" * 64))
    async with desk(store, gate, True) as (shoal, clerks):
        handled, _ = await ask(shoal, poem(1))
    assert asked(clerks) == {"base": 1}
    assert "another encoder" in handled.receipt.reason


async def test_a_tool_loop_stays_with_its_member(store: Store) -> None:
    first = request_of(text_of(0), "desk")
    later = (
        Message("assistant", "I look."),
        Message("tool", "Poem, waves, sea.", tool_call_id="1"),
    )
    loop = Request("desk", (*first.messages, *later))
    assert opening(loop).messages == first.messages
    assert opening(first) is first
    async with desk(store, gate_of(TinyEncoder()), True) as (shoal, clerks):
        await ask(shoal, loop)
    assert asked(clerks) == {"triage": 1}


async def test_a_member_that_fails_has_the_mixtures_fallback(store: Store) -> None:
    async with desk(store, fallback=True) as (shoal, clerks):
        clerks["triage"].error = EngineUnreachable("triage: gone")
        handled, _ = await ask(shoal, request_of(text_of(0), "desk"))
    assert handled.receipt.answered_by == "other"
    assert handled.receipt.reason == "desk could not answer, other stands in for it"


async def test_a_mixture_learns_as_one_model(store: Store) -> None:
    """Its calls are the task's examples, whoever of it answered: the specialist shadows it."""
    async with desk(store) as (shoal, _):
        promote(store, TASK.id, "shadow", "test", "for a test")
        await shoal.reload()
        handled, _ = await ask(shoal, request_of(text_of(0), "desk"))
        assert handled.answerer is handled.model
        await shoal.settle()


async def test_it_may_be_one_of_several_that_agree() -> None:
    clerks = {name: Clerk(name) for name in ("base", "triage", "poet")}
    found = mixture(clerks)
    model = Model("desk", found.engine, PRICES, mixture=found)
    assert member_for(model, "department").engine is clerks["triage"]
    assert member_for(model, "nobody's").engine is clerks["base"]
    plain = Model("plain", clerks["base"], PRICES)
    assert member_for(plain, "department") is plain
    said = await found.engine.answer(request_of(text_of(1)))
    assert said.model == "base"


KNOWN: dict[str, EngineOptions] = {
    "base": LocalOptions.model_validate({"engine": "local", "path": "b"}),
    "one": AdapterOptions.model_validate({"engine": "adapter", "base": "base", "path": "1"}),
    "two": AdapterOptions.model_validate({"engine": "adapter", "base": "base", "path": "2"}),
    "odd": AdapterOptions.model_validate({"engine": "adapter", "base": "b2", "path": "3"}),
    "echo": EchoOptions(engine="echo"),
}
ENGINES = cast(dict[str, Engine], {name: Clerk(name) for name in KNOWN})


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"of": ["one", "odd"]}, "models.desk.of: expected adapters on one base, found those on"),
        ({"of": ["one", "echo"]}, "expected names of adapters (one, two, odd) or of their base"),
        ({"of": ["one", "none"]}, "found 'none'"),
        ({"of": ["one"], "default": "two"}, "models.desk.default: expected one of its members"),
        ({"of": ["one"], "tasks": {"t": "two"}}, "models.desk.tasks.t: expected one of its"),
    ],
)
def test_what_is_no_mixture_is_refused(stated: dict[str, object], said: str) -> None:
    options = MixtureOptions.model_validate({"engine": "mixture", **stated})
    with pytest.raises(ConfigError) as refusal:
        open_mixture("desk", options, KNOWN, ENGINES)
    assert said in str(refusal.value)


def test_the_base_answers_all_else_unless_another_is_named() -> None:
    options = MixtureOptions.model_validate({"engine": "mixture", "of": ["one", "two"]})
    assert open_mixture("desk", options, KNOWN, ENGINES).engine.default == "base"
    named = options.model_copy(update={"default": "two"})
    assert open_mixture("desk", named, KNOWN, ENGINES).engine.default == "two"


async def test_a_strategy_asks_the_member(store: Store) -> None:
    async with desk(store) as (shoal, clerks):
        handled, answer = await ask(shoal, request_of(text_of(0), "desk+vote:3"))
    assert answer.text == "delivery"
    assert set(asked(clerks)) == {"triage"}
    assert "triage answers for desk: the task department" in handled.receipt.reason
