"""What must hold after the chaos run, each as a figure; what clients, upstream and store say is
compared call by call."""

import sqlite3
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.chaos_clients import (
    BROKEN_STREAM,
    ERROR,
    HUNG_UP,
    NO_CONNECTION,
    UNEXPECTED,
    WHOLE,
    Outcome,
)
from benchmarks.chaos_script import CYCLE_S, cost_of
from benchmarks.chaos_troubles import Life

_MOST_GROWTH_MB = 10.0
_SAMPLES = 20  # of memory, at either end
_SLACK_S = 1.0  # a connection that a killed gateway left behind may be noticed so much later
_EXPLAINED = (ERROR, BROKEN_STREAM, HUNG_UP, NO_CONNECTION)
_CENT = Decimal("0.005")


class Row(Struct, frozen=True):
    """A recorded call; ``number`` is that of the request."""

    id: str
    number: int
    cost: float | None
    error: str


class Journal(Struct, frozen=True):
    """What the upstream noted: how often it sent each answer whole, and which it cut."""

    whole: Counter[int]
    cut: frozenset[int]


class Verdict(Struct):
    """The figures, and whether one of them is not as it must be."""

    broken: list[str] = []

    def figure(self, name: str, value: object, holds: bool = True) -> None:
        """Print one."""
        print(f"{'ok  ' if holds else 'FAIL'} {name}: {value}", flush=True)
        if not holds:
            self.broken.append(name)


def read_journal(path: Path) -> Journal:
    """The upstream's lines; the last one may be torn by its death."""
    whole: Counter[int] = Counter()
    cut = set()
    for line in path.read_bytes().splitlines():
        try:
            noted = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if noted["what"] == "whole":
            whole[noted["number"]] += 1
        else:
            cut.add(noted["number"])
    return Journal(whole, frozenset(cut))


def read_store(path: Path) -> list[Row]:
    """All recorded calls, past Shoal's own code."""
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = conn.execute("SELECT id, episode, cost, error FROM calls").fetchall()
    finally:
        conn.close()
    return [Row(id, int(episode), cost, error) for id, episode, cost, error in rows]


def check_outcomes(verdict: Verdict, outcomes: Sequence[Outcome], lives: Sequence[Life]) -> None:
    """Every request got an answer, an error in its own format, or met a dead gateway."""
    counts = Counter(outcome.kind for outcome in outcomes)
    told = ", ".join(f"{kind} {count:,}" for kind, count in counts.most_common())
    verdict.figure("requests", f"{len(outcomes):,} ({told})", counts[WHOLE] > 0)
    wrong = [outcome for outcome in outcomes if outcome.kind == UNEXPECTED]
    verdict.figure("answers and errors that should not be", len(wrong), not wrong)
    for outcome in wrong[:10]:
        print(f"       request {outcome.number}: {outcome.detail[:600]}")
    cut_off = [outcome for outcome in outcomes if outcome.kind == NO_CONNECTION]
    strange = [outcome for outcome in cut_off if not _gateway_was_down(outcome, lives)]
    said = f"{len(strange)} of {len(cut_off):,}"
    verdict.figure("connections lost while the gateway ran", said, not strange)
    for outcome in strange[:10]:
        print(f"       request {outcome.number}: {outcome.detail[:300]}")
    slowest = max((outcome.ended - outcome.began for outcome in outcomes), default=0.0)
    verdict.figure("longest that a request took, s", f"{slowest:.1f}")


def check_records(verdict: Verdict, outcomes: Sequence[Outcome], rows: Iterable[Row]) -> None:
    """Every call that was acknowledged whole is in the store, as a call that ended well."""
    by_id = {row.id: row for row in rows}
    whole = [outcome for outcome in outcomes if outcome.kind == WHOLE]
    lost = [outcome for outcome in whole if outcome.call_id not in by_id]
    verdict.figure("acknowledged calls lost", f"{len(lost)} of {len(whole):,}", not lost)
    for outcome in lost[:10]:
        print(f"       call {outcome.call_id}, request {outcome.number}")
    known = [by_id[outcome.call_id] for outcome in whole if outcome.call_id in by_id]
    failed = [row for row in known if row.error]
    verdict.figure("acknowledged calls recorded as failed", len(failed), not failed)


