"""Stored plans of an agent, from the first run to being taken back, by real processes: a gateway, a
learner beside it, and a model behind HTTP that writes plans."""

import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from served_desk import Served, served, wait_for

from shoal.planning.options import plans_id
from shoal.storage import Store, StoreOptions

TASK = plans_id("desk")
SETTINGS = """
[models.planner]
engine = "remote"
base_url = "http://127.0.0.1:{port}/v1"
input_price = 1.0
output_price = 2.0

[agents.desk]
planner = "planner"

[learn]
every_s = 0.2
min_examples = 120
promote = "serve"
shadow_calls = 5

[tasks."plans:desk"]
alpha = 0.2
audit_rate = 1.0
"""


class Model:
    """Writes a plan for each goal; ``drifted``, another one than it used to."""

    def __init__(self) -> None:
        self.asked, self.drifted = 0, False

    def plan(self, goal: str) -> dict[str, Any]:
        self.asked += 1
        number = re.findall("[0-9]+", goal)[0]
        kind = "refund" if "refund" in goal else "order"
        value: Any = {kind: int(number)} if not self.drifted else {kind: int(number), "urgent": 1}
        return {"name": kind, "steps": [{"do": "answer", "id": "end", "value": value}]}


@contextmanager
def listening(model: Model) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            text = json.dumps(model.plan(asked["messages"][-1]["content"]))
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
            told = {"id": "x", "object": "chat.completion", "created": 1, "model": "planner-1"}
            body = json.dumps(told | {"choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def goal(at: int) -> str:
    asks = "please refund {}", "I want a refund of {}", "order {} for me", "could you order {} now"
    return asks[at % 4].format(100 + 7 * at)


def run(on: Served, at: int) -> str:
    body = {"model": "shoal/agent:desk", "messages": [{"role": "user", "content": goal(at)}]}
    asked = urllib.request.Request(
        f"{on.url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=30) as reply:
        return str(json.load(reply)["choices"][0]["message"]["content"])


def stage(store: Store) -> str:
    standing = store.standings.get(TASK)
    return standing.stage if standing else "observe"


@pytest.mark.slow
def test_from_the_first_run_to_being_taken_back(tmp_path: Path) -> None:
    model = Model()
    with listening(model) as port, served(tmp_path, settings=SETTINGS.format(port=port)) as on:
        for at in range(130):
            run(on, at)
        assert model.asked == 130
        with Store.open(StoreOptions(path=tmp_path / "shoal-data")) as store:
            wait_for(lambda: stage(store) == "shadow")
            for at in range(130, 145):
                run(on, at)
            wait_for(lambda: stage(store) == "serve")
            certificate = store.certificates.list(TASK)[0].id
            shadowed = store.audits.process(certificate).n
            assert shadowed >= 5

            for at in range(145, 155):
                assert json.loads(run(on, at)) == {goal_kind(at): 100 + 7 * at}
            stored = [one for one in store.runs.list(limit=10) if not one.tokens]
            assert len(stored) >= 8, "nearly all were recognised"
            wait_for(lambda: store.audits.process(certificate).n == shadowed + len(stored))
            assert store.audits.process(certificate).errors == 0

            model.drifted = True
            wait_for(lambda: run(on, 155) and stage(store) == "observe")
            newest = store.events.list(TASK)[0]
            assert (newest.kind, newest.by) == ("demoted", "audit")
            assert json.loads(run(on, 156))["urgent"] == 1, "the model plans again"


def goal_kind(at: int) -> str:
    return "refund" if "refund" in goal(at) else "order"
