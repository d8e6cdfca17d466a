"""Test-time scaling on recorded answers: what strategies bring, and what stopping early saves.

python -m benchmarks.reasoning [--orders 20]

Game of 24 (``reasoning/samples``, GPT-4, recorded by the authors of Tree of Thoughts): 100 problems
with 100 samples each of a chain of thought. The samples are played back by the recorded engine, in
random orders, under the strategies as they are served. GSM8K (``routing``): eight recorded systems,
of which it is known who was right; that two wrong answers are not the same one is an assumption.
"""

import argparse
import asyncio
import csv
import json
import math
import random
import re
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import DATA, lines
from shoal.chat import Answer, Message, Request
from shoal.engines import Engine, RecordedOptions, open_engine
from shoal.reasoning import BestOf, Panel, SelfConsistency
from shoal.reasoning.consistency import Voting
from shoal.tasks import comparators
from shoal.tasks.contract import TextContract

RUN = "gpt-4_0.7_naive_cot_sample_100_start900_end1000"
SAMPLES = 100
WORTH = 0.05  # stated before it was measured: a twentieth, as of every promise here
SAME_WRONG = (0.0, 0.05, 0.1)
BOOTSTRAPS = 2_000
_TOKEN = re.compile(r"\d+|[-+*/()]")


class Makes24:
    """A checker: the last line is an expression of the four numbers that is 24."""

    name = "makes 24"

    def complaint(self, request: Request, answer: Answer) -> str:
        """What is wrong with the expression."""
        said = expression(answer.text)
        numbers = sorted(re.findall(r"\d+", said))
        if numbers != sorted(request.messages[-1].text.split()):
            return "does not use the four numbers once each"
        return "" if value(said) == 24 else "is not 24"


def expression(text: str) -> str:
    """What the last line says after "Answer:" and before "="; "" if it says no such thing."""
    last = ([line for line in text.splitlines() if line.strip()] or [""])[-1].lower()
    _, found, said = last.partition("answer:")
    return said.split("=")[0].strip() if found else ""


def value(text: str) -> Fraction | None:
    """The value of an expression of numbers, + - * / and brackets; None if it is none."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"\s", "", text):
        return None
    try:
        found = _sum(tokens)
    except (IndexError, ValueError, ZeroDivisionError):
        return None
    return None if tokens else found


def _sum(tokens: list[str]) -> Fraction:
    total = _product(tokens)
    while tokens and tokens[0] in "+-":
        total += _product(tokens) if tokens.pop(0) == "+" else -_product(tokens)
    return total


def _product(tokens: list[str]) -> Fraction:
    total = _atom(tokens)
    while tokens and tokens[0] in "*/":
        total = total * _atom(tokens) if tokens.pop(0) == "*" else total / _atom(tokens)
    return total


def _atom(tokens: list[str]) -> Fraction:
    first = tokens.pop(0)
    if first == "(":
        inner = _sum(tokens)
        if tokens.pop(0) != ")":
            raise ValueError("an open bracket")
        return inner
    return Fraction(first)


def recorded_engine(folder: Path, problems: Sequence[tuple[str, Sequence[str]]]) -> Engine:
    """The samples of each problem, played back in this order."""
    path = folder / "samples.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for puzzle, samples in problems:
            request = {"model": "gpt-4", "messages": [{"role": "user", "content": puzzle}]}
            for text in samples:
                choice = {
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                }
                file.write(
                    json.dumps({"request": request, "response": {"choices": [choice]}}) + "\n"
                )
    return open_engine("gpt-4", RecordedOptions(engine="recorded", path=path))


def problems() -> list[tuple[str, list[str]]]:
    """The four numbers of each problem, and its samples."""
    with (DATA / "reasoning" / "24.csv").open(encoding="utf-8") as file:
        puzzles = [row["Puzzles"] for row in csv.DictReader(file)]
    rows = [row for row in lines("reasoning/samples.jsonl.gz") if row["run"] == RUN]
    for row in rows:
        request = asked(puzzles[int(row["idx"])])
        mine = [not Makes24().complaint(request, Answer(text)) for text in row["ys"]]
        theirs = [bool(info["r"]) for info in row["infos"]]
        assert mine == theirs, "the checker and the recorded verdicts differ"
    return [(puzzles[int(row["idx"])], row["ys"]) for row in rows]


def asked(text: str) -> Request:
    """A request of one message."""
    return Request("gpt-4", (Message("user", text),))


def exact(known: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Over all orders: the share solved by the best of n, and of n samples those taken."""
    checks = Makes24()
    passing = [
        sum(not checks.complaint(asked(puzzle), Answer(text)) for text in samples)
        for puzzle, samples in known
    ]
    for n in (1, 10, 94, 100):
        missed = np.array([_none(n, good) for good in passing])
        taken = np.array([sum(_none(t, good) for t in range(n)) for good in passing])
        print(f"best of {n}, over all orders | {interval(1 - missed)} | {interval(taken / n)}")
        if n < SAMPLES:
            print(f"  of {SAMPLES}: {interval(taken / SAMPLES)}")


def _none(n: int, good: int) -> float:
    """The chance that none of n of the samples is one of the good ones."""
    return math.comb(SAMPLES - good, n) / math.comb(SAMPLES, n)


