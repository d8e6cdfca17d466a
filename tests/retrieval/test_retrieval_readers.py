"""Readers: what a file is, what is taken out of it, and that a bad one costs only itself."""

import json
import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from threading import Timer

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retrieval.written_files import docx, paragraph, pdf, table, xlsx, zipped
from shoal.errors import MissingExtra, ReadError
from shoal.retrieval.documents import Block, Content
from shoal.retrieval.readers import (
    SUPPORTED,
    Reader,
    ReadOptions,
    is_wanted,
    kind_of,
    read,
)
from shoal.retrieval.readers import child as child_of
from shoal.retrieval.readers import pdf as pdf_reader
from shoal.retrieval.readers.furniture import without_furniture
from shoal.retrieval.readers.text import read_text

POND = [(24, "Report on ponds"), (11, "Ponds are small and hold"), (11, "water, and fish.")]
DEPTH = [(16, "Depth"), (11, "A pond is two metres deep.")]


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(ReadOptions(seconds=60.0)) as found:
        yield found


def text_of(content: Content) -> str:
    return "\n".join(block.text for block in content.blocks)


# What a file is


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.txt", b"%PDF-1.7\n...", "pdf"),
        ("a.pdf", b"just text", "text"),
        ("a.pdf", b"junk \n%PDF-1.7", "pdf"),
        ("a.py", b"# how %PDF-1.4 files begin", "python"),
        ("a.md", b"# Title", "markdown"),
        ("a.txt", b" <!DOCTYPE html><p>", "html"),
        ("a.md", b"<html>", "markdown"),
        ("noname", b"Received: x\nFrom: a\nTo: b\n\nhi", "email"),
        ("noname", b"text", "text"),
        ("Makefile", b"all:\n\tcc", "makefile"),
        ("a.csv", b"a,b", "csv"),
        ("a.doc", b"{\\rtf1 x}", "rtf"),
        ("a.txt", docx(""), "docx"),
        ("a.docx", b"PK\3\4" + b"x" * 30, "docx"),
        ("a.txt", "größe".encode("utf-16"), "text"),
        ("a.txt", "plain".encode("utf-16-le"), "text"),
    ],
)
def test_kinds(name: str, head: bytes, kind: str) -> None:
    assert kind_of(name, head) == kind


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG image"),
        (b"PK\3\4" + b"x" * 30, "ZIP archive; unpack it"),
        (b"\x7fELF\2\1", "a program"),
        (bytes(range(256)), "neither text nor a known kind"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
    ],
)
def test_what_is_no_document(head: bytes, told: str) -> None:
    with pytest.raises(ReadError, match=told):
        kind_of("name", head)


def test_known_endings() -> None:
    assert {"pdf", "docx", "html", "md", "txt", "csv", "eml", "py", "pptx", "xlsx"} <= set(
        SUPPORTED
    )


@pytest.mark.parametrize("path", ["a.md", "src/a.py", "./a.txt", "notes", "Makefile", "a b.PDF"])
def test_wanted(path: str) -> None:
    assert is_wanted(path)


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        "a/node_modules/b.js",
        "x/__pycache__/a.py",
        "a.PNG",
        "~$a.docx",
        "a~",
        "id_rsa",
        "x.pem",
    ],
)
def test_unwanted(path: str) -> None:
    assert not is_wanted(path)


# Text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_encodings(encoding: str) -> None:
    assert text_of(read("a.txt", "Größe – “x”\r\nzwei".encode(encoding))) == "Größe – “x”\nzwei"


def test_paragraphs_of_text() -> None:
    found = read("a.txt", b"one\ntwo\n \n\nthree\n")
    assert found == Content("text", (Block("text", "one\ntwo"), Block("text", "three")))


