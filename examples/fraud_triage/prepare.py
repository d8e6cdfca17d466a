"""Makes what the plan works on: the analyst's past answers, and transactions to be decided.

    python prepare.py [--past 1500] [--today 40] [--seed 1]

``history.jsonl`` holds calls as an application would have recorded them, ``bank.db`` the
transactions of today. ``process.py`` says how they come about. The same seed makes the same files.
"""

import argparse
import json
import random
import sqlite3
from pathlib import Path

from process import Transaction, columns, drawn, word_of

HERE = Path(__file__).parent
DAY = "2026-03-02"
PROMPT = (
    "Is this card transaction legitimate or fraud? Answer with one of these two words. "
    "Amounts are in EUR."
)
STARTED = 1_767_000_000  # unix seconds of the first call


def main() -> None:
    """Make everything anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--past", type=int, default=1_500)
    parser.add_argument("--today", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    with (HERE / "history.jsonl").open("w", encoding="utf-8") as file:
        for at in range(asked.past):
            one = drawn(chance)
            file.write(json.dumps(_call(at, one, word_of(one, chance))) + "\n")
    today = [drawn(chance) for _ in range(asked.today)]
    _fill(today)
    print(f"{asked.past} answers in history.jsonl, {len(today)} transactions in bank.db")


def _call(at: int, one: Transaction, word: str) -> dict[str, object]:
    """A call and its answer, a line of ``shoal calls import``."""
    told = "\n".join(f"{name}: {_told(value)}" for name, value in columns(one).items())
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": told}]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": word},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 90, "completion_tokens": 2, "total_tokens": 92}
    return {
        "at": STARTED + 60 * at,
        "request": {"model": "analyst", "messages": messages, "temperature": 0},
        "response": {"model": "analyst", "choices": [choice], "usage": usage},
    }


def _told(value: object) -> str:
    """As a plan writes it into a slot."""
    return value if isinstance(value, str) else json.dumps(value)


def _fill(today: list[Transaction]) -> None:
    path = HERE / "bank.db"
    path.unlink(missing_ok=True)
    names = list(columns(today[0])) if today else ["amount"]
    with sqlite3.connect(path) as bank:
        bank.execute(f"CREATE TABLE transactions (id TEXT, day TEXT, {', '.join(names)})")
        bank.execute("CREATE TABLE decisions (id TEXT PRIMARY KEY, decision, decided_by, reasons)")
        for at, one in enumerate(today):
            row = f"T-{at + 1:03}", DAY, *columns(one).values()
            bank.execute(f"INSERT INTO transactions VALUES ({', '.join('?' * len(row))})", row)
    bank.close()


if __name__ == "__main__":
    main()
