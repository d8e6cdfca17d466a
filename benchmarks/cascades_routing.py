"""RouteLLM's protocol: GPT-4 or Mixtral-8x7B, on MMLU and GSM8K (recorded right or wrong).

A router learns from 1,531 random MMLU prompts, which of the two was right on each, and is tested on
the rest of MMLU and on GSM8K, of which it has seen nothing. It is a kernel ridge regression of
"GPT-4 right less Mixtral right" over frozen embeddings and the look of a prompt; of its settings
the best five are averaged, by APGR on the training labels alone: left out one by one for MMLU, and
subject by subject for GSM8K, which is another subject. Needs pyarrow (the extra ``bench``).
"""

import re
import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.linalg import lapack

from benchmarks.cascades_report import spread
from benchmarks.data import DATA, lines
from shoal.encoder import Encoder
from shoal.evaluation.routing_curve import RoutingCurve

WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
AVERAGED = 5  # settings
LABELS = 1_531  # as many as RouteLLM's "golden" labels from MMLU's validation part
SAME_WRONG = (0.0, 0.05, 0.1)  # how often two wrong answers are taken for the same one

Floats = NDArray[np.float64]


class Prompts(Struct, frozen=True):
    """A benchmark's prompts, (n, ...)."""

    texts: list[str]
    subjects: NDArray[np.str_]
    weak: Floats
    strong: Floats
    embedded: Floats
    look: Floats


class Shape(Struct, frozen=True):
    """k = (1 - look) exp(-gamma |x - y|^2) + look exp(-|u - v|^2 / f), and the ridge."""

    gamma: float
    ridge: float
    look: float


SHAPES = tuple(Shape(g, r, w) for g, r, w in product((1, 2, 3), (10, 30), (0.0, 0.2, 0.4)))


