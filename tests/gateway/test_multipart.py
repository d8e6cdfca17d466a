"""Forms with files: the same however they are cut."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import MalformedRequest
from shoal.gateway.multipart import FormParser, Part, boundary_of

# bytes that could be taken for a boundary, most of all
DATA = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"cut", b"\r\n--cu", b"x", b"\0"])).map(
    b"".join
)
FIELDS = st.lists(st.tuples(st.sampled_from(["a", "b c", "größe", 'q"q']), DATA), max_size=4)


def written(fields: list[tuple[str, bytes]], tail: bytes = b"--\r\n") -> bytes:
    parts = [
        f'--cut\r\nContent-Disposition: form-data; name="{name.replace(chr(34), "%22")}"; '
        f'filename="f"\r\nContent-Type: x/y\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in fields
    ]
    return b"".join(parts) + b"--cut" + tail


def read(pieces: list[bytes]) -> list[tuple[str, bytes]]:
    parser, found = FormParser(b"cut"), list[tuple[str, bytes]]()
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, Part):
                found.append((event.name, b""))
            elif isinstance(event, bytes):
                found[-1] = found[-1][0], found[-1][1] + event
    parser.close()
    return found


@given(FIELDS, st.data())
def test_what_is_written_is_read_however_it_is_cut(
    fields: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    fields = [(name, value) for name, value in fields if b"\r\n--cut" not in b"\r\n" + value]
    body = written(fields)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    ends = [0, *cuts, len(body)]
    assert read([body[a:b] for a, b in pairwise(ends)]) == fields
    assert read([body[at : at + 1] for at in range(len(body))]) == fields


@given(FIELDS, st.integers(1, 60))
def test_a_form_that_breaks_off_is_refused(fields: list[tuple[str, bytes]], short: int) -> None:
    body = written(fields)
    with pytest.raises(MalformedRequest):
        read([body[: max(0, len(body) - max(short, 3))]])


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_read_or_refused(body: bytes) -> None:
    try:
        read([b"--cut\r\n" + body])
    except MalformedRequest:
        pass
    else:
        assert b"--cut--" in b"--cut\r\n" + body


def test_nothing_but_the_piece_at_hand_is_held() -> None:
    parser = FormParser(b"cut")
    list(parser.feed(written([("a", b"")])[:-11]))
    for _ in range(100):
        got = sum(len(event) for event in parser.feed(b"y" * 100_000) if isinstance(event, bytes))
        assert got >= 99_000
        assert len(parser._buffer) < 100


def test_long_headers_take_no_long_time() -> None:
    for filler in ("\\", '\\"', "name=", ";", " "):
        body = f'--cut\r\nContent-Disposition: form-data; name="{filler * 1500}\r\n\r\n'.encode()
        began = time.process_time()
        with pytest.raises(MalformedRequest):
            read([body])
        assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("disposition", "part"),
    [
        ('form-data; name="file"; filename="a b.txt"', Part("file", "a b.txt")),
        ("form-data; name=file; filename=a.txt", Part("file", "a.txt")),
        (r'form-data; name="file"; filename="a\"b\\c"', Part("file", r'a"b\c')),
        ('form-data; name="file"; filename="a%22b"', Part("file", 'a"b')),
        ('form-data; name="file"; filename=""', Part("file", "")),
        ('form-data; filename="name=x"; name="file"', Part("file", "name=x")),
        ("FORM-DATA; NAME=x", Part("x", None)),
    ],
)
def test_names(disposition: str, part: Part) -> None:
    body = f"--cut\r\ncontent-DISPOSITION: {disposition}\r\n\r\n\r\n--cut--".encode()
    assert next(iter(FormParser(b"cut").feed(body))) == part


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=cut", b"cut"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b"', b"a b"),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("application/json; boundary=cut", None),
        ("", None),
    ],
)
def test_boundaries(header: str, boundary: bytes | None) -> None:
    if boundary is None:
        with pytest.raises(MalformedRequest, match="multipart/form-data"):
            boundary_of(header)
    else:
        assert boundary_of(header) == boundary
