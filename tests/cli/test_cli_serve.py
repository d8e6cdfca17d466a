"""``shoal serve`` as people run it: the executable, real callers, and signals."""

import asyncio
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from served_desk import SHOAL, Served, is_alive, served, wait_for
from support_desk import LABELS, request_of

from shoal.storage import Store, StoreOptions
from tiny_tokenizer import bytes_tokenizer, write

FAST = "[learn]\nevery_s = 0.2\n"
DURABLE = "[store]\ndurable = true\n"


def asked(number: int) -> list[ChatCompletionMessageParam]:
    system, user = request_of("department", number).messages
    return [
        {"role": "system", "content": system.text},
        {"role": "user", "content": user.text},
    ]


def run_shoal(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SHOAL, *args], capture_output=True, text=True, timeout=20, check=False)


def stored_ids(folder: Path) -> set[str]:
    with Store.open(StoreOptions(path=folder / "shoal-data")) as store:
        return {call.id for page in store.calls.pages() for call in page}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), "--no-learn") as running:
        yield running


@pytest.fixture
def client(gateway: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_an_official_client_is_answered(gateway: Served, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="gpt", messages=asked(1), extra_headers={"x-shoal-episode": "morning"}
    )
    completion = raw.parse()
    assert completion.choices[0].message.content == LABELS[1]
    assert completion.usage is not None
    assert completion.usage.total_tokens == 63
    assert raw.headers["x-shoal-answered-by"] == "gpt"
    assert raw.headers["x-shoal-reason"] == "no known task"
    call = gateway.get(f"/shoal/calls/{raw.headers['x-shoal-call-id']}")
    assert call["episode"] == "morning"
    assert call["answer"]["text"] == LABELS[1]
    assert call["request"]["messages"][1]["text"] == request_of("department", 1).messages[1].text
    assert call["receipt"]["llm"] == "gpt"
    assert call["receipt"]["cost"] == pytest.approx((60 * 10 + 3 * 100) / 1e6)


def test_an_official_client_is_streamed_to(gateway: Served, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="gpt", messages=asked(2), stream=True
    )
    chunks = list(raw.parse())
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(pieces) == LABELS[2]
    call = gateway.get(f"/shoal/calls/{raw.headers['x-shoal-call-id']}")
    assert call["answer"]["text"] == LABELS[2]
    assert call["request"]["stream"] is True


def test_errors_and_their_calls(gateway: Served, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no model named 'none'"):
        client.chat.completions.create(model="none", messages=asked(0))
    with pytest.raises(openai.NotFoundError, match="holds no answer to this request") as caught:
        client.chat.completions.create(model="gpt", messages=asked(999))
    call = gateway.get(f"/shoal/calls/{caught.value.response.headers['x-shoal-call-id']}")
    assert "holds no answer" in call["error"]
    assert [model.id for model in client.models.list()] == ["gpt"]


def test_a_second_learner_is_refused_and_a_stop_ends_both(tmp_path: Path) -> None:
    with served(tmp_path, settings=FAST) as running:
        learner = running.wait_for_learner()
        wait_for((tmp_path / "shoal-data" / "learner.lock").exists)
        second = run_shoal("learn", "--config", str(tmp_path / "shoal.toml"))
        assert second.returncode == 1
        assert "another learner works on this store" in second.stderr
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
            create = client.chat.completions.with_raw_response.create
            replies = [create(model="gpt", messages=asked(number)) for number in range(20)]
        assert running.stop() == 0
        assert not is_alive(learner)
        assert "Traceback" not in running.log
    assert stored_ids(tmp_path) == {reply.headers["x-shoal-call-id"] for reply in replies}


def test_a_second_gateways_learner_stands_by_and_takes_over(tmp_path: Path) -> None:
    shared = f'[store]\npath = "{tmp_path}/data"\n'
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with served(folders[0], settings=FAST + shared) as first:
        wait_for((tmp_path / "data" / "learner.lock").exists)
        wait_for(lambda: lock_is_held(tmp_path / "data"))
        with served(folders[1], settings=FAST + shared) as second:
            learner = second.wait_for_learner()
            wait_for(lambda: "standing by" in second.log)
            time.sleep(7)  # longer than a learner that has ended waits to be started again
            assert second.learners() == [learner]
            assert second.log.count("another learner") == 1
            assert "starting again" not in second.log
            assert first.stop() == 0
            wait_for(lambda: "taking over" in second.log)
            assert lock_is_held(tmp_path / "data")
            assert second.learners() == [learner]
            refused = run_shoal("learn", "--config", str(folders[1] / "shoal.toml"))
            assert "another learner works on this store" in refused.stderr
            assert second.stop() == 0
            assert not is_alive(learner)
            assert "Traceback" not in first.log + second.log


def test_a_learner_that_stands_by_stops_with_its_gateway(tmp_path: Path) -> None:
    (tmp_path / "shoal-data").mkdir()
    with (tmp_path / "shoal-data" / "learner.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for number, status in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
            with served(tmp_path, settings=FAST) as running:
                learner = running.wait_for_learner()
                wait_for(lambda: "standing by" in running.log)  # called at once
                began = time.monotonic()
                assert running.stop(number) == status
                wait_for(lambda: not is_alive(learner))  # noqa: B023
                assert time.monotonic() - began < 30  # the machine may be busy
                assert "taking over" not in running.log


def lock_is_held(folder: Path) -> bool:
    with (folder / "learner.lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("[learn]\nevery_s = inf", "learn.every_s: input should be a number of at most"),
        ("[gateway]\nmax_body_mb = 1e308", "gateway.max_body_mb: input should be"),
        (f"[store]\nkeep_days = {'9' * 5000}", "cannot be read: a number is too long"),
        ('[models."\\u001b[31m"]\nengine = "echo"', "models: a name should be text"),
        ('[models."\\u001b[31m"]\nengine = 1', r"models.\x1b[31m: "),
        ('[gateway]\nhost = "a..localhost"', "gateway.host: "),
    ],
)
def test_a_wrong_setting_is_told_in_a_line(tmp_path: Path, settings: str, told: str) -> None:
    (tmp_path / "shoal.toml").write_text(settings)
    failed = run_shoal("serve", "--config", str(tmp_path / "shoal.toml"))
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"shoal: {tmp_path}/shoal.toml: {told}")
    assert failed.stderr.count("\n") == 1
    assert not (tmp_path / "shoal-data").exists()


def test_a_models_name_steers_no_terminal(tmp_path: Path) -> None:
    name = r"\u202ered[bold]"
    model = f'[models."{name}"]\nengine = "echo"\n'
    with served(tmp_path, "--no-learn", settings=model) as running:
        assert r"for: gpt, \u202ered[bold]" in running.log


@pytest.mark.slow
def test_a_learner_is_there_as_long_as_its_gateway(tmp_path: Path) -> None:
    with served(tmp_path, settings=FAST) as running:
        first = running.wait_for_learner()
        os.kill(first, signal.SIGKILL)
        learner = running.wait_for_learner(other_than=first)
        assert running.get("/healthz")["status"] == "ok"
        assert running.learners() == [learner]
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_for(lambda: not is_alive(learner))


def test_a_damaged_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    with served(tmp_path, "--no-learn") as running:
        assert running.stop() == 0
    database = tmp_path / "shoal-data" / "shoal.db"
    assert not database.with_name("shoal.db-wal").exists()  # it was closed
    content = bytearray(database.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    database.write_bytes(content)
    failed = run_shoal("serve", "--config", str(tmp_path / "shoal.toml"))
    assert failed.returncode == 1
    assert "the database is damaged" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert database.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tokenizer.json", "is damaged, or no tokenizer: "),
        ("none.json", "no such file"),
        ("folder", "is a folder; expected a tokenizer.json"),
        ("shoal.toml", "is damaged, or no tokenizer: "),
    ],
)
def test_a_tokenizer_that_cannot_be_read_is_told_in_a_line(
    tmp_path: Path, name: str, told: str
) -> None:
    whole = write(bytes_tokenizer(), tmp_path / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder").mkdir()
    remote = 'engine = "remote"\nbase_url = "http://127.0.0.1:9/v1"'
    config = tmp_path / "shoal.toml"
    config.write_text(f'[models.gpt]\n{remote}\ntokenizer = "{name}"\n')
    failed = run_shoal("serve", "--no-learn", "--config", str(config))
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"shoal: models.gpt.tokenizer: {tmp_path / name}: {told}")
    assert failed.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_told(gateway: Served, tmp_path: Path) -> None:
    (tmp_path / "shoal.toml").write_text(f"[gateway]\nport = {gateway.port}\n")
    failed = run_shoal("serve", "--no-learn", "--config", str(tmp_path / "shoal.toml"))
    assert failed.returncode == 1
    assert f"cannot listen on 127.0.0.1:{gateway.port}" in failed.stderr


async def talk(running: Served, acknowledged: list[str], turn: int) -> None:
    """Ask until the gateway is gone, noting each call whose whole answer has come."""
    async with aiohttp.ClientSession() as session:
        while True:
            body = {"model": "gpt", "messages": asked(turn % 30), "stream": turn % 3 == 0}
            try:
                async with session.post(f"{running.url}/v1/chat/completions", json=body) as reply:
                    text = await reply.text()
            except (aiohttp.ClientError, ConnectionError):
                return
            assert reply.status == 200
            if not body["stream"] or "[DONE]" in text:
                acknowledged.append(reply.headers["x-shoal-call-id"])
            turn += 1


async def test_a_kill_during_traffic_loses_no_acknowledged_call(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with served(tmp_path, "--no-learn", settings=DURABLE) as running:
        talking = [asyncio.create_task(talk(running, acknowledged, n)) for n in range(8)]
        async with asyncio.timeout(30):
            while len(acknowledged) < 200:  # noqa: ASYNC110  # the callers are to be interrupted
                await asyncio.sleep(0.005)
            running.process.kill()
            await asyncio.gather(*talking)
    assert len(set(acknowledged)) == len(acknowledged) >= 200
    assert set(acknowledged) <= stored_ids(tmp_path)
