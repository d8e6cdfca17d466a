"""Makes what shoal.toml and the plans of this folder name: the collection of the handbook, and an
empty table for questions that it does not answer.

    python prepare.py [FOLDER]     # another folder than this one gets a copy of all it needs
"""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from shoal.cli.collections import add

HERE = Path(__file__).parent


def main(folder: Path = HERE) -> None:
    """Make everything anew; what was run before goes."""
    for name in ("shoal.toml", "plan.json", "report.json", "handbook"):
        if folder != HERE:
            copy = shutil.copytree if (HERE / name).is_dir() else shutil.copy
            copy(HERE / name, folder / name)
    shutil.rmtree(folder / "shoal-data", ignore_errors=True)
    (folder / "questions.db").unlink(missing_ok=True)
    with closing(sqlite3.connect(folder / "questions.db")) as kept, kept:
        kept.execute("CREATE TABLE open_questions (question TEXT PRIMARY KEY, nearest TEXT)")
    add("handbook", [folder / "handbook"], config=folder / "shoal.toml")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
