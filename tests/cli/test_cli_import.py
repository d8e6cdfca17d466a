import gzip
import json
import os
import threading
from typing import Any

import pytest
from command_line import Desk
from support_desk import add_tasks, line, lines

from shoal.storage import CallFilter, CallRecord, Example


def calls_of(desk: Desk) -> list[CallRecord]:
    with desk.store() as store:
        return store.calls.list(CallFilter(limit=1000))


def examples_of(desk: Desk, task: str) -> list[Example]:
    with desk.store() as store:
        return list(store.examples.of(task))


def write(desk: Desk, *rows: object) -> str:
    (desk.folder / "calls.jsonl").write_text(lines(*rows))
    return "calls.jsonl"


def test_imported_calls_are_examples_of_their_tasks(desk: Desk) -> None:
    with desk.store() as store:
        add_tasks(store, "department")
    rows = [line("department", n) for n in range(5)] + [line("reply", n) for n in range(3)]
    said = desk.printed("calls", "import", write(desk, *rows))
    assert said == "8 calls imported from calls.jsonl, 5 of them of known tasks.\n"
    found = calls_of(desk)
    assert {call.source for call in found} == {"import"}
    assert {(c.answered_by, c.llm, c.request.model) for c in found} == {("gpt", "gpt", "gpt")}
    assert all(call.sampled for call in found)
    assert len(examples_of(desk, "t-department")) == 5
    assert sorted(call.at for call in found if call.task) == [1.7e9 + n for n in range(5)]


def test_prices_of_the_settings_give_the_cost(desk: Desk) -> None:
    desk.printed("calls", "import", write(desk, line("reply", 1)))
    (call,) = calls_of(desk)
    assert call.cost == call.llm_cost == pytest.approx((60 * 10 + 3 * 100) / 1e6)


def test_importing_again_imports_nothing_twice(desk: Desk) -> None:
    again = line("reply", 1)
    name = write(desk, line("reply", 0), again, again)
    assert "3 calls imported" in desk.printed("calls", "import", name)
    said = desk.printed("calls", "import", name)
    assert said.endswith("0 calls imported from calls.jsonl, 0 of them of known tasks. "
                         "3 were there already.\n")  # fmt: skip
    grown = write(desk, again, line("reply", 0), again, again, line("reply", 2))
    assert "2 calls imported" in desk.printed("calls", "import", grown)
    assert len(calls_of(desk)) == 5


def test_the_order_of_keys_makes_no_other_call(desk: Desk) -> None:
    row = line("reply", 0)
    desk.printed("calls", "import", write(desk, row))
    turned = {key: row[key] for key in reversed(row)}
    assert "1 were there already" in desk.printed("calls", "import", write(desk, turned))


def test_ids_of_other_programs_do_not_clash(desk: Desk) -> None:
    desk.printed("calls", "import", write(desk, line("reply", 0, id="1")))
    assert "1 calls imported" in desk.printed(
        "calls", "import", write(desk, line("reply", 1, id="1"))
    )


def test_time_and_latency_come_from_the_file(desk: Desk) -> None:
    desk.printed("calls", "import", write(desk, line("reply", 1, at=1.6e9, latency_ms=321.5)))
    (call,) = calls_of(desk)
    assert (call.at, call.latency_ms) == (1.6e9, 321.5)
    shown = desk.printed("calls", "show", call.id)
    assert f"Call {call.id}, 2020-09-13 12:26:40 UTC, imported" in shown
    assert "in 321.5 ms\nWhy: imported" in shown


def test_a_call_without_a_time_is_not_old(desk: Desk) -> None:
    row = line("reply", 1)
    row["response"]["created"] = 0
    desk.printed("calls", "import", write(desk, row))
    (call,) = calls_of(desk)
    assert call.at > 1.7e9


def test_old_calls_are_pointed_out(desk: Desk) -> None:
    desk.config.write_text("[store]\nkeep_days = 30\n")
    result = desk.run("calls", "import", write(desk, line("reply", 1)))
    assert "1 of them are older than store.keep_days (30)" in result.stderr


BAD: list[tuple[object, str]] = [
    ({"request": line("reply", 1)["request"]}, "holds a request without its response"),
    ({"custom_id": "a", "response": {"body": line("reply", 1)["response"]}}, "joined|join each"),
    ({"custom_id": "a", "body": line("reply", 1)["request"]}, "without its response"),
    ({"custom_id": "a", "url": "/v1/embeddings", "body": {}}, "is no chat completion"),
    (
        {
            "body": line("reply", 1)["request"],
            "response": {"status_code": 429, "body": {"error": {"message": "slow down"}}},
        },
        'failed with status 429: {"error": {"message": "slow down"}}',
    ),
    ({"messages": [{"role": "user", "content": "hi"}]}, "the last one is not the assistant's"),
    ({"messages": 3}, "messages: expected a list"),
    (line("reply", 1, at="yesterday"), "at: expected a number, got a string"),
    (line("reply", 1, at=1.7e12), "at: expected seconds since 1970"),
    (line("reply", 1, latency_ms=-1), "latency_ms: expected milliseconds"),
    (line("reply", 1, receipt={}), "receipt: 'call_id' is missing"),
    (line("reply", 1, request={"messages": []}), "names no model; say whose"),
    (line("reply", 1, request={"model": "gpt"}), "request: 'messages' is missing"),
    (line("reply", 1, response={"choices": []}), "response: the reply is not a chat completion"),
    ([1, 2], "expected one call a line"),
    (7, "is no JSON object"),
    ({"prompt": "hi", "completion": "yo"}, "found: prompt, completion"),
]


