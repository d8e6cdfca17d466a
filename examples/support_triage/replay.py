"""Runs the plan for messages that nobody has learned from, says yes to each reply, and tells who
answered its steps and what that cost.

    python replay.py [FOLDER] [COUNT]
"""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

from shoal.assembly.runs.order import Order
from shoal.cli.context import open_store
from shoal.cli.performing import players
from shoal.config import read_config
from shoal.planning.journal import Decision, Entry
from shoal.planning.plan import Ask, read_plan
from shoal.routing.caller import ANYBODY


class Count:
    """Answers by step and by who gave them; hears of all runs."""

    def __init__(self) -> None:
        self.by: dict[str, Counter[str]] = {}
        self.usd = 0.0

    def tell(self, entry: Entry) -> None:
        """Count a step that has finished."""
        if entry.kind == "finished" and (by := entry.body.get("by")):
            self.by.setdefault(entry.step, Counter())[str(by)] += 1
        self.usd += entry.cost


async def replay(folder: Path, most: int) -> tuple[Counter[str], Count]:
    """How so many runs ended, and who answered."""
    config = read_config(folder / "shoal.toml")
    plan = read_plan((folder / "plan.json").read_bytes())
    lines = (folder / "new.jsonl").read_text(encoding="utf-8").splitlines()[:most]
    ends, count = Counter[str](), Count()
    with open_store(config) as store:
        async with players(config, store) as here:
            for line in lines:
                order = Order(plan=plan, given=json.loads(line))
                run_id = await here.orchestra.begin(order, ANYBODY, count.tell)
                outcome = await here.orchestra.outcome(run_id)
                if outcome.state == "waiting":
                    yes = Decision(True, "replay")
                    await here.orchestra.decide(run_id, "agreed", yes, ANYBODY, count.tell)
                    outcome = await here.orchestra.outcome(run_id)
                ends[outcome.state] += 1
    return ends, count


def main(folder: Path, most: int) -> None:
    """Print it."""
    ends, count = asyncio.run(replay(folder, most))
    asked = [
        step.id
        for step in read_plan((folder / "plan.json").read_bytes()).steps
        if isinstance(step, Ask)
    ]
    for step in asked:
        by = count.by.get(step, Counter())
        small = sum(n for who, n in by.items() if who.startswith("specialist/"))
        share = small / max(1, by.total())
        print(f"{step:12} {share:4.0%} small of {by.total()}: {dict(by)}")
    runs = ends.total()
    print(f"{runs} runs: {dict(ends)}; {count.usd / max(1, runs):.6f} USD a run, recorded prices")


if __name__ == "__main__":
    given = [*sys.argv[1:], "100"] if len(sys.argv) == 2 else sys.argv[1:]
    main(Path(given[0] if given else Path(__file__).parent), int(given[1] if given else 100))
