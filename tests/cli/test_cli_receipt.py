"""How an answer was worked out, as people read it."""

from pathlib import Path

from shoal.assembly.record import CallView
from shoal.chat import Answer, Deliberation, Message, Request, Sample, Usage
from shoal.cli.receipt import describe
from shoal.routing.receipt import Receipt
from shoal.storage import Store, StoreOptions


def test_every_sample_has_a_line(tmp_path: Path) -> None:
    samples = (
        Sample("small", True, Usage(10, 1), 0.00002, 12.5),
        Sample("small", False, Usage(10, 1), 0.00002, 11.0),
        Sample("small", None, None, 0.0, 3.0, "503"),
    )
    told = Deliberation("vote:5", 5, samples, 0.5, "the vote cannot turn any more", 0.00004)
    receipt = Receipt(
        "c-1", 0.0, "small+vote:5", "small+vote:5", "no known task", deliberation=told
    )
    request = Request("small+vote:5", (Message("user", "Which?"),))
    call = CallView("c-1", 0.0, receipt, request, Answer("b"))
    with Store.open(StoreOptions(path=tmp_path / "data")) as store:
        text = describe(store, call, "none")
    at = text.splitlines().index(
        "Worked out by vote:5: 3 calls of models, 50 % agree; the vote cannot turn any more"
    )
    lines = text.splitlines()[at + 1 : at + 4]
    assert [line.split(",")[0] for line in lines] == [
        "- small agrees",
        "- small does not agree",
        "- small failed: 503",
    ]
