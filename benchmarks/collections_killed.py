"""kill -9 of a process that writes a collection: is what was acknowledged there, and nothing else?

    python -m benchmarks.collections_killed [--points 1000] [--lives 300]

A writer takes documents in, changes and removes them, and says so before and after each. It is
killed at a random moment; then another process opens the collection. Every document that was
acknowledged must be found by its words and by its meaning, as it was last written, and none that
was removed; of the one under way either may be found, but not a part of it.

``--lives``: kills of processes that make a collection, encode it anew and remove it, while others
write and search. It must be as it was, or as it was to be, with every document that was
acknowledged and vectors of one encoder; or not there at all, and in nobody's way.
"""

import argparse

from benchmarks import collection_lives
from benchmarks.collection_writers import run


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000)
    parser.add_argument("--lives", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    report = run(asked.points, asked.seed)
    print(f"{report.points} kills, {report.steps:,} steps acknowledged, {len(report.wrong)} wrong")
    life = collection_lives.run(asked.lives, asked.seed)
    ends = ", ".join(f"{count} {end}" for end, count in sorted(life.ends.items()))
    print(f"{life.points} kills of lives ({ends}), {len(life.wrong)} wrong")
    print("\n".join((report.wrong + life.wrong)[:20]))


if __name__ == "__main__":
    main()
