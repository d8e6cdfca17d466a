"""Runs under two gateways, each a process of its own, on one store in Postgres."""

import json
import signal
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_pair import two_gateways
from served_desk import TIMEOUT_S, Served, wait_for

from postgres_home import postgres_url
from shoal.storage import Store, StoreOptions

pytestmark = pytest.mark.slow  # starting two gateways takes seconds, a lease lapses after 30

ITEMS = 12
TOOLS = '''
import os, time
from pathlib import Path
from shoal.tools.python import tool
from shoal.tools.tool import ToolUse

HERE = Path({folder!r})

def note(name, use):
    """Write the key of a call to the end of a file; flushed to where a killed process left it."""
    out = os.open(HERE / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(out, f"{{use.key}}\\n".encode())
    os.close(out)

@tool(effects="writes")
def pay(amount: int, use: ToolUse) -> int:
    """May be done once only, and says nothing about keys that it knows."""
    note("begun", use)
    while (HERE / "hold").exists() and amount >= 4:
        time.sleep(0.01)
    note("paid", use)
    return amount

@tool(effects="writes", repeatable=True)
def book(amount: int, use: ToolUse) -> int:
    """Done once for a key, however often it is called."""
    note("booked_calls", use)
    while (HERE / "hold").exists() and amount >= 4:
        time.sleep(0.01)
    known = (HERE / "booked").read_text().split() if (HERE / "booked").exists() else []
    if use.key not in known:
        note("booked", use)
    return amount
'''
SETTINGS = """
[tools.pay]
kind = "python"
function = "{file}:pay"

[tools.book]
kind = "python"
function = "{file}:book"
"""


def mapped(tool: str) -> dict[str, Any]:
    """A plan that calls a tool for each of so many items, three at a time."""
    steps = [{"do": "tool", "id": "done", "tool": tool, "arguments": {"amount": "${item}"}}]
    each = {"do": "map", "id": "each", "over": list(range(ITEMS)), "as": "item", "at_once": 3,
            "steps": steps, "result": "${done}"}  # fmt: skip
    return {"name": tool, "steps": [each, {"do": "answer", "id": "end", "value": "${each}"}]}


def asking() -> dict[str, Any]:
    """A plan that pays once a person agrees."""
    steps = [
        {"do": "approve", "id": "word", "question": "Pay?"},
        {"do": "tool", "id": "paid", "tool": "pay", "after": ["word"], "arguments": {"amount": 1}},
        {"do": "answer", "id": "end", "value": "${paid}"},
    ]
    return {"name": "asking", "steps": steps}


