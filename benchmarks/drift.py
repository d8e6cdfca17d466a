"""How soon is a broken promise noticed, and one that holds left alone? Drift put into real data.

    python -m benchmarks.drift [--seeds 20] [--past 1500]

Support-desk intents (answers of an LLM, recorded) and CLINC150 (its own labels as the answers). For
each seed a random part of the messages is the past: a specialist is trained and certified on it at
5 % with 95 % confidence, as the learner does it. The rest is live: drawn again and again, 500
audits without drift and then 3,000 with it, of calls that the certified threshold accepts. Each
moves the e-process of the certificate, which demotes where it crosses 20. Beside it the share of
labels that the specialist does not know is watched over *all* sampled calls, as the watch does it.

The drifts: for a fifth of the labels the LLM answers another label (label drift); a tenth of the
labels, never seen before, make a fifth of the traffic (new intents); traffic is of the quarter of
labels with the most errors only (topic shift); the answers are another answerer's (changed LLM: the
data set's own labels for the support desk, a weak model's for CLINC150).

Last, other ways to bet, on simulated audits: how long each takes to notice a risk, and how often it
demotes in vain.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.data import lines, support_desk
from shoal.chat import Answer
from shoal.encoder import Encoder
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.trial import Candidate, judge, prepare
from shoal.guarantees import EProcess, Strangers, delta_at, interval, log_e_path, lower_bound
from shoal.specialists.label import KIND
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelContract, Task

ALPHA, DELTA = 0.05, 0.05
SPELL, MOST, QUIET = 500, 3_000, 10_000  # audits before, after the drift; without any

Rng = np.random.Generator


class World(Struct, frozen=True):
    """Messages, what the LLM answers, and what another would."""

    name: str
    texts: list[str]
    answers: list[str]
    others: list[str]


class Desk(Struct, frozen=True):
    """A certified specialist and the live messages: its answer, whether it is served, the LLM's and
    another's answer, and the specialist's labels."""

    said: NDArray[np.str_]
    served: NDArray[np.bool_]
    llm: NDArray[np.str_]
    other: NDArray[np.str_]
    known: frozenset[str]


class Traffic(Struct, frozen=True):
    """Where live messages are drawn from, and what the LLM answers to each."""

    rows: NDArray[np.intp]
    answers: NDArray[np.str_]


class Run(Struct, frozen=True):
    """Audits, and sampled calls, from the drift on until each watch noticed (inf: not), and the
    risk of what is served after it."""

    audits: float
    sampled: float
    risk: float


def worlds(senses: Senses) -> list[World]:
    """Both data sets."""
    desk = [row for part in support_desk() for row in part]
    gold = [str(row["gold_intent"]) for row in desk]
    rows = [r for r in lines("intents/clinc150.jsonl.gz") if r["label"] != "oos"]
    drawn = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:6_000]]
    texts, labels = [r["text"] for r in drawn], [r["label"] for r in drawn]
    weak = lessons_of("weak", texts[:900], labels[:900])
    model = prepare(weak, KIND.recipes[0], False, lambda: senses).specialist
    others = [str(model.predict(Input(text)).output) for text in texts]
    return [
        World(
            "support_desk (recorded)",
            [r["message"] for r in desk],
            [str(r["llm"]["intent"]) for r in desk],
            gold,
        ),
        World("CLINC150", texts, labels, others),
    ]


def lessons_of(name: str, texts: Sequence[str], answers: Sequence[str]) -> Lessons:
    """Lessons as ``curate`` makes them."""
    contract = LabelContract(tuple(sorted(set(answers))))
    task = Task(id=name, name=name, templates=(), contract=contract)
    rows = zip(texts, answers, strict=True)
    return Lessons(
        task,
        "llm",
        tuple(
            Lesson(str(i), Input(t), a, Answer(text=a), None, True) for i, (t, a) in enumerate(rows)
        ),
        None,
    )


def certify(world: World, past: Sequence[int], live: Sequence[int], senses: Senses) -> Desk | None:
    """Train and certify; None if it is refused."""
    lessons = lessons_of(
        world.name, [world.texts[i] for i in past], [world.answers[i] for i in past]
    )
    ready = prepare(lessons, KIND.recipes[1], False, lambda: senses)
    found = judge(ready, ALPHA, 0.8 * delta_at(1, DELTA))
    if not isinstance(found, Candidate):
        return None
    answers = [found.specialist.predict(Input(world.texts[i])) for i in live]
    return Desk(
        np.array([str(p.output) for p in answers]),
        np.array([p.signal >= found.selection.threshold for p in answers]),
        np.array([world.answers[i] for i in live]),
        np.array([world.others[i] for i in live]),
        frozenset(lessons.task.contract.labels),  # type: ignore[union-attr]
    )


def label_drift(desk: Desk, usual: Traffic, rng: Rng) -> Traffic:
    """A fifth of the labels are answered with another."""
    labels = sorted(desk.known)
    changed = rng.choice(labels, len(labels) // 5, replace=False)
    to = dict(zip(changed, np.roll(changed, 1), strict=True))
    return Traffic(usual.rows, np.array([to.get(label, label) for label in desk.llm]))


def new_intents(desk: Desk, usual: Traffic, rng: Rng) -> Traffic:
    """A fifth of the traffic is of labels that the specialist does not know."""
    new = np.flatnonzero([label not in desk.known for label in desk.llm])
    fresh = rng.choice(new, max(1, usual.rows.size // 4))
    return Traffic(np.concatenate([usual.rows, fresh]), desk.llm)


def topic_shift(desk: Desk, usual: Traffic, rng: Rng) -> Traffic:
    """Only the quarter of labels on which the specialist errs most."""
    rates = {
        label: float((desk.said != desk.llm)[desk.llm == label].mean())
        for label in set(desk.llm[usual.rows])
    }
    hard = set(sorted(rates, key=lambda label: -rates[label])[: len(rates) // 4])
    return Traffic(usual.rows[[label in hard for label in desk.llm[usual.rows]]], desk.llm)


def changed_llm(desk: Desk, usual: Traffic, rng: Rng) -> Traffic:
    """Another answerer's answers."""
    return Traffic(usual.rows, desk.other)


