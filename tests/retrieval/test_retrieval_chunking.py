"""Chunking: nothing lost, nothing made up, nothing too long, and cut where the structure says."""

import re
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.encoder import Encoder
from shoal.retrieval.chunking import ChunkOptions, cut
from shoal.retrieval.documents import Block, Content, Piece
from tiny_tokenizer import bytes_tokenizer

_WORD = re.compile(r"\w+|[^\w\s]")


def words(texts: Sequence[str]) -> list[int]:
    """Words and signs, with a beginning and an end."""
    return [len(_WORD.findall(text)) + 2 for text in texts]


def signs(text: str) -> str:
    return "".join(text.split())


def holds_in_order(inside: str, text: str) -> bool:
    """Whether the signs of ``text`` are in ``inside``, in that order, with others between."""
    left = iter(inside)
    return all(sign in left for sign in text)


def texts_of(content: Content, **options: int) -> list[str]:
    return [piece.text for piece in cut(content, words, ChunkOptions(**options))]


def sentences(number: int, length: int = 8) -> str:
    return " ".join(" ".join(f"w{i}x{j}" for j in range(length - 1)) + "." for i in range(number))


ALPHABET = "abc dé.!?\n 漢。-|*"
blocks = st.one_of(
    st.builds(
        lambda text, level: Block("heading", text, level),
        st.text("hijk ", min_size=1, max_size=60),
        st.integers(1, 6),
    ),
    st.builds(
        lambda text, page: Block("text", text, page=page),
        st.text(ALPHABET, max_size=400),
        st.integers(0, 3),
    ),
    st.builds(lambda text: Block("code", text), st.text("xy =\n (", max_size=300)),
    st.builds(
        lambda rows: Block("table", "\n".join(rows)),
        st.lists(st.text("uv |", max_size=30), max_size=30),
    ),
)


@given(st.lists(blocks, max_size=8), st.integers(16, 60), st.integers(0, 8), st.booleans())
@settings(max_examples=300)
def test_no_text_is_lost_and_no_piece_is_too_long(
    found: list[Block], most: int, overlap: int, is_by_byte: bool
) -> None:
    parsed = bytes_tokenizer()

    def by_byte(texts: Sequence[str]) -> list[int]:
        return [len(parsed.encode(text).ids) for text in texts]

    count = by_byte if is_by_byte else words
    content = Content("text", tuple(found), "the title")
    pieces = cut(content, count, ChunkOptions(max_tokens=most, overlap=overlap))
    assert max(count([piece.searched for piece in pieces]), default=0) <= most
    assert all(piece.text.strip() for piece in pieces)
    everything = signs("".join(piece.searched for piece in pieces))
    bodies = signs("".join(block.text for block in found if block.kind != "heading"))
    assert holds_in_order(everything, bodies)
    for block in found:
        if block.kind == "heading":
            assert holds_in_order(everything, signs(block.text))


@given(st.lists(blocks, max_size=6), st.integers(16, 60))
def test_no_text_is_made_up(found: list[Block], most: int) -> None:
    """Without what is repeated on purpose, the texts of all pieces are those of the blocks."""
    found = [block for block in found if block.kind in ("text", "code")]
    pieces = cut(Content("text", tuple(found)), words, ChunkOptions(max_tokens=most, overlap=0))
    assert signs("".join(piece.text for piece in pieces)) == signs(
        "".join(block.text for block in found)
    )


def test_what_fits_is_one_passage() -> None:
    content = Content("text", (Block("text", "One."), Block("text", "Two.")), "Title")
    assert cut(content, words) == [Piece("One.\n\nTwo.", ("Title",))]


def test_a_passage_keeps_to_its_section() -> None:
    content = Content(
        "markdown",
        (
            Block("heading", "A", 1),
            Block("text", sentences(10)),
            Block("heading", "B", 2),
            Block("text", sentences(11)),
            Block("heading", "C", 2),
            Block("text", sentences(12)),
        ),
        "Title",
    )
    pieces = cut(content, words)
    assert [piece.headings for piece in pieces] == [
        ("Title", "A"),
        ("Title", "A", "B"),
        ("Title", "A", "C"),
    ]
    assert [piece.text for piece in pieces] == [sentences(n) for n in (10, 11, 12)]


def test_tiny_sections_share_a_passage_under_what_they_have_in_common() -> None:
    parts = [Block("heading", "Top", 1), Block("text", sentences(20))]
    for name in "ABC":
        parts += [Block("heading", name, 2), Block("text", f"Text of {name}.")]
    pieces = cut(Content("markdown", tuple(parts)), words)
    assert pieces[1:] == [Piece("A\n\nText of A.\n\nB\n\nText of B.\n\nC\n\nText of C.", ("Top",))]


def test_a_heading_with_nothing_under_it_is_text() -> None:
    content = Content("markdown", (Block("text", sentences(20)), Block("heading", "End", 1)))
    assert "End" in cut(content, words)[-1].searched.split("\n")


