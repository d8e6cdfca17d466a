"""Privacy: CPU of a search of 1 KB and 1 MB, and precision and recall on the labelled sample.

    python -m benchmarks.privacy

The sample (tests/routing/privacy/sample.jsonl) was written by hand, by who wrote the detectors: its
figures guard against getting worse, they do not estimate what happens on other people's traffic.
Names are left out: presidio is measured by its own makers.
"""

import inspect
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from shoal.chat import Message, Request
from shoal.routing.privacy import PrivacyOptions, detection, find, judge, redact

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/routing/privacy"))
from labelled_sample import KINDS_BY_RULE, detected, samples

_PROSE = (
    "The committee met on Tuesday to discuss the new schedule, and after some debate it agreed "
    "that the doors would open at nine. Nobody objected to the secret ballot, although a few "
    "members asked whether the key points could be sent by phone first, in 2024 or later. "
)
_GERMAN = (
    "Der Ausschuss traf sich am Dienstag, um über den neuen Zeitplan zu sprechen – und nach "
    "längerer Debatte beschloss er, dass die Türen um 9 Uhr öffnen. "
)


def texts() -> dict[str, str]:
    """Texts of 1 KB by what they are made of."""
    draw = random.Random(1)
    rows = [
        {
            "id": draw.randrange(10**9),
            "digest": f"{draw.getrandbits(128):032x}",
            "score": draw.random(),
            "at": f"2024-05-0{draw.randrange(1, 9)}T10:20:30Z",
        }
        for _ in range(20)
    ]
    found = {
        "prose": _PROSE * 5,
        "German prose": _GERMAN * 9,
        "groups of digits": " ".join(
            str(draw.randrange(10 ** draw.randrange(1, 13))) for _ in range(400)
        ),
        "unbroken digits": "".join(draw.choice("0123456789") for _ in range(1024)),
        "table of decimals": "\n".join(
            ",".join(f"{draw.random() * 1000:.3f}" for _ in range(8)) for _ in range(40)
        ),
        "Python": inspect.getsource(detection),
        "JSON": json.dumps(rows),
        "hexadecimal": " ".join(f"{draw.getrandbits(32):08x}" for _ in range(200)),
        "a finding every 40 characters": " ".join(
            f"Call 415-555-{draw.randrange(10**4):04} or mail u{n}@example.com or so."
            for n in range(30)
        ),
    }
    return {name: text[:1024] for name, text in found.items()}


def cpu(run: Callable[[], object], times: int) -> float:
    """Seconds of CPU for one run: the best of 25 rounds, as other work shares the cores."""
    best = float("inf")
    for _ in range(25):
        began = time.process_time()
        for _ in range(times):
            run()
        best = min(best, (time.process_time() - began) / times)
    return best


def speed() -> None:
    """CPU of a search, and of a redaction."""
    for name, text in texts().items():
        seconds = cpu(lambda text=text: find(text, KINDS_BY_RULE), 50)  # type: ignore[misc]
        found = len(find(text, KINDS_BY_RULE))
        print(f"1 KB of {name}: {seconds * 1e6:.0f} us CPU, {found} found")
    long = (_PROSE * 5000)[: 1 << 20]
    print(f"1 MB of prose: {cpu(lambda: find(long, KINDS_BY_RULE), 1) * 1e3:.0f} ms CPU")
    options = PrivacyOptions(redact=KINDS_BY_RULE)
    for name in ("prose", "a finding every 40 characters"):
        request = Request("m", (Message("user", texts()[name]),))
        judged = cpu(lambda request=request: judge(request, options), 30)  # type: ignore[misc]
        redacted = cpu(lambda request=request: redact(request, KINDS_BY_RULE), 30)  # type: ignore[misc]
        print(
            f"a request with 1 KB of {name}: judged in {judged * 1e6:.0f} us, "
            f"redacted in {redacted * 1e6:.0f} us CPU"
        )


def accuracy() -> None:
    """Precision and recall by kind; a finding counts if kind and value are exactly right."""
    rows = samples()
    right, missed, false = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        got = detected(row.text)
        right.update(kind for kind, _ in got & row.found)
        missed.update(kind for kind, _ in row.found - got)
        false.update(kind for kind, _ in got - row.found)
    empty = sum(not row.found for row in rows)
    print(f"sample: {right.total() + missed.total()} values, {empty} texts without any")
    for kind in (*KINDS_BY_RULE, ""):
        hits, misses, wrong = (
            (counts[kind] if kind else counts.total()) for counts in (right, missed, false)
        )
        print(
            f"{kind or 'all':12} recall {hits}/{hits + misses} = {hits / (hits + misses):.1%}, "
            f"precision {hits}/{hits + wrong} = {hits / (hits + wrong):.1%}"
        )


def main() -> None:
    """Print the figures."""
    speed()
    accuracy()


if __name__ == "__main__":
    main()