async def measured(
    known: Sequence[tuple[str, Sequence[str]]], orders: int, build: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(problems,) the share solved and the samples taken, over random orders of the samples."""
    solved, taken = np.zeros(len(known)), np.zeros(len(known))
    for seed in range(orders):
        rng = random.Random(seed)
        drawn = [(puzzle, rng.sample(list(samples), len(samples))) for puzzle, samples in known]
        with tempfile.TemporaryDirectory() as folder:
            engine = recorded_engine(Path(folder), drawn)
            for at, (puzzle, _) in enumerate(drawn):
                request = asked(puzzle)
                answer = await build(engine).answer(request)
                solved[at] += not Makes24().complaint(request, answer)
                taken[at] += len(answer.deliberation.samples)
    return solved / orders, taken / orders


def interval(values: NDArray[np.float64]) -> str:
    """The mean over problems, with the 95 % bootstrap interval over these."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(BOOTSTRAPS, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


def _same_expression(a: Answer, b: Answer) -> bool:
    first, second = expression(a.text), expression(b.text)
    return re.sub(r"\s", "", first) == re.sub(r"\s", "", second)


async def game_of_24(orders: int) -> None:
    """Best of n with a checker, and votes."""
    comparators.register("same expression", _same_expression)
    contract = TextContract(comparator="same expression")
    known, checks = problems(), [Makes24()]
    strategies: list[tuple[str, int, Any]] = [
        (f"best of {n}", n, lambda e, n=n: BestOf(e, n, checks, at_once=1)) for n in (1, 10, 100)
    ]
    strategies += [
        (
            f"best of 100, gives up under {WORTH:.0%}",
            100,
            lambda e: BestOf(e, 100, checks, at_once=1, worth=WORTH),
        ),
        ("best of 100, four at once", 100, lambda e: BestOf(e, 100, checks, at_once=4)),
    ]
    for n in (10, 100):
        for risk in (0.0, 0.05):
            voting = Voting(contract, risk=risk)
            strategies.append(
                (
                    f"vote of {n}, risk {risk:.0%}",
                    n,
                    lambda e, n=n, v=voting: SelfConsistency(e, n, v),
                )
            )
    print("strategy | solved | samples of n")
    exact(known)
    for name, n, build in strategies:
        began = time.process_time()
        solved, taken = await measured(known, orders, build)
        spent = (time.process_time() - began) / (orders * len(known)) * 1e3
        print(f"{name} | {interval(solved)} | {interval(taken / n)} | {spent:.1f} ms CPU a problem")


class Told:
    """A recorded system: what it said, as far as that is known."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self._text = name, text
        self.asked = False

    async def answer(self, request: Request) -> Answer:
        """Its answer."""
        self.asked = True
        return Answer(self._text)


PRICES = {  # USD per million tokens, input and output, the cheapest first
    "6b_finetuning": (0.4, 0.4),  # those without a price of their own: as GPT-3 bases of their size
    "6b_verification": (0.4, 0.4),
    "mixtral-8x7b": (0.6, 0.6),
    "davinci002_direct": (2.0, 2.0),
    "davinci002_cot": (2.0, 2.0),
    "175b_finetuning": (2.0, 2.0),
    "175b_verification": (2.0, 2.0),
    "gpt-4-1106": (10.0, 30.0),
}
CHEAP = ("6b_finetuning", "6b_verification", "mixtral-8x7b")
_OUTPUT = 105  # tokens of a worked answer: GPT-4's recorded ones have 419 characters on average


def cost_of(name: str, question: str) -> float:
    """USD of one answer, its tokens reckoned from the question's characters."""
    price = PRICES[name]
    return (len(question) / 4 * price[0] + _OUTPUT * price[1]) / 1e6


async def eight_systems() -> None:
    """GSM8K: who is asked until two say the same, or most do."""
    rows = lines("routing/gsm8k_joint_correct.jsonl.gz")
    everyone = tuple(PRICES)
    rules = {
        "Mixtral alone": (("mixtral-8x7b",), 1),
        "GPT-4 alone": (("gpt-4-1106",), 1),
        "three cheap ones, then GPT-4: two that agree": ((*CHEAP, "gpt-4-1106"), 2),
        "Mixtral and a 6B system, then GPT-4: two that agree": (
            ("6b_verification", "mixtral-8x7b", "gpt-4-1106"),
            2,
        ),
        "all eight by price: two that agree": (everyone, 2),
        "vote of all eight": (everyone, 0),
    }
    print("\nrule | accuracy | USD a thousand questions | asked")
    for share in SAME_WRONG:
        print(f"if {share:.0%} of wrong answers are one and the same:")
        for name, (systems, needed) in rules.items():
            right, cost, count = await _run(rows, systems, needed, share)
            print(f"{name} | {interval(right)} | {interval(cost * 1e3)} | {count:.2f}")


async def _run(
    rows: Sequence[dict[str, Any]], systems: Sequence[str], needed: int, share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    rng, right, cost, count = random.Random(0), list[float](), list[float](), 0
    for row in rows:
        wrong = {name: "usual" if rng.random() < share else name for name in systems}
        told = [Told(name, "right" if row[name] else wrong[name]) for name in systems]
        if needed:
            answer = await _until_agreed(told, needed)
        else:
            answer = await Panel(told, at_once=1).answer(asked(row["q"]))
        right.append(float(answer.text == "right"))
        cost.append(sum(cost_of(one.name, row["q"]) for one in told if one.asked))
        count += sum(one.asked for one in told)
    return np.array(right), np.array(cost), count / len(rows)


async def _until_agreed(told: Sequence[Told], needed: int) -> Answer:
    said = list[str]()
    for one in told:
        answer = await one.answer(asked(""))
        said.append(answer.text)
        if said.count(answer.text) == needed:
            break
    return answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20)
    options = parser.parse_args()
    asyncio.run(game_of_24(options.orders))
    asyncio.run(eight_systems())
