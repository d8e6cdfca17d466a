"""How well discovery finds known templates in mixed traffic: ``python -m benchmarks.discovery``.

Purity: share of assigned calls whose task's commonest template is theirs. NMI: normalised mutual
information of tasks and templates over the assigned calls (1: each template is one task). Only
templates with at least 20 calls can be found; calls of the others are counted as untemplated, and
so is noise: messages of CLINC150 with no instruction, answered by other messages.
"""

import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec import Struct

from benchmarks.task_traffic import (
    Labelled,
    big_bench_hard,
    chatter,
    demo,
    missing_data,
    product_matching,
    router_arena,
    support_desk,
    zero_shot_cot,
)
from shoal.chat import Request
from shoal.tasks import Contract, Discovery, FieldsContract, LabelContract, Matcher, discover
from shoal.tasks.discovery import DiscoveryOptions

MIN_CALLS = 20
SAMPLE = 2_000


class Measured(Struct, frozen=True):
    """One row of the table. Times are CPU: seconds to discover, milliseconds a matched call."""

    traffic: str
    calls: int
    templates: int
    tasks: int
    purity: float
    nmi: float
    unassigned: float
    noise_assigned: float
    seconds: float
    match_ms: float


TRAFFIC: dict[str, tuple[Callable[[], Iterator[Labelled]], ...]] = {
    "support desk": (support_desk,),
    "shop (demo)": (demo,),
    "desk + shop + chatter": (support_desk, demo, chatter),
    "BIG-Bench-Hard": (big_bench_hard,),
    "zero-shot CoT": (zero_shot_cot,),
    "product matching": (product_matching,),
    "RouterArena": (router_arena,),
    "everything": (
        support_desk,
        demo,
        chatter,
        big_bench_hard,
        zero_shot_cot,
        product_matching,
        router_arena,
    ),
}

EXPECTED: dict[str, Callable[[Contract], bool]] = {
    "bank-intent": lambda c: isinstance(c, LabelContract) and len(c.labels) == 77,
    "bank-triage": lambda c: kinds(c) == {"label"} and len(names(c)) == 3,
    "bank-entities": lambda c: kinds(c) == {"span"} and len(names(c)) == 6,
    "shop-department": lambda c: isinstance(c, LabelContract) and len(c.labels) == 7,
    "shop-about_money": lambda c: isinstance(c, LabelContract) and len(c.labels) == 2,
    "shop-before_purchase": lambda c: isinstance(c, LabelContract) and len(c.labels) == 2,
    "shop-topic": lambda c: isinstance(c, LabelContract) and len(c.labels) == 28,
    "shop-urgency": lambda c: isinstance(c, LabelContract) and len(c.labels) == 3,
    "shop-reply": lambda c: not isinstance(c, LabelContract | FieldsContract),
    "shop-fields": lambda c: kinds(c) == {"span"} and len(names(c)) == 6,
}


def names(contract: Contract) -> list[str]:
    """The fields of a contract."""
    return [f.name for f in contract.fields] if isinstance(contract, FieldsContract) else []


def kinds(contract: Contract) -> set[str]:
    """The kinds of the fields of a contract."""
    return {f.kind for f in contract.fields} if isinstance(contract, FieldsContract) else set()


def measure(traffic: str, calls: Sequence[Labelled]) -> tuple[Measured, Discovery]:
    """Discover over shuffled calls and compare with the templates they were made from."""
    observed = [call for _, call in calls]
    random.Random(7).shuffle(observed)
    started = time.process_time()
    found = discover(observed, options=DiscoveryOptions(MIN_CALLS, max_calls=200_000))
    seconds = time.process_time() - started
    sizes = Counter(name for name, _ in calls)
    able = {name for name, size in sizes.items() if size >= MIN_CALLS and name != "chatter"}
    pairs = [(name, found.assignments.get(call.id, "")) for name, call in calls if name in able]
    assigned = [pair for pair in pairs if pair[1]]
    others = [call for name, call in calls if name not in able]
    taken = sum(call.id in found.assignments for call in others)
    row = Measured(
        traffic=traffic,
        calls=len(calls),
        templates=len(able),
        tasks=len(found.tasks),
        purity=purity(assigned),
        nmi=nmi(assigned),
        unassigned=1 - len(assigned) / len(pairs),
        noise_assigned=taken / len(others) if others else 0.0,
        seconds=seconds,
        match_ms=match_ms(found, [call.request for call in observed[:SAMPLE]]),
    )
    return row, found


