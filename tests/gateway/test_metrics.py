"""Figures, the access log, and what is ready: over HTTP."""

import json
import logging

import aiohttp
import pytest
from live import FakeDesk, running_gateway
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from shoal.chat import Answer, Request, Usage
from shoal.gateway.ended import Asked, Ended
from shoal.gateway.metrics import Metrics
from shoal.routing.caller import ANYBODY
from shoal.routing.health import Health
from shoal.routing.receipt import Receipt

ASKED = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}


async def figures(http: aiohttp.ClientSession, gateway: str) -> dict[str, float]:
    """Samples by name and labels, as Prometheus reads them."""
    async with http.get(f"{gateway}/metrics") as reply:
        assert reply.status == 200
        return parsed(await reply.text())


def parsed(text: str) -> dict[str, float]:
    return {
        " ".join([sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))]): float(
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_calls_are_counted(http: aiohttp.ClientSession, gateway: str) -> None:
    for asked in (ASKED, ASKED | {"stream": True}, ASKED | {"model": "nobody"}):
        async with http.post(f"{gateway}/v1/chat/completions", json=asked) as reply:
            await reply.read()
    found = await figures(http, gateway)
    task = next(name for name in found if "answered_by=echo" in name and "calls_total" in name)
    assert found[task] == 2
    assert "outcome=ok" in task
    assert found["shoal_calls_total answered_by=nobody format=chat outcome=error task=none"] == 1
    assert found["shoal_tokens_total kind=output model=echo"] == 2
    assert found["shoal_call_seconds_count answered_by=echo"] == 2
    assert found["shoal_calls_of_unknown_cost_total model=echo"] == 2
    assert found["shoal_healthy"] == 1


async def test_the_overhead_is_in_a_header(http: aiohttp.ClientSession, gateway: str) -> None:
    async with http.post(f"{gateway}/v1/chat/completions", json=ASKED) as reply:
        assert 0 < float(reply.headers["x-shoal-overhead-ms"]) < 1000


async def test_not_ready_while_nothing_can_be_recorded(
    http: aiohttp.ClientSession, gateway: str, desk: FakeDesk
) -> None:
    async with http.get(f"{gateway}/readyz") as reply:
        assert reply.status == 200
    desk.healthy = Health(False, {"store": {"backlog": 3, "dropped": 1}}, ready=False)
    async with http.get(f"{gateway}/readyz") as reply:
        assert reply.status == 503
    found = await figures(http, gateway)
    assert (found["shoal_healthy"], found["shoal_store_backlog"]) == (0, 3)


async def test_the_access_log_holds_nothing_of_what_was_said(
    http: aiohttp.ClientSession, desk: FakeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shoal.access")
    asked = {"model": "echo", "messages": [{"role": "user", "content": "a secret"}]}
    async with (
        running_gateway(desk, access_log=True) as url,
        http.post(f"{url}/v1/chat/completions", json=asked) as reply,
    ):
        await reply.read()
    (line,) = [record.message for record in caplog.records if record.name == "shoal.access"]
    assert json.loads(line)["answered_by"] == "echo"
    assert json.loads(line)["call"] == "call-1"
    assert "secret" not in line


def test_names_from_outside_do_not_grow_without_bound() -> None:
    metrics = Metrics(lambda: Health(True, {}))
    receipt = Receipt("c", 0.0, "m", "m", "", cost=0.5, llm_cost=0.75)
    asked, answer = Asked(Request("m", ()), ANYBODY, "", "", 0.0), Answer(usage=Usage(3, 1))
    for number in range(1_000):
        named = replace(receipt, task=f"task {number}", llm=f"model {number}")
        metrics.count(Ended("chat", asked, named, answer, None, 0.2))
    found = parsed(metrics.text().decode())
    assert len(found) < 2_500
    calls = [value for name, value in found.items() if name.startswith("shoal_calls_total")]
    assert sum(calls) == 1_000
    assert found["shoal_saved_usd_total task=other"] == pytest.approx(800 * 0.25)
