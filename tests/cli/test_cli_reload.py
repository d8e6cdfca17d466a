"""``shoal.toml`` read again by a gateway that runs, under traffic."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from served_desk import SHOAL, Served, served, wait_for
from support_desk import request_of

from shoal.cli.pid_file import gateways, pid_file
from shoal.cli.reloading import Rereading
from shoal.config import Config, read_config


def body_of(number: int) -> dict[str, Any]:
    messages = request_of("department", number % 30).messages
    return {
        "model": "gpt",
        "messages": [{"role": each.role, "content": each.text} for each in messages],
        "stream": number % 3 == 0,
    }


async def talk(running: Served, stop: asyncio.Event, statuses: list[int]) -> None:
    """Ask until told to stop; whatever goes wrong with a call fails the test."""
    async with aiohttp.ClientSession() as session:
        turn = 0
        while not stop.is_set():
            url, body = f"{running.url}/v1/chat/completions", body_of(turn := turn + 1)
            async with session.post(url, json=body) as reply:
                text = await reply.text()
            assert "[DONE]" in text or not body["stream"]
            statuses.append(reply.status)


async def cost(running: Served) -> float:
    """What a call costs now."""
    async with aiohttp.ClientSession() as session:
        body = body_of(1)
        async with session.post(f"{running.url}/v1/chat/completions", json=body) as reply:
            call = reply.headers["x-shoal-call-id"]
        async with session.get(f"{running.url}/shoal/calls/{call}") as reply:
            found: float = (await reply.json())["receipt"]["cost"]
    return found


def reload(folder: Path) -> str:
    command = [SHOAL, "reload", "--config", str(folder / "shoal.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


async def test_twenty_reloads_under_traffic_drop_no_call(tmp_path: Path) -> None:
    with served(tmp_path, "--no-learn") as running:
        config = tmp_path / "shoal.toml"
        text = config.read_text()
        stop, statuses = asyncio.Event(), list[int]()
        talking = [asyncio.create_task(talk(running, stop, statuses)) for _ in range(6)]
        for number in range(1, 21):
            config.write_text(text.replace("input_price = 10.0", f"input_price = {number}.0"))
            os.kill(running.process.pid, signal.SIGHUP)
            await asyncio.to_thread(wait_for, lambda: running.log.count("reloaded; ") == number)  # noqa: B023
            assert await cost(running) == pytest.approx((60 * number + 3 * 100) / 1e6)
        stop.set()
        await asyncio.gather(*talking)
        assert set(statuses) == {200}
        assert len(statuses) > 100
        assert running.stop() == 0
        assert "Traceback" not in running.log
        assert "Unclosed" not in running.log


async def test_a_file_that_is_wrong_changes_nothing(tmp_path: Path) -> None:
    with served(tmp_path, "--no-learn") as running:
        config = tmp_path / "shoal.toml"
        text = config.read_text()
        price = await cost(running)
        for number, (wrong, told) in enumerate(
            (
                ("input_price = -1", "models.gpt.input_price: input should be"),
                ('[models.b]\nengine = "recorded"\npath = "no"', "/no: no such file"),
                ('[models.b]\nengine = "remote"\nbase_url = "http://x"\nkey_env = "NO"', "NO"),
                (
                    '[models.b]\nengine = "anthropic"\ntokenizer = "calls.jsonl"',
                    "/calls.jsonl: is damaged, or no tokenizer: ",
                ),
            ),
            1,
        ):
            changed = text.replace("input_price = 10.0", wrong)
            config.write_text(changed if number == 1 else f"{text}\n{wrong}")
            os.kill(running.process.pid, signal.SIGHUP)
            wait_for(lambda: running.log.count("not reloaded") == number)  # noqa: B023
            (line,) = [each for each in running.log.splitlines()[-1:] if "not reloaded" in each]
            assert told in line
        assert await cost(running) == price
        config.write_text(f"{text}\nmax_body_mb = 2.0\n".replace("port = ", "port = 1  # "))
        assert reload(tmp_path) == f"Told 1 gateway to read {config} again.\n"
        wait_for(lambda: "reloaded; " in running.log)
        assert "from the next start on: gateway.port, gateway.max_body_mb" in running.log


def test_what_nobody_foresaw_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else it would end the process that looks after all workers, or make one deaf to reloads."""
    file = tmp_path / "shoal.toml"
    file.write_text("")
    reading = Rereading(file, read_config(file), None)

    def fails(_: Config) -> None:
        raise RuntimeError("a library's own")

    assert reading.again(fails) is None
    assert "not reloaded, what was in force stays in force" in caplog.text
    assert "a library's own" in caplog.text
    assert reading.again(lambda config: config.gateway.port) == (read_config(file), 8400)


def test_a_learner_is_started_anew_for_settings_of_its_own(tmp_path: Path) -> None:
    with served(tmp_path, settings="[learn]\nevery_s = 0.2\n") as running:
        first = running.wait_for_learner()
        config = tmp_path / "shoal.toml"
        config.write_text(config.read_text() + 'promote = "shadow"\n')
        reload(tmp_path)
        assert running.wait_for_learner(other_than=first) != first
        wait_for(lambda: running.learners() != [first] and len(running.learners()) == 1)
        assert "starting again" not in running.log


def test_a_file_that_is_left_over_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "serve-1.pid").write_text("1\n")
    assert gateways(tmp_path) == []
    with pid_file(tmp_path):
        assert gateways(tmp_path) == [os.getpid()]
        assert not (tmp_path / "serve-1.pid").exists()
    assert gateways(tmp_path) == []
