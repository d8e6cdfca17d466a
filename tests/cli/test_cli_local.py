"""``shoal serve`` with a model of its own: a file on this machine, asked in every wire format."""

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_desk import Served, children, command, is_alive, served, wait_for

from shoal.assembly import Models
from shoal.config import read_config
from shoal.errors import ConfigError

pytest.importorskip("xllamacpp", reason="needs the extra local")

from tiny_gguf import write_adapter, write_model, write_parrot

MODELS = """
[models.parrot]
engine = "local"
path = "parrot.gguf"
[models.base]
engine = "local"
path = "base.gguf"
[models.writer]
engine = "adapter"
base = "base"
path = "writer.gguf"
"""
MESSAGES = [{"role": "user", "content": "hi"}]
ASKED = {
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 9},
    "/v1/responses": {"input": MESSAGES, "max_output_tokens": 9},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 9},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("local")
    write_parrot(folder / "parrot.gguf", "Yes, i'm.")
    write_model(folder / "base.gguf")
    write_adapter(folder / "writer.gguf")
    with served(folder, "--no-learn", settings=MODELS) as running:
        yield running
        assert running.stop() in (0, -signal.SIGTERM)
        assert "Traceback" not in running.log


def post(gateway: Served, path: str, body: dict[str, object]) -> tuple[bytes, str]:
    """The reply, and who answered."""
    sent = json.dumps(body).encode()
    request = urllib.request.Request(gateway.url + path, sent, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return reply.read(), reply.headers.get("x-shoal-answered-by", "")


def said(path: str, reply: Any) -> str:
    """The text of a whole answer."""
    if path.endswith("completions"):
        return str(reply["choices"][0]["message"]["content"])
    if path.endswith("responses"):
        return str(reply["output"][0]["content"][0]["text"])
    return str(reply["content"][0]["text"])


def streamed(path: str, reply: bytes) -> str:
    """The text of a stream."""
    text = ""
    for line in reply.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        if path.endswith("completions"):
            text += "".join(one["delta"].get("content") or "" for one in event["choices"])
        elif event["type"] in ("response.output_text.delta",):
            text += event["delta"]
        elif event["type"] == "content_block_delta":
            text += event["delta"]["text"]
    return text


@pytest.mark.parametrize("path", ASKED)
def test_whole_and_streamed_in_every_format(gateway: Served, path: str) -> None:
    reply, by = post(gateway, path, {"model": "parrot", **ASKED[path]})
    assert by == "parrot"
    told = json.loads(reply)
    assert said(path, told) == "Yes, i'm."
    assert told["model"] == "parrot"
    reply, _ = post(gateway, path, {"model": "parrot", "stream": True, **ASKED[path]})
    assert streamed(path, reply) == "Yes, i'm."
    assert b"shoal:" not in reply
    reply, _ = post(gateway, path, {"model": "writer", **ASKED[path]})
    assert json.loads(reply)["model"] == "writer"


@pytest.mark.parametrize("path", ASKED)
def test_errors_are_in_the_callers_format(gateway: Served, path: str) -> None:
    bad = {"model": "base", **ASKED[path], "temperature": -5}
    with pytest.raises(urllib.error.HTTPError) as refusal:
        post(gateway, path, bad)
    assert refusal.value.code == 400
    assert "temperature: expected from 0 to 100" in refusal.value.read().decode()


def test_a_call_costs_nothing_and_its_tokens_are_counted(gateway: Served) -> None:
    body = {"model": "parrot", **ASKED["/v1/chat/completions"]}
    usage = json.loads(post(gateway, "/v1/chat/completions", body)[0])["usage"]
    assert usage["completion_tokens"] == 9
    told, _ = post(gateway, "/v1/messages/count_tokens", {"model": "parrot", "messages": MESSAGES})
    assert json.loads(told)["input_tokens"] == usage["prompt_tokens"]


def test_a_model_that_dies_takes_nothing_with_it(gateway: Served) -> None:
    body = {"model": "parrot", **ASKED["/v1/chat/completions"]}
    post(gateway, "/v1/chat/completions", body)
    running = [pid for pid in children(gateway.process.pid) if b"host.py" in command(pid)]
    assert running
    for pid in running:
        os.kill(pid, signal.SIGSEGV)
        wait_for(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]
    assert said("completions", json.loads(post(gateway, "/v1/chat/completions", body)[0]))
    assert gateway.get("/healthz")["status"] == "ok"


def test_a_file_that_is_damaged_is_refused_at_the_start(tmp_path: Path) -> None:
    whole = write_model(tmp_path / "whole.gguf").read_bytes()
    (tmp_path / "parrot.gguf").write_bytes(whole[:-1_000])
    (tmp_path / "shoal.toml").write_text(MODELS)
    with pytest.raises(ConfigError, match=r"models\.parrot\.path: .*parrot.gguf: is truncated"):
        Models.open(read_config(tmp_path / "shoal.toml").models)
