"""The official openai package, unchanged: files and vector stores."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from live_stacks import Place, running_stacks

TIDES = b"# Tides\n\nThe tide turns twice a day at the harbour.\n"
BREAD = b"# Bread\n\nRye bread rises slowly in a cold kitchen.\n"
POLL = 20


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with running_stacks(tmp_path) as running:
        yield running


@pytest.fixture
async def client(place: Place) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=place.base_url, api_key="none", max_retries=0) as opened:
        yield opened


async def stored(client: openai.AsyncOpenAI, **files: bytes) -> tuple[str, dict[str, str]]:
    """A store with such files in it, and their ids."""
    store = await client.vector_stores.create(name="handbook")
    ids = {}
    for name, data in files.items():
        file = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id,
            file=(f"{name}.md", data),
            attributes={"topic": name, "year": 2020, "is_new": True},
            poll_interval_ms=POLL,
        )
        assert (file.status, file.last_error) == ("completed", None)
        ids[name] = file.id
    return store.id, ids


async def test_files_are_sent_told_of_fetched_and_removed(client: openai.AsyncOpenAI) -> None:
    large = bytes(range(256)) * 10_000
    made = await client.files.create(
        file=('a "Größe" b.bin', io.BytesIO(large)),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (made.object, made.bytes, made.purpose) == ("file", len(large), "user_data")
    assert (made.filename, made.status) == ('a "Größe" b.bin', "processed")
    assert made.expires_at is not None
    assert made.expires_at - made.created_at == 3600
    other = await client.files.create(file=("b.txt", b"b"), purpose="assistants")
    assert await client.files.retrieve(made.id) == made
    assert (await client.files.content(made.id)).content == large
    assert [file.id async for file in client.files.list()] == [other.id, made.id]
    assert [f.id async for f in client.files.list(order="asc", limit=1)] == [made.id, other.id]
    assert [f.id async for f in client.files.list(purpose="user_data")] == [made.id]
    gone = await client.files.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "file")
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.files.content(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.files.delete(made.id)


async def test_the_life_of_a_store(client: openai.AsyncOpenAI, place: Place) -> None:
    made = await client.vector_stores.create(
        name="Q3 Reports",
        metadata={"team": "north"},
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    assert made.id.startswith("vs_q3-reports-")
    assert (made.name, made.metadata, made.status) == ("Q3 Reports", {"team": "north"}, "completed")
    assert made.file_counts.total == made.usage_bytes == 0
    assert made.expires_after is not None
    assert (made.expires_after.days, made.expires_after.anchor) == (7, "last_active_at")
    assert made.expires_at == pytest.approx(made.created_at + 7 * 86_400, abs=2)
    assert await client.vector_stores.retrieve(made.id) == made
    changed = await client.vector_stores.update(made.id, name="Q4", metadata={}, expires_after=None)
    assert (changed.id, changed.name, changed.metadata) == (made.id, "Q4", {})
    assert changed.expires_after is None
    named = await client.vector_stores.create(name="handbook")
    again = await client.vector_stores.create(name="handbook")
    assert named.id == "vs_handbook"
    assert again.id != named.id
    assert again.name == "handbook"
    assert [one.id async for one in client.vector_stores.list(limit=1)] == [
        again.id, named.id, made.id,
    ]  # fmt: skip
    gone = await client.vector_stores.delete(named.id)
    assert (gone.id, gone.deleted, gone.object) == (named.id, True, "vector_store.deleted")
    assert "handbook" not in place.library.names()
    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.retrieve(named.id)


async def test_search(client: openai.AsyncOpenAI) -> None:
    store, ids = await stored(client, tides=TIDES, bread=BREAD)
    found = await client.vector_stores.search(store, query="when does the tide turn")
    best = found.data[0]
    assert (best.file_id, best.filename) == (ids["tides"], "tides.md")
    assert best.attributes == {"topic": "tides", "year": 2020, "is_new": True}
    assert best.content[0].type == "text"
    assert "turns twice a day" in best.content[0].text
    assert 0 < best.score <= 1
    assert [one.score for one in found.data] == sorted((o.score for o in found.data), reverse=True)
    both = await client.vector_stores.search(store, query=["tide", "bread"], max_num_results=2)
    assert {one.file_id for one in both.data} == set(ids.values())
    only = await client.vector_stores.search(
        store,
        query="tide",
        filters={
            "type": "and",
            "filters": [
                {"type": "eq", "key": "topic", "value": "bread"},
                {"type": "gte", "key": "year", "value": 2019},
            ],
        },
        rewrite_query=True,
        ranking_options={"ranker": "auto", "score_threshold": 0.0},
    )
    assert {one.file_id for one in only.data} == {ids["bread"]}
    none = await client.vector_stores.search(
        store, query="tide", ranking_options={"score_threshold": 1.0}
    )
    assert len(none.data) < 2


async def test_files_of_a_store(client: openai.AsyncOpenAI) -> None:
    store, ids = await stored(client, tides=TIDES, bread=BREAD)
    files = client.vector_stores.files
    listed = [one async for one in files.list(store, limit=1)]
    assert [one.id for one in listed] == [ids["bread"], ids["tides"]]
    assert [f.id async for f in files.list(store, order="asc")] == [ids["tides"], ids["bread"]]
    assert [f.id async for f in files.list(store, filter="failed")] == []
    one = await files.retrieve(ids["tides"], vector_store_id=store)
    assert one == listed[1]
    assert (one.object, one.usage_bytes, one.vector_store_id) == (
        "vector_store.file", len(TIDES), store,
    )  # fmt: skip
    assert one.chunking_strategy is not None
    assert one.chunking_strategy.type == "static"
    told = await files.content(ids["tides"], vector_store_id=store)
    assert "The tide turns twice" in "".join(part.text or "" for part in told.data)

    changed = await files.update(ids["tides"], vector_store_id=store, attributes={"topic": "sea"})
    assert changed.attributes == {"topic": "sea"}
    where = {"type": "eq", "key": "topic", "value": "sea"}
    found = await client.vector_stores.search(store, query="tide", filters=where)  # type: ignore[arg-type]
    assert [hit.attributes for hit in found.data] == [{"topic": "sea"}]

    gone = await files.delete(ids["tides"], vector_store_id=store)
    assert (gone.id, gone.deleted) == (ids["tides"], True)
    with pytest.raises(openai.NotFoundError):
        await files.retrieve(ids["tides"], vector_store_id=store)
    assert (await client.files.retrieve(ids["tides"])).filename == "tides.md"
    assert (await client.vector_stores.retrieve(store)).file_counts.completed == 1

    await client.files.delete(ids["bread"])
    assert (await client.vector_stores.search(store, query="bread")).data == []
    assert [f.id async for f in files.list(store)] == []


async def test_who_removes_while_listing_sees_all(client: openai.AsyncOpenAI) -> None:
    store, _ = await stored(client, a=TIDES, b=BREAD, c=TIDES + BREAD)
    for name in ("d", "e"):
        await client.vector_stores.create(name=name)
    async for file in client.vector_stores.files.list(store, limit=1):
        await client.vector_stores.files.delete(file.id, vector_store_id=store)
    assert [f.id async for f in client.vector_stores.files.list(store)] == []
    async for upload in client.files.list(limit=1):
        await client.files.delete(upload.id)
    assert [f.id async for f in client.files.list()] == []
    async for one in client.vector_stores.list(limit=1):
        await client.vector_stores.delete(one.id)
    assert [one.id async for one in client.vector_stores.list()] == []


async def test_batches(client: openai.AsyncOpenAI, place: Place) -> None:
    store = await client.vector_stores.create(name="batches")
    batches = client.vector_stores.file_batches
    done = await batches.upload_and_poll(
        store.id, files=[("a.md", TIDES), ("b.md", BREAD)], poll_interval_ms=POLL
    )
    assert (done.status, done.file_counts.completed, done.file_counts.total) == ("completed", 2, 2)
    assert done.object == "vector_store.files_batch"
    listed = [f.id async for f in batches.list_files(done.id, vector_store_id=store.id, limit=1)]
    assert len(listed) == 2

    place.encoder.gate.clear()
    new = [await client.files.create(file=(n, d), purpose="assistants") for n, d in
           (("c.md", b"crab apple"), ("d.md", b"dogwood"))]  # fmt: skip
    made = await batches.create(
        store.id,
        files=[{"file_id": file.id, "attributes": {"name": file.filename}} for file in new],
    )
    assert (made.status, made.file_counts.in_progress) == ("in_progress", 2)
    assert (await client.vector_stores.retrieve(store.id)).status == "in_progress"
    stopped = await batches.cancel(made.id, vector_store_id=store.id)
    assert (stopped.status, stopped.file_counts.cancelled) == ("cancelled", 2)
    place.encoder.gate.set()
    later = await client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("e.md", b"elder"), poll_interval_ms=POLL
    )
    assert later.status == "completed"
    counts = (await client.vector_stores.retrieve(store.id)).file_counts
    assert (counts.completed, counts.cancelled, counts.total) == (3, 2, 5)
    found = await client.vector_stores.search(store.id, query="crab apple dogwood")
    assert {hit.filename for hit in found.data} == {"a.md", "b.md", "e.md"}


async def test_a_file_that_cannot_be_read(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create(name="odd")
    for name, data, code in (
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "unsupported_file"),
        ("empty.txt", b"", "invalid_file"),
        ("broken.pdf", b"%PDF-1.4 nothing of the kind", "invalid_file"),
    ):
        file = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=(name, data), poll_interval_ms=POLL
        )
        assert file.status == "failed"
        assert file.last_error is not None
        assert (file.last_error.code, name in file.last_error.message) == (code, True)
    counts = (await client.vector_stores.retrieve(store.id)).file_counts
    assert (counts.failed, counts.total) == (3, 3)


async def test_sizes_of_passages(client: openai.AsyncOpenAI) -> None:
    words = " ".join(f"Sentence number {n} stands here." for n in range(200)).encode()
    upload = await client.files.create(file=("long.txt", words), purpose="assistants")
    lengths = {}
    for most, told in ((40, 40), (800, 254)):
        store = await client.vector_stores.create(
            file_ids=[upload.id],
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": most, "chunk_overlap_tokens": most // 2},
            },
        )
        file = await client.vector_stores.files.poll(
            upload.id, vector_store_id=store.id, poll_interval_ms=POLL
        )
        assert file.chunking_strategy is not None
        assert file.chunking_strategy.type == "static"
        assert file.chunking_strategy.static.max_chunk_size_tokens == told
        content = await client.vector_stores.files.content(upload.id, vector_store_id=store.id)
        lengths[told] = len(content.data)
    assert lengths[40] > 3 * lengths[254] > 3
    with pytest.raises(openai.BadRequestError, match="max_chunk_size_tokens"):
        await client.vector_stores.files.create(
            store.id,
            file_id=upload.id,
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": 10, "chunk_overlap_tokens": 0},
            },
        )


async def test_documents_of_folders_are_files_too(
    client: openai.AsyncOpenAI, place: Place, tmp_path: Path
) -> None:
    source = tmp_path / "notes"
    source.mkdir()
    (source / "tides.md").write_bytes(TIDES)
    place.library.create("notes")
    with place.library.using("notes") as collection:
        collection.add_sources([source])
        collection.sync()
        (document,) = collection.shelf.documents()
    (listed,) = [one async for one in client.vector_stores.files.list("vs_notes")]
    assert listed.id == f"file-{document.id}"
    assert listed.attributes == document.attributes
    assert (await client.vector_stores.retrieve("vs_notes")).name == "notes"
    found = (await client.vector_stores.search("vs_notes", query="tide")).data[0]
    assert (found.file_id, found.filename) == (listed.id, "tides.md")
    content = await client.vector_stores.files.content(listed.id, vector_store_id="vs_notes")
    assert "turns twice" in (content.data[0].text or "")
    with pytest.raises(openai.BadRequestError, match="comes from a folder"):
        await client.vector_stores.files.delete(listed.id, vector_store_id="vs_notes")
    with pytest.raises(openai.BadRequestError, match="comes from a folder"):
        await client.vector_stores.files.update(
            listed.id, vector_store_id="vs_notes", attributes={"a": "b"}
        )
    with pytest.raises(openai.NotFoundError):
        await client.files.delete(listed.id)


async def test_the_client_that_blocks(place: Place) -> None:
    def use() -> tuple[str, str]:
        with openai.OpenAI(base_url=place.base_url, api_key="none", max_retries=0) as client:
            store = client.vector_stores.create(name="plain")
            file = client.vector_stores.files.upload_and_poll(
                vector_store_id=store.id, file=("t.md", TIDES), poll_interval_ms=POLL
            )
            assert client.files.content(file.id).read() == TIDES
            assert [one.id for one in client.vector_stores.files.list(store.id)] == [file.id]
            hit = client.vector_stores.search(store.id, query="tide").data[0]
            client.vector_stores.files.delete(file.id, vector_store_id=store.id)
            client.vector_stores.delete(store.id)
            return file.id, hit.file_id

    attached, found = await asyncio.to_thread(use)
    assert attached == found
