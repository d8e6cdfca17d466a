"""``shoal serve`` with a mixture: two adapters on one tiny base behind one name."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Desk
from served_desk import Served, served

from shoal.chat import Message, Request
from shoal.config import read_config
from shoal.flywheel.finding import task_row
from shoal.storage import Store, StoreOptions
from shoal.tasks import Pattern, Task, Template, TextContract
from shoal.tasks.template import skeleton_of

pytest.importorskip("xllamacpp", reason="needs the extra local")

from tiny_gguf import write_adapter, write_model

MODELS = """
[models.base]
engine = "local"
path = "base.gguf"
[models.one]
engine = "adapter"
base = "base"
path = "one.gguf"
[models.two]
engine = "adapter"
base = "base"
path = "two.gguf"
[models.desk]
engine = "mixture"
of = ["one", "two"]
tasks = { dates = "one", units = "two" }
gate = "desk.gate.json"
"""
RULES = {"dates": "Write the date as in ISO 8601.", "units": "Convert to metres."}


def task(name: str) -> Task:
    """A task whose calls have these rules and any text."""
    rules = RULES[name]
    messages = (Message("system", rules), Message("user", ""))
    patterns = (Pattern("system", (rules,)), Pattern("user", ("", "")))
    template = Template(skeleton_of(Request("desk", messages)), patterns, ("text",))
    return Task(f"t-{name}", name, (template,), TextContract())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("mixture")
    write_model(folder / "base.gguf")
    write_adapter(folder / "one.gguf", 1)
    write_adapter(folder / "two.gguf", 2)
    options = StoreOptions(path=folder / "shoal-data")
    with Store.open(options) as store, store.database.transaction() as conn:
        for name in RULES:
            store.tasks.put(conn, task_row(task(name), time.time(), time.time()))
    with served(folder, "--no-learn", settings=MODELS) as running:
        yield running


def post(gateway: Served, model: str, rules: str, **more: object) -> tuple[str, str, str]:
    """The text, the model that it names, and the receipt's reason."""
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": "3 May"}]
    body = {"model": model, "messages": messages, "max_tokens": 9, "temperature": 0, **more}
    request = urllib.request.Request(
        f"{gateway.url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        told = reply.read().decode()
        call, by = reply.headers["x-shoal-call-id"], reply.headers["x-shoal-answered-by"]
    assert by == model
    receipt = gateway.get(f"/shoal/calls/{call}")["receipt"]
    if not more:
        whole = json.loads(told)
        return whole["choices"][0]["message"]["content"], whole["model"], receipt["reason"]
    events = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: {")]
    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])
    return text, events[0]["model"], receipt["reason"]


@pytest.mark.parametrize(("name", "member"), [("dates", "one"), ("units", "two")])
def test_each_task_has_its_member(gateway: Served, name: str, member: str) -> None:
    alone, _, _ = post(gateway, member, RULES[name])
    by_base, _, _ = post(gateway, "base", RULES[name])
    assert alone != by_base
    text, model, reason = post(gateway, "desk", RULES[name])
    assert (text, model) == (alone, member)
    assert f"{member} answers for desk: the task {name} is given to it" in reason
    text, model, _ = post(gateway, "desk", RULES[name], stream=True)
    assert model == member
    assert text
    assert alone.startswith(text), "a stream leaves out half a character at its end"


def test_what_is_of_no_task_is_the_bases(gateway: Served) -> None:
    text, model, reason = post(gateway, "desk", "Something else.")
    assert (text, model) == (post(gateway, "base", "Something else.")[0], "base")
    assert "no gate has been learned yet" in reason


def test_it_is_offered_by_its_name(gateway: Served) -> None:
    assert "desk" in {one["id"] for one in gateway.get("/v1/models")["data"]}


def test_a_gate_is_learned_from_recorded_calls(tmp_path: Path) -> None:
    from shoal.encoder import find_weights
    from shoal.errors import ArtifactError
    from shoal.storage import CallRecord

    try:
        find_weights(None)
    except ArtifactError:
        pytest.skip("the encoder's weights are not here")
    desk = Desk(tmp_path)
    desk.add_settings(MODELS)
    args = ("-c", str(desk.config))
    assert "no task has 8" in desk.refused("models", "gate", "desk", *args)
    assert "is no mixture; there are: desk" in desk.refused("models", "gate", "one", *args)
    with desk.store() as store, store.database.transaction() as conn:
        for name, rules in RULES.items():
            store.tasks.put(conn, task_row(task(name), time.time(), time.time()))
            for number in range(10):
                messages = (Message("system", rules), Message("user", f"{number} May"))
                store.calls.insert(
                    conn,
                    CallRecord(
                        id=f"{name}-{number}",
                        at=time.time(),
                        request=Request("desk", messages),
                        task=f"t-{name}",
                    ),
                )
    told = json.loads(desk.printed("models", "gate", "desk", "--json", *args))
    assert {one["task"]: one["wrong"] for one in told["tasks"]} == {"dates": 0, "units": 0}
    assert told["members"] == {"dates": "one", "units": "two"}
    assert read_config(desk.config).models["desk"].gate.is_file()  # type: ignore[union-attr]
    assert "GOES TO" in desk.printed("models", "gate", "desk", *args)