class Pair:
    """Two gateways, and the folder in which their tools write down what they did."""

    def __init__(self, one: Served, other: Served, folder: Path, options: StoreOptions) -> None:
        self.one, self.other, self.folder, self.options = one, other, folder, options

    def hold(self) -> None:
        """Have calls from the fifth item on wait."""
        (self.folder / "hold").touch()

    def let_go(self) -> None:
        (self.folder / "hold").unlink()

    def written(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    (tmp_path / "ours").mkdir()
    file = tmp_path / "ours" / "tools.py"
    file.write_text(TOOLS.format(folder=str(file.parent)))
    settings = SETTINGS.format(file=file)
    with (
        postgres_url() as url,
        two_gateways(tmp_path, url, "--no-learn", settings=settings) as (one, other),
    ):
        options = StoreOptions(path=tmp_path / "data", url=url)
        try:
            yield Pair(one, other, file.parent, options)
        finally:
            (file.parent / "hold").unlink(missing_ok=True)


def begin(gateway: Served, plan: dict[str, Any]) -> str:
    return str(gateway.send("POST", "/shoal/runs", {"plan": plan})["run"])


def told(gateway: Served, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = gateway.get(f"/shoal/runs/{run_id}")
    return found


def in_state(gateway: Served, run_id: str, state: str) -> Callable[[], bool]:
    return lambda: bool(told(gateway, run_id)["run"]["state"] == state)


def status_of(gateway: Served, method: str, path: str, body: object) -> int:
    with pytest.raises(urllib.error.HTTPError) as error:
        gateway.send(method, path, body)
    return error.value.code


def followed(gateway: Served, run_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a run, by name."""
    url = f"{gateway.url}/shoal/runs/{run_id}/events"
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:
        name = ""
        for line in reply:
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                yield name, json.loads(line[6:])


def verified(options: StoreOptions) -> bool:
    with Store.open(options) as store:
        return store.runs.verify().found == 0


def test_a_run_of_one_is_shown_followed_approved_and_cancelled_at_the_other(pair: Pair) -> None:
    one, other = pair.one, pair.other
    run_id = begin(one, asking())
    wait_for(in_state(other, run_id, "waiting"))
    assert told(other, run_id)["questions"][0]["question"] == "Pay?"
    assert [run["id"] for run in other.get("/shoal/runs?state=waiting")["data"]] == [run_id]
    events = followed(other, run_id)
    names = [next(events)[0] for _ in range(3)]
    assert names == ["run", "waiting", "paused"]
    word = {"step": "word", "approved": True, "note": "seen"}
    assert other.send("POST", f"/shoal/runs/{run_id}/decisions", word)["state"] == "running"
    rest = list(events)
    assert [name for name, _ in rest if name != "started"] == [
        "decided", "finished", "finished", "finished", "ended", "outcome"
    ]  # fmt: skip
    assert (rest[-1][1]["state"], rest[-1][1]["value"]) == ("done", 1)
    assert told(one, run_id)["outcome"] == told(other, run_id)["outcome"]
    assert status_of(one, "POST", f"/shoal/runs/{run_id}/decisions", word) == 409
    assert len(pair.written("paid")) == 1
    # One that the first performs is followed and cancelled at the other.
    pair.hold()
    long = begin(one, mapped("pay"))
    wait_for(lambda: len(pair.written("begun")) >= 1 + 5)
    assert status_of(other, "POST", f"/shoal/runs/{long}/resume", {}) == 409
    events = followed(other, long)
    assert next(events)[0] == "run"
    assert other.send("DELETE", f"/shoal/runs/{long}")["state"] == "cancelled"
    pair.let_go()
    assert [name for name, _ in events][-2:] == ["ended", "outcome"]
    wait_for(in_state(one, long, "cancelled"))
    begun = len(pair.written("begun"))
    wait_for(lambda: len(pair.written("paid")) == begun)  # what was under way ended, and no more
    assert begun <= 1 + 4 + 3
    assert "Traceback" not in one.log + other.log
    assert verified(pair.options)


def test_what_a_killed_gateway_left_is_settled_at_the_other_and_nothing_is_paid_twice(
    pair: Pair,
) -> None:
    pair.hold()
    run_id = begin(pair.one, mapped("pay"))
    wait_for(lambda: len(pair.written("begun")) == 4 + 3)  # three calls are under way
    pair.one.stop(signal.SIGKILL)
    pair.let_go()
    paid = set(pair.written("paid"))
    pair.other.send("POST", f"/shoal/runs/{run_id}/resume", {})  # who sees that it is dead
    wait_for(in_state(pair.other, run_id, "stuck"))
    unsure = told(pair.other, run_id)["unsettled"]
    assert len(unsure) == 3
    assert set(pair.written("paid")) == paid  # nothing of which nobody knows was done again
    for step in unsure:
        pair.other.send("POST", f"/shoal/runs/{run_id}/settle", {"step": step, "again": True})
    wait_for(in_state(pair.other, run_id, "done"))
    assert told(pair.other, run_id)["outcome"]["value"] == list(range(ITEMS))
    counted = Counter(pair.written("paid"))
    assert len(counted) == ITEMS
    assert set(counted.values()) == {1}
    assert "Traceback" not in pair.other.log
    assert verified(pair.options)


def test_what_a_killed_gateway_left_is_taken_over_when_its_lease_lapses(pair: Pair) -> None:
    pair.hold()
    run_id = begin(pair.one, mapped("book"))
    wait_for(lambda: len(pair.written("booked_calls")) == 4 + 3)
    pair.one.stop(signal.SIGKILL)
    pair.let_go()
    assert told(pair.other, run_id)["run"]["state"] == "running"
    for _ in range(2):  # a lease of 30 seconds, and who looks after runs looks every 5
        try:
            wait_for(in_state(pair.other, run_id, "done"))
            break
        except AssertionError:
            continue
    found = told(pair.other, run_id)
    assert found["outcome"]["value"] == list(range(ITEMS))
    assert [one["kind"] for one in found["records"]].count("resumed") == 1
    counted = Counter(pair.written("booked"))
    assert len(counted) == ITEMS
    assert set(counted.values()) == {1}
    assert len(pair.written("booked_calls")) == ITEMS + 3  # the three of the dead, tried again
    assert "Traceback" not in pair.other.log
    assert verified(pair.options)