def check_money(
    verdict: Verdict, outcomes: Sequence[Outcome], rows: Sequence[Row], journal: Journal
) -> None:
    """What is recorded is what the upstream counted; what it counted besides is explained."""
    by_id = {row.id: row for row in rows}
    whole = {o.number: o for o in outcomes if o.kind == WHOLE and o.call_id in by_id}
    recorded = sum((_usd(by_id[o.call_id].cost) for o in whole.values()), Decimal(0))
    counted = sum((cost_of(n) * journal.whole[n] for n in whole), Decimal(0))
    said = f"recorded {recorded:.6f} USD, counted upstream {counted:.6f} USD"
    verdict.figure(
        f"cost of {len(whole):,} acknowledged calls", said, abs(recorded - counted) < _CENT
    )
    off = [n for n, o in whole.items() if abs(_usd(by_id[o.call_id].cost) - cost_of(n)) > _ulp(n)]
    verdict.figure("acknowledged calls whose own cost differs", len(off), not off)
    twice = [number for number, count in journal.whole.items() if count > 1]
    verdict.figure(
        "requests that the upstream answered whole more than once", len(twice), not twice
    )
    answered = journal.whole.keys() | journal.cut
    costly = [row for row in rows if row.cost and row.number not in answered]
    # a killed upstream tells no journal of the streams that it was killed in: by what came of them
    killed = [row for row in costly if row.error.endswith("the reply broke off")]
    verdict.figure("streams cut by the upstream's end, priced by what came", len(killed))
    invented = [row for row in costly if row not in killed]
    verdict.figure("costs recorded for what was never answered", len(invented), not invented)
    _check_rest(verdict, outcomes, rows, journal)


def _check_rest(
    verdict: Verdict, outcomes: Sequence[Outcome], rows: Sequence[Row], journal: Journal
) -> None:
    """Answers that the upstream counted and no client acknowledged: what became of each."""
    kinds = {outcome.number: outcome.kind for outcome in outcomes}
    by_number: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_number[row.number].append(row)
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    unexplained = []
    for number in journal.whole:
        kind = kinds.get(number, "unheard of")
        if kind != WHOLE:
            sums[kind, _recorded_as(by_number[number], number)].append(cost_of(number))
        if kind != WHOLE and kind not in _EXPLAINED:
            unexplained.append(number)
    for (kind, recorded), costs in sorted(sums.items()):
        said = f"{len(costs):,} answers, {sum(costs):.6f} USD"
        print(f"       counted upstream, not acknowledged: {kind}, {recorded}: {said}")
    verdict.figure("answers counted upstream and not explained", len(unexplained), not unexplained)


def _recorded_as(rows: Sequence[Row], number: int) -> str:
    if not rows:
        return "not recorded"
    costs = [row.cost for row in rows if row.cost is not None]
    if not costs:
        return "recorded, cost unknown"
    same = any(abs(_usd(cost) - cost_of(number)) <= _ulp(number) for cost in costs)
    return "recorded at this cost" if same else "recorded at another cost"


def check_memory(verdict: Verdict, lives: Sequence[Life]) -> None:
    """The last life does not grow once it has been through every trouble."""
    sizes = [size for at, size in lives[-1].rss if at > lives[-1].ready + CYCLE_S]
    most = max((size for life in lives for _, size in life.rss), default=0.0)
    verdict.figure("most memory of any life, MB", f"{most:.1f}")
    if len(sizes) < 2 * _SAMPLES:
        verdict.figure("memory growth", "the last life was too short to tell")
        return
    first, last = statistics.median(sizes[:_SAMPLES]), statistics.median(sizes[-_SAMPLES:])
    said = f"{first:.1f} MB after its first cycle, {last:.1f} MB at its end"
    verdict.figure("memory of the last life", said, last - first <= _MOST_GROWTH_MB)


def check_log(verdict: Verdict, log: Path, lives: Sequence[Life]) -> None:
    """No traceback, and no life that ended by itself."""
    text = log.read_text(encoding="utf-8", errors="replace")
    found = text.count("Traceback (most recent call last)")
    verdict.figure("tracebacks in the log", found, not found)
    if found:
        start = text.index("Traceback (most recent call last)")
        print(text[max(0, start - 500) : start + 3_000])
    fell = sum(life.fell for life in lives)
    verdict.figure("gateways that ended by themselves", f"{fell} of {len(lives)}", not fell)


def _gateway_was_down(outcome: Outcome, lives: Sequence[Life]) -> bool:
    for life, following in pairwise(lives):
        back = (following.ready or following.began + 60) + _SLACK_S
        if outcome.ended >= life.killed - 0.01 and outcome.began <= back:
            return True
    return False


def _usd(cost: float | None) -> Decimal:
    return Decimal(0) if cost is None else Decimal(cost)


def _ulp(number: int) -> Decimal:
    """What a sum of floats may be off."""
    return cost_of(number) * Decimal("1e-12")
