"""A tuned local model as a specialist: read, served, saved, refused when its base is another."""

import gc
import hashlib
import importlib.util
import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from shoal.chat import ToolCall
from shoal.engines.local import bases
from shoal.engines.local.bases import open_bases
from shoal.errors import ArtifactError, EngineUnreachable
from shoal.routing.signals.sql import SameRows, SqlDatabase
from shoal.specialists.card import Card
from shoal.specialists.generated import (
    MODEL,
    BaseFile,
    Files,
    GeneratedSpecialist,
    spelled,
    understood,
)
from shoal.specialists.loading import load_specialist
from shoal.specialists.writing.sureness import Sureness
from shoal.tasks import (
    CallContract,
    Contract,
    Input,
    LabelContract,
    LabelsContract,
    NumberContract,
    TextContract,
)
from shoal.tasks.comparators import register

if importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("gguf") is None:
    pytest.skip("the extra `local` is not installed", allow_module_level=True)

from tiny_gguf import write_adapter, write_model, write_parrot

TEXT = TextContract()
PLACE = LabelContract(("Paris", "Rome"))


def card_of(specialist: GeneratedSpecialist, contract: Contract) -> Card:
    return Card(
        id="c", task="t", kind=specialist.kind, recipe=specialist.recipe, contract=contract,
        llm="gpt", encoder="", artifact="", examples=1, agreement=1.0, data_digest="",
        trained_at=0.0, cpu_seconds=0.0,
    )  # fmt: skip


def parrot(folder: Path, contract: Contract, says: str = "Paris") -> GeneratedSpecialist:
    write_parrot(folder / MODEL, says)
    return GeneratedSpecialist(contract, Files(folder, None), "lora", 16, Sureness())


def test_what_it_writes_is_read_by_the_contract_and_comes_back_from_its_files(
    tmp_path: Path,
) -> None:
    specialist = parrot(tmp_path, PLACE)
    found = specialist.predict(Input("Where?"))
    assert found.output == "Paris"
    assert 0.5 < found.signal <= 1
    saved = tmp_path / "saved"
    saved.mkdir()
    specialist.save(saved)
    again = load_specialist(card_of(specialist, PLACE), saved, None)
    assert again.predict(Input("Where?")) == found
    specialist.close()


def test_what_breaks_the_contract_or_does_not_fit_is_declined(tmp_path: Path) -> None:
    specialist = parrot(tmp_path, LabelContract(("Rome", "Oslo")))
    assert specialist.predict(Input("Where?")).output is None
    assert specialist.predict(Input("long " * 5_000)).output is None
    specialist.close()


def test_an_answer_that_is_cut_off_is_none(tmp_path: Path) -> None:
    write_parrot(tmp_path / MODEL, "Paris")
    short = GeneratedSpecialist(TEXT, Files(tmp_path, None), "lora", 2, Sureness())
    assert short.predict(Input("Where?")).output is None
    short.close()


