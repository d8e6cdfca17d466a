"""What a specialist writes goes out in every wire format, plain and streamed, and is explained."""

import json
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pytest
from fake_keys import FakeKeys
from live import running_gateway

from shoal.assembly import Model, Models, Regime, Shoal
from shoal.chat import Message, Request
from shoal.encoder import Encoder
from shoal.engines import EchoOptions, open_engine
from shoal.flywheel.finding import task_row
from shoal.flywheel.promotion import promote
from shoal.guarantees import Certificate, assumptions_of
from shoal.routing.prices import Tariff
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.specialists.senses import Senses
from shoal.specialists.text import TextSpecialist
from shoal.specialists.writing.sureness import Sureness
from shoal.storage import CardRow, CertificateRow, Store, StoreOptions
from shoal.tasks import Pattern, Task, Template, TextContract
from shoal.tasks.template import skeleton_of
from tiny_checkpoint import make_tensors, tiny_checkpoint
from tiny_writer import tiny_decoders, tiny_vocabulary

SYSTEM = "Say where to go."
ASKED = Request("llm", (Message("system", SYSTEM), Message("user", "")))
TASK = Task(
    "t-way",
    "way",
    (
        Template(
            skeleton_of(ASKED),
            (Pattern("system", (SYSTEM,)), Pattern("user", ("", ""))),
            ("message",),
        ),
    ),
    TextContract(),
)
WRITTEN = "go to Oslo;"


def writer(encoder: Encoder) -> TextSpecialist:
    name, arrays = "embeddings.LayerNorm.bias", tiny_decoders(encoder.dim)
    vocabulary = encoder.weights.architecture().vocabulary
    arrays[f"encoder/{name}"] = make_tensors(vocabulary)[name].astype(np.float16)
    return TextSpecialist(TASK.contract, arrays, tiny_vocabulary(), 20, Sureness(), Senses(encoder))


def serve(store: Store, encoder: Encoder) -> None:
    """Write task, card and certificate, and have the specialist serve."""
    with tempfile.TemporaryDirectory() as folder:
        writer(encoder).save(Path(folder))
        artifact = store.artifacts.put(Path(folder))
    now = time.time()
    card = Card(
        "w-1",
        TASK.id,
        "text",
        "tuned",
        TASK.contract,
        "llm",
        encoder.digest,
        artifact,
        300,
        0.9,
        "d",
        now,
        1.0,
    )
    certificate = Certificate(
        id="c-1",
        task=TASK.name,
        specialist=card.id,
        alpha=0.05,
        confidence=0.95,
        delta_spent=0.01,
        attempt=1,
        threshold=0.5,
        n=900,
        accepted=640,
        errors=12,
        risk_bound=0.031,
        coverage=0.711,
        coverage_low=0.68,
        coverage_high=0.74,
        reference="llm",
        comparator="equal text",
        method="held-out",
        data_digest="d",
        assumptions=assumptions_of("held-out", "llm"),
        issued_at=now - 1,
        lapses_at=now + 3_600,
    )
    row = CertificateRow(
        id="c-1",
        task=TASK.id,
        card=card.id,
        alpha=0.05,
        spec=certificate.to_json(),
        issued_at=now - 1,
    )
    with store.database.transaction() as conn:
        store.tasks.put(conn, task_row(TASK, now, now))
        store.cards.insert(
            conn, CardRow(id=card.id, task=TASK.id, spec=msgspec.json.encode(card), created_at=now)
        )
        store.certificates.insert(conn, row, certificate.served_labels)
    promote(store, TASK.id, "serve", "test", "for a test")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[str]:
    encoder = Encoder(tiny_checkpoint(tmp_path / "weights"), tmp_path / "cache")
    llm = Model("llm", open_engine("llm", EchoOptions(engine="echo")), Tariff())
    with Store.open(StoreOptions(path=tmp_path / "data")) as store:
        serve(store, encoder)
        regime = Regime(Models({"llm": llm}), {}, PromiseOptions(audit_rate=1e-12))
        async with Shoal(store, regime, encoder) as desk, running_gateway(desk, FakeKeys()) as url:
            yield url


CHAT = {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Oslo"}]}
RESPONSES = {"instructions": SYSTEM, "input": "Oslo"}
MESSAGES = {"system": SYSTEM, "messages": [CHAT["messages"][1]], "max_tokens": 100}


def chat_text(body: Any) -> str:
    return str(body["choices"][0]["message"]["content"])


def responses_text(body: Any) -> str:
    return "".join(p["text"] for item in body["output"] for p in item.get("content", ()))


def messages_text(body: Any) -> str:
    return "".join(part["text"] for part in body["content"])


WIRES = {
    "/v1/chat/completions": (CHAT, chat_text),
    "/v1/responses": (RESPONSES, responses_text),
    "/v1/messages": (MESSAGES, messages_text),
}


def streamed_text(lines: str) -> str:
    """The pieces of text, whichever format they came in."""
    said = ""
    for line in lines.splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line.removeprefix("data: "))
        for choice in event.get("choices", ()):
            said += choice["delta"].get("content") or ""
        delta = event.get("delta")
        if event.get("type") == "response.output_text.delta":
            said += delta
        if event.get("type") == "content_block_delta":
            said += delta["text"]
    return said


@pytest.mark.parametrize("wire", WIRES)
async def test_it_answers_in_every_format(place: str, wire: str) -> None:
    body, text_of = WIRES[wire]
    async with aiohttp.ClientSession() as http:
        async with http.post(place + wire, json={"model": "llm", **body}) as reply:
            assert reply.status == 200
            assert text_of(await reply.json()) == WRITTEN
            assert reply.headers["x-shoal-answered-by"] == "specialist/way"
        asked = {"model": "llm", "stream": True, **body}
        async with http.post(place + wire, json=asked) as reply:
            assert streamed_text((await reply.read()).decode()) == WRITTEN


async def test_it_passes_on_what_it_is_not_sure_of_and_tells_why(place: str) -> None:
    unsure = "Oslo Rome Lima Bern Riga Doha"
    asked = {"model": "llm", "messages": [CHAT["messages"][0], {"role": "user", "content": unsure}]}
    async with aiohttp.ClientSession() as http:
        async with http.post(place + "/v1/chat/completions", json=asked) as reply:
            assert chat_text(await reply.json()) != WRITTEN
            assert reply.headers["x-shoal-answered-by"] == "llm"
        async with http.post(
            place + "/v1/chat/completions", json={"model": "llm", **CHAT}
        ) as reply:
            call = reply.headers["x-shoal-call-id"]
        async with http.get(f"{place}/shoal/calls/{call}?why=true") as reply:
            told = json.dumps(await reply.json())
    assert '"Oslo"' in told