class Fit(Struct, frozen=True):
    """A router: its support, and its weights on it."""

    shape: Shape
    embedded: Floats
    look: Floats
    dual: Floats

    def scores(self, prompts: Prompts, rows: NDArray[np.intp]) -> Floats:
        """(k,) how much GPT-4 is expected to gain."""
        parts = np.array_split(rows, max(1, len(rows) // 2_000))
        return np.concatenate(
            [
                _kernel(self.shape, prompts.embedded[p], self.embedded, prompts.look[p], self.look)
                @ self.dual
                for p in parts
            ]
        )


class Routers(Struct, frozen=True):
    """The mean of several: steadier than the one that looks best on the training labels."""

    fits: list[Fit]

    def scores(self, prompts: Prompts, rows: NDArray[np.intp]) -> Floats:
        """(k,) how much GPT-4 is expected to gain."""
        return np.asarray(np.mean([fit.scores(prompts, rows) for fit in self.fits], axis=0))


def read(name: str, encoder: Encoder) -> Prompts:
    """A table of RouteLLM's, without the prompts that it calls contaminated."""
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise SystemExit("reading parquet needs pyarrow: pip install 'shoal[bench]'") from None
    path = DATA / "routing" / f"{name}.parquet"
    if not path.exists():
        raise SystemExit(f"{path} is absent: set SHOAL_DATA to the folder with the data")
    table: dict[str, list[Any]] = pq.read_table(path).to_pydict()
    kept = [at for at, bad in enumerate(table["contaminated"]) if not bad]
    texts = [table["prompt"][at] for at in kept]
    subjects = table.get("domain", [name] * len(table["prompt"]))
    return Prompts(
        texts=texts,
        subjects=np.array([subjects[at] for at in kept]),
        weak=np.array([table[WEAK][at] for at in kept], dtype=np.float64),
        strong=np.array([table[STRONG][at] for at in kept], dtype=np.float64),
        embedded=encoder.encode(texts).astype(np.float64),
        look=np.array([look_of(text) for text in texts]),
    )


def look_of(text: str) -> list[float]:
    """Features of a prompt's form: lengths, numbers, symbols, options and how they look."""
    question, *options = re.split(r"\n[A-Z]\. ", text.removesuffix("\nAnswer:"))
    sizes = [len(option) for option in options] or [0]
    words = question.split() or [""]
    size = max(1, len(question))
    return [
        np.log1p(len(question)),
        np.log1p(np.mean(sizes)),
        np.log1p(max(sizes) - min(sizes)),
        len(re.findall(r"\d", question)) / size,
        np.log1p(len(re.findall(r"\d+", question))),
        float(np.mean([bool(re.fullmatch(r"[\W\da-z]{1,14}", o)) for o in options] or [0])),
        float(np.mean([bool(re.search(r"\d", o)) for o in options] or [0])),
        float("?" in question),
        float("_" in question),
        float(bool(re.search(r"\b(not|except|least|false|incorrect)\b", question.lower()))),
        len(re.findall(r"[=^+*<>\\]", question)) / size,
        float(bool(re.search(r"\bI\.|\bII\b|Statement 1", question))),
        float(question.count("\n")),
        np.log1p(question.count(". ")),
        float(np.mean([len(word) for word in words])),
        sum(character.isupper() for character in question) / size,
    ]


def standardised(train: Floats, prompts: Prompts) -> Prompts:
    """The look in standard deviations of the training prompts', at most three."""
    mean, scale = train.mean(0), train.std(0) + 1e-9
    look = np.clip((prompts.look - mean) / scale, -3.0, 3.0)
    p = prompts
    return Prompts(p.texts, p.subjects, p.weak, p.strong, p.embedded, look)


def _kernel(shape: Shape, x: Floats, y: Floats, u: Floats, v: Floats) -> Floats:
    x, y, u, v = (part.astype(np.float32) for part in (x, y, u, v))  # half the time of float64
    near = np.exp(np.float32(2.0 * shape.gamma) * (x @ y.T - 1))
    apart = (u**2).sum(1)[:, None] + (v**2).sum(1)[None] - 2 * u @ v.T
    found = (1 - shape.look) * near + shape.look * np.exp(-apart / u.shape[1])
    return np.asarray(found, dtype=np.float64)


def train(prompts: Prompts, rows: NDArray[np.intp]) -> tuple[Routers, Routers]:
    """The routers that are best prompt by prompt, and those that are best subject by subject."""
    x, u = prompts.embedded[rows], prompts.look[rows]
    weak, strong = prompts.weak[rows], prompts.strong[rows]
    gain = strong - weak
    centred = gain - gain.mean()
    singles = [np.array([at]) for at in range(len(rows))]
    subjects = [np.flatnonzero(prompts.subjects[rows] == s) for s in set(prompts.subjects[rows])]
    fits: tuple[list[tuple[float, Fit]], ...] = ([], [])
    for shape in SHAPES:
        inverse = _inverse(_kernel(shape, x, x, u, u), shape.ridge)
        dual = inverse @ centred
        for found, groups in zip(fits, (singles, subjects), strict=True):
            left_out = _left_out(centred, inverse, dual, groups)
            apgr = RoutingCurve.of(left_out, weak, strong).apgr
            found.append((apgr, Fit(shape, x, u, dual)))
    by_prompt, by_subject = (sorted(found, key=lambda f: -f[0])[:AVERAGED] for found in fits)
    return Routers([fit for _, fit in by_prompt]), Routers([fit for _, fit in by_subject])


def _inverse(matrix: Floats, ridge: float) -> Floats:
    """Of a kernel matrix with a ridge, by Cholesky."""
    matrix[np.diag_indices(len(matrix))] += ridge
    factor, _ = lapack.spotrf(matrix.astype(np.float32), lower=1)
    lower, _ = lapack.spotri(factor, lower=1)
    return np.asarray(np.tril(lower) + np.tril(lower, -1).T, dtype=np.float64)


def _left_out(
    targets: Floats, inverse: Floats, dual: Floats, groups: Sequence[NDArray[np.intp]]
) -> Floats:
    """What the model without a group says of it (Rifkin & Lippert 2007)."""
    found = np.empty_like(targets)
    for group in groups:
        found[group] = targets[group] - np.linalg.solve(inverse[np.ix_(group, group)], dual[group])
    return found


def agreement(rows: Sequence[dict[str, Any]], same_wrong: float, seed: int) -> Floats:
    """With how many of two 6B systems Mixtral agrees on each GSM8K question, 0 to 2.

    Recorded is only who was right. Two right answers are the same; of two wrong ones a share
    ``same_wrong`` is taken to be.
    """
    chance = np.random.default_rng(seed)
    weak = np.array([row["mixtral-8x7b"] for row in rows])
    total = np.zeros(len(rows))
    for system in ("6b_finetuning", "6b_verification"):
        right = np.array([row[system] for row in rows])
        total += np.where(weak, right, ~right & (chance.random(len(rows)) < same_wrong))
    return total


def joined(gsm8k: Prompts) -> tuple[NDArray[np.intp], list[dict[str, Any]]]:
    """The questions that both tables have: rows of the prompts, and who was right."""
    places = {_bare(text): at for at, text in enumerate(gsm8k.texts)}
    rows = [r for r in lines("routing/gsm8k_joint_correct.jsonl.gz") if _bare(r["q"]) in places]
    return np.array([places[_bare(row["q"])] for row in rows]), rows


def _bare(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def line(name: str, curves: Sequence[RoutingCurve]) -> None:
    """APGR, CPT(50 %) and CPT(80 %) over seeds."""
    print(
        f"{name:44} APGR {spread([c.apgr for c in curves], 3, False)}, over ten shares "
        f"{np.mean([c.apgr_of_shares() for c in curves]):.3f}; CPT50 "
        f"{spread([c.call_share(0.5) for c in curves])}, CPT80 "
        f"{spread([c.call_share(0.8) for c in curves])}",
        flush=True,
    )


def main(seeds: int) -> None:
    """MMLU, GSM8K, and GSM8K with agreement."""
    began = time.process_time()
    encoder = Encoder(threads=1)
    mmlu, gsm8k = read("mmlu", encoder), read("gsm8k", encoder)
    print(f"{len(mmlu.texts)} and {len(gsm8k.texts)} prompts, not contaminated (recorded answers)")
    print(f"encoding: {time.process_time() - began:.0f} s CPU")
    at, rows = joined(gsm8k)
    curves: dict[str, list[RoutingCurve]] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(mmlu.texts))
        known, rest = order[:LABELS], order[LABELS:]
        here, there = (standardised(mmlu.look[known], prompts) for prompts in (mmlu, gsm8k))
        by_prompt, by_subject = train(here, known)
        gains = by_subject.scores(there, np.arange(len(there.texts)))
        found = {"MMLU": RoutingCurve.of(by_prompt.scores(here, rest), *_outcomes(mmlu, rest))}
        found["GSM8K, trained on MMLU only"] = RoutingCurve.of(gains, *_outcomes(gsm8k))
        for share in SAME_WRONG:
            agree = agreement(rows, share, seed)
            key = f"GSM8K, 6B systems agree; {share:.0%} of wrong alike"
            outcomes = _outcomes(gsm8k, at)
            found[key] = RoutingCurve.of(-agree, *outcomes)
            found[f"{key}, and learned"] = RoutingCurve.of(_ranked(agree, gains[at]), *outcomes)
        for key, curve in found.items():
            curves.setdefault(key, []).append(curve)
    for key, several in curves.items():
        line(key, several)
    for name, prompts in (("MMLU", mmlu), ("GSM8K", gsm8k)):
        weak, strong = _outcomes(prompts)
        chance = [np.random.default_rng(s).random(len(weak)) for s in range(seeds)]
        line(f"{name}, random", [RoutingCurve.of(scores, weak, strong) for scores in chance])
        line(f"{name}, oracle", [RoutingCurve.of(strong - weak, weak, strong)])
    print(f"{time.process_time() - began:.0f} s CPU")


def _outcomes(prompts: Prompts, rows: NDArray[np.intp] | None = None) -> tuple[Floats, Floats]:
    if rows is None:
        return prompts.weak, prompts.strong
    return prompts.weak[rows], prompts.strong[rows]


def _ranked(agree: Floats, gains: Floats) -> Floats:
    """First by agreement, then by the learned gain."""
    place = np.argsort(np.argsort(gains)) / len(gains)
    return np.asarray(place - agree)
