"""Makes what shoal.toml and plan.json of this folder name: the shop's database, an empty outbox,
the LLM's recorded answers, and the collection of the shop's rules.

    python prepare.py [FOLDER]     # another folder than this one gets a copy of all it needs

Messages and answers are those of `shoal demo`; orders are made up for the numbers that customers
state, all but each tenth of them. `recorded/past.jsonl` are the calls about the first messages, to
learn from; `new.jsonl` the messages after them.
"""

import gzip
import hashlib
import json
import shutil
import sqlite3
import sys
from contextlib import closing
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from shoal.assembly.runs.prompts import to_model
from shoal.cli.collections import add
from shoal.formats.chat_completions import record_request
from shoal.planning.plan import Ask, read_plan
from shoal.planning.references import filled

HERE = Path(__file__).parent
PAST = 1_300  # messages whose calls specialists may learn from
PRODUCTS = ("lamp", "kettle", "bookshelf", "duvet", "toaster", "desk", "vacuum cleaner")
STATES = ("paid", "packed", "sent", "delivered", "returned")


def main(folder: Path = HERE) -> None:
    """Make everything anew; what was learned and run before goes."""
    for name in ("shoal.toml", "plan.json", "policies"):
        if folder != HERE:
            copy = shutil.copytree if (HERE / name).is_dir() else shutil.copy
            copy(HERE / name, folder / name)
    for name in ("shoal-data", "recorded"):
        shutil.rmtree(folder / name, ignore_errors=True)
    rows = read_rows()
    write_orders(folder / "shop.db", rows)
    write_outbox(folder / "outbox.db")
    write_recordings(folder, rows)
    add("policies", [folder / "policies"], config=folder / "shoal.toml")


def read_rows() -> list[dict[str, Any]]:
    """The demonstration's messages, each with what an LLM said about it."""
    packed = resources.files("shoal.demo").joinpath("calls.jsonl.gz").read_bytes()
    return [json.loads(line) for line in gzip.decompress(packed).splitlines()]


def write_orders(path: Path, rows: list[dict[str, Any]]) -> None:
    """A table of orders, of which nothing was known but number and product."""
    stated = [row["llm"]["fields"] for row in rows if "order_id" in row["llm"]["fields"]]
    orders = {one["order_id"].upper(): made_up(one) for one in stated}
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as shop, shop:
        shop.execute(
            "CREATE TABLE orders (id TEXT PRIMARY KEY, product TEXT, status TEXT, ordered_on TEXT, "
            "total REAL)"
        )
        known = [order for number, order in enumerate(orders.values()) if number % 10]
        shop.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", known)


def made_up(fields: dict[str, str]) -> tuple[str, str, str, str, float]:
    """An order as its number has it, the same each time."""
    chance = hashlib.sha256(fields["order_id"].encode()).digest()
    ordered = date(2026, 11, 1) - timedelta(days=chance[0] % 40)
    product = fields.get("product", PRODUCTS[chance[1] % len(PRODUCTS)])
    status, total = STATES[chance[2] % len(STATES)], 10 + chance[3] + chance[4] / 256
    return fields["order_id"].upper(), product, status, ordered.isoformat(), round(total, 2)


def write_outbox(path: Path) -> None:
    """A table for replies, one a message."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as outbox, outbox:
        outbox.execute(
            "CREATE TABLE outbox (message TEXT PRIMARY KEY, department TEXT, reply TEXT)"
        )


def write_recordings(folder: Path, rows: list[dict[str, Any]]) -> None:
    """The answers to what the plan asks its model, as far as an LLM was asked that."""
    plan = read_plan((folder / "plan.json").read_bytes())
    asks = [step for step in plan.steps if isinstance(step, Ask)]
    calls = [call for row in rows for call in calls_about(row, asks)]
    past = [call for row in rows[:PAST] for call in calls_about(row, asks)]
    (folder / "recorded").mkdir()
    for name, lines in (
        ("recorded/all.jsonl", calls),
        ("recorded/past.jsonl", past),
        ("new.jsonl", [{"id": row["id"], "message": row["message"]} for row in rows[PAST:]]),
    ):
        # without blanks, as requests are written: a format of answers is compared letter by letter
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        (folder / name).write_text(text, encoding="utf-8")


def calls_about(row: dict[str, Any], asks: list[Ask]) -> list[dict[str, Any]]:
    """The plan's requests about one message with the answers there are."""
    said = row["llm"]
    details = {key: said["fields"][key] for key in ("order_id", "amount") if key in said["fields"]}
    answers = {
        "department": said["department"],
        "urgency": said["urgency"],
        "details": json.dumps(details, ensure_ascii=False),
        "draft": said.get("reply"),
    }
    scope = {"input": {"id": row["id"], "message": row["message"]}}
    return [line(step, scope, answers[step.id]) for step in asks if answers[step.id] is not None]


def line(step: Ask, scope: dict[str, Any], answer: str) -> dict[str, Any]:
    """A recorded call; tokens are taken as four characters each."""
    request = to_model(
        Ask(
            id=step.id,
            model=step.model,
            system=step.system,
            prompt=str(filled(step.prompt, scope)),
            output=step.output,
            max_tokens=step.max_tokens,
        )
    )
    asked = sum(len(message.text) for message in request.messages)
    usage = {"prompt_tokens": asked // 4, "completion_tokens": max(1, len(answer) // 4)}
    message = {"role": "assistant", "content": answer}
    return {
        "request": json.loads(record_request(request)),
        "response": {
            "id": "recorded",
            "object": "chat.completion",
            "created": 0,
            "model": step.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage | {"total_tokens": sum(usage.values())},
        },
        "latency_ms": 900.0,  # assumed
    }


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
