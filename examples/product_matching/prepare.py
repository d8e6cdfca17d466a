"""Makes what shoal.toml and plan.json of this folder name: the offers in a database, the catalogue
as a collection of one document a product, and the judgements on labelled pairs as recorded calls.

    python prepare.py [FOLDER]     # another folder than this one gets a copy of all it needs
"""

import csv
import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from shoal.assembly.runs.prompts import to_model
from shoal.cli.collections import add
from shoal.formats.chat_completions import record_request
from shoal.planning.plan import Ask, read_plan
from shoal.planning.references import filled
from shoal.planning.shape import walk

HERE = Path(__file__).parent
SHIPPED = (
    "shoal.toml", "plan.json", "decide.py", "catalogue.csv", "offers.csv", "labelled.csv",
    "truth.csv",
)  # fmt: skip


def main(folder: Path = HERE) -> None:
    """Make everything anew; what was learned and run before goes."""
    for name in SHIPPED:
        if folder != HERE:
            shutil.copy(HERE / name, folder / name)
    for name in ("shoal-data", "catalogue"):
        shutil.rmtree(folder / name, ignore_errors=True)
    write_offers(folder)
    write_catalogue(folder)
    write_recording(folder)
    add("catalogue", [folder / "catalogue"], config=folder / "shoal.toml")


def write_offers(folder: Path) -> None:
    """offers.csv as a table."""
    (folder / "products.db").unlink(missing_ok=True)
    rows = [(one["id"], one["title"], one["brand"], one["price"]) for one in read(folder, "offers")]
    with closing(sqlite3.connect(folder / "products.db")) as database, database:
        database.execute("CREATE TABLE offers (id TEXT PRIMARY KEY, title TEXT, brand TEXT, price)")
        database.executemany("INSERT INTO offers VALUES (?, ?, ?, ?)", rows)


def write_catalogue(folder: Path) -> None:
    """A document for each product."""
    (folder / "catalogue").mkdir()
    for one in read(folder, "catalogue"):
        text = record(one["title"], one["brand"], one["price"])
        (folder / "catalogue" / f"{one['id']}.txt").write_text(text, encoding="utf-8")


def write_recording(folder: Path) -> None:
    """What was said of each labelled pair, asked as the plan asks."""
    plan = read_plan((folder / "plan.json").read_bytes())
    step = next(step for step in walk(plan.steps) if isinstance(step, Ask))
    with (folder / "recorded.jsonl").open("w", encoding="utf-8") as file:
        for pair in read(folder, "labelled"):
            offer = ["", pair["offer_title"], pair["offer_brand"], pair["offer_price"]]
            text = record(pair["title"], pair["brand"], pair["price"])
            asked = Ask(
                id=step.id,
                model=step.model,
                system=step.system,
                prompt=str(filled(step.prompt, {"offer": [*offer], "candidate": {"text": text}})),
                max_tokens=step.max_tokens,
            )
            file.write(json.dumps(line(asked, pair["same"]), separators=(",", ":")) + "\n")


def line(step: Ask, answer: str) -> dict[str, object]:
    """A recorded call; tokens are taken as four characters each."""
    asked = len(step.system + step.prompt)
    usage = {"prompt_tokens": asked // 4, "completion_tokens": 1, "total_tokens": asked // 4 + 1}
    message = {"role": "assistant", "content": answer}
    return {
        "request": json.loads(record_request(to_model(step))),
        "response": {
            "id": "recorded",
            "object": "chat.completion",
            "created": 0,
            "model": step.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        },
    }


def record(title: str, brand: str, price: str) -> str:
    """A product as a passage has it."""
    return f"title: {title}\nbrand: {brand}\nprice: {price}"


def read(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of a table."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
