from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from postgres_home import revision_of
from shoal.errors import Conflict, NotFound
from shoal.storage import KeyRow, Store


def key(number: int, **fields: Any) -> KeyRow:
    made: dict[str, Any] = {
        "id": f"key-{number}",
        "name": f"team-{number}",
        "digest": bytes([number]) * 32,
        "hint": f"abc{number}",
        "spec": b'{"rpm":5}',
        "created_at": 1000.0 + number,
    }
    return KeyRow(**(made | fields))


@pytest.fixture
def written(store: Store) -> Callable[[Callable[..., Any]], Any]:
    """What an operation gives that is written now."""

    def write(operation: Callable[..., Any], *args: Any) -> Any:
        with store.database.transaction() as conn:
            return operation(conn, *args)

    return write


def test_keys_come_back_as_they_were(store: Store, written: Callable[..., Any]) -> None:
    keys = [key(1), key(2, expires_at=5.0)]
    for row in keys:
        written(store.keys.insert, row)
    assert store.keys.list() == keys
    assert store.keys.get("key-2") == store.keys.get("team-2") == keys[1]
    with pytest.raises(NotFound, match=r"'team-3'.*shoal keys list"):
        store.keys.get("team-3")


def test_a_name_is_taken_for_good(store: Store, written: Callable[..., Any]) -> None:
    written(store.keys.insert, key(1))
    with pytest.raises(Conflict, match="'team-1' already; choose"):
        written(store.keys.insert, key(2, name="team-1"))
    written(store.keys.revoke, "team-1", 5.0)
    with pytest.raises(Conflict, match="already, revoked"):
        written(store.keys.insert, key(2, name="team-1"))


def test_a_key_is_revoked_once(store: Store, written: Callable[..., Any]) -> None:
    written(store.keys.insert, key(1))
    assert written(store.keys.revoke, "team-1", 5.0) == key(1, revoked_at=5.0)
    assert written(store.keys.revoke, "key-1", 6.0) == key(1, revoked_at=5.0)
    with pytest.raises(NotFound):
        written(store.keys.revoke, "team-9", 5.0)


def test_a_key_gets_another_secret(store: Store, written: Callable[..., Any]) -> None:
    written(store.keys.insert, key(1))
    changed = written(store.keys.replace, "team-1", b"new" * 8, "xyzw")
    assert changed == store.keys.get("team-1") == replace(key(1), digest=b"new" * 8, hint="xyzw")
    written(store.keys.revoke, "team-1", 5.0)
    with pytest.raises(Conflict, match="revoked"):
        written(store.keys.replace, "team-1", b"newer" * 8, "xyzw")


def test_an_id_counts_before_a_name(store: Store, written: Callable[..., Any]) -> None:
    written(store.keys.insert, key(1, name="key-2"))
    written(store.keys.insert, key(2))
    assert store.keys.get("key-2").id == "key-2"


def test_every_change_is_told(store: Store, written: Callable[..., Any]) -> None:
    seen = [revision_of(store)]
    for change in (
        (store.keys.insert, key(1)),
        (store.keys.replace, "key-1", b"new" * 8, "xyzw"),
        (store.keys.revoke, "key-1", 5.0),
    ):
        written(*change)
        seen.append(revision_of(store))
    assert seen == sorted(set(seen))
