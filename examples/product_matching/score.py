"""Compares matches.csv with truth.csv: precision and recall over offers that nobody learned from.

python score.py [FOLDER]
"""

import csv
import sys
from pathlib import Path


def score(folder: Path) -> tuple[int, int, int]:
    """Matches that are right, matches in all, and offers that have a product in the catalogue."""
    right = matched = there = 0
    truth = {row["offer"]: row["product"] for row in read(folder / "truth.csv")}
    for row in read(folder / "matches.csv"):
        product = truth[row["offer"]]
        there += bool(product)
        matched += bool(row["product"])
        right += bool(product) and row["product"] == product
    return right, matched, there


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent
    if not (folder / "matches.csv").exists():
        sys.exit(
            f"{folder}: no matches.csv yet; the run writes it once its last question is answered"
        )
    right, matched, there = score(folder)
    print(f"precision {right}/{matched}, recall {right}/{there}")
