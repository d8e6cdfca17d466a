"""``shoal keys`` and ``shoal spend``."""

import json
import time

import pytest
from command_line import Desk
from msgspec.structs import replace
from support_desk import make_call

from shoal.chat import Answer, Usage
from shoal.routing.key_ring import digest_of
from shoal.storage import Spending


def made(desk: Desk, *args: str) -> str:
    """The key that a command shows."""
    return desk.printed("keys", *args).strip()


def test_a_key_is_shown_once_and_its_digest_kept(desk: Desk) -> None:
    key = made(desk, "create", "team")
    assert key.startswith("sk-shoal-")
    with desk.store() as store:
        (row,) = store.keys.list()
        assert (row.name, row.digest, row.hint) == ("team", digest_of(key), key[-4:])
    for shown in (("list",), ("show", "team"), ("list", "--json"), ("show", "team", "--json")):
        text = desk.printed("keys", *shown)
        assert key not in text
        assert "team" in text
    assert key.encode() not in (desk.folder / "shoal-data" / "shoal.db").read_bytes()


def test_what_a_key_may_do(desk: Desk) -> None:
    made(
        desk,
        *("create", "ci", "--model", "gpt", "--model", "mini", "--task", "reply"),
        *("--scope", "call", "--scope", "read", "--expires", "30d", "--rpm", "60"),
        *("--tpm", "100000", "--budget-day", "2.5", "--budget-month", "20"),
    )
    (view,) = json.loads(desk.printed("keys", "list", "--json"))
    assert view["spec"] == {
        "scopes": ["call", "read"],
        "models": ["gpt", "mini"],
        "tasks": ["reply"],
        "rpm": 60,
        "tpm": 100_000,
        "budget_day": 2.5,
        "budget_month": 20.0,
    }
    assert view["expires_at"] - view["created_at"] == pytest.approx(30 * 86_400)
    shown = desk.printed("keys", "show", "ci")
    assert "It may: call, read" in shown
    assert "60 requests/min, 100,000 tokens/min, $2.50/day, $20.00/month" in shown


def test_revoke_and_rotate(desk: Desk) -> None:
    first = made(desk, "create", "team", "--rpm", "5")
    second = made(desk, "rotate", "team")
    with desk.store() as store:
        (row,) = store.keys.list()
        assert row.digest == digest_of(second) != digest_of(first)
        assert row.spec == b'{"scopes":["call"],"rpm":5}'
    assert "is revoked" in desk.printed("keys", "revoke", "team")
    assert "revoked" in desk.printed("keys", "list")
    assert "is revoked, for good" in desk.refused("keys", "rotate", "team")


def test_what_is_refused(desk: Desk) -> None:
    made(desk, "create", "team")
    assert "already" in desk.refused("keys", "create", "team")
    assert "no key of id or name 'x'" in desk.refused("keys", "revoke", "x")
    assert desk.refused("keys", "create", "x", "--scope", "root").startswith("scope: ")
    assert desk.refused("keys", "create", "x", "--rpm", "0").startswith("rpm: ")
    assert desk.refused("keys", "create", "a b").startswith("name: ")
    assert desk.refused("keys", "create", "key-0123456789ab") == (
        "name: looks like the id of a key; choose another name, found 'key-0123456789ab'"
    )
    assert desk.run("keys", "create", "x", "--expires", "soon").exit_code == 2
    assert desk.run("keys", "create", "x", "--budget-day", "-1").exit_code == 2


def test_no_keys(desk: Desk) -> None:
    assert "loopback only" in desk.printed("keys", "list")
    assert json.loads(desk.printed("keys", "list", "--json")) == []


def test_beyond_loopback_a_key_comes_first(desk: Desk) -> None:
    desk.add_settings('[gateway]\nhost = "0.0.0.0"\n')
    said = desk.refused("serve", "--no-learn")
    assert "0.0.0.0" in said
    assert "`shoal keys create NAME`" in said


