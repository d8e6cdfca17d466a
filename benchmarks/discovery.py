"""How well discovery finds known templates in a stream: ``python -m benchmarks.discovery [NAME]``.

The calls of many templates come in random order and are found as the learner finds them: those that
no task recognises wait, are looked at when enough are new, and tasks are drawn anew as they grow
(``shoal.tasks.schedule``). What a learner would read from its store is kept in lists here, so that
the CPU time is discovery's own: matching, finding and giving calls to other tasks.

Purity: share of assigned calls whose task's commonest template is theirs. NMI: mutual information
of tasks and templates over the mean of their entropies (1: each template is one task). Both also
against *wordings*: templates whose constant text is word for word the same count as one, since no
request tells them apart; the ceiling is what a grouping by wording scores against the templates.
"""

import random
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from benchmarks.discovery_scores import nmi, purity
from benchmarks.discovery_truth import closed_outputs, fields_right, is_right, wordings
from benchmarks.task_traffic import (
    CHATTER,
    Labelled,
    agent_steps,
    big_bench_hard,
    chatter,
    demo,
    missing_data,
    product_matching,
    router_arena,
    support_desk,
    zero_shot_cot,
)
from shoal.guarantees.bounds import interval
from shoal.tasks import Contract, Matcher, ObservedCall, Task, discover
from shoal.tasks.discovery import DiscoveryOptions, sample_sizes
from shoal.tasks.revision import with_contract_revised
from shoal.tasks.schedule import Schedule

OPTIONS = DiscoveryOptions(min_calls=20, max_calls=20_000)
PAGE = 500
"""Calls that arrive between two looks."""
LATEST = 5_000
"""Calls of a task its contract is revised from, as before each certification."""
ORDERS = (1, 2)

MIX = (big_bench_hard, zero_shot_cot, product_matching, support_desk, router_arena)
TRAFFIC: dict[str, tuple[Callable[[], Iterator[Labelled]], ...]] = {
    "mix": MIX,
    "mix+chatter": (*MIX, demo, chatter),
    "agent": (agent_steps,),
}


class Stream:
    """A learner without a store: what it would read from there is kept here."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.matcher = Matcher(())
        self.schedule = Schedule(OPTIONS.min_calls)
        self.waiting: deque[ObservedCall] = deque(maxlen=OPTIONS.max_calls)
        self.calls: dict[str, list[ObservedCall]] = defaultdict(list)  # the store's, by task
        self.looks: Counter[str] = Counter()
        self.most_held = 0

    def add(self, page: Sequence[ObservedCall]) -> None:
        """Assign the calls that a task recognises, then look if it is time."""
        for call in page:
            found = self.matcher.find(call.request)
            if found:
                self.calls[found.task.id].append(call)
            else:
                self.waiting.append(call)
                self.schedule.arrived(1)
        volume = len(self.waiting) + sum(map(len, self.calls.values()))
        look = self.schedule.next(len(self.waiting), volume)
        self.looks[look] += 1
        if look != "not":
            self._look(self._samples() if look == "all" else {})

    def _samples(self) -> dict[str, list[ObservedCall]]:
        volumes = {task: len(calls) for task, calls in self.calls.items()}
        sizes = sample_sizes(volumes, OPTIONS.max_sampled)
        return {task: self.calls[task][-size:] for task, size in sizes.items()}

    def _look(self, samples: dict[str, list[ObservedCall]]) -> None:
        self.most_held = max(self.most_held, len(self.waiting) + sum(map(len, samples.values())))
        found = discover(self.waiting, list(self.tasks.values()), OPTIONS, samples)
        moved = [c for task in (*found.removed, *found.redrawn) for c in self.calls.pop(task, [])]
        self.tasks |= {task.id: task for task in found.tasks}
        for task in found.removed:
            del self.tasks[task]
        self.matcher = Matcher(self.tasks.values())
        waiting, self.waiting = self.waiting, deque(maxlen=OPTIONS.max_calls)
        for call in (*moved, *waiting):
            match = self.matcher.find(call.request)
            if match:
                self.calls[match.task.id].append(call)
            else:
                self.waiting.append(call)

    def assignments(self) -> dict[str, str]:
        """Task of each call that has one."""
        return {call.id: task for task, calls in self.calls.items() for call in calls}


class Run(Struct, frozen=True):
    """One order of the calls: the tasks at the end, whose each call is, CPU seconds."""

    tasks: dict[str, Task]
    assigned: dict[str, str]
    seconds: float
    looks: Counter[str]
    most_held: int


def stream(calls: Sequence[Labelled], seed: int) -> Run:
    """Find the tasks of the calls as they come in a random order."""
    order = [call.call for call in calls]
    random.Random(seed).shuffle(order)
    started = time.process_time()
    learner = Stream()
    for start in range(0, len(order), PAGE):
        learner.add(order[start : start + PAGE])
    seconds = time.process_time() - started
    tasks = {
        task: with_contract_revised(learner.tasks[task], learner.calls[task][-LATEST:])
        for task in learner.tasks
    }
    return Run(tasks, learner.assignments(), seconds, learner.looks, learner.most_held)


def report(name: str, calls: Sequence[Labelled]) -> Iterator[str]:
    """The lines of one traffic's table."""
    templated = [call for call in calls if call.template != CHATTER]
    noise = [call for call in calls if call.template == CHATTER]
    wording = wordings(templated)
    runs = [stream(calls, seed) for seed in ORDERS]
    ceiling = [(call.template, wording[call.template]) for call in templated]
    yield (
        f"{name}: {len(calls):,} calls, {len(wording)} templates, {len(set(wording.values()))} "
        f"wordings; ceiling by wording: purity {purity(ceiling):.3f}, NMI {nmi(ceiling):.3f}"
    )
    for seed, run in zip(ORDERS, runs, strict=True):
        yield from _scores(seed, run, templated, wording)
        if noise:
            taken = sum(call.call.id in run.assigned for call in noise)
            yield f"    chatter taken for a task: {_share(taken, len(noise))}"
        yield from _contracts(run, templated, wording)
    first, second = (run.assigned for run in runs)
    both = [(first.get(c.call.id, ""), second.get(c.call.id, "")) for c in calls]
    yield f"  NMI between the two orders: {nmi(both):.3f}"