MARKED = [
    ("= Tea =\nLeaves.\n== Green ==\nSteamed.", [(1, "Tea"), (2, "Green")]),
    (
        " = = Green tea = = \nx\n = = = Japan , 1900 = = = \ny",
        [(2, "Green tea"), (3, "Japan , 1900")],
    ),
    ("Tea\n===\n\nLeaves.\n\nGreen\n-----\nSteamed.", [(1, "Tea"), (2, "Green")]),
    (
        "===\nTea\n===\n\nGreen\n=====\n\nSencha\n~~~~~~\nx",
        [(1, "Tea"), (2, "Green"), (3, "Sencha")],
    ),
    ("== Green\nSteamed.\n\n=== Sencha\n\nx", [(2, "Green"), (3, "Sencha")]),
]
UNMARKED = [
    "a = b =",
    "= a ==",
    "======",
    "x\n== y\nz",
    "name   year\n-----------\nTea    1900",
    "- tea\n-----\nleaves",
    "a | b\n-----\n1 | 2",
    "Regards,\n----------------------------------------------\nfooter",
    "in the middle\nof this\n-------\nno",
    "1900\n----\nleaves",
    "=" * 5_000 + " x " + "=" * 5_000,
]


@pytest.mark.parametrize(("text", "headings"), MARKED)
def test_headings_that_plain_text_marks(text: str, headings: list[tuple[int, str]]) -> None:
    found = read("tea.txt", text.encode())
    assert [(b.level, b.text) for b in found.blocks if b.kind == "heading"] == headings
    assert not re.search(r"[=~-]{2}", text_of(found))
    assert found.title == ("Tea" if headings[0] == (1, "Tea") else "")


@pytest.mark.parametrize("text", UNMARKED)
def test_what_marks_no_heading(text: str) -> None:
    assert read("tea.txt", text.encode()).blocks == (Block("text", text),)


@given(st.text("= -~ab\n", max_size=60))
def test_headings_lose_only_their_signs(text: str) -> None:
    assume(text.strip())
    found = "".join(block.text for block in read_text(text).blocks)
    assert re.sub(r"[^ab]", "", found) == re.sub(r"[^ab]", "", text)


def test_headings_of_a_wiki_in_markdown() -> None:
    text = "= Tea =\nLeaves.\n== Green ==\nSteamed.\n```\n== code ==\n```\n= Coffee =\nBeans.\n"
    found = read("drinks.md", text.encode())
    assert found.blocks == (
        Block("heading", "Tea", 1),
        Block("text", "Leaves."),
        Block("heading", "Green", 2),
        Block("text", "Steamed."),
        Block("code", "== code =="),
        Block("heading", "Coffee", 1),
        Block("text", "Beans."),
    )
    assert found.title == ""  # of two articles


@pytest.mark.parametrize(
    ("text", "title"),
    [("# A\n\n## B\n\nx", "A"), ("# A\n\nx\n\n# B\n\ny", ""), ("x\n\n# A\n\ny", "")],
)
def test_the_title_is_the_one_first_heading(text: str, title: str) -> None:
    assert read("a.md", text.encode()).title == title


def test_markdown() -> None:
    text = """---
title: "About tea"
draft: false
year: 2024
tags: [green, black]
---
# Tea #
Some *text*
on two lines.

| a | b |
|---|:-:|
| 1 | x\\|y |

Kinds
-----
- green
- black
```py
# no heading
```
"""
    found = read("tea.md", text.encode())
    assert found.title == "About tea"
    assert found.attributes == {"draft": False, "year": 2024.0, "tags": "green, black"}
    assert found.blocks == (
        Block("heading", "Tea", 1),
        Block("text", "Some *text*\non two lines."),
        Block("table", "a | b\n1 | x|y"),
        Block("heading", "Kinds", 2),
        Block("text", "- green\n- black"),
        Block("code", "# no heading"),
    )


def test_a_rule_is_no_front_matter() -> None:
    assert text_of(read("a.md", b"---\njust text\n---\nmore")) != "more"


