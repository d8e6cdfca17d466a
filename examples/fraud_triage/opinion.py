"""What the specialist of a task thinks of an input, sure enough to answer or not, and why.

A plan's ``ask`` step gives an answer that somebody stands for. Here a person is shown what moved a
specialist that was too unsure to answer. It reads the store beside ``shoal.toml`` and changes
nothing.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from shoal.assembly.loader import Loader
from shoal.config import read_config
from shoal.specialists.card import Card
from shoal.storage import Store
from shoal.tasks import Input, Task
from shoal.tools.python import tool

SETTINGS = Path(__file__).parent / "shoal.toml"


@tool(effects="reads")
def opinion(task: str, slots: dict[str, Any], most: int = 4) -> dict[str, Any]:
    """The answer the specialist leans to, how sure it is, and what weighed most.

    Args:
        task: the name of a task that a specialist shadows or serves
        slots: its slots, as in the plan's ask step
        most: how many reasons
    """
    store = Store.open(read_config(SETTINGS).store)
    try:
        tasks = [msgspec.json.decode(row.spec, type=Task) for row in store.tasks.list()]
        found = next((one for one in tasks if one.name == task), None)
        standing = store.standings.get(found.id) if found else None
        if standing is None or not standing.card:
            return {"leans_to": None, "signal": 0.0, "because": [f"no specialist for {task}"]}
        card = msgspec.json.decode(store.cards.get(standing.card).spec, type=Card)
        specialist = Loader(store).load(card)
    finally:
        store.close()
    told = tuple(
        (name, one if isinstance(one, str) else json.dumps(one)) for name, one in slots.items()
    )
    given = Input("\n".join(f"{name}: {value}" for name, value in told), told)
    leaning, reasons = specialist.predict(given), specialist.explain(given)
    heaviest = sorted(reasons, key=lambda one: -abs(one.weight))[:most]
    return {
        "leans_to": leaning.output,
        "signal": round(leaning.signal, 4),
        "because": [f"{one.what} ({one.weight:+.1f})" for one in heaviest],
    }
