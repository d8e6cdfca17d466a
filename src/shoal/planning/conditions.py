"""Whether a condition holds."""

from collections.abc import Mapping, Sequence

from shoal.planning.plan import Condition
from shoal.planning.references import filled
from shoal.tools.tool import Json


def all_hold(conditions: Sequence[Condition], scope: Mapping[str, Json]) -> bool:
    """Whether each does, with its paths filled in.

    Raises:
        MalformedRequest: a path leads nowhere.
    """
    return all(
        _holds(filled(one.value, scope), one.op, filled(one.than, scope)) for one in conditions
    )


def _holds(value: Json, op: str, than: Json) -> bool:
    match op:
        case "equals":
            return _same(value, than)
        case "differs":
            return not _same(value, than)
        case "in":
            return isinstance(than, list) and any(_same(value, one) for one in than)
        case "contains":
            if isinstance(value, str) and isinstance(than, str):
                return than in value
            if isinstance(value, dict):
                return isinstance(than, str) and than in value
            return isinstance(value, list) and any(_same(one, than) for one in value)
        case "is empty":
            return value is None or (isinstance(value, str | list | dict) and not value)
        case _:
            return _compares(value, op, than)


def _same(one: Json, other: Json) -> bool:
    """Equal, and true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def _compares(value: Json, op: str, than: Json) -> bool:
    match value, than:
        case (bool(), _) | (_, bool()):
            return False
        case (int() | float(), int() | float()):
            order = (value > than) - (value < than)
        case (str(), str()):
            order = (value > than) - (value < than)
        case _:
            return False
    return {"over": order > 0, "under": order < 0, "at least": order >= 0, "at most": order <= 0}[
        op
    ]
