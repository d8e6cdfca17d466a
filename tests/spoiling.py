"""Requests in which one value is something else, for laws of what is read and what is refused."""

import json
from typing import Any

from hypothesis import strategies as st


def with_one_wrong_value(
    tree: dict[str, Any], data: st.DataObject, values: st.SearchStrategy[Any]
) -> bytes:
    """JSON of ``tree`` with one of ``values`` in the place of any of its own, however deep."""
    at: Any = tree
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(values)
    return json.dumps(tree).encode()
