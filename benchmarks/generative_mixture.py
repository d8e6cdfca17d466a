"""Several adapters on one base, each for a task, against one adapter for all of them.

    python -m benchmarks.generative_mixture [--seeds 2] [--examples 240] [--epochs 6]

Three made-up tasks of normalisation (dates, amounts, times), answers compared by the task's
comparator (text). The base is a self-made Granite of 0.7 million weights, first trained (all
weights) on copying, padding, and numbers of months, as no published weights are at hand. Then, from
the same base: an adapter for each task; one adapter of the same rank for all; one of three times
the rank, so that both sides have as many weights. One for all sees every example as often, so both
sides take as many steps in all; "3 times the steps" gives each member as many as one for all has.
Judged on requests that are not among the examples. Extras: ``train``. CPU alone, one training at a
time.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "training"))

from shoal.chat import Answer, Message
from shoal.tasks import TextContract
from shoal.training.lora.chat_examples import ChatExample

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP"}
HOURS = [
    "twelve",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
]
TESTS, RANK = 80, 4
SIZES: dict[str, Any] = {
    "hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 3, "head_dim": 32,
    "initializer_range": 0.03, "attention_multiplier": 0.177, "embedding_multiplier": 4.0,
    "residual_multiplier": 1.0, "logits_scaling": 1.0,
}  # fmt: skip

Pair = tuple[str, str]
Draw = Callable[[random.Random], Pair]


def date(rng: random.Random) -> Pair:
    """A date in one of four ways; ISO 8601."""
    year, month, day = rng.randint(1980, 2035), rng.randint(1, 12), rng.randint(1, 28)
    name = MONTHS[month - 1]
    ways = (f"{day} {name} {year}", f"{name} {day}, {year}", f"{day:02}.{month:02}.{year}",
            f"{day}/{month}/{year}")  # fmt: skip
    return rng.choice(ways), f"{year}-{month:02}-{day:02}"


def amount(rng: random.Random) -> Pair:
    """An amount of money in one of three ways; digits, two decimals, currency."""
    sign, code = rng.choice([*CURRENCIES.items()])
    whole, cents = rng.randint(1, 9_999), rng.choice((0, rng.randint(1, 99)))
    text = f"{whole:,}" if rng.random() < 0.5 else str(whole)
    if cents:
        text += f".{cents:02}"
    ways = (f"{sign}{text}", f"{code} {text}", f"{text} {code}")
    return rng.choice(ways), f"{whole}.{cents:02} {code}"


def clock(rng: random.Random) -> Pair:
    """A time of day in one of four ways; 24 hours."""
    hour, minute = rng.randint(0, 23), rng.randint(0, 59)
    half, twelve = "am" if hour < 12 else "pm", hour % 12 or 12
    way = rng.randrange(4)
    if way == 0:
        return f"half past {HOURS[hour % 12]} {half}", f"{hour:02}:30"
    if way == 1:
        return f"{HOURS[hour % 12]} o'clock {half}", f"{hour:02}:00"
    said = f"{twelve}:{minute:02} {half}" if way == 2 else f"{twelve}.{minute:02}{half}"
    return said, f"{hour:02}:{minute:02}"


TASKS: dict[str, tuple[str, Draw]] = {
    "dates": ("Write the date as in ISO 8601.", date),
    "amounts": ("Write the amount in digits with its currency.", amount),
    "times": ("Write the time on 24 hours.", clock),
}


def general(rng: random.Random) -> ChatExample:
    """What the base learns first: to copy, to pad, to know months and currencies."""
    digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 6)))
    words = " ".join(rng.choice((*MONTHS, *HOURS, digits, "am", "pm")) for _ in range(3))
    month, sign = rng.randrange(12), rng.choice([*CURRENCIES])
    number = rng.randint(0, 59)
    ways = (
        ("Repeat.", words, words),
        ("Repeat.", digits, digits),
        ("The last first.", words, " ".join(reversed(words.split()))),
        ("Two digits.", str(number), f"{number:02}"),
        ("The month's number.", MONTHS[month], f"{month + 1:02}"),
        ("The currency.", sign, CURRENCIES[sign]),
        ("The number.", HOURS[month], f"{month or 12:02}"),
    )
    return example(*rng.choice(ways))


def example(rules: str, said: str, answer: str) -> ChatExample:
    """A request of a task and its answer."""
    messages = (Message("system", rules), Message("user", said))
    return ChatExample(messages, Answer(text=answer), key=f"{rules} {said}")


def drawn(rng: random.Random, rules: str, draw: Draw) -> Iterator[ChatExample]:
    """Examples of a task, each request once."""
    seen = set[str]()
    while True:
        said, answer = draw(rng)
        if said not in seen:
            seen.add(said)
            yield example(rules, said, answer)


def self_made(folder: Path, steps: int, seed: int) -> Path:
    """The base: all weights trained on ``general`` for so many steps of 32."""
    import torch
    from tiny_models import tiny_model

    from shoal.training.lora.chat_examples import as_asked
    from shoal.training.lora.chat_tokens import ChatTokens
    from shoal.training.lora.hardware import Hardware
    from shoal.training.lora.loading import model_of, tokenizer_of

    tiny_model("granite", folder, **SIZES)
    model, chat = model_of(folder, Hardware.found()), ChatTokens(tokenizer_of(folder))
    rng, learn = random.Random(seed), torch.optim.AdamW(model.parameters(), 2e-3)
    plan = torch.optim.lr_scheduler.OneCycleLR(learn, 2e-3, steps)
    for step in range(steps):
        rows = [chat.row(as_asked(general(rng))[0]) for _ in range(32)]
        width = max(len(row.ids) for row in rows)
        ids, labels = torch.zeros(32, width, dtype=torch.long), torch.full((32, width), -100)
        for at, row in enumerate(rows):
            ids[at, : len(row.ids)] = torch.tensor(row.ids)
            labels[at, : len(row.ids)] = torch.tensor(row.labels)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        learn.step()
        plan.step()
        learn.zero_grad()
        if step % 100 == 0:
            print(f"base, step {step}: {float(loss.detach()):.3f}", file=sys.stderr, flush=True)
    model.save_pretrained(folder)
    return folder


def shares(base: Path, adapter: Path | None, tests: dict[str, list[ChatExample]]) -> list[float]:
    """Of each task's tests, the share answered the same."""
    from shoal.training.generative import evaluate

    judged = (evaluate(base, adapter, TextContract(), some, 24) for some in tests.values())
    return [one.share for one in judged]


