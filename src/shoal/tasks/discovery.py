"""Finding the tasks that recur, from recorded calls alone.

Calls that a known task recognises belong to it. The others are pooled by skeleton (``pools``),
grouped by shared constant text (``grouping``), each group's template is aligned (``alignment``) and
its contract inferred (``inference``). A group becomes a task if its constant text is specific;
everything else stays unassigned. The outcome depends on the calls, not on their order.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from msgspec import Struct

from shoal.chat import Answer
from shoal.tasks.candidates import Candidate, candidates_of
from shoal.tasks.matcher import Match, Matcher
from shoal.tasks.pools import ObservedCall, pools_of
from shoal.tasks.revision import heirs, inherited, revised, widened
from shoal.tasks.task import Task, task_id
from shoal.tasks.task_names import name_task

__all__ = ["Discovery", "DiscoveryOptions", "ObservedCall", "discover"]


REPLACED = 0.5
"""Share of a task's calls that others must recognise for it to be gone."""


class DiscoveryOptions(Struct, frozen=True):
    """How much evidence a task needs, and how much discovery reads.

    ``min_calls``: different requests of one template. ``max_calls``: unknown calls compared with
    each other; any beyond are left for the next time. ``max_sampled``: calls of known tasks, all
    together, that are looked at when tasks are drawn anew. ``max_answers``: answers a contract is
    inferred from.
    """

    min_calls: int = 20
    max_calls: int = 50_000
    max_sampled: int = 10_000
    max_answers: int = 2_000


class Discovery(Struct, frozen=True):
    """Tasks that are new or changed, and the task of each call that has one (ignored included).

    ``removed`` are the ids of tasks that others took the place of, ``redrawn`` those of tasks some
    of whose calls are another's now: the calls of both are to be matched anew.
    """

    tasks: tuple[Task, ...]
    assignments: dict[str, str]
    removed: tuple[str, ...] = ()
    redrawn: tuple[str, ...] = ()


Samples = Mapping[str, Sequence[ObservedCall]]
"""Some calls of each task, by its id, that may be drawn anew."""


def discover(
    calls: Iterable[ObservedCall],
    known: Sequence[Task] = (),
    options: DiscoveryOptions | None = None,
    samples: Samples | None = None,
) -> Discovery:
    """Find new tasks and revise the known ones.

    Known tasks keep id and name; a pinned or ignored one is never changed. Those with ``samples``
    are drawn anew from these calls and the unknown ones: they may be split, widened or united as if
    all had been seen at once. Memory: at most ``max_calls`` calls are held besides the samples.
    """
    options = options or DiscoveryOptions()
    samples = samples or {}
    settled = [task for task in known if task.id not in samples]
    sorter = _Sorter(settled, options)
    for call in calls:
        sorter.add(call)
    seen = [*sorter.unknown, *chain.from_iterable(samples.values())]
    former = [task for task in known if task.id in samples]
    tasks = {task.id: task for task in settled}
    for candidate, heir_of in heirs(_candidates(seen, options), former, samples):
        task = inherited(heir_of, candidate) if heir_of else widened(settled, candidate)
        task = task or _new(candidate, known, tasks)
        tasks[task.id] = task
    for identity, evidence in sorter.evidence.items():
        tasks[identity] = revised(tasks[identity], evidence)
    assigned = _settle(tasks, seen, known, samples, options.min_calls)
    before = {task.id: task for task in known}
    owner = {call.id: task for task, sample in samples.items() for call in sample}
    lost = {task for call, task in owner.items() if assigned.get(call, "") != task}
    return Discovery(
        tuple(task for task in tasks.values() if before.get(task.id) != task),
        sorter.assignments | {call: task for call, task in assigned.items() if call not in owner},
        tuple(task.id for task in former if task.id not in tasks),
        tuple(task.id for task in former if task.id in lost and task.id in tasks),
    )


def _settle(
    tasks: dict[str, Task],
    seen: Sequence[ObservedCall],
    known: Sequence[Task],
    samples: Samples,
    min_calls: int,
) -> dict[str, str]:
    """Take new tasks of too few calls out of ``tasks``, put former ones back whose calls no other
    recognises, and return whose each call is then."""
    before = {task.id: task for task in known}
    assigned = _assign(seen, tasks)
    support = Counter(assigned.values())
    weak = {t for t in tasks if t not in before and support[t] < min_calls}
    for identity in weak:
        del tasks[identity]
    orphaned = {
        identity
        for identity, sample in samples.items()
        if identity not in tasks
        and sum(assigned.get(c.id, "") in tasks for c in sample) < REPLACED * len(sample)
    }
    tasks.update((identity, before[identity]) for identity in orphaned)
    return _assign(seen, tasks) if weak or orphaned else assigned


def sample_sizes(volumes: Mapping[str, int], most: int) -> dict[str, int]:
    """How many calls to look at of tasks with so many, ``most`` in all: small ones whole, the
    others in equal numbers."""
    sizes: dict[str, int] = {}
    left = most
    for number, (task, volume) in enumerate(sorted(volumes.items(), key=lambda item: item[1])):
        sizes[task] = min(volume, left // (len(volumes) - number))
        left -= sizes[task]
    return sizes


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


def _new(candidate: Candidate, known: Sequence[Task], tasks: dict[str, Task]) -> Task:
    others = {task.id: task for task in known} | tasks
    taken = {task.name for task in others.values()}
    name = name_task(candidate.template, candidate.contract, candidate.context, taken)
    identity = task_id(candidate.template)
    while identity in others:  # a task that was first found with this template and has another now
        identity = task_id(candidate.template, identity)
    return Task(identity, name, (candidate.template,), candidate.contract)