def test_html(reader: Reader) -> None:
    page = """<html lang="en"><head><title>A &amp; B</title><style>p {}</style>
<meta name="author" content="Ann"><meta property="article:published_time" content="2025-01-31">
</head><body><nav><a>Home</a></nav><h1>Head
 line</h1><p>Some <b>bold</b> text<br>here.<p>Next.
<ul><li>one<ul><li>deep</ul><li><p>two</p></ul><script>var x;</script>
<table><tr><th>Name<th>Age<tr><td>Ann <i>x</i><td>3</table>
<table><tr><td>laid out</table><pre>a
  b</pre></body></html>"""
    found = reader.read("a.html", page.encode())
    assert found.title == "A & B"
    assert found.attributes == {"language": "en", "author": "Ann", "date": "2025-01-31"}
    assert found.blocks == (
        Block("heading", "Head line", 1),
        Block("text", "Some bold text\nhere."),
        Block("text", "Next."),
        Block("text", "- one\n  - deep\n- two"),
        Block("table", "Name | Age\nAnn x | 3"),
        Block("text", "laid out"),
        Block("code", "a\n  b"),
    )


def test_what_is_never_closed_loses_no_page(reader: Reader) -> None:
    assert text_of(reader.read("a.html", b"<p>one<nav>two<p>three")) == "one\ntwo\nthree"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'name,note\nAnn,"x, y\nz"\nBob,\n'),
        ("a.csv", 'name;note\nAnn;"x, y\nz"\nBob;\n'),
        ("a.tsv", 'name\tnote\nAnn\t"x, y\nz"\nBob\t\n'),
    ],
)
def test_rows(name: str, text: str) -> None:
    assert text_of(read(name, text.encode())) == "name | note\nAnn | x, y z\nBob |"


def test_a_quote_that_is_never_closed_loses_no_row() -> None:
    text = 'a,b\n"' + "1,2\n" * 100_000
    assert text_of(read("a.csv", text.encode())).count("1 | 2") == 100_000


def test_mail(reader: Reader) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Grüße", "Ann <a@b.c>", "d@e.f"
    message["Date"] = "Fri, 31 Jan 2025 23:00:00 -0500"
    message.set_content("Hello\n\nDear you")
    message.add_alternative("<p>HTML</p>", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="plan.pdf")
    found = reader.read("a.eml", bytes(message))
    assert found.title == "Grüße"
    assert found.attributes == {"from": "Ann <a@b.c>", "to": "d@e.f", "date": "2025-01-31"}
    assert text_of(found) == "Hello\nDear you\nAttachments: plan.pdf"


def test_a_mailbox(reader: Reader) -> None:
    one = b"From a@b Fri Jan 31 10:00:00 2025\nSubject: %s\nFrom: a\n\nBody %s\nFrom me\n\n"
    found = reader.read("a.mbox", one % (b"One", b"1") + one % (b"Two", b"2"))
    assert [block.text for block in found.blocks if block.kind == "heading"] == ["One", "Two"]
    assert text_of(found).count("From me") == 2


def test_code_by_definition() -> None:
    text = "import os\n\n# what it does\n@cached\ndef f():\n    return 1\n\n\nclass A:\n    x = 1\n"
    assert [block.text for block in read("a.py", text.encode()).blocks] == [
        "import os",
        "# what it does\n@cached\ndef f():\n    return 1",
        "class A:\n    x = 1",
    ]


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("a.go", "package a\n\n// F does\nfunc F() {\n}\n\ntype T struct {\n}\n", 3),
        ("a.c", "#include <a>\n\nint main(void)\n{\n}\n\nstatic char *f(int a) {\n}\n", 3),
        ("a.sql", "create table a (\n  b int\n);\nSELECT *\nFROM a;\n", 2),
        ("a.toml", "a = 1\n[b]\nc = 2\n[d]\n", 3),
        ("a.ts", "export class A {\n}\nfunction f() {\n}\n", 2),
        ("a.rs", "/// Doc\npub fn f() {\n}\nimpl A {\n    fn g() {}\n}\n", 2),
    ],
)
def test_definitions_of_other_languages(name: str, text: str, parts: int) -> None:
    blocks = read(name, text.encode()).blocks
    assert len(blocks) == parts
    assert "".join(text.split()) == "".join("".join(block.text for block in blocks).split())


def test_a_notebook() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Ponds\n", "Deep."], "metadata": {}},
        {"cell_type": "code", "source": "x = 1\n", "outputs": [{"data": {"image/png": "AAAA"}}]},
    ]
    found = read("a.ipynb", json.dumps({"cells": cells, "nbformat": 4}).encode())
    assert (found.kind, found.title) == ("notebook", "Ponds")
    assert text_of(found) == "Ponds\nDeep.\nx = 1"
    for bad in (b"[1, 2]", b"{", b"[" * 100_000, b'{"cells": [{"cell_type": "\xff"}]}'):
        with pytest.raises(ReadError, match=r"a.ipynb: is no notebook that can be read"):
            read("a.ipynb", bad)