DRIFTS: tuple[Callable[[Desk, Traffic, Rng], Traffic], ...] = (
    label_drift,
    new_intents,
    topic_shift,
    changed_llm,
)


def run(desk: Desk, usual: Traffic, drifted: Traffic, rng: Rng) -> Run:
    """Audits and sampled calls one by one, through the e-processes that serving uses."""
    served = drifted.rows[desk.served[drifted.rows]]
    wrong = desk.said[served] != drifted.answers[served]
    before = usual.rows[desk.served[usual.rows]]
    process = EProcess.start(ALPHA)
    for row in rng.choice(before, SPELL):
        process = process.update(bool(desk.said[row] != usual.answers[row]))
    audits = 0
    while audits < MOST and not process.crossed(DELTA):
        process = process.update(bool(wrong[rng.integers(served.size)]))
        audits += 1
    strangers = Strangers.start(ALPHA, DELTA)
    for row in rng.choice(usual.rows, SPELL):
        strangers = strangers.seen(usual.answers[row] not in desk.known, 1.0)
    sampled = 0
    while sampled < MOST and not strangers.too_many(DELTA):
        row = drifted.rows[rng.integers(drifted.rows.size)]
        strangers = strangers.seen(drifted.answers[row] not in desk.known, 1.0)
        sampled += 1
    return Run(
        audits if process.crossed(DELTA) else np.inf,
        sampled if strangers.too_many(DELTA) else np.inf,
        float(wrong.mean()),
    )


