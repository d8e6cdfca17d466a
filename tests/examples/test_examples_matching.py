"""Product matching: doubtful pairs wait for a person; a certified specialist leaves few of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pipelines import Pipeline

Prepared = Callable[[str], Pipeline]


def test_without_a_specialist_a_person_is_asked(pipeline: Prepared, tmp_path: Path) -> None:
    here = pipeline("product_matching")
    waiting = here.run("plan.json", {"most": 2}, ends=3)
    yes, no = "words[0].word", "words[1].word"
    assert json.loads(here.shoal("runs", "approve", waiting["run"], yes, "--json", ends=3).stdout)
    done = json.loads(here.shoal("runs", "approve", waiting["run"], no, "--no", "--json").stdout)
    assert done["value"] == {"offers": 2, "matched": 1, "table": "matches.csv"}
    right, matched, _ = here.module("score").score(tmp_path)
    assert (right, matched) == (1, 1)


@pytest.mark.slow
def test_a_specialist_matches_offers_that_it_has_not_seen(
    pipeline: Prepared, tmp_path: Path
) -> None:
    here = pipeline("product_matching")
    here.shoal("calls", "import", "recorded.jsonl")
    here.learn()
    here.shoal("promote", "entity", "--to", "serve")
    given = json.dumps({"most": 500})
    result = here.shoal("run", "plan.json", "-q", "--json", "-i", given, ends=3)
    run_id = json.loads(result.stdout)["run"]
    shown = json.loads(here.shoal("runs", "show", run_id, "--json").stdout)
    open_ = [one["step"] for one in shown["records"] if one["kind"] == "waiting"]
    assert len(open_) < 20
