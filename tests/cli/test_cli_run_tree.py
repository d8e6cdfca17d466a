"""The tree that ``shoal runs show`` prints."""

from typing import Any

import msgspec

from shoal.cli.run_tree import tree_lines
from shoal.storage import Run, RunRecord

RUN = Run(
    id="r1", name="p", started_at=1.0, updated_at=2.5, owner="", lease_until=0.0, state="done"
)


def records(*told: tuple[str, str, dict[str, Any]]) -> list[RunRecord]:
    return [
        RunRecord(
            run_id="r1",
            seq=seq,
            at=0.0,
            kind=kind,
            step=step,
            body=msgspec.json.encode(body),
            state="done" if kind == "ended" else None,
            cost=body.get("cost", 0.0),
            tokens=0,
            hash="",
        )
        for seq, (kind, step, body) in enumerate(told)
    ]


def tree(*told: tuple[str, str, dict[str, Any]]) -> list[str]:
    return list(tree_lines(RUN, records(*told)))[2:]


def done(value: object, by: str = "gpt", cost: float = 0.0, why: str = "") -> dict[str, Any]:
    return {"value": value, "ms": 12.3, "by": by, "why": why, "cost": cost}


def test_items_done_beside_each_other_stand_each_in_its_place() -> None:
    assert tree(
        ("run", "", {}),
        ("finished", "each[1].look", done("b", "orders")),
        ("finished", "each[0].look", done("a", "orders")),
        ("finished", "other", done(None)),
        ("finished", "each[0].said", done("A", cost=0.01, why="certified")),
        ("finished", "each[1].said", done("B", cost=0.02)),
        ("finished", "end", {"value": {"it": 1}}),
        ("ended", "", {}),
    ) == [
        "  each  0.030000 USD",
        "    [1]  0.020000 USD",
        "      each[1].look  12 ms  orders",
        "        = b",
        "      each[1].said  12 ms  0.020000 USD  gpt",
        "        = B",
        "    [0]  0.010000 USD",
        "      each[0].look  12 ms  orders",
        "        = a",
        "      each[0].said  12 ms  0.010000 USD  gpt  (certified)",
        "        = A",
        "  other  12 ms  gpt",
        "    = null",
        "  end",
        '    = {"it":1}',
        "  done",
    ]


def test_a_step_is_one_leaf_whatever_was_written_of_it() -> None:
    question = {"question": "Pay?", "show": {"a": 1}}
    assert tree(
        ("waiting", "b:0.word", question),
        ("paused", "", {"state": "waiting"}),
        ("decided", "b:0.word", {"approved": True, "by": "ann", "note": "fine"}),
        ("finished", "b:0.word", {"value": {"approved": True, "by": "ann", "note": "fine"}}),
        ("started", "b:0.paid", {"arguments": {"amount": 1}}),
        ("failed", "b:0.paid", {"error": "busy", "ms": 3.0, "cost": 0.5}),
        ("failed", "b:0.paid", {"error": "busy", "handled": True}),
        ("started", "b:0.again", {"arguments": {"amount": 1}}),
    ) == [
        "  b  0.500000 USD",
        "    0  0.500000 USD",
        '      b:0.word  asks: Pay? {"a":1}  ann said yes: fine',
        "      b:0.paid  0.500000 USD  failed: busy  (something stands in its place)",
        '      b:0.again  begun, and not known to be done: {"amount":1}',
    ]


def test_a_plan_that_replaced_another_stands_apart() -> None:
    assert tree(
        ("planning", "", {"place": ""}),
        ("planned", "", {"by": "gpt", "why": "written", "cost": 0.25}),
        ("finished", "a", done(1)),
        ("planning", "", {"place": "2:"}),
        ("finished", "2:a#3.x", done(2)),
        ("failed", "2:a#4", {"error": "gone", "handled": True}),
        ("resumed", "", {"by": "ann"}),
    ) == [
        "  planned by gpt: written  0.250000 USD",
        "  a  12 ms  gpt",
        "    = 1",
        "  plan 2",
        "    a",
        "      #3",
        "        2:a#3.x  12 ms  gpt",
        "          = 2",
        "      2:a#4  failed: gone  (something stands in its place)",
        "  resumed by ann",
    ]


def test_a_long_run_is_cut_and_said_to_be() -> None:
    found = tree(*[("finished", f"each[{at}].x", done(at)) for at in range(400)])
    assert len(found) == 501
    assert found[-1] == "… and more: `shoal runs show r1 --json` has all 400"
