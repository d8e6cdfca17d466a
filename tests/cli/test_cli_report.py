"""The report: one page that stands alone, and texts of strangers that stay texts."""

from html.parser import HTMLParser

import pytest
from command_line import Desk
from msgspec.structs import replace
from support_desk import LABELS, add_calls, add_tasks, make_call, make_certificate, request_of

from shoal.chat import Answer, Message
from shoal.errors import NotFound
from shoal.guarantees import LabelProof

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Every tag, and whether each that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def certified(desk: Desk) -> Desk:
    with desk.store() as store:
        add_tasks(store, "department", "reply")
        add_calls(store, *(make_call("department", number) for number in range(237)))
        for number in range(237, 240):  # the LLM errs, on inputs that are hostile
            request = request_of("department", number)
            text = f"{request.messages[1].text} {EVIL} {number}"
            odd = type(request)("gpt", (request.messages[0], Message("user", text)))
            said = Answer(LABELS[(number + 1) % 3])
            add_calls(store, make_call("department", number, request=odd, answer=said))
    desk.printed("certify", "department")
    return desk


def read(desk: Desk, name: str) -> str:
    return (desk.folder / name).read_text(encoding="utf-8")


def test_the_page_stands_alone_and_holds_what_was_proven(certified: Desk) -> None:
    assert "department-report.html" in certified.printed("report", "department")
    text = read(certified, "department-report.html")
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
    assert page.tags.count("svg") == 2
    for said in ("What is not promised", "Risk and coverage", "Slices", "Worst examples", "Audits"):
        assert said in page.words
    assert "label: terms" in page.words
    assert "the LLM" in page.words
    assert "sha256:" in page.words


def test_texts_of_callers_are_escaped(certified: Desk) -> None:
    certified.printed("report", "department", "--out", "page.html")
    text = read(certified, "page.html")
    assert "<script>" not in text
    assert "onerror=alert(2)>" not in text
    assert EVIL in Page(text).words


def test_without_a_certificate_it_says_why(certified: Desk) -> None:
    certified.printed("report", "reply", "--out", "reply.html")
    page = Page(read(certified, "reply.html"))
    assert "No certificate: its answers are free text" in page.words


def test_what_cannot_be_written_and_what_is_unknown(certified: Desk) -> None:
    assert "cannot be written" in certified.refused("report", "department", "--out", "no/such/x")
    assert isinstance(certified.run("report", "mood").exception, NotFound)


def test_a_certificate_without_points_still_reports(desk: Desk) -> None:
    from support_desk import add_certificate

    with desk.store() as store:
        add_tasks(store, "department")
        add_certificate(store, make_certificate())
    desk.printed("report", "department", "--out", "old.html")
    assert "calibration points were not kept" in read(desk, "old.html")


def test_audits_are_told_by_label_where_each_is_promised(desk: Desk) -> None:
    from support_desk import add_audits, add_certificate

    proofs = tuple(LabelProof(label, 0.8, 300, 200, 2, 0.03) for label in ("<returns>", "delivery"))
    with desk.store() as store:
        add_tasks(store, "department")
        add_certificate(store, make_certificate(labels=proofs))
        add_audits(store, "c-1", "<returns>", [True, False])
    desk.printed("report", "department", "--out", "by-label.html")
    text = read(desk, "by-label.html")
    assert "evidence against the promise is" in text
    assert "at 40 the specialist is taken back" in text
    assert "the evidence of any reaches 80." in text.replace("\n", " ")
    row = "<td><pre>&lt;returns&gt;</pre></td><td><pre>2</pre></td><td><pre>1</pre></td>"
    assert row in text
    assert text.index(row) < text.index("<td><pre>delivery</pre></td><td><pre>0</pre></td>")


def test_examples_that_the_llm_made_up_are_counted(desk: Desk) -> None:
    from support_desk import add_certificate

    with desk.store() as store:
        add_tasks(store, "department")
        add_certificate(store, replace(make_certificate(), made_up=12))
    desk.printed("report", "department", "--out", "page.html")
    words = Page(read(desk, "page.html")).words
    assert "Examples made up by the LLM12 trained, none measured" in words
    said = " ".join(desk.printed("certificate", "department", "--all").split())
    assert "learned from 12 examples that the LLM made up" in said
