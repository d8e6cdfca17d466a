"""The tree of a run: each step under the one that holds it, in whatever order they were done."""

import random

import msgspec

from shoal.cli.run_tree import tree_lines
from shoal.storage import Run, RunRecord

RUN = Run(id="r", name="plan", started_at=0.0, owner="", lease_until=0.0)


def record(step: str, kind: str = "finished", **body: object) -> RunRecord:
    return RunRecord(
        run_id="r",
        seq=0,
        at=0.0,
        kind=kind,
        step=step,
        body=msgspec.json.encode(body),
        state=None,
        cost=0.0,
        tokens=0,
        hash="",
    )


def drawn(*records: RunRecord) -> list[str]:
    """The tree's lines but for those about the whole run."""
    return [line for text in list(tree_lines(RUN, records))[2:] for line in text.split("\n")]


def test_items_side_by_side_keep_their_steps() -> None:
    assert drawn(
        record("rows[0].look", by="a", value=1),
        record("rows[1].look", by="b", value=2),
        record("rows[0].word:else.judge", "failed", error="c"),
        record("rows[1].word:else.judge", "failed", error="d"),
        record("rows", value=[1, 2]),
    ) == [
        "  rows[0]",
        "    look  a",
        "      = 1",
        "    word:else",
        "      judge  failed: c",
        "  rows[1]",
        "    look  b",
        "      = 2",
        "    word:else",
        "      judge  failed: d",
        "  rows",
        "    = [1,2]",
    ]


def test_the_order_of_records_moves_no_step_to_another_item() -> None:
    names = [f"rows[{i}].{step}" for i in range(20) for step in ("look", "judge")]
    random.Random(3).shuffle(names)
    shown = drawn(*(record(name, "failed", error=name) for name in names))
    item = ""
    for line in shown:
        if line.startswith("  rows"):
            item = line.strip()
        else:
            assert line.split()[-1].startswith(f"{item}.")
    assert len(shown) == 60


def test_a_failure_that_was_made_up_for_is_told_once() -> None:
    assert drawn(
        record("a", "failed", error="no answer"),
        record("a", "failed", error="no answer", handled=True),
        record("b", "failed", error="no answer"),
    ) == ["  a  failed: no answer  (something stands in its place)", "  b  failed: no answer"]