# PDF and office files


def test_pdf(reader: Reader) -> None:
    found = reader.read("a.pdf", pdf([POND, DEPTH]))
    assert found.kind == "pdf"
    assert found.title == "All of ponds"
    assert found.attributes == {"author": "Ann", "date": "2025-01-31"}
    assert found.blocks == (
        Block("heading", "Report on ponds", 1, 1),
        Block("text", "Ponds are small and hold water, and fish.", page=1),
        Block("heading", "Depth", 2, 2),
        Block("text", "A pond is two metres deep.", page=2),
    )


def test_running_titles_are_told_once() -> None:
    pages = [
        [
            Block("heading", "All of ponds", 2, number),
            Block("text", f"Pond {number} is deep. {'x' * 120}", page=number),
            Block("text", f"Page {number} of 4", page=number),
        ]
        for number in range(1, 5)
    ]
    assert without_furniture(pages) == [*pages[0], *(page[1] for page in pages[1:])]


def test_what_is_on_two_pages_is_kept() -> None:
    pages = [[Block("text", "Same", page=number)] for number in (1, 2)]
    assert without_furniture(pages) == [*pages[0], *pages[1]]


def test_pdf_by_the_light_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_reader, "find_spec", lambda name: name == "pypdfium2" or None)
    found = pdf_reader.read_pdf(pdf([POND, DEPTH]))
    assert found.title == "All of ponds"
    assert found.attributes == {"author": "Ann", "date": "2025-01-31"}
    text = "Report on ponds Ponds are small and hold water, and fish."
    assert [(block.text, block.page) for block in found.blocks] == [
        (text, 1),
        ("Depth A pond is two metres deep.", 2),
    ]
    with pytest.raises(ReadError, match="encrypted"):
        pdf_reader.read_pdf(pdf([POND], is_encrypted=True))
    with pytest.raises(ReadError, match="is damaged"):
        pdf_reader.read_pdf(pdf([POND])[:200])


def test_pdf_with_nothing_to_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_reader, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"shoal\[docs\]"):
        pdf_reader.read_pdf(pdf([POND]))


def test_docx(reader: Reader) -> None:
    body = paragraph("Ponds", "Heading1") + paragraph("Text | with *signs*.")
    body += table([["Name", "Age"], ["Ann", "3"]]) + paragraph("After.")
    found = reader.read("a.txt", docx(body))
    assert (found.kind, found.title, found.attributes) == ("docx", "The plan", {"author": "Bob"})
    assert [(block.kind, block.text) for block in found.blocks] == [
        ("heading", "Ponds"),
        ("text", "Text | with *signs*."),
        ("table", "Name | Age\nAnn | 3"),
        ("text", "After."),
    ]


def test_xlsx(reader: Reader) -> None:
    sheets = {
        "Prices": [["Fish", "Price"], ["Cod | x", "3"]],
        "Empty": [],
        "Ponds &amp; lakes": [["Depth"], ["2"]],
    }
    found = reader.read("a.xlsx", xlsx(sheets))
    assert [(block.kind, block.text, block.page) for block in found.blocks] == [
        ("heading", "Prices", 1),
        ("table", "Fish | Price\nCod | x | 3", 1),
        ("heading", "Ponds & lakes", 3),
        ("table", "Depth\n2", 3),
    ]


def test_rtf(reader: Reader) -> None:
    assert text_of(reader.read("a.rtf", b"{\\rtf1\\ansi One.\\par Two.}")) == "One.\nTwo."


# Bad input


