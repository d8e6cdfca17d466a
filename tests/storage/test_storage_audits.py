import json
import multiprocessing
from functools import partial

import pytest
from msgspec.structs import replace

from postgres_home import revision_of
from shoal.chat import Answer
from shoal.errors import NotFound
from shoal.guarantees.sequential import EProcess
from shoal.storage import Audit, CertificateRow, Event, Spending, Standing, Store, StoreOptions

DELTA = 0.05
CERTIFICATE = CertificateRow(id="c1", task="t1", card="d1", alpha=0.05, spec=b"{}", issued_at=1.0)
SERVING = Standing(task="t1", stage="serve", card="d1", certificate="c1", since=2.0)
spawn = multiprocessing.get_context("forkserver")
spawn.set_forkserver_preload(["shoal.storage"])


def audit(number: int, agrees: bool, **fields: str) -> Audit:
    made = Audit(
        call_id=f"call-{number}",
        at=10.0 + number,
        task="t1",
        certificate="c1",
        kind="audit",
        agrees=agrees,
        reference=Answer("shipping", body=b"the wire"),
    )
    return replace(made, **fields)


def record(store: Store, made: Audit) -> bool:
    with store.database.transaction() as conn:
        return store.audits.record(conn, made, DELTA)


def stand(store: Store, standing: Standing) -> None:
    event = Event(at=standing.since, task=standing.task, kind="promoted", by="learner")
    with store.database.transaction() as conn:
        store.standings.set(conn, standing, event)


@pytest.fixture
def serving(store: Store) -> Store:
    with store.database.transaction() as conn:
        store.certificates.insert(conn, CERTIFICATE)
        store.certificates.insert(conn, replace(CERTIFICATE, id="c2", card="d2"))
    stand(store, SERVING)
    return store


def errors_until_crossing(alpha: float = 0.05) -> int:
    process, errors = EProcess.start(alpha), 0
    while not process.crossed(DELTA):
        process, errors = process.update(True), errors + 1
    return errors


def test_what_an_audit_cost_is_added_once(serving: Store) -> None:
    spent = Spending(
        at=10.0, key="k", model="gpt", task="t1", purpose="audit", cost=0.5, llm_cost=0.0
    )
    for _ in range(2):
        with serving.database.transaction() as conn:
            serving.audits.record(conn, audit(1, agrees=True), DELTA, spent)
    (row,) = serving.spend.list("key")
    assert (row.group, row.calls, row.cost, row.llm_cost) == ("k", 0, 0.0, 0.0)
    assert (row.audits, row.audit_cost) == (1, 0.5)


def test_an_audit_comes_back(serving: Store) -> None:
    record(serving, audit(1, agrees=False))
    expected = replace(audit(1, agrees=False), reference=Answer("shipping"))
    assert serving.audits.of_certificate("c1") == [expected]
    assert serving.audits.of_calls(["call-0", "call-1"]) == {"call-1": expected}
    assert serving.audits.of_certificate("c2") == []


def test_the_evidence_is_what_the_audits_say(serving: Store) -> None:
    outcomes = [True, True, False, True, True, True, False, True]
    expected = EProcess.start(0.05)
    assert serving.audits.process("c1") == expected
    for number, agrees in enumerate(outcomes):
        record(serving, audit(number, agrees))
        expected = expected.update(not agrees)
    assert serving.audits.process("c1") == expected
    assert (expected.n, expected.errors) == (8, 2)


def test_a_broken_promise_demotes_in_the_same_transaction(serving: Store) -> None:
    last = errors_until_crossing()
    before = revision_of(serving)
    demoted = [record(serving, audit(number, agrees=False)) for number in range(1, last + 1)]
    assert demoted == [False] * (last - 1) + [True]
    assert serving.standings.get("t1") == Standing(task="t1", stage="observe", since=10.0 + last)
    assert revision_of(serving) == before + 1
    event = serving.events.list("t1")[0]
    assert (event.kind, event.by, event.at) == ("demoted", "audit", 10.0 + last)
    assert f"{last} of {last} audited answers were wrong" in event.reason
    detail = json.loads(event.detail)
    assert detail["e_value"] == pytest.approx(serving.audits.process("c1").e_value)
    assert detail["e_value"] >= 1 / DELTA
    del detail["e_value"]
    assert detail == {
        "certificate": "c1",
        "card": "d1",
        "n": last,
        "errors": last,
        "alpha": 0.05,
        "delta": DELTA,
    }


def test_a_demoted_task_is_demoted_once(serving: Store) -> None:
    last = errors_until_crossing()
    demoted = [record(serving, audit(number, agrees=False)) for number in range(last + 5)]
    assert demoted.count(True) == 1
    assert [event.kind for event in serving.events.list("t1")] == ["demoted", "promoted"]
    assert serving.audits.process("c1").n == last + 5


def test_shadowing_is_watched_too(serving: Store) -> None:
    stand(serving, replace(SERVING, stage="shadow"))
    shadows = (audit(n, agrees=False, kind="shadow") for n in range(errors_until_crossing()))
    assert [record(serving, made) for made in shadows][-1]


def test_an_audit_of_another_certificate_demotes_nobody(serving: Store) -> None:
    stand(serving, replace(SERVING, card="d2", certificate="c2"))
    for number in range(20):
        assert not record(serving, audit(number, agrees=False))
    assert serving.audits.process("c1").crossed(DELTA)
    assert serving.standings.get("t1") == replace(SERVING, card="d2", certificate="c2")