@pytest.mark.parametrize(("row", "why"), BAD)
def test_a_bad_line_is_named_and_nothing_is_imported(desk: Desk, row: object, why: str) -> None:
    said = desk.refused("calls", "import", write(desk, line("reply", 0), row))
    assert said.startswith("calls.jsonl, line 2: ")
    assert any(part in said for part in why.split("|"))
    assert said.endswith("nothing was imported, --skip-bad imports the rest")
    assert calls_of(desk) == []


def test_bad_lines_are_left_out_only_when_asked(desk: Desk) -> None:
    text = lines(line("reply", 0)) + "{broken\n\n" + lines(line("reply", 1), 7)
    (desk.folder / "calls.jsonl").write_text(text)
    said = desk.refused("calls", "import", "calls.jsonl")
    assert "line 2: is not JSON" in said
    assert "(and 1 more bad lines)" in said
    result = desk.run("calls", "import", "calls.jsonl", "--skip-bad")
    assert result.exit_code == 0
    assert "2 calls imported" in result.stdout
    first, second = result.stderr.splitlines()
    assert first.startswith("shoal: calls.jsonl, line 2: is not JSON")
    assert second == "shoal: calls.jsonl, line 5: is no JSON object; left out"
    assert len(calls_of(desk)) == 2


def tuning(answer: dict[str, Any], **more: Any) -> dict[str, Any]:
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    return {"messages": [*asked, {"role": "assistant", **answer}], **more}


def test_fine_tuning_lines(desk: Desk) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "wave", "arguments": "{}"}}
    tools = [{"type": "function", "function": {"name": "wave"}}]
    name = write(desk, tuning({"content": "hello"}), tuning({"tool_calls": [call]}, tools=tools))
    assert "--model NAME" in desk.refused("calls", "import", name)
    desk.printed("calls", "import", name, "--model", "gpt")
    waved, said = calls_of(desk)
    assert said.answer is not None
    assert waved.answer is not None
    assert (said.answer.text, said.answer.finish_reason) == ("hello", "stop")
    assert [message.text for message in said.request.messages] == ["Be brief.", "hi"]
    assert said.llm == said.answered_by == said.request.model == "gpt"
    assert waved.answer.tool_calls[0].name == "wave"
    assert waved.answer.finish_reason == "tool_calls"
    assert json.loads(waved.request.tools) == tools


def test_a_batch_joined_into_one_line(desk: Desk) -> None:
    row = line("reply", 4)
    joined = {
        "custom_id": "r-4",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": row["request"],
        "response": {"status_code": 200, "request_id": "q", "body": row["response"]},
        "error": None,
    }
    desk.printed("calls", "import", write(desk, joined))
    (call,) = calls_of(desk)
    assert call.answer is not None
    assert call.answer.text == "Dear customer 4, sorry!"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_plain_or_compressed(desk: Desk, pack: Any) -> None:
    text = "\ufeff" + lines(line("reply", 0), line("reply", 1))
    said = desk.printed("calls", "import", "-", input=pack(text.encode()))
    assert said.startswith("2 calls imported from standard input")


def test_a_compressed_file_by_any_name(desk: Desk) -> None:
    (desk.folder / "calls").write_bytes(gzip.compress(lines(line("reply", 0)).encode()))
    assert "1 calls imported" in desk.printed("calls", "import", "calls")


def test_a_pipe_can_be_imported(desk: Desk) -> None:
    pipe = desk.folder / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(lines(line("reply", 0)),))
    writer.start()
    assert "1 calls imported" in desk.printed("calls", "import", "pipe")
    writer.join()


def test_a_file_cut_short_imports_nothing(desk: Desk) -> None:
    packed = gzip.compress(lines(*(line("reply", n) for n in range(500))).encode())
    (desk.folder / "calls.gz").write_bytes(packed[: len(packed) // 2])
    said = desk.refused("calls", "import", "calls.gz")
    assert "cannot be read" in said
    assert said.startswith("calls.gz, after line ")
    assert calls_of(desk) == []


def test_a_file_that_is_not_there_or_a_folder(desk: Desk) -> None:
    assert desk.refused("calls", "import", "no.jsonl") == "no.jsonl: no such file"
    assert desk.refused("calls", "import", ".") == ".: cannot be read: Is a directory"


def test_an_export_comes_back_as_it_was(busy_desk: Desk) -> None:
    exported = busy_desk.printed("calls", "export")
    (busy_desk.folder / "all.jsonl").write_text(exported)
    assert "36 were there already" in busy_desk.printed("calls", "import", "all.jsonl")
    busy_desk.config.write_text(
        busy_desk.config.read_text().replace("[store]", '[store]\npath = "other"')
    )
    with busy_desk.store() as store:
        add_tasks(store, "department", "reply")
    assert "36 of them of known tasks" in busy_desk.printed("calls", "import", "all.jsonl")
    assert busy_desk.printed("calls", "export") == exported


def test_what_was_served_small_does_not_come_back_as_a_reference(desk: Desk) -> None:
    receipt = {
        "call_id": "x",
        "at": 1.7e9,
        "llm": "gpt",
        "answered_by": "specialist/reply",
        "reason": "signal",
        "sampled": False,
        "llm_cost": 0.5,
    }
    with desk.store() as store:
        add_tasks(store, "reply")
    row = line("reply", 1, answered_by="specialist/reply", receipt=receipt)
    desk.printed("calls", "import", write(desk, row))
    (call,) = calls_of(desk)
    assert (call.answered_by, call.llm, call.sampled) == ("specialist/reply", "gpt", False)
    assert call.llm_cost == 0.5
    assert examples_of(desk, "t-reply") == []
