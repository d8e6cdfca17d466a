"""``make bench``: every measurement, one after the other; about an hour."""

import runpy

NAMES = (
    "encoder",
    "intents",
    "recording",
    "gateway",
    "discovery",
    "promise",
    "privacy",
    "support_desk",
    "retrieval",
    "answers",
    "retrieval_hybrid",
)

if __name__ == "__main__":
    for name in NAMES:
        print(f"\n== {name}", flush=True)
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