@pytest.fixture
def spent(desk: Desk) -> Desk:
    """One key's call of yesterday, and of today a small one, an unknown one and an audit."""
    now = time.time()
    key = made(desk, "create", "team")
    with desk.store() as store:
        (row,) = store.keys.list()
        assert row.digest == digest_of(key)
        estimated = Answer("x", usage=Usage(10, 1, estimated=True))
        calls = (
            make_call("reply", 1, at=now - 86_400, cost=2.0, llm_cost=2.0, key=row.id),
            make_call("reply", 2, at=now, cost=0.0, llm_cost=3.0, answered_by="specialist/reply"),
            make_call("reply", 3, at=now, cost=None, llm_cost=None, answered_by="gpt"),
            make_call("reply", 4, at=now, cost=1.0, llm_cost=1.0, answer=estimated),
        )
        with store.database.transaction() as conn:
            for call in calls:
                store.calls.insert(conn, call)
            audit = Spending(at=now, key="", model="gpt", task="", purpose="audit", cost=0.5)
            store.spend.add(conn, replace(audit, llm_cost=0.0))
    return desk


def today(offset: float = 0) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - offset))


def test_spend_by_day(spent: Desk) -> None:
    titles, *rows = spent.printed("spend").splitlines()
    assert titles.split() == ["DAY", "CALLS", "COST", "LLM", "WOULD", "COST", "AUDITS", "SAVED"]
    assert rows[0].split() == [today(86_400), "1", "$2.00", "$2.00", "$0.00", "$0.00"]
    assert rows[1].split() == [today(), "3", "~$1.00", "~$4.00", "~$0.50", "~$2.50"]
    assert rows[2].strip() == "+ 1 of unknown price, ~ 1 of estimated usage"
    assert rows[3].split() == ["all", "4", "~$3.00", "~$6.00", "~$0.50", "~$2.50"]


def test_spend_tells_what_is_held_for_what_is_unknown(spent: Desk) -> None:
    with spent.store() as store, store.database.transaction() as conn:
        lost = Spending(at=time.time(), key="", model="gpt", task="", purpose="attempt", held=0.25)
        store.spend.add(conn, lost)
    row = spent.printed("spend").splitlines()[2:4]
    assert row[0].split()[:2] == [today(), "3"]
    assert row[1].strip().startswith("+ 2 of unknown price, for which budgets hold $0.25, ~ 1")


def test_spend_by_key_and_task_has_names(spent: Desk) -> None:
    assert [line.split()[0] for line in spent.printed("spend", "--by", "key").splitlines()] == [
        *("KEY", "-", "+", "team", "all", "+"),
    ]
    rows = json.loads(spent.printed("spend", "--by", "model", "--json"))
    assert {row["name"] for row in rows} >= {"gpt", "specialist/reply"}


def test_spend_since(spent: Desk) -> None:
    for since, days in (("1h", {today(3_600), today()}), (today(), {today()})):
        rows = json.loads(spent.printed("spend", "--since", since, "--json"))
        assert {
            row["name"] for row in rows
        } == days  # soon after midnight, an hour ago is a day ago
    assert json.loads(spent.printed("spend", "--since", "2d", "--json")) != rows
    assert "since 2999-01-01" in spent.printed("spend", "--since", "2999-01-01")
    for wrong in ("2025-02-30", "yesterday", "0d"):
        assert spent.run("spend", "--since", wrong).exit_code == 2


def test_nothing_spent(desk: Desk) -> None:
    assert desk.printed("spend").strip() == "Nothing was spent."
    assert json.loads(desk.printed("spend", "--json")) == []


def test_show_tells_what_a_key_spent(spent: Desk) -> None:
    assert "Its calls: 1, which cost $2.00" in spent.printed("keys", "show", "team")


def test_a_key_for_a_model_that_is_not_named_is_made_and_remarked_on(desk: Desk) -> None:
    result = desk.run("keys", "create", "app", "--model", "gpt", "--model", "gtp")
    assert result.exit_code == 0
    assert "names no model 'gtp'" in result.stderr
    assert "'gpt'" not in result.stderr
