"""Stored plans on real goals: what share needs no planning call, and how often it is wrong?

    python -m benchmarks.orchestrator_stored [--set slots|many] [--known 20] [--alpha 0.02]

``slots``: SNIPS, 7 plans with 2 to 14 inputs that the goal may state; its own test part and 2,000
goals of the training part, drawn once, are the test, the rest is known. A goal that states one
input twice is none of the plans.
``many``: these and CLINC150's 150 intents, plans that take the goal as a whole; for each plan
--known paraphrases are known and 25 are the test, drawn once from all parts together, and a
twentieth of both is CLINC150's out-of-scope goals, for which no plan is stored.

Known are goals and the plans that an ideal planner wrote for them, steps with the goal's values:
which stored plan each is, is found by unifying. A third of the known goals calibrates. Wrong is
what the specialist takes, at the certified threshold, and is another plan than the reference, or
the same with another value (case and spacing aside). Intervals are Clopper-Pearson, 95 %.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.data import lines
from benchmarks.slots import Message, messages
from shoal.encoder import Encoder
from shoal.flywheel.plans import LearnedPlans, PlanTrial, learn_plans
from shoal.guarantees import interval
from shoal.planning.catalogue import Catalogue
from shoal.planning.plan import Plan, read_plan
from shoal.planning.plan_book import PlanBook
from shoal.planning.planner import Planned
from shoal.planning.recurring import OTHER, PlanExample
from shoal.planning.stored_planner import StoredPlanner
from shoal.routing.promise import PromiseOptions
from shoal.specialists.senses import Senses
from shoal.tasks.wording import flattened
from shoal.tools.tool import Json, ToolSpec

TESTED, TESTED_EACH, OUT_OF_SCOPE = 2_000, 25, 0.05


class Board(Struct, frozen=True):
    """Stored plans, what they may call, and goals with what is right for each."""

    plans: tuple[Plan, ...]
    known: tuple[PlanExample, ...]
    tested: tuple[PlanExample, ...]

    @property
    def catalogue(self) -> Catalogue:
        """A tool for each plan."""
        tools = [ToolSpec(name=plan.name, description="", effects="reads") for plan in self.plans]
        return Catalogue(tools={tool.name: tool for tool in tools})


def slots_board() -> Board:
    """SNIPS alone."""
    known, tested = messages("train"), messages("test")
    drawn = [*known[:TESTED], *tested]
    plans = _slot_plans(known)
    book = PlanBook(plans)
    return Board(
        plans,
        tuple(_slot_example(book, one) for one in known[TESTED:]),
        tuple(_slot_example(book, one) for one in drawn),
    )


def many_board(each: int) -> Board:
    """SNIPS and CLINC150, so many paraphrases of each plan known."""
    asked = messages("train")
    slot_plans = _slot_plans(asked)
    goals: dict[str, list[str]] = defaultdict(list)
    for row in lines("intents/clinc150.jsonl.gz"):
        goals[row["label"]].append(row["text"])
    outside = goals.pop("oos")
    names = sorted(goals)
    plans = (*slot_plans, *(_whole_plan(name) for name in names))
    book, rng = PlanBook(plans), np.random.default_rng(0)
    found: dict[str, list[PlanExample]] = {
        name: [PlanExample(goal, name, {"goal": goal}) for goal in goals[name]] for name in names
    }
    for message in asked:
        example = _slot_example(book, message)
        found.setdefault(message.intent, []).append(example)
    known, tested = list[PlanExample](), list[PlanExample]()
    for name in found:
        rows = [found[name][at] for at in rng.permutation(len(found[name]))]
        tested += rows[:TESTED_EACH]
        known += rows[TESTED_EACH : TESTED_EACH + each]
    others = [PlanExample(outside[at]) for at in rng.permutation(len(outside))]
    for part in (known, tested):
        count = round(len(part) * OUT_OF_SCOPE / (1 - OUT_OF_SCOPE))
        part += others[:count]
        others = others[count:]
    shuffled = [known[at] for at in rng.permutation(len(known))]
    return Board(plans, tuple(shuffled), tuple(tested))


def _slot_plans(asked: Sequence[Message]) -> tuple[Plan, ...]:
    """A plan an intent: one tool with all slots that it was ever seen with."""
    slots: dict[str, set[str]] = defaultdict(set)
    for message in asked:
        slots[message.intent] |= {slot for slot, _, _ in message.runs}
    return tuple(_slot_plan(name, sorted(slots[name])) for name in sorted(slots))


def _slot_plan(name: str, slots: Sequence[str]) -> Plan:
    takes: dict[str, Json] = {slot: {"type": ["string", "null"]} for slot in slots}
    given: dict[str, Json] = {slot: f"${{input.{slot}}}" for slot in slots}
    return _plan(name, given, {"type": "object", "properties": takes})


def _whole_plan(name: str) -> Plan:
    takes: dict[str, Json] = {"goal": {"type": "string"}}
    schema: dict[str, Json] = {"type": "object", "properties": takes, "required": ["goal"]}
    return _plan(name, {"goal": "${input.goal}"}, schema)


def _plan(name: str, given: Mapping[str, Json], takes: Mapping[str, Json]) -> Plan:
    steps: list[Json] = [
        {"do": "tool", "id": "done", "tool": name, "arguments": dict(given)},
        {"do": "answer", "id": "end", "value": "${done}"},
    ]
    told: dict[str, Json] = {"name": name, "steps": steps, "input": dict(takes)}
    return read_plan(msgspec.json.encode(told))


def _slot_example(book: PlanBook, message: Message) -> PlanExample:
    """The stored plan that the plan written for this goal is, values as the goal has them."""
    values: dict[str, Json] = {}
    for slot, start, end in message.runs:
        value = message.text[start:end].replace("${", "$${")
        values[slot] = [values[slot], value] if slot in values else value
    written = _plan("written", values, {})
    steps = msgspec.to_builtins(written.steps)
    told = {"name": "written", "steps": [{**steps[0], "tool": message.intent}, steps[1]]}
    return book.example(message.text, read_plan(msgspec.json.encode(told)))


class Score(Struct):
    """Of the tested goals: how many there were, were taken, and went wrong."""

    tested: int = 0
    taken: int = 0
    wrong_plan: int = 0
    wrong: int = 0
    ms: float = 0.0


def score(board: Board, learned: LearnedPlans) -> Score:
    """Ask for a plan for each tested goal."""
    assert learned.specialist is not None
    assert learned.certificate is not None
    planner = StoredPlanner.certified(
        PlanBook(board.plans), learned.specialist, learned.certificate, board.catalogue
    )
    found = Score(tested=len(board.tested))
    began = time.process_time()
    for example in board.tested:
        planned = planner.find(example.goal)
        if isinstance(planned, Planned):
            is_wrong = planned.plan.name != example.plan
            found.taken += 1
            found.wrong_plan += is_wrong
            found.wrong += is_wrong or _values(planned.given) != _values(example.slots)
    found.ms = (time.process_time() - began) / len(board.tested) * 1e3
    return found


def _values(slots: Mapping[str, Json]) -> dict[str, str]:
    return {name: flattened(str(value)) for name, value in slots.items() if value is not None}


def _share(part: int, whole: int) -> str:
    low, high = interval(part, max(1, whole), 0.95)
    return f"{part / max(1, whole):.2%} ({low:.2%} to {high:.2%})"


def main() -> None:
    """One set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=("slots", "many"), default="slots")
    parser.add_argument("--known", type=int, default=20)
    parser.add_argument("--alpha", type=float, default=0.02)
    parser.add_argument("--cross-fitted", action="store_true")
    options = parser.parse_args()
    began = time.process_time()
    board = slots_board() if options.set == "slots" else many_board(options.known)
    read = time.process_time() - began
    none = sum(one.plan == OTHER for one in board.known)
    print(
        f"{options.set}: {len(board.plans)} plans, {len(board.known):,} goals known ({none} of "
        f"them none of the plans), {len(board.tested):,} tested; unified in {read:.0f} s CPU",
        flush=True,
    )
    senses = Senses(Encoder())
    trial = PlanTrial(
        promise=PromiseOptions(alpha=options.alpha),
        reference="the data's own labels",
        held_out=not options.cross_fitted,
    )
    began = time.process_time()
    learned = learn_plans(PlanBook(board.plans), board.known, lambda: senses, trial)
    print(f"learned and tried in {time.process_time() - began:.0f} s CPU")
    for step in learned.ladder:
        print(f"  {step.kind} {step.recipe}: {step.coverage:.1%} {step.refused}")
    if learned.certificate is None:
        print(f"refused: {learned.reason}")
        return
    certificate = learned.certificate
    print(
        f"certified at {certificate.alpha:.0%}: n {certificate.n}, accepted {certificate.accepted},"
        f" errors {certificate.errors}, bound {certificate.risk_bound:.2%}"
    )
    found = score(board, learned)
    print(
        f"answered without a planning call {_share(found.taken, found.tested)}; of these another "
        f"plan {_share(found.wrong_plan, found.taken)}, another plan or value "
        f"{_share(found.wrong, found.taken)}; {found.ms:.1f} ms CPU a goal",
        flush=True,
    )


if __name__ == "__main__":
    main()