def lying_bomb() -> bytes:
    """An archive whose directory says that its part of 8 MB unpacks to 100 bytes."""
    data = bytearray(zipped({"[Content_Types].xml": "", "word/document.xml": b"0" * 8_000_000}))
    real = struct.pack("<I", 8_000_000)
    assert data.count(real) == 2
    return bytes(data.replace(real, struct.pack("<I", 100)))


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.txt", b"", "a.txt: holds no text: it is empty"),
        ("a.md", b" \n\n\t", "a.md: holds no text"),
        ("a.md", b"```\n```", "a.md: holds no text"),
        ("a.pdf", pdf([[]]), "a.pdf: holds no text; it may be a scan"),
        ("a.pdf", pdf([POND], is_encrypted=True), "a.pdf: is encrypted with a password"),
        ("a.pdf", pdf([POND])[:200], "a.pdf: is damaged"),
        ("a.pdf", b"%PDF-1.4 " + bytes(range(256)) * 9, "a.pdf: is damaged"),
        ("a.docx", docx(paragraph("x"))[:300], "a.docx: is damaged"),
        ("a.docx", docx("<w:p><w:r>"), "a.docx: (is damaged|holds no text)"),
        ("a.docx", zipped({"word/document.xml": b"0" * 9_000_000}), "unpacks to over 4 MB"),
        ("a.docx", docx("<w:p>" + " " * 3_900_000), "a.docx: (is damaged|holds no text)"),
        ("a.docx", lying_bomb(), "unpacks to over 4 MB; it may be a ZIP bomb"),
        ("a.png", b"\x89PNG\r\n", "a.png: is a PNG image"),
        ("a.txt", bytes(range(256)) * 9, "a.txt: is neither text nor"),
        ("a\n\x1b[31m.txt", b"", r"a\\n\\x1b\[31m.txt: holds no text"),
    ],
)
def test_bad_files(name: str, data: bytes, told: str) -> None:
    with pytest.raises(ReadError, match=told):
        read(name, data, ReadOptions(max_unpacked_bytes=4_000_000))


def test_a_part_that_is_more_than_the_parser_takes(reader: Reader) -> None:
    data = docx(paragraph("x" * 1_000_000) * 120)
    with pytest.raises(ReadError, match=r"a.docx: unpacks to more than is taken"):
        reader.read("a.docx", data)


def test_a_file_over_the_limit() -> None:
    with pytest.raises(ReadError, match=r"a.txt: has 3.0 MB; files of up to 2.0 MB are read"):
        read("a.txt", b"x" * 3_000_000, ReadOptions(max_bytes=2_000_000))


def test_a_file_that_takes_too_long_costs_only_itself() -> None:
    slow = b"<!--" * 1_000_000  # for which the parser's time grows with the square
    with Reader(ReadOptions(seconds=1.0)) as reader:
        reader.read("a.html", b"<p>before")
        start = time.monotonic()
        with pytest.raises(ReadError, match=r"slow.html: was given up: not read after 1 s"):
            reader.read("slow.html", slow)
        assert time.monotonic() - start < 20
        assert text_of(reader.read("a.html", b"<p>after")) == "after"


def test_a_file_that_takes_too_much_memory_costs_only_itself() -> None:
    with Reader(ReadOptions(memory_bytes=200_000_000)) as reader:
        with pytest.raises(ReadError, match=r"big.html: (needs more memory|ended the process)"):
            reader.read("big.html", b"<p>" + b"x" * 60_000_000)
        assert text_of(reader.read("a.html", b"<p>after")) == "after"