def test_an_adapter_is_served_on_its_own_base_alone(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base.gguf")
    write_adapter(tmp_path / "adapter.gguf")
    digest = "0" * 64
    files = Files(tmp_path, BaseFile(str(base), digest))
    specialist = GeneratedSpecialist(TEXT, files, "lora", 16, Sureness())
    saved = tmp_path / "saved"
    saved.mkdir()
    specialist.save(saved)
    specialist.close()
    card = card_of(specialist, TEXT)
    with pytest.raises(ArtifactError, match="is not the model"):
        load_specialist(card, saved, None)
    told = json.loads((saved / "model.json").read_text())
    told["base"]["path"] = str(tmp_path / "gone.gguf")
    (saved / "model.json").write_text(json.dumps(told))
    with pytest.raises(ArtifactError, match=r"gone\.gguf"):
        load_specialist(card, saved, None)


def test_calls_of_tools_are_written_as_json() -> None:
    contract = CallContract(("find", "send"))
    calls = (ToolCall("x", "find", '{"order": 12}'), ToolCall("y", "send", '{"to": "Ä"}'))
    text = spelled(contract, calls)
    read = understood(contract, f"<think>which?</think>\n{text}")
    assert isinstance(read, tuple)
    told = [(c.name, json.loads(c.arguments)) for c in read if isinstance(c, ToolCall)]
    assert told == [("find", {"order": 12}), ("send", {"to": "Ä"})]
    for broken in ("", "[]", "{}", '[{"name": "drop", "arguments": {}}]', text[:-2]):
        assert understood(contract, broken) is None


def test_nought_and_no_label_are_answers() -> None:
    assert understood(NumberContract(), "0") == 0
    several = LabelsContract(("urgent", "billing"), separator=", ", none="none")
    assert understood(several, "none") == ()
    assert understood(TextContract(), " ") is None
    assert understood(NumberContract(), "many") is None


def test_what_is_to_be_json_and_is_none_is_declined() -> None:
    contract = TextContract(json=True)
    assert understood(contract, '{"a": 1}') == '{"a": 1}'
    assert understood(contract, '{"a": 1') is None


def test_a_specialist_that_is_let_go_leaves_nothing_to_its_base(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base.gguf")
    write_adapter(tmp_path / "adapter.gguf")
    files = Files(tmp_path, BaseFile(str(base), ""))
    first, second = (GeneratedSpecialist(TEXT, files, "lora", 16, Sureness()) for _ in range(2))
    (opened,) = (one for one in open_bases() if one.settings.path == base)
    assert opened.adapters == (str(tmp_path / "adapter.gguf"),)
    first.close()
    first.close()
    assert opened in open_bases()
    adapters = opened.adapters
    assert adapters, "the second needs it"
    second.close()
    assert opened.adapters == ()
    assert opened not in open_bases()


def test_what_is_collected_as_garbage_is_let_go_by_another_thread(tmp_path: Path) -> None:
    specialist = parrot(tmp_path, PLACE)
    (opened,) = (one for one in open_bases() if one.settings.path == tmp_path / MODEL)
    specialist.begin()
    assert opened.is_running
    with bases._lock:  # as when a collection begins while a base is being opened
        del specialist
        gc.collect()
    for thread in threading.enumerate():
        if thread.name == "shoal-llama-end":
            thread.join(10)
    assert opened not in open_bases()
    assert not opened.is_running


def test_a_base_that_is_rewritten_under_its_specialist_is_not_loaded(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base.gguf")
    write_adapter(tmp_path / "adapter.gguf")
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    saved = tmp_path / "saved"
    saved.mkdir()
    made = GeneratedSpecialist(TEXT, Files(tmp_path, BaseFile(str(base), digest)), "lora", 16,
                               Sureness())  # fmt: skip
    made.save(saved)
    made.close()
    specialist = load_specialist(card_of(made, TEXT), saved, None)
    assert isinstance(specialist, GeneratedSpecialist)
    write_model(base, seed=7)
    with pytest.raises(EngineUnreachable, match="has changed"):
        specialist.begin()
    assert specialist.predict(Input("Where?")).output is None
    specialist.close()


@pytest.mark.parametrize(("says", "runs"), [("SELECT 12", True), ("SELECT x", False)])
def test_sql_that_does_not_run_is_no_answer(tmp_path: Path, says: str, runs: bool) -> None:
    database = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("CREATE TABLE t (a)")
    register("rows", SameRows(SqlDatabase(database)))
    specialist = parrot(tmp_path, TextContract(comparator="rows"), says)
    assert specialist.predict(Input("How many?")).output == (says if runs else None)
    specialist.close()


def test_what_its_process_spends_is_told(tmp_path: Path) -> None:
    specialist = parrot(tmp_path, PLACE)
    assert specialist.cpu_seconds == 0
    specialist.begin()
    loaded = specialist.cpu_seconds
    assert loaded > 0
    for _ in range(20):
        specialist.predict(Input("Where? " * 100))
    assert specialist.cpu_seconds > loaded
    specialist.close()
    assert specialist.cpu_seconds == 0
