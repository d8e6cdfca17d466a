"""Why a specialist said so, found out again from the stored call."""

import msgspec
import pytest
from keyword_desk import (
    KEYWORDS,
    LABELS,
    UNCLEAR,
    Clerk,
    ask,
    open_desk,
    request_of,
    serving,
    text_of,
)

from shoal.assembly.record import CallView
from shoal.errors import NotFound
from shoal.storage import Store


async def test_the_words_that_decided_are_told(store: Store) -> None:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        handled, answer = await ask(desk, request_of(text_of(4)))
        call_id = handled.receipt.call_id
        told = msgspec.json.decode(await desk.call(call_id, why=True), type=CallView)
        plain = msgspec.json.decode(await desk.call(call_id), type=CallView)
    assert answer.text == LABELS[1]
    assert told.reasons[0].what.strip("., ?") in KEYWORDS[LABELS[1]]
    assert told.reasons[0].weight > 0
    assert plain.reasons == ()


async def test_so_are_those_of_a_specialist_that_was_too_unsure(store: Store) -> None:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        handled, _ = await ask(desk, request_of(UNCLEAR))
        told = msgspec.json.decode(
            await desk.call(handled.receipt.call_id, why=True), type=CallView
        )
    assert handled.receipt.answered_by == "gpt"
    assert told.reasons


async def test_where_no_specialist_was_asked_there_is_nothing_to_tell(store: Store) -> None:
    async with open_desk(store, Clerk()) as desk:
        handled, _ = await ask(desk, request_of(text_of(4)))
        told = msgspec.json.decode(
            await desk.call(handled.receipt.call_id, why=True), type=CallView
        )
    assert told.reasons == ()


async def test_of_a_task_that_is_gone_nobody_knows(store: Store) -> None:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        handled, _ = await ask(desk, request_of(text_of(4)))
        await desk.settle()
        with store.database.transaction() as conn:
            store.tasks.delete(conn, "t-department")
        with pytest.raises(NotFound, match="is gone"):
            await desk.call(handled.receipt.call_id, why=True)