def purity(pairs: Sequence[tuple[str, str]]) -> float:
    """Share of (template, task) pairs whose template is the task's commonest."""
    by_task: dict[str, Counter[str]] = {}
    for template, task in pairs:
        by_task.setdefault(task, Counter())[template] += 1
    return sum(max(names.values()) for names in by_task.values()) / max(1, len(pairs))


def nmi(pairs: Sequence[tuple[str, str]]) -> float:
    """Mutual information of template and task over the mean of their entropies."""
    total = len(pairs)
    joint, first, second = (
        Counter(pairs),
        Counter(template for template, _ in pairs),
        Counter(task for _, task in pairs),
    )
    mutual = sum(
        n / total * math.log(n * total / (first[template] * second[task]))
        for (template, task), n in joint.items()
    )
    mean = (entropy(first) + entropy(second)) / 2
    return mutual / mean if mean else 1.0


def entropy(counts: Counter[str]) -> float:
    """Entropy in nats."""
    total = counts.total()
    return -sum(n / total * math.log(n / total) for n in counts.values())


def match_ms(found: Discovery, requests: Sequence[Request]) -> float:
    """CPU of one look-up in milliseconds, on requests decoded afresh (no cached hashes)."""
    packed = [msgspec.json.encode(request) for request in requests]
    fresh = [msgspec.json.decode(body, type=Request) for body in packed]
    matcher = Matcher(found.tasks)
    started = time.process_time()
    for request in fresh:
        matcher.find(request)
    return (time.process_time() - started) / len(fresh) * 1e3


def contracts(calls: Sequence[Labelled], found: Discovery) -> dict[str, bool]:
    """For each template with a known contract, whether its tasks' contracts are right."""
    by_id = {task.id: task.contract for task in found.tasks}
    right: dict[str, bool] = {}
    for name, call in calls:
        if name in EXPECTED:
            contract = by_id.get(found.assignments.get(call.id, ""))
            right[name] = right.get(name, True) and bool(contract and EXPECTED[name](contract))
    return right


def table(rows: Sequence[Measured]) -> Iterator[str]:
    """The rows as text."""
    yield (
        f"{'traffic':<22} {'calls':>7} {'templates':>9} {'tasks':>5} {'purity':>6} {'NMI':>6} "
        f"{'unassigned':>10} {'noise taken':>11} {'seconds':>7} {'ms/match':>8}"
    )
    for row in rows:
        yield (
            f"{row.traffic:<22} {row.calls:>7,} {row.templates:>9} {row.tasks:>5} "
            f"{row.purity:>6.3f} {row.nmi:>6.3f} {row.unassigned:>10.1%} "
            f"{row.noise_assigned:>11.1%} {row.seconds:>7.1f} {row.match_ms:>8.3f}"
        )


def main() -> int:
    """Measure every traffic, or those named on the command line, and print the table."""
    if missing_data():
        print(f"skipped: no data at {missing_data()}; set SHOAL_DATA to the folder of test data")
        return 0
    rows = []
    right: dict[str, bool] = {}
    for traffic in sys.argv[1:] or TRAFFIC:
        calls = [call for source in TRAFFIC[traffic] for call in source()]
        row, found = measure(traffic, calls)
        rows.append(row)
        right |= contracts(calls, found)
    print("\n".join(table(rows)))
    wrong = [name for name, is_right in right.items() if not is_right]
    if right:
        print(f"contracts right: {len(right) - len(wrong)} of {len(right)}", *wrong)
    return 0


if __name__ == "__main__":
    sys.exit(main())