def one_seed(world: World, seed: int, past: int, senses: Senses) -> dict[str, Run] | None:
    """Every drift of one split; "none" is the risk without, and its audits those of 10,000."""
    rng = np.random.default_rng(seed)
    labels = sorted(set(world.answers))
    unseen = set(rng.choice(labels, len(labels) // 10, replace=False))
    order = [int(i) for i in rng.permutation(len(world.texts))]
    first = [i for i in order if world.answers[i] not in unseen][:past]
    live = sorted(set(order) - set(first))
    desk = certify(world, first, live, senses)
    if desk is None:
        return None
    usual = Traffic(np.flatnonzero([label in desk.known for label in desk.llm]), desk.llm)
    found = {drift.__name__: run(desk, usual, drift(desk, usual, rng), rng) for drift in DRIFTS}
    served = usual.rows[desk.served[usual.rows]]
    wrong = desk.said[served] != desk.llm[served]
    path = log_e_path(rng.choice(wrong, QUIET), ALPHA) >= -np.log(DELTA)
    broken = lower_bound(int(wrong.sum()), wrong.size, DELTA) > ALPHA
    found["none"] = Run(
        float(path.argmax()) if path.any() else np.inf, float(broken), float(wrong.mean())
    )
    return found


def report(world: World, runs: Sequence[dict[str, Run]], seeds: int) -> None:
    """A line for each drift."""
    quiet = [run["none"] for run in runs]
    false = sum(np.isfinite(one.audits) for one in quiet)
    low, high = interval(false, len(quiet), 0.95)
    print(
        f"\n{world.name}: {len(runs)} of {seeds} certified, risk without drift "
        f"{np.mean([one.risk for one in quiet]):.2%}; promises clearly broken "
        f"{sum(one.sampled for one in quiet):.0f}; false demotions per {QUIET:,} audits "
        f"{false}/{len(quiet)} ({low:.1%} to {high:.1%})"
    )
    for drift in DRIFTS:
        found = [run[drift.__name__] for run in runs]
        risk = np.mean([one.risk for one in found])
        over = [one for one in found if one.risk > ALPHA]
        audits = _delay([one.audits for one in over])
        strangers = _delay([one.sampled for one in found])
        print(
            f"  {drift.__name__:12} risk {risk:6.1%}, over {ALPHA:.0%} in {len(over)}: audits to "
            f"demotion {audits}; sampled calls until lapsed for unknown labels {strangers}"
        )


def _delay(found: Sequence[float]) -> str:
    if not found:
        return "-"
    shown = [f"{x:.0f}" if np.isfinite(x) else f">{MOST:,}" for x in _quantiles(found)]
    missed = sum(not np.isfinite(x) for x in found)
    return f"median {shown[0]}, 95 % {shown[1]}, missed {missed}/{len(found)}"


def _quantiles(found: Sequence[float]) -> list[float]:
    ordered = sorted(found)
    return [ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.95)]


def mixture(wrong: NDArray[np.bool_], alpha: float) -> NDArray[np.float64]:
    """The same bets, all placed at the start: no reserve."""
    odds = np.array([1.5, 2.0, 3.0, 6.0, 12.0, 24.0])
    grown = 1 - alpha + alpha * odds
    gains = np.where(wrong[..., None], np.log(odds / grown), -np.log(grown)).cumsum(axis=-2)
    return np.asarray(np.logaddexp.reduce(gains, axis=-1) - np.log(odds.size))


def adaptive(wrong: NDArray[np.bool_], alpha: float) -> NDArray[np.float64]:
    """One bet, on the risk over the last 50 audits, smoothed (predictable plug-in)."""
    n = wrong.shape[-1]
    log_e, wealth, path = np.zeros(wrong.shape[:-1]), np.zeros(wrong.shape), wrong.astype(float)
    sums = np.concatenate([np.zeros((*wrong.shape[:-1], 1)), path.cumsum(axis=-1)], axis=-1)
    for t in range(n):
        begin = max(0, t - 50)
        recent = (sums[..., t] - sums[..., begin] + 2 * alpha + 0.5) / (t - begin + 3)
        q = np.clip(recent, alpha, 0.9)
        log_e = log_e + np.where(wrong[..., t], np.log(q / alpha), np.log((1 - q) / (1 - alpha)))
        wealth[..., t] = log_e
    return wealth


def bets(runs: int = 300) -> None:
    """Delay after 1,000 good audits, by the risk after it, for three ways to bet."""
    rng = np.random.default_rng(1)
    ways = {"chosen": log_e_path, "no reserve": mixture, "adaptive": adaptive}
    quiet = rng.random((runs, MOST)) < ALPHA
    print(f"\nWays to bet, simulated, {runs} runs each; good spell of 1,000 audits at 2 %")
    for name, way in ways.items():
        vain = (way(quiet, ALPHA) >= -np.log(DELTA)).any(axis=-1).mean()
        said = []
        for risk in (0.1, 0.2, 0.5, 1.0):
            stream = np.concatenate(
                [rng.random((runs, 1_000)) < 0.02, rng.random((runs, 2_000)) < risk], axis=1
            )
            over = way(stream, ALPHA) >= -np.log(DELTA)
            delay = np.where(over.any(axis=1), over.argmax(axis=1) - 999.0, np.inf)
            said.append(f"{risk:.0%}: {_quantiles(delay.tolist())[0]:.0f}")
        print(
            f"  {name:10} demoted in vain at risk 5 %: {vain:.1%}; median delay {', '.join(said)}"
        )


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--past", type=int, default=1_500)
    asked = parser.parse_args()
    senses = Senses(Encoder(threads=1), remember=20_000)
    began = time.process_time()
    bets()
    for world in worlds(senses):
        found = [one_seed(world, seed, asked.past, senses) for seed in range(asked.seeds)]
        report(world, [one for one in found if one is not None], asked.seeds)
        print(f"  {time.process_time() - began:.0f} s CPU so far", flush=True)


if __name__ == "__main__":
    main()
