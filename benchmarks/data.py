"""The data that benchmarks read, through SHOAL_DATA."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("SHOAL_DATA", Path(__file__).parents[2] / "shared" / "data"))

LABELS = ("intent", "urgency", "sentiment", "action")
ENTITIES = ("payment_method", "timeframe", "country", "currency", "amount", "merchant")


def lines(name: str) -> list[dict[str, Any]]:
    """The rows of a compressed JSON-lines file under SHOAL_DATA."""
    path = DATA / name
    if not path.exists():
        raise SystemExit(f"{path} is absent: set SHOAL_DATA to the folder with the data")
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def support_desk() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Bank customers' messages with an LLM's recorded answers: 3,000 past, 1,000 live."""
    rows = lines("support_desk/calls.jsonl.gz")
    past = [row for row in rows if row["id"].startswith("tr")]
    return past, [row for row in rows if row["id"].startswith("te")]


def intents() -> list[str]:
    """The 77 intents."""
    return list(json.loads((DATA / "support_desk" / "intents.json").read_text(encoding="utf-8")))
