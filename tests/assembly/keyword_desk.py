"""A task of three keywords, a real specialist that learned it, and an LLM that knows it."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from shoal.assembly import Model, Models, Regime, Shoal
from shoal.assembly.handled import Handled
from shoal.assembly.record import CallView
from shoal.chat import Answer, Message, Request, Usage
from shoal.engines import EchoOptions, Engine, WrittenStream, open_engine
from shoal.errors import EngineError
from shoal.flywheel.finding import task_row
from shoal.flywheel.promotion import promote
from shoal.guarantees import Certificate, assumptions_of
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.cascade_options import CascadeOptions
from shoal.routing.judging import JudgingOptions
from shoal.routing.prices import Tariff
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card, TokenRates
from shoal.specialists.label import KIND, train_label
from shoal.specialists.specialist import Trained
from shoal.storage import CardRow, CertificateRow, Store
from shoal.tasks import Input, LabelContract, Pattern, Task, Template
from shoal.tasks.template import skeleton_of

SYSTEM = "Which department answers this? Say delivery, payments or returns."
KEYWORDS = {"returns": "broken lamp", "delivery": "late parcel", "payments": "wrong invoice"}
LABELS = tuple(sorted(KEYWORDS))
CONTRACT = LabelContract(LABELS)
UNCLEAR = "Hello?"
PRICES = Tariff(model="gpt", input=10.0, output=100.0)
NEVER = 1e-12  # an audit rate that draws no call
RATES = TokenRates(per_character=0.25, output=2.0)


def text_of(number: int) -> str:
    return f"Order {number}: the {KEYWORDS[LABELS[number % 3]]} again, what now?"


def request_of(text: str, model: str = "gpt", stream: bool = False, **params: Any) -> Request:
    messages = (Message("system", SYSTEM), Message("user", text))
    return Request(model, messages, stream=stream, params=msgspec.json.encode(params).decode())


TASK = Task(
    "t-department",
    "department",
    (
        Template(
            skeleton_of(request_of("")),
            (Pattern("system", (SYSTEM,)), Pattern("user", ("", ""))),
            ("message",),
        ),
    ),
    CONTRACT,
)


class Clerk:
    """An LLM that knows the keywords; it may be held up, may fail, and may take one label for
    another."""

    def __init__(self, name: str = "gpt") -> None:
        self.name = name
        self.asked: list[Request] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: EngineError | None = None
        self.mistakes: dict[str, str] = {}

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        text = request.messages[-1].text
        known = [label for label, words in KEYWORDS.items() if words in text]
        label = known[0] if known else "returns"
        said = self.mistakes.get(label, label)
        return Answer(said, model=self.name, usage=Usage(60, 2))

    async def stream(self, request: Request) -> WrittenStream:
        return WrittenStream(await self.answer(request))

    async def aclose(self) -> None: ...


@cache
def trained() -> Trained:
    """Learned from clear texts, and from some that say nothing, answered anyhow."""
    texts = [text_of(number) for number in range(90)]
    outputs = [LABELS[number % 3] for number in range(90)]
    texts += [f"{UNCLEAR} {'again ' * (number % 4)}" for number in range(24)]
    outputs += [LABELS[number % 3] for number in range(24)]
    return train_label(CONTRACT, [*map(Input, texts)], outputs, None, KIND.recipes[0])


@cache
def threshold() -> float:
    """Between what is clear and what is not."""
    specialist = trained().specialist
    clear = min(specialist.predict(Input(text_of(number))).signal for number in range(100, 130))
    unclear = specialist.predict(Input(UNCLEAR)).signal
    assert unclear < clear
    return (clear + unclear) / 2


def make_card(store: Store) -> Card:
    with tempfile.TemporaryDirectory() as folder:
        trained().specialist.save(Path(folder))
        artifact = store.artifacts.put(Path(folder))
    return Card(
        id="d-1",
        task=TASK.id,
        kind="label",
        recipe="terms",
        contract=CONTRACT,
        llm="gpt",
        encoder="",
        artifact=artifact,
        examples=114,
        agreement=0.9,
        data_digest="sha256:0a",
        trained_at=time.time(),
        cpu_seconds=0.1,
        rates=RATES,
    )


def make_certificate(lapses_in: float = 86_400.0) -> Certificate:
    now = time.time()
    return Certificate(
        id="c-1",
        task=TASK.name,
        specialist="d-1",
        alpha=0.05,
        confidence=0.95,
        delta_spent=0.01,
        attempt=1,
        threshold=threshold(),
        n=900,
        accepted=640,
        errors=12,
        risk_bound=0.031,
        coverage=0.711,
        coverage_low=0.68,
        coverage_high=0.74,
        reference="gpt",
        comparator="equal label",
        method="held-out",
        data_digest="sha256:0a",
        assumptions=assumptions_of("held-out", "gpt"),
        issued_at=now - 1,
        lapses_at=now + lapses_in,
    )


def certify(store: Store, certificate: Certificate | None = None) -> Card:
    """Write task, card and certificate, as the examiner does."""
    card, certificate = make_card(store), certificate or make_certificate()
    row = CertificateRow(
        id=certificate.id,
        task=TASK.id,
        card=card.id,
        alpha=certificate.alpha,
        spec=certificate.to_json(),
        issued_at=certificate.issued_at,
    )
    card_row = CardRow(
        id=card.id, task=TASK.id, spec=msgspec.json.encode(card), created_at=card.trained_at
    )
    with store.database.transaction() as conn:
        store.tasks.put(conn, task_row(TASK, time.time(), time.time()))
        store.cards.insert(conn, card_row)
        store.certificates.insert(conn, row, certificate.served_labels)
    return card


def serving(store: Store, certificate: Certificate | None = None) -> Card:
    """Certify, and have it serve."""
    card = certify(store, certificate)
    promote(store, TASK.id, "serve", "test", "for a test")
    return card


def models(*engines: Engine) -> Models:
    return Models({engine.name: Model(engine.name, engine, PRICES) for engine in engines})


@asynccontextmanager
async def open_desk(
    store: Store,
    *engines: Engine,
    audit_rate: float = NEVER,
    promises: Mapping[str, PromiseOptions] | None = None,
    cascade: CascadeOptions | None = None,
    judging: JudgingOptions | None = None,
) -> AsyncIterator[Shoal]:
    default = PromiseOptions(audit_rate=audit_rate)
    own = {} if judging is None else {TASK.name: judging}
    regime = Regime(models(*engines), promises or {}, default, cascade=cascade, judging=own)
    async with Shoal(store, regime) as desk:
        yield desk


def echo() -> Engine:
    """An LLM that never agrees with the specialist."""
    return open_engine("gpt", EchoOptions(engine="echo"))


async def ask(
    desk: Shoal, request: Request, episode: str = "", caller: Caller = ANYBODY
) -> tuple[Handled, Answer]:
    """What the gateway does with a request: serve, pass on, finish."""
    handled = await desk.serve(request, episode, caller)
    if handled.stream is not None:
        async for _ in handled.stream:
            pass
        answer = handled.stream.answer
    else:
        assert handled.answer is not None
        answer = handled.answer
    await desk.finish(handled, answer, "")
    return handled, answer


async def seen(desk: Shoal, call_id: str) -> CallView:
    return msgspec.json.decode(await desk.call(call_id), type=CallView)
