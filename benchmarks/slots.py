"""The fields recipes on SNIPS: which words of a request are which slot.

    python -m benchmarks.slots [--validate] [--per-intent] [--subset 13784]

Official train and test parts. F1 over spans, exact in place and slot (as conlleval counts; a
value's surrounding whitespace aside), for one model over all 39 slots and, with --per-intent, for a
model an intent that is told the intent. Intervals are bootstrapped over messages. --validate tests
on a tenth of the training part instead, which is left out: so was developed.
"""

import argparse
import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from benchmarks.data import lines
from shoal.encoder import Encoder
from shoal.specialists.chain_tagger import ChainTagger
from shoal.specialists.senses import Senses
from shoal.specialists.spans import SpanTagger
from shoal.specialists.tagger import Places, Run, Tagger

TAGGERS = {"terms+encoder": SpanTagger, "crf+encoder": ChainTagger}
RESAMPLES = 2_000


class Message(Struct, frozen=True):
    """A request and the runs of its slots."""

    text: str
    intent: str
    runs: tuple[Run, ...]

    @property
    def places(self) -> Places:
        """The runs by slot."""
        found: dict[str, tuple[tuple[int, int], ...]] = defaultdict(tuple)
        for slot, start, end in self.runs:
            found[slot] += ((start, end),)
        return found


def messages(part: str) -> list[Message]:
    """A part of SNIPS in an order drawn once."""
    found = [
        Message(row["text"], row["intent"], tuple(_trimmed(row["text"], *s) for s in row["spans"]))
        for row in lines("fields/snips.jsonl.gz")
        if row["split"] == part
    ]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


def held_out(message: Message) -> bool:
    """Whether a training message validates: equal texts all do, or none does."""
    return hashlib.sha256(message.text.strip().lower().encode()).digest()[0] % 10 == 0


def _trimmed(text: str, slot: str, start: int, end: int) -> Run:
    value = text[start:end]
    return slot, start + len(value) - len(value.lstrip()), end - len(value) + len(value.rstrip())


class Counts(Struct):
    """Of each message: spans found rightly, found, and there (n, 3); and whether all were right."""

    spans: list[tuple[int, int, int]] = []
    exact: list[bool] = []

    def add(self, found: Sequence[Run], wanted: Sequence[Run]) -> None:
        """Count one message."""
        both = set(found) & set(wanted)
        self.spans.append((len(both), len(set(found)), len(set(wanted))))
        self.exact.append(set(found) == set(wanted))

    def f1(self) -> tuple[float, float, float]:
        """F1 and its 95 % interval (percentile bootstrap over messages)."""
        spans = np.array(self.spans)
        rng = np.random.default_rng(0)
        drawn = rng.integers(0, len(spans), (RESAMPLES, len(spans)))
        low, high = np.quantile([_f1(spans[rows]) for rows in drawn], (0.025, 0.975))
        return _f1(spans), float(low), float(high)


def _f1(spans: np.ndarray) -> float:
    right, found, wanted = spans.sum(axis=0)
    return float(2 * right / (found + wanted))


class Timed(Struct):
    """A tagger, and the CPU seconds that it and its left-out predictions took."""

    tagger: Tagger
    cpu: float


def train(recipe: str, known: Sequence[Message], senses: Senses) -> Timed:
    """Train one tagger over the slots of these messages, with its left-out predictions."""
    slots = sorted({slot for message in known for slot, _, _ in message.runs})
    began = time.process_time()
    texts, places = [m.text for m in known], [m.places for m in known]
    fitted = TAGGERS[recipe].train(slots, texts, places, senses, frozenset(slots))
    return Timed(fitted.tagger, time.process_time() - began)


def ask(tagger: Tagger, asked: Sequence[Message], senses: Senses, counts: Counts) -> float:
    """Count what a tagger finds; returns the CPU ms a message, the encoder's included."""
    began = time.process_time()
    for message in asked:
        counts.add(tagger.runs(message.text, senses.tokenise([message.text])[0]), message.runs)
    return (time.process_time() - began) / max(1, len(asked)) * 1e3


def report(name: str, counts: Counts, cpu: float, ms: float) -> None:
    """A line."""
    f1, low, high = counts.f1()
    print(
        f"{name:28} F1 {f1:.2%} ({low:.2%} to {high:.2%}), all of a message right "
        f"{np.mean(counts.exact):.1%}, {cpu:.0f} s CPU to train and cross-fit, "
        f"{ms:.1f} ms an answer",
        flush=True,
    )


def main() -> None:
    """Both recipes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--per-intent", action="store_true")
    parser.add_argument("--subset", type=int, default=100_000)
    parser.add_argument("--recipes", default=",".join(TAGGERS))
    options = parser.parse_args()
    known = messages("train")
    asked = [m for m in known if held_out(m)] if options.validate else messages("test")
    if options.validate:
        known = [m for m in known if not held_out(m)]
    known = known[: options.subset]
    senses = Senses(Encoder())
    began = time.process_time()
    senses.tokenise([message.text for message in known])
    print(
        f"{len(known):,} messages train, {len(asked):,} test; encoding the former takes "
        f"{time.process_time() - began:.0f} s CPU, which is in the training times below"
    )
    for recipe in options.recipes.split(","):
        counts = Counts([], [])
        timed = train(recipe, known, senses)
        report(f"one model: {recipe}", counts, timed.cpu, ask(timed.tagger, asked, senses, counts))
        if not options.per_intent:
            continue
        counts, cpu, ms = Counts([], []), 0.0, []
        for intent in sorted({message.intent for message in known}):
            timed = train(recipe, [m for m in known if m.intent == intent], senses)
            cpu += timed.cpu
            part = [m for m in asked if m.intent == intent]
            ms.append(ask(timed.tagger, part, senses, counts))
        report(f"one an intent: {recipe}", counts, cpu, float(np.mean(ms)))


if __name__ == "__main__":
    main()