def test_the_title_is_not_told_twice() -> None:
    content = Content("markdown", (Block("heading", "The Plan", 1), Block("text", "x")), "The plan")
    assert cut(content, words) == [Piece("x", ("The Plan",))]


def test_paragraphs_are_kept_whole() -> None:
    parts = [sentences(3), sentences(4), sentences(5), sentences(2)]
    content = Content("text", tuple(Block("text", part) for part in parts))
    found = texts_of(content, max_tokens=64, overlap=0)
    assert found == ["\n\n".join(parts[:2]), "\n\n".join(parts[2:])]


def test_a_long_paragraph_is_cut_at_sentences_that_overlap() -> None:
    content = Content("text", (Block("text", sentences(40)),))
    found = texts_of(content, max_tokens=82, overlap=9)
    assert len(found) > 3
    assert all(text.endswith(".") for text in found)
    for before, after in pairwise(found):
        assert after.startswith(before.rpartition(". ")[2])
    assert max(map(len, found)) < 2 * min(map(len, found))


def test_a_long_sentence_is_cut_between_words() -> None:
    text = " ".join(f"word{n}" for n in range(500))
    found = texts_of(Content("text", (Block("text", text),)), max_tokens=50, overlap=0)
    assert " ".join(found) == text


def test_a_long_table_repeats_its_first_row() -> None:
    rows = ["Name | Age", *(f"n{n} | {n}" for n in range(60))]
    content = Content("csv", (Block("text", "Before."), Block("table", "\n".join(rows))))
    before, *found = texts_of(content, max_tokens=50)
    assert before == "Before."
    assert len(found) > 2
    assert all(text.startswith("Name | Age\n") for text in found)
    assert [line for text in found for line in text.split("\n")[1:]] == rows[1:]


def test_a_short_table_is_kept_whole_with_the_text_before_it() -> None:
    content = Content("html", (Block("text", "Before."), Block("table", "a | b\n1 | 2")))
    assert texts_of(content) == ["Before.\n\na | b\n1 | 2"]


def test_code_is_cut_at_blank_lines() -> None:
    part = "def f():\n" + "\n".join(f"    x{n} = {n}" for n in range(12))
    content = Content("python", (Block("code", "\n\n".join([part] * 6)),))
    found = texts_of(content, max_tokens=120)
    assert all(text.startswith("def f():") for text in found)


def test_code_keeps_its_indentation() -> None:
    lines = [f"    x{n} = {n}" for n in range(100)]
    found = texts_of(Content("python", (Block("code", "\n".join(lines)),)), max_tokens=50)
    assert [line for text in found for line in text.split("\n")] == lines


def test_headings_take_a_third_at_most() -> None:
    long = " ".join(f"h{n}" for n in range(50))
    content = Content(
        "markdown",
        (Block("heading", long, 1), Block("heading", long + " more", 2), Block("text", "x y z.")),
        "A title of " + long,
    )
    pieces = cut(content, words, ChunkOptions(max_tokens=60))
    assert all(words(["\n".join(piece.headings)])[0] <= 2 + 58 // 3 for piece in pieces)
    assert all(piece.headings for piece in pieces)
    assert long in " ".join(piece.text for piece in pieces)


def test_pages_are_those_of_the_first_text() -> None:
    content = Content(
        "pdf", (Block("text", sentences(20), page=3), Block("text", sentences(20), page=4))
    )
    assert [piece.page for piece in cut(content, words)] == [3, 4]


def test_a_word_without_end_is_no_passage_without_end() -> None:
    content = Content("text", (Block("text", "a" * 100_000),))
    found = texts_of(content)
    assert max(map(len, found)) <= 8 * 200 + 8
    assert "".join(found) == "a" * 100_000


@pytest.mark.parametrize(
    ("options", "told"),
    [({"max_tokens": 4}, "max_tokens: expected 16"), ({"overlap": -1}, "overlap: expected 0 or")],
)
def test_options_that_make_no_sense(options: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ChunkOptions(**options)


def test_a_megabyte_takes_about_a_second() -> None:
    def quick(texts: Sequence[str]) -> list[int]:
        return [text.count(" ") + 2 for text in texts]

    text = sentences(30, 12)
    content = Content("text", tuple(Block("text", text) for _ in range(1_000_000 // len(text))))
    start = time.process_time()
    pieces = cut(content, quick)
    assert time.process_time() - start < 2.5  # measured .3 s; a busy machine makes it longer
    assert len(pieces) > 500


def test_counts_of_the_real_encoder(real_encoder: Encoder) -> None:
    text = "The quick brown fox jumps over the lazy dog near the river bank. " * 100
    content = Content("text", (Block("text", text),), "Foxes")
    pieces = cut(content, real_encoder.count_tokens)
    found = real_encoder.lengths([piece.searched for piece in pieces])
    assert max(found) <= 200
    assert min(found) > 150
    assert real_encoder.count_tokens([text]) == [1402]
