"""kill -9 of a process that writes a collection: is what was acknowledged there, and nothing else?

    python -m benchmarks.collections_killed [--points 1000]

A writer takes documents in, changes and removes them, and says so before and after each. It is
killed at a random moment; then another process opens the collection. Every document that was
acknowledged must be found by its words and by its meaning, as it was last written, and none that
was removed; of the one under way either may be found, but not a part of it.
"""

import argparse

from benchmarks.collection_writers import run


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    report = run(asked.points, asked.seed)
    print(f"{report.points} kills, {report.steps:,} steps acknowledged, {len(report.wrong)} wrong")
    print("\n".join(report.wrong[:20]))


if __name__ == "__main__":
    main()
