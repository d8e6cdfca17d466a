"""Finding the tasks that recur, from recorded calls alone.

Calls that a known task recognises belong to it. The others are pooled by skeleton (``pools``),
grouped by shared constant text (``grouping``), each group's template is aligned (``alignment``) and
its contract inferred (``inference``). A group becomes a task if its constant text is specific;
everything else stays unassigned. The outcome depends on the calls, not on their order.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from shoal.chat import Answer
from shoal.tasks.candidates import Candidate, candidates_of
from shoal.tasks.matcher import Match, Matcher
from shoal.tasks.pools import ObservedCall, pools_of
from shoal.tasks.revision import revised, widened
from shoal.tasks.task import Task, task_id
from shoal.tasks.task_names import name_task

__all__ = ["Discovery", "DiscoveryOptions", "ObservedCall", "discover"]


class DiscoveryOptions(Struct, frozen=True):
    """How much evidence a task needs, and how much discovery reads.

    ``min_calls``: different requests of one template. ``max_calls``: unknown calls compared with
    each other; any beyond are left for the next time. ``max_answers``: answers a contract is
    inferred from.
    """

    min_calls: int = 20
    max_calls: int = 50_000
    max_answers: int = 2_000


class Discovery(Struct, frozen=True):
    """Tasks that are new or changed, and the task of each call that has one (ignored included)."""

    tasks: tuple[Task, ...]
    assignments: dict[str, str]


def discover(
    calls: Iterable[ObservedCall],
    known: Sequence[Task] = (),
    options: DiscoveryOptions | None = None,
) -> Discovery:
    """Find new tasks and revise the known ones.

    Known tasks keep id and name; a pinned or ignored one is never changed. Memory: at most
    ``max_calls`` calls are held.
    """
    options = options or DiscoveryOptions()
    sorter = _Sorter(known, options)
    for call in calls:
        sorter.add(call)
    tasks = {task.id: task for task in known}
    for candidate in _candidates(sorter.unknown, options):
        task = widened([tasks[task.id] for task in known], candidate) or _new(candidate, tasks)
        tasks[task.id] = task
    for identity, evidence in sorter.evidence.items():
        tasks[identity] = revised(tasks[identity], evidence)
    before = {task.id: task for task in known}
    assigned = _assign(sorter.unknown, tasks)
    support = Counter(assigned.values())
    for identity in [t for t in tasks if t not in before and support[t] < options.min_calls]:
        del tasks[identity]
    assigned = _assign(sorter.unknown, tasks)
    changed = (task for task in tasks.values() if before.get(task.id) != task)
    return Discovery(tuple(changed), sorter.assignments | assigned)


def _assign(calls: Iterable[ObservedCall], tasks: dict[str, Task]) -> dict[str, str]:
    matcher = Matcher(tasks.values())
    found = ((call.id, matcher.find(call.request)) for call in calls)
    return {identity: match.task.id for identity, match in found if match}


class _Sorter:
    """Sorts calls into those of known tasks, as evidence, and unknown ones."""

    def __init__(self, known: Sequence[Task], options: DiscoveryOptions) -> None:
        self.options = options
        self.matcher = Matcher(known)
        self.assignments: dict[str, str] = {}
        self.evidence: dict[str, list[tuple[Match, Answer]]] = defaultdict(list)
        self.unknown: list[ObservedCall] = []

    def add(self, call: ObservedCall) -> None:
        found = self.matcher.find(call.request)
        if found:
            self.assignments[call.id] = found.task.id
            evidence = self.evidence[found.task.id]
            if len(evidence) < self.options.max_answers:
                evidence.append((found, call.answer))
        elif len(self.unknown) < self.options.max_calls and call.request.messages:
            self.unknown.append(call)


def _candidates(calls: Sequence[ObservedCall], options: DiscoveryOptions) -> Iterable[Candidate]:
    """The candidates of all pools, those with the most calls first."""
    found = [
        candidate
        for pool in pools_of(calls, options.min_calls)
        for candidate in candidates_of(pool, options.min_calls, options.max_answers)
    ]
    return sorted(found, key=lambda c: (-len(c.members), task_id(c.template)))


def _new(candidate: Candidate, tasks: dict[str, Task]) -> Task:
    taken = {task.name for task in tasks.values()}
    name = name_task(candidate.template, candidate.contract, candidate.context, taken)
    return Task(task_id(candidate.template), name, (candidate.template,), candidate.contract)
