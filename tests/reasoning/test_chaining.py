"""Inputs over the window, read in parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, asked

from shoal.chat import Message
from shoal.errors import EngineUnreachable, MalformedRequest
from shoal.reasoning import Folded, Mapped
from shoal.reasoning.chaining import parts_of

WINDOW = 3_500
LONG = "\n\n".join(f"Paragraph {at}: " + "words and words " * 20 for at in range(60))


@given(st.text(max_size=200), st.integers(1, 40))
def test_parts_lose_nothing_but_blanks_and_fit(text: str, tokens: int) -> None:
    parts = parts_of(text, tokens)
    assert "".join("".join(parts).split()) == "".join(text.split())
    longest = max((len(one.encode(errors="replace")) for one in parts), default=0)
    assert longest <= max(3 * tokens, 4)


async def test_what_fits_is_asked_as_it_is() -> None:
    model = Scripted("4")
    request = asked(body=b"{}")
    assert (await Mapped(model, WINDOW).answer(request)).text == "4"
    assert model.asked == [request]


@pytest.mark.parametrize("kind", [Mapped, Folded])
async def test_a_long_text_is_read_in_parts(kind: type[Mapped] | type[Folded]) -> None:
    model = Scripted("noted")
    request = asked(LONG + "\n\nHow many paragraphs?", response_format='{"type":"json_object"}')
    answer = await kind(model, WINDOW).answer(request)
    *parts, last = model.asked
    assert len(parts) > 3
    assert all("How many paragraphs?" in one.messages[0].text for one in model.asked)
    assert all(not one.response_format for one in parts)
    assert last.response_format == request.response_format
    assert "noted" in last.messages[0].text
    assert all(len(one.messages[0].text.encode()) // 3 < WINDOW for one in model.asked)
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == f"read in {len(parts)} parts"
    assert len(answer.deliberation.samples) == len(model.asked)


async def test_notes_are_carried_on_when_folded() -> None:
    model = Scripted("note 1", "note 2", "note 3")
    await Folded(model, WINDOW).answer(asked(LONG))
    assert "note 1" not in model.asked[0].messages[0].text
    assert "<notes>\nnote 1\n</notes>" in model.asked[1].messages[0].text
    assert "<notes>\nnote 2\n</notes>" in model.asked[2].messages[0].text


async def test_parts_that_say_nothing_are_left_out() -> None:
    model = Scripted("NOTHING.")
    await Mapped(model, WINDOW).answer(asked(LONG))
    assert "no part says anything" in model.asked[-1].messages[0].text


async def test_the_other_messages_stay() -> None:
    model = Scripted("noted")
    rules = Message("system", "Be brief.")
    request = asked(messages=(rules, Message("user", LONG), Message("user", "How many?")))
    await Mapped(model, WINDOW).answer(request)
    assert all(one.messages[0] == rules for one in model.asked)
    assert all(one.messages[2].text == "How many?" for one in model.asked)


async def test_a_part_that_fails_fails_the_whole() -> None:
    model = Scripted("noted", EngineUnreachable("down"), "noted")
    with pytest.raises(EngineUnreachable) as caught:
        await Mapped(model, WINDOW).answer(asked(LONG))
    assert len(caught.value.tried) > 1  # what the others took
    with pytest.raises(EngineUnreachable):
        await Folded(Scripted("noted", EngineUnreachable("down")), WINDOW).answer(asked(LONG))


async def test_what_leaves_no_room_is_refused() -> None:
    with pytest.raises(MalformedRequest, match="tokens to read"):
        await Mapped(Scripted("x"), 600).answer(asked(LONG))
    with pytest.raises(MalformedRequest, match="more than 200 parts"):
        await Mapped(Scripted("x"), WINDOW).answer(asked("word " * 1_000_000))
