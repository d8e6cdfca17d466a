"""``shoal serve`` with a collector: every worker tells of its own calls."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from served_desk import SHOAL, Served, children, command, served, wait_for
from support_desk import request_of

from otlp_receiver import Receiver, running_receiver

ON = '[tracing]\nsample = 1.0\nendpoint = "{}"\n'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


def ask(running: Served, number: int) -> str:
    """The id of a call, over a connection of its own, so that any worker may take it."""
    messages = [{"role": m.role, "content": m.text} for m in request_of("department", 1).messages]
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="gpt",
            messages=messages,  # type: ignore[arg-type]
            stream=number % 2 == 0,
        )
        raw.parse()
    return str(raw.headers["x-shoal-call-id"])


def test_each_worker_tells_of_its_own_calls(tmp_path: Path, receiver: Receiver) -> None:
    settings = "workers = 2\n" + ON.format(receiver.url)
    with served(tmp_path, "--no-learn", settings=settings) as running:
        workers = {pid for pid in children(running.process.pid) if b"--worker" in command(pid)}
        calls = [ask(running, number) for number in range(30)]
        assert running.stop() == 0
        assert "Traceback" not in running.log
    assert sorted(str(span.attributes["shoal.call_id"]) for span in receiver.roots) == sorted(calls)
    assert {span.resource["process.pid"] for span in receiver.roots} <= workers
    for root in receiver.roots:
        (asked,) = receiver.within(root)
        assert (asked.name, asked.failed) == ("ask gpt", False)
        assert root.start - 0.001 <= asked.start <= asked.end <= root.end + 0.001
        assert root.attributes["shoal.cost_usd"] == pytest.approx((60 * 10 + 3 * 100) / 1e6)


def test_a_gateway_stops_though_its_collector_is_gone(tmp_path: Path) -> None:
    with served(tmp_path, "--no-learn", settings=ON.format("http://127.0.0.1:9")) as running:
        ask(running, 1)
        assert running.stop() == 0
        assert "spans were not all sent within 3 s" in running.log
        assert "Traceback" not in running.log
        assert "Fatal" not in running.log


def test_what_counts_from_the_next_start_on(tmp_path: Path) -> None:
    with served(tmp_path, "--no-learn") as running:
        config = tmp_path / "shoal.toml"
        config.write_text(config.read_text() + ON.format("http://127.0.0.1:9"))
        os.kill(running.process.pid, signal.SIGHUP)
        wait_for(lambda: "reloaded; " in running.log)
        assert "from the next start on: tracing.sample, tracing.endpoint" in running.log


def test_without_the_extra_it_does_not_start(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "opentelemetry"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ImportError('not installed')")
    config = tmp_path / "shoal.toml"
    config.write_text("[gateway]\nport = 0\n" + ON.format("http://127.0.0.1:9"))
    failed = subprocess.run(
        [SHOAL, "serve", "--no-learn", "--config", config],
        env=os.environ | {"PYTHONPATH": f"{missing.parent}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert failed.returncode == 1
    said = "shoal: tracing (tracing.sample) needs an optional part: pip install 'shoal[otel]'"
    assert failed.stderr.splitlines()[-1] == said
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sample = 2", "tracing.sample: input should be less than or equal to 1"),
        ("sample = -0.1", "tracing.sample: input should be greater than or equal to 0"),
        ('endpoint = "localhost:4318"', "tracing.endpoint: value error, expected an http or https"),
        ("rate = 1", "tracing.rate: extra inputs are not permitted"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, setting: str, said: str) -> None:
    config = tmp_path / "shoal.toml"
    config.write_text(f"[tracing]\n{setting}\n")
    command = [SHOAL, "serve", "--no-learn", "--config", config]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode == 1
    (line,) = failed.stderr.splitlines()
    assert said in line