def test_a_promise_once_broken_stays_broken(serving: Store) -> None:
    for number in range(errors_until_crossing()):
        record(serving, audit(number, agrees=False))
    stand(serving, SERVING)  # somebody promotes the same certificate again
    assert record(serving, audit(99, agrees=True))


def test_a_call_is_audited_once(serving: Store) -> None:
    for _ in range(20):
        assert not record(serving, audit(1, agrees=False))
    assert serving.audits.process("c1").n == 1
    assert serving.standings.get("t1") == SERVING


def test_an_audit_of_an_unknown_certificate_is_refused_whole(serving: Store) -> None:
    with pytest.raises(NotFound, match="no certificate of id 'c9'"):
        record(serving, audit(1, agrees=True, certificate="c9"))
    assert serving.audits.of_calls(["call-1"]) == {}


def test_what_is_undone_is_undone_whole(serving: Store) -> None:
    last = errors_until_crossing()
    for number in range(1, last):
        record(serving, audit(number, agrees=False))
    before = serving.audits.process("c1"), revision_of(serving)

    def interrupted(store: Store) -> None:
        with store.database.transaction() as conn:
            assert store.audits.record(conn, audit(last, agrees=False), DELTA)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(serving)
    assert (serving.audits.process("c1"), revision_of(serving)) == before
    assert serving.standings.get("t1") == SERVING
    assert len(serving.audits.of_certificate("c1")) == last - 1
    assert record(serving, audit(last, agrees=False))


@pytest.fixture
def labelled(serving: Store) -> Store:
    """Each of four labels is promised by itself."""
    with serving.database.transaction() as conn:
        serving.certificates.insert(conn, replace(CERTIFICATE, id="c3"), ("a", "b", "c", "d"))
    stand(serving, replace(SERVING, certificate="c3"))
    return serving


def of_label(number: int, agrees: bool, label: str | None) -> Audit:
    return replace(audit(number, agrees), certificate="c3", label=label)


def test_each_label_has_evidence_of_its_own(labelled: Store) -> None:
    said = ["a", "b", "a", None, "unknown"]
    for number, label in enumerate(said):
        record(labelled, of_label(number, label != "a", label))
    watch = labelled.audits.watch("c3")
    counts = {label: (process.n, process.errors) for label, process in watch.labels.items()}
    assert counts == {"a": (2, 2), "b": (1, 0), "c": (0, 0), "d": (0, 0)}
    assert (watch.average.n, watch.average.errors) == (5, 2)
    newest_first = labelled.audits.of_certificate("c3")
    assert [made.label for made in newest_first] == said[::-1]
    assert labelled.audits.watch("c1").labels == {}


def test_one_label_that_breaks_its_promise_demotes_and_is_named(labelled: Store) -> None:
    for number in range(400):
        assert not record(labelled, of_label(number, True, "abd"[number % 3]))
    wrong = 0
    while not record(labelled, of_label(1000 + wrong, False, "c")):
        wrong += 1
        assert wrong < 20
    wrong += 1
    watch = labelled.audits.watch("c3")
    assert not watch.average.crossed(DELTA)  # over all, it is far from noticed
    standing = labelled.standings.get("t1")
    assert standing is not None
    assert standing.stage == "observe"
    event = labelled.events.list("t1")[0]
    assert (event.kind, event.by) == ("demoted", "audit")
    assert f"{wrong} of {wrong} audited answers that said 'c' were wrong" in event.reason
    assert "more than the certified 5.0% for each label, with confidence 95%" in event.reason
    detail = json.loads(event.detail)
    assert (detail["label"], detail["n"], detail["delta"]) == ("c", wrong, DELTA / 8)


def test_a_label_is_tested_at_its_part_of_delta(labelled: Store) -> None:
    """Evidence for which delta in full would do is not enough."""
    number = 0
    while not labelled.audits.watch("c3").labels["a"].crossed(DELTA):
        assert not record(labelled, of_label(number, number % 4 > 0, "a"))
        for spell in range(10):  # so that the average is not what breaks
            record(labelled, of_label(10_000 + 10 * number + spell, True, "b"))
        number += 1
    standing = labelled.standings.get("t1")
    assert standing is not None
    assert standing.stage == "serve"


def audit_many(options: StoreOptions, first: int, count: int) -> None:
    with Store.open(options) as store:
        futures = [
            store.writer.submit(
                partial(store.audits.record, audit=audit(n, agrees=n % 40 > 0), delta=DELTA),
                urgent=n % 3 == 0,
            )
            for n in range(first, first + count)
        ]
        for future in futures:
            future.result(60)


def test_audits_of_two_processes_lose_no_update(serving: Store) -> None:
    processes = [
        spawn.Process(target=audit_many, args=(serving.options, 1000 * i, 200)) for i in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    evidence = serving.audits.process("c1")
    assert (evidence.n, evidence.errors) == (400, 10)


def demote(options: StoreOptions) -> None:
    with Store.open(options) as store:
        for number in range(errors_until_crossing()):
            record(store, audit(number, agrees=False))


def test_a_demotion_by_another_process_is_seen_at_once(serving: Store) -> None:
    before = revision_of(serving)
    process = spawn.Process(target=demote, args=(serving.options,))
    process.start()
    process.join(60)
    assert revision_of(serving) == before + 1
    standing = serving.standings.get("t1")
    assert standing is not None
    assert standing.stage == "observe"
