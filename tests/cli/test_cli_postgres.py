"""Two gateways, each a process of its own, on one store in Postgres."""

import time
from pathlib import Path

import openai
from gateway_pair import two_gateways
from served_desk import Served, wait_for
from support_desk import LABELS, request_of

from postgres_home import postgres_url
from postgres_server import own_server
from shoal.storage import Store, StoreOptions


def ask(gateway: Served, number: int) -> str:
    """The id of a call that was answered."""
    system, user = request_of("department", number).messages
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="gpt",
            messages=[
                {"role": "system", "content": system.text},
                {"role": "user", "content": user.text},
            ],
        )
    assert raw.parse().choices[0].message.content == LABELS[number % len(LABELS)]
    return str(raw.headers["x-shoal-call-id"])


def status(gateway: Served) -> str:
    return str(gateway.get("/healthz")["status"])


def stored(options: StoreOptions) -> set[str]:
    with Store.open(options) as store:
        return {call.id for page in store.calls.pages() for call in page}


def a_learner_works(options: StoreOptions) -> bool:
    with Store.open(options) as store:
        lock = store.database.learner_lock()
        taken = lock.take()
        lock.release()
        return not taken


def test_both_record_and_each_tells_the_calls_of_both(tmp_path: Path) -> None:
    with postgres_url() as url, two_gateways(tmp_path, url, "--no-learn") as gateways:
        options = StoreOptions(path=tmp_path / "data", url=url)
        ids = [ask(gateways[number % 2], number) for number in range(20)]
        for gateway in gateways:  # what one recorded, the other can tell
            for call_id in ids:
                assert gateway.get(f"/shoal/calls/{call_id}")["receipt"]["llm"] == "gpt"
        with Store.open(options) as store:
            assert {call.id for page in store.calls.pages() for call in page} == set(ids)
            assert {call.id for call in store.calls.arrivals().calls} == set(ids)


def test_one_learner_for_both_and_the_other_takes_over(tmp_path: Path) -> None:
    with postgres_url() as url, two_gateways(tmp_path, url) as gateways:
        first, second = gateways
        wait_for(lambda: "standing by" in first.log + second.log)
        if "standing by" in first.log:
            first, second = second, first
        time.sleep(2)
        assert "standing by" not in first.log
        assert first.stop() == 0
        wait_for(lambda: "taking over" in second.log)
        assert second.stop() == 0
        assert "Traceback" not in first.log + second.log
        options = StoreOptions(path=tmp_path / "data", url=url)
        with Store.open(options) as store:
            assert store.database.learner_lock().take()


def test_a_server_that_goes_away_stops_no_answer_and_loses_no_call(tmp_path: Path) -> None:
    with own_server() as server, two_gateways(tmp_path, server.url) as gateways:
        options = StoreOptions(path=tmp_path / "data", url=server.url)
        wait_for(lambda: a_learner_works(options))
        ids = [ask(gateways[number % 2], number) for number in range(6)]
        server.stop("fast")
        wait_for(lambda: [status(gateway) for gateway in gateways] == ["degraded"] * 2)
        for number in range(6, 30):
            began = time.perf_counter()
            ids.append(ask(gateways[number % 2], number))
            assert time.perf_counter() - began < 1.0
        assert gateways[0].get("/healthz")["store"]["backlog"] >= 12
        server.start()
        wait_for(lambda: [status(gateway) for gateway in gateways] == ["ok"] * 2)
        wait_for(lambda: all(g.get("/healthz")["store"]["backlog"] == 0 for g in gateways))
        wait_for(lambda: a_learner_works(options))
        assert [gateway.stop() for gateway in gateways] == [0, 0]
        assert stored(options) == set(ids)