class Comparison:
    """One seed's base, examples and adapters."""

    def __init__(self, home: Path, base: Path, seed: int, options: argparse.Namespace) -> None:
        self._home, self._base, self._seed, self._options = home, base, seed, options
        rng = random.Random(seed)
        draws = {name: drawn(rng, *task) for name, task in TASKS.items()}
        self._train = {
            name: [next(draw) for _ in range(options.examples)] for name, draw in draws.items()
        }
        self.tests = {name: [next(draw) for _ in range(TESTS)] for name, draw in draws.items()}

    def rows(self) -> dict[str, list[float]]:
        """The share of each task, by who was asked."""
        found = {"the base alone": shares(self._base, None, self.tests)}
        own = {name: self._tuned(name, some, RANK) for name, some in self._train.items()}
        each = {name: shares(self._base, adapter, self.tests) for name, adapter in own.items()}
        found[f"a mixture of three, rank {RANK}"] = [each[n][at] for at, n in enumerate(each)]
        every = [one for some in self._train.values() for one in some]
        for rank in (RANK, RANK * len(TASKS)):
            adapter = self._tuned(f"all-{rank}", every, rank)
            found[f"one for all, rank {rank}"] = shares(self._base, adapter, self.tests)
        others = [[each[n][at] for n in each if n != name] for at, name in enumerate(each)]
        whole = self._options.epochs * len(TASKS)
        longer = {
            n: self._tuned(f"{n}-longer", some, RANK, whole) for n, some in self._train.items()
        }
        judged = {n: shares(self._base, adapter, self.tests) for n, adapter in longer.items()}
        name = f"a mixture of three, rank {RANK}, {len(TASKS)} times the steps"
        found[name] = [judged[n][at] for at, n in enumerate(judged)]
        found["a wrong member"] = [mean(some) for some in others]
        return found

    def _tuned(
        self, name: str, examples: Sequence[ChatExample], rank: int, epochs: int | None = None
    ) -> Path:
        from shoal.training.generative import TuningOptions, fine_tune

        options = TuningOptions(
            rank=rank, alpha=2.0 * rank, dropout=0.0, rate=3e-3, batch=16,
            epochs=epochs or self._options.epochs, held_out=0.0, judgements=1, near=1.0,
            seed=self._seed,
        )  # fmt: skip
        began = time.process_time()
        tuned = fine_tune(self._base, examples, self._home / name, options)
        spent = time.process_time() - began
        print(f"{name}: {tuned.report.steps} steps, {spent:.0f} CPU-s", file=sys.stderr, flush=True)
        return tuned.adapter


def main() -> None:
    """Prints the table: mean over the seeds."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--examples", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--base-steps", type=int, default=600)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--base", type=Path, help="Where the base is, or is to be kept.")
    options = parser.parse_args()
    began, found = time.process_time(), list[dict[str, list[float]]]()
    with TemporaryDirectory() as home:
        base = options.base or Path(home) / "base"
        if not (base / "config.json").is_file():
            self_made(base, options.base_steps, 0)
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            found.append(Comparison(Path(home) / str(seed), base, seed, options).rows())
            print(found[-1], file=sys.stderr, flush=True)
    print(f"| who answers | {' | '.join(TASKS)} | mean |\n|---|{'---|' * (len(TASKS) + 1)}")
    for name in found[0]:
        columns = [mean(one[name][at] for one in found) for at in range(len(TASKS))]
        cells = [f"{share:.1%}" for share in (*columns, mean(columns))]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"{time.process_time() - began:.0f} CPU-seconds")


if __name__ == "__main__":
    main()