@pytest.mark.parametrize(
    ("executable", "why"), [("/bin/false", "exit code 1"), ("/nowhere", "No such file")]
)
def test_a_process_that_cannot_start_is_told(
    monkeypatch: pytest.MonkeyPatch, executable: str, why: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(ReadError, match=rf"a.html: cannot be read now: .* did not start.*{why}"):
        read("a.html", b"<p>x")


def test_a_file_that_ends_the_process_costs_only_itself() -> None:
    with Reader() as reader:
        reader.read("a.html", b"<p>before")
        process = reader._child._process
        assert process is not None
        timer = Timer(0.3, process.kill)
        timer.start()
        with pytest.raises(ReadError, match=r"a.html: ended the process that read it \(signal 9\)"):
            reader.read("a.html", b"<!--" * 1_000_000)
        assert text_of(reader.read("a.html", b"<p>after")) == "after"


@pytest.mark.parametrize("name", ["max_bytes", "max_unpacked_bytes", "seconds", "memory_bytes"])
def test_options_that_make_no_sense(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected more than 0, found 0"):
        ReadOptions(**{name: 0})


def test_a_process_that_dies_costs_only_its_file() -> None:
    with Reader() as reader:
        reader.read("a.html", b"<p>before")
        process = reader._child._process
        assert process is not None
        process.kill()
        process.wait()
        assert text_of(reader.read("a.html", b"<p>after")) == "after"
        assert reader._child._process is not process


def test_the_process_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_TEST_KEY", "secret")
    with Reader() as reader:
        reader.read("a.html", b"<p>x")
        process = reader._child._process
        assert process is not None
        with open(f"/proc/{process.pid}/environ", "rb") as file:
            assert b"secret" not in file.read()


def test_the_process_ends_with_its_reader() -> None:
    reader = Reader()
    reader.read("a.html", b"<p>x")
    process = reader._child._process
    reader.close()
    assert process is not None
    assert process.returncode is not None


def test_what_a_parser_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Content:
        raise KeyError("odd")

    monkeypatch.setattr(child_of, "parse", fail)
    reply = child_of._reply(child_of.Order("pdf", b"", 1, 1.0))
    assert reply.error == "is damaged: KeyError: 'odd'"


def outcome(reader: Reader, name: str, data: bytes) -> Content | ReadError:
    try:
        return reader.read(name, data)
    except ReadError as error:
        return error


HEADS = (b"", b"%PDF-1.4\n", b"PK\3\4", b"{\\rtf1", b"<html>", b"\xff\xfe", pdf([POND])[:400])
NAMES = ("a.pdf", "a.docx", "a.xlsx", "a.html", "a.md", "a.csv", "a.eml", "a.py", "a.sql", "a", "")


@given(
    st.one_of(st.sampled_from(NAMES), st.text(max_size=20)),
    st.sampled_from(HEADS),
    st.one_of(
        st.binary(max_size=2000),
        st.text("#-|`~:<>!/&;\"'\n\t ab=.", max_size=2000).map(str.encode),
    ),
)
@settings(max_examples=200)
def test_any_bytes_make_content_or_an_error(
    reader: Reader, name: str, head: bytes, tail: bytes
) -> None:
    start = time.monotonic()
    found = outcome(reader, name, head + tail)
    assert time.monotonic() - start < 30
    if isinstance(found, ReadError):
        assert "\n" not in str(found)
    else:
        assert text_of(found).strip()
        assert text_of(found).encode()  # no half of a surrogate pair


@given(st.data())
@settings(max_examples=150)
def test_spoilt_documents_make_content_or_an_error(reader: Reader, data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from((pdf([POND, DEPTH]), docx(paragraph("x"))))))
    for _ in range(data.draw(st.integers(1, 20))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = outcome(reader, "a", bytes(whole))
    told = str(found) if isinstance(found, ReadError) else "a: " + text_of(found)
    assert told.startswith("a: ")
    assert told.strip() != "a:"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", b"x" * 5_000_000),
        ("a.md", b"|-" * 2_000_000 + b"x"),
        ("a.md", b"# " * 1_000_000),
        ("a.csv", b'"' + b"a," * 1_000_000),
        ("a.c", b"a* " * 1_000_000),
        ("a.txt", b"\n " * 1_000_000 + b"x"),
        ("a.html", b"<ul><li>x" * 100_000),
        ("a.html", b"<table><tr><td>x" * 50_000),
    ],
    ids=("line", "rules", "marks", "quote", "names", "blanks", "lists", "tables"),
)
def test_odd_texts_take_linear_time(reader: Reader, name: str, data: bytes) -> None:
    start = time.monotonic()
    assert reader.read(name, data).blocks
    assert time.monotonic() - start < 30  # measured: up to 1 s of CPU


def test_this_process_loads_no_parser() -> None:
    code = (
        "import sys; from shoal.retrieval.readers import read; read('a.md', b'x'); "
        "print([m for m in ('kreuzberg', 'pypdfium2') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert run.stdout.strip() == "[]"