def _scores(
    seed: int, run: Run, calls: Sequence[Labelled], wording: dict[str, str]
) -> Iterator[str]:
    pairs = [(c.template, run.assigned[c.call.id]) for c in calls if c.call.id in run.assigned]
    worded = [(wording[template], task) for template, task in pairs]
    right = round(purity(pairs) * len(pairs))
    right_worded = round(purity(worded) * len(pairs))
    unassigned = _share(len(calls) - len(pairs), len(calls))
    yield f"  order {seed}: {len(run.tasks)} tasks, unassigned {unassigned}"
    yield f"    templates: purity {_share(right, len(pairs))}, NMI {nmi(pairs):.3f}"
    yield f"    wordings:  purity {_share(right_worded, len(pairs))}, NMI {nmi(worded):.3f}"
    yield (
        f"    {run.seconds / len(calls) * 1e3:.3f} ms CPU a call ({run.seconds:.1f} s), "
        f"{run.looks['unknown']} looks at the unknown, {run.looks['all']} at all; "
        f"at most {run.most_held:,} calls held"
    )


def _share(k: int, n: int) -> str:
    low, high = interval(k, n, 0.95)
    return f"{k / max(1, n):.4f} [{low:.4f}, {high:.4f}]"


def _contracts(run: Run, calls: Sequence[Labelled], wording: dict[str, str]) -> Iterator[str]:
    """How many wordings with a closed contract have it right, and which have not."""
    by_wording: dict[str, list[Labelled]] = defaultdict(list)
    for call in calls:
        by_wording[wording[call.template]].append(call)
    right: dict[str, bool] = {}
    for name, members in by_wording.items():
        tasks = Counter(run.assigned.get(call.call.id, "") for call in members)
        task = run.tasks.get(tasks.most_common(1)[0][0])
        verdict = _verdict(name, task.contract if task else None, members)
        if verdict is not None and len(members) >= OPTIONS.min_calls:
            right[name] = verdict
    wrong = [name for name, is_so in right.items() if not is_so]
    if right:
        share = _share(len(right) - len(wrong), len(right))
        yield f"    closed contracts right: {share} of {len(right)}; wrong: {wrong}"


FIELDS = {"bank-triage": ("label", 3), "bank-entities": ("span", 6), "shop-fields": ("span", 6)}
"""Templates whose answers are JSON: what their fields are, and how many."""


def _verdict(name: str, contract: Contract | None, calls: Sequence[Labelled]) -> bool | None:
    """Whether the contract is right; None if the wording has no closed contract."""
    if name in FIELDS:
        return contract is not None and fields_right(contract, *FIELDS[name])
    closed = closed_outputs(calls)
    if closed is None:
        return None
    return contract is not None and is_right(contract, closed)


def main() -> int:
    """Measure the issue's mix, or the traffic named on the command line."""
    if missing_data():
        print(f"skipped: no data at {missing_data()}; set SHOAL_DATA to the folder of test data")
        return 0
    for name in sys.argv[1:] or ["mix"]:
        calls = [call for source in TRAFFIC[name] for call in source()]
        print("\n".join(report(name, calls)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
