import hashlib
import re

import msgspec
import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from shoal.errors import InvalidKey, NotAllowed, StoreDamaged
from shoal.routing.caller import ANYBODY, Caller, KeySpec
from shoal.routing.key_order import KeyOrder
from shoal.routing.key_ring import KeyRing, new_key, spec_of
from shoal.routing.key_view import view_key

NOW = 1_000_000.0
MADE = new_key("team", KeySpec(models=("gpt",), rpm=5), NOW, expires_at=NOW + 60)


def test_a_key_is_256_random_bits() -> None:
    keys = {new_key("team", KeySpec(), NOW).key for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"sk-shoal-[A-Za-z0-9_-]{43}", key) for key in keys)


def test_nothing_that_is_stored_holds_the_key() -> None:
    row = MADE.row
    assert row.digest == hashlib.sha256(MADE.key.encode()).digest()
    assert row.hint == MADE.key[-4:]
    secret = MADE.key.removeprefix("sk-shoal-")
    for shown in (row, view_key(row, NOW)):
        assert secret not in repr(shown)
        assert secret.encode() not in msgspec.json.encode(shown)


def test_a_key_finds_its_caller() -> None:
    ring = KeyRing([MADE.row, new_key("other", KeySpec(), NOW).row], revision=7)
    assert ring.find(MADE.key, NOW) == Caller(key=MADE.row.id, name="team", spec=spec_of(MADE.row))
    assert (len(ring), ring.revision) == (2, 7)


@pytest.mark.parametrize(
    "sent",
    ["", "sk-shoal-", MADE.key[:-1], MADE.key + "x", MADE.key.upper(), "x" * 100_000, "\udcff"],
    ids=["none", "prefix", "shorter", "longer", "upper", "huge", "surrogate"],
)
def test_what_is_no_key_is_refused_and_not_echoed(sent: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        KeyRing([MADE.row]).find(sent, NOW)
    assert caught.value.status == 401
    if len(sent) > len("sk-shoal-"):
        assert sent not in str(caught.value)


def test_a_key_expires_by_the_clock() -> None:
    ring = KeyRing([MADE.row])
    ring.find(MADE.key, NOW + 59.9)
    with pytest.raises(InvalidKey, match="'team' has expired"):
        ring.find(MADE.key, NOW + 60)


def test_a_revoked_key_is_refused_and_the_ring_is_not_empty() -> None:
    ring = KeyRing([replace(MADE.row, revoked_at=NOW)])
    with pytest.raises(InvalidKey, match="'team' is revoked"):
        ring.find(MADE.key, NOW)
    assert len(ring) == 1


def test_what_a_view_says_of_its_state() -> None:
    assert view_key(MADE.row, NOW).state == "in force"
    assert view_key(MADE.row, NOW + 60).state == "expired"
    assert view_key(replace(MADE.row, revoked_at=NOW), NOW + 60).state == "revoked"


def test_a_row_that_cannot_be_read_is_named() -> None:
    with pytest.raises(StoreDamaged, match="'team' cannot be read"):
        KeyRing([replace(MADE.row, spec=b'{"scopes":["root"]}')])


def test_scopes() -> None:
    admin, caller = Caller(spec=KeySpec(scopes=("admin",))), Caller(key="k", name="team")
    caller.require("call")
    admin.require("admin")
    admin.require("read")
    ANYBODY.require("read")
    for who, scope in ((admin, "call"), (caller, "read"), (caller, "admin"), (ANYBODY, "admin")):
        with pytest.raises(NotAllowed, match=f"needs {scope}"):
            who.require(scope)  # type: ignore[arg-type]


def test_collections_of_a_key() -> None:
    Caller().require_collection("any")
    narrow = Caller(key="k", name="team", spec=KeySpec(collections=("handbook",)))
    narrow.require_collection("handbook")
    with pytest.raises(NotAllowed, match="only: handbook") as refused:
        narrow.require_collection("salaries")
    assert (refused.value.status, refused.value.code) == (403, "collection_not_allowed")


def test_models_and_tasks_of_a_key() -> None:
    Caller().require_model("any")
    Caller().require_task("")
    narrow = Caller(key="k", name="team", spec=KeySpec(models=("gpt",), tasks=("department",)))
    narrow.require_model("gpt")
    narrow.require_task("department")
    with pytest.raises(NotAllowed, match="'team' may not ask 'opus', only: gpt") as model:
        narrow.require_model("opus")
    assert (model.value.status, model.value.code) == (403, "model_not_allowed")
    for task in ("reply", ""):
        with pytest.raises(NotAllowed, match="for the tasks department only"):
            narrow.require_task(task)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "rpm": 0},
        {"name": "x", "budget_day": -1},
        {"name": "x", "budget_month": float("nan")},
        {"name": "x", "expires_days": 0},
        {"name": "x", "digest": "00"},
    ],
)
def test_orders_that_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        KeyOrder.model_validate(fields)


def test_an_order_becomes_a_spec() -> None:
    order = KeyOrder(name="x", scopes=("call", "read", "call"), tpm=9, expires_days=2)
    assert order.spec() == KeySpec(scopes=("call", "read"), tpm=9)
    assert order.expires_at(NOW) == NOW + 2 * 86_400
    assert KeyOrder(name="x").expires_at(NOW) is None
