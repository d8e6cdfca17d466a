"""What would cascades have done with recorded answers of many models?

    python -m benchmarks.cascades [PART ...] [--seeds 20]

All figures are "recorded": no model is asked. Thresholds are chosen or certified on other calls
than those they are measured on; intervals are 2.5 % to 97.5 % quantiles over random splits.
"""

import argparse

PARTS = ("function_calling", "routing", "matching", "bbh", "served")


def main() -> None:
    """The parts asked for, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    for part in asked.parts or PARTS:
        print(f"\n== {part}", flush=True)
        if part == "function_calling":
            from benchmarks.cascades_tools import main as run
        elif part == "routing":
            from benchmarks.cascades_routing import main as run
        elif part == "matching":
            from benchmarks.cascades_matching import main as run
        elif part == "served":
            from benchmarks.cascades_served import main as run
        else:
            from benchmarks.cascades_bbh import main as run
        run(asked.seeds)


if __name__ == "__main__":
    main()
