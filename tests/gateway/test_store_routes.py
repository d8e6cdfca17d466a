"""Files and vector stores over HTTP: what is refused, whose things are whose, what is counted."""

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yarl
from fake_keys import FakeKeys
from live import FakeDesk, running_gateway
from live_stacks import Place, running_stacks

from shoal.errors import MissingExtra

JSON = "application/json"


def names(folder: Path, pattern: str) -> list[str]:
    return [path.name for path in folder.rglob(pattern)]


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        await asyncio.sleep(0.02)
    pytest.fail("that was awaited in vain")


class Http:
    """A caller with a key."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __call__(
        self, method: str, path: str, said: object = None, status: int = 200, **query: str
    ) -> Any:
        """The reply's JSON; of an error what stands under ``error``."""
        asked = self._session.request(method, f"/v1{path}", json=said, params=query)
        async with asked as reply:
            told = await reply.json()
            assert reply.status == status, told
        if status < 400:
            return told
        assert set(told["error"]) == {"message", "type", "param", "code"}
        return told["error"]

    async def upload(self, name: str = "a.txt", data: bytes = b"tide", status: int = 200) -> Any:
        form = aiohttp.FormData({"purpose": "assistants"}, quote_fields=False)
        form.add_field("file", data, filename=name)
        async with self._session.post("/v1/files", data=form) as reply:
            told = await reply.json()
            assert reply.status == status, told
            return told

    async def attached(self, store: str, file: str) -> Any:
        """The file, once that is settled."""
        await self("POST", f"/vector_stores/{store}/files", {"file_id": file})
        for _ in range(500):
            one = await self("GET", f"/vector_stores/{store}/files/{file}")
            if one["status"] != "in_progress":
                return one
            await asyncio.sleep(0.02)
        pytest.fail("it is not attached yet")


@asynccontextmanager
async def caller(place: Place, key: str = "") -> AsyncIterator[Http]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession(place.url, headers=headers) as session:
        yield Http(session)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with running_stacks(tmp_path, max_body_mb=2, access_log=True) as running:
        yield running


@pytest.fixture
async def http(place: Place) -> AsyncIterator[Http]:  # type: ignore[override]
    async with caller(place) as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "said", "param"),
    [
        ("", {"name": 3}, "name"),
        ("", {"nmae": "x"}, None),
        ("", {"metadata": {"a": "x" * 513}}, "metadata"),
        ("", {"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ("", {"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        ("", {"chunking_strategy": {"type": "semantic"}}, "chunking_strategy.type"),
        ("/vs_it/files", {"file_id": "x", "attributes": {"a": "x" * 1_000_000}}, "attributes"),
        ("/vs_it/files", {"file_id": "x", "attributes": {"a": ["x"]}}, "attributes"),
        ("/vs_it/files", {}, None),
        ("/vs_it/file_batches", {}, "file_ids"),
        ("/vs_it/file_batches", {"file_ids": []}, "file_ids"),
        ("/vs_it/file_batches", {"file_ids": ["a"], "files": [{"file_id": "a"}]}, "file_ids"),
        ("/vs_it/file_batches", {"file_ids": ["a"] * 2_001}, "file_ids"),
        ("/vs_it/search", {}, None),
        ("/vs_it/search", {"query": ""}, "query"),
        ("/vs_it/search", {"query": []}, "query"),
        ("/vs_it/search", {"query": "x" * 100_000}, "query"),
        ("/vs_it/search", {"query": ["x" * 100_000]}, "query"),
        ("/vs_it/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
        ("/vs_it/search", {"query": "x", "filters": {"type": "like"}}, "filters"),
        ("/vs_it/search", {"query": "x", "filters": "a"}, "filters"),
        (
            "/vs_it/search",
            {"query": "x", "ranking_options": {"score_threshold": 2}},
            "ranking_options.score_threshold",
        ),
    ],
)
async def test_bad_requests(http: Http, path: str, said: Any, param: str | None) -> None:
    await http("POST", "/vector_stores", {"name": "it"})
    error = await http("POST", f"/vector_stores{path}", said, 400)
    assert param is None or error["param"] == param
    assert len(error["message"]) < 500
    assert (await http("GET", "/vector_stores/vs_it"))["status"] == "completed"


async def test_a_filter_on_an_attribute_that_no_file_has(http: Http) -> None:
    await http("POST", "/vector_stores", {"name": "it"})
    await http.attached("vs_it", (await http.upload())["id"])
    asked = {"query": "x", "filters": {"type": "eq", "key": "nowhere", "value": 1}}
    error = await http("POST", "/vector_stores/vs_it/search", asked, 400)
    assert "nowhere" in error["message"]


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"order": "up"}, {"after": "vs_no"},
              {"before": "x"}, {"pages": "2"}, {"limit": "9" * 5_000}],
)  # fmt: skip
async def test_bad_pages(http: Http, query: dict[str, str]) -> None:
    await http("POST", "/vector_stores", {"name": "it"})
    error = await http("GET", "/vector_stores", None, 400, **query)
    assert error["param"] == next(iter(query))
    await http("GET", "/vector_stores/vs_it/files", None, 400, **query)


@pytest.mark.parametrize(
    "id", ["vs_nothere", "nothere", "vs_..", "vs_.", "vs_A", "vs_%2e%2e", "vs_a%00b",
           "vs_" + "a" * 999, "..%2F..%2Fit", "vs_it%2F..%2Fit", "vs_%EF%AC%81sh"],
)  # fmt: skip
async def test_ids_that_lead_nowhere(http: Http, place: Place, id: str) -> None:
    await http("POST", "/vector_stores", {"name": "it"})
    url = yarl.URL(f"{place.base_url}/vector_stores/{id}", encoded=True)
    async with aiohttp.ClientSession() as session:
        for method in ("GET", "DELETE"):
            async with session.request(method, url) as reply:
                assert reply.status in (404, 405), await reply.text()
        async with session.post(url.with_path(url.path + "/search"), json={"query": "x"}) as reply:
            assert reply.status in (404, 405)
    assert place.library.names() == ["it"]


async def test_files_that_lead_nowhere(http: Http) -> None:
    await http("POST", "/vector_stores", {"name": "it"})
    for id in ("file-nothere", "nothere", "files.db", "file-..", "x" * 300):
        for tail in ("", "/content"):
            error = await http("GET", f"/files/{id}{tail}", None, 404)
            assert "no file with id" in error["message"]
            await http("GET", f"/vector_stores/vs_it/files/{id}{tail}", None, 404)
        await http("DELETE", f"/files/{id}", None, 404)
        await http("DELETE", f"/vector_stores/vs_it/files/{id}", None, 404)
        await http("POST", f"/vector_stores/vs_it/files/{id}", {"attributes": {}}, 404)
    await http("POST", "/vector_stores/vs_it/files", {"file_id": "file-nothere"}, 404)
    await http("POST", "/vector_stores", {"name": "new", "file_ids": ["file-nothere"]}, 404)
    await http("GET", "/vector_stores/vs_new", None, 404)
    await http("GET", "/vector_stores/vs_it/file_batches/vsfb_no", None, 404)
    await http("POST", "/vector_stores/vs_it/file_batches/vsfb_no/cancel", None, 404)
    await http("GET", "/vector_stores/vs_it/file_batches/vsfb_no/files", None, 404)


def form(*parts: str, boundary: str = "cut") -> bytes:
    return "".join(f"--{boundary}\r\n{part}\r\n" for part in parts).encode() + b"--cut--\r\n"


FILE = 'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ntide'
PURPOSE = 'Content-Disposition: form-data; name="purpose"\r\n\r\nassistants'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (form(FILE, PURPOSE), 200),
        (form(PURPOSE, FILE), 200),
        (b"preamble\r\n" + form(FILE, PURPOSE) + b"epilogue", 200),
        (form(PURPOSE), 400),
        (form(FILE), 400),
        (form(FILE, FILE, PURPOSE), 400),
        (form(FILE, PURPOSE, PURPOSE), 400),
        (form(FILE, PURPOSE.replace("assistants", "world domination")), 400),
        (form(FILE, PURPOSE.replace("assistants", "x" * 5_000)), 400),
        (form(FILE, PURPOSE, PURPOSE.replace("purpose", "colour")), 400),
        (form(FILE.replace("file", "data", 1), PURPOSE), 400),
        (form(FILE, PURPOSE)[:-8], 400),
        (form(FILE, PURPOSE)[:60], 400),
        (form("\r\n", FILE, PURPOSE), 400),
        (form("X: " + "y" * 10_000 + "\r\n\r\n", FILE, PURPOSE), 400),
        (form(*[PURPOSE] * 50), 400),
        (b"", 400),
        (b"--cut" + b"x" * 20_000, 400),
        (b"x" * 200_000, 400),
        (b"\\" * 100_000 + b"\r\n" + form(FILE.replace("a.txt", "\\" * 5_000 + "x"), PURPOSE), 200),
    ],
)  # fmt: skip
async def test_forms(place: Place, tmp_path: Path, body: bytes, status: int) -> None:
    headers = {"content-type": "multipart/form-data; boundary=cut"}
    async with aiohttp.ClientSession(place.base_url + "/", headers=headers) as session:
        async with session.post("files", data=body) as reply:
            told = await reply.json()
            assert reply.status == status, told
        async with session.get("files") as reply:
            assert len((await reply.json())["data"]) == (status == 200)
    assert list((tmp_path / "files").glob("*.part")) == []


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data", "multipart/mixed; boundary=x", ""]
)
async def test_what_is_no_form(place: Place, kind: str) -> None:
    headers = {"content-type": kind}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{place.base_url}/files", data=b"{}", headers=headers) as reply,
    ):
        assert reply.status == 400
        assert "multipart/form-data" in (await reply.json())["error"]["message"]


async def test_a_file_may_be_larger_than_other_bodies_up_to_its_own_limit(
    http: Http, place: Place, tmp_path: Path
) -> None:
    assert (await http.upload(data=b"x" * 2_900_000))["bytes"] == 2_900_000
    for size in (3_000_001, 9_000_000):  # said beforehand, and found out while it comes
        told = await http.upload(data=b"x" * size, status=413)
        assert "over 3 MB" in told["error"]["message"]
    await http("POST", "/vector_stores", {"name": "x" * 2_000_001}, 413)

    async def endless() -> AsyncIterator[bytes]:
        yield form(FILE)[:-9]
        for _ in range(200):
            yield b"y" * 100_000

    headers = {"content-type": "multipart/form-data; boundary=cut"}
    async with aiohttp.ClientSession() as session:
        posting = session.post(f"{place.base_url}/files", data=endless(), headers=headers)
        with suppress(aiohttp.ClientError):  # the connection is closed, perhaps before it is read
            async with posting as reply:
                assert reply.status == 413
    await until(lambda: names(tmp_path, "*.part") == [])


def post_plainly(url: yarl.URL, path: str, size: int, **headers: str) -> tuple[int, Any]:
    """As a client does that sends all of it before it reads a word; about how long it is it says
    nothing if headers do not."""
    connection = HTTPConnection(str(url.host), url.port, timeout=60)
    pieces = (b"x" * 1_000_000 for _ in range(size // 1_000_000))
    connection.request(
        "POST", path, pieces, headers, encode_chunked="content-length" not in headers
    )
    with closing(connection), connection.getresponse() as reply:
        return reply.status, json.loads(reply.read())


@pytest.mark.parametrize("path", ["/v1/files", "/v1/vector_stores"])
@pytest.mark.parametrize(("size", "says"), [(200_000_000, True), (30_000_000, False)])
async def test_who_reads_only_after_sending_is_told_too(
    place: Place, path: str, size: int, says: bool
) -> None:
    headers = {"content-type": "multipart/form-data; boundary=cut"}
    headers |= {"content-length": str(size)} if says else {}
    url = yarl.URL(place.url)
    status, told = await asyncio.to_thread(post_plainly, url, path, size, **headers)
    assert status == 413
    assert "MB" in told["error"]["message"]


async def test_uploads_have_a_limit_in_all(tmp_path: Path) -> None:
    async with running_stacks(tmp_path, most_total=1_000_000) as place, caller(place) as http:
        first = await http.upload(data=b"x" * 600_000)
        for size in (400_001, 900_000):  # found out while it comes, and said beforehand
            error = (await http.upload(data=b"x" * size, status=413))["error"]
            assert error["code"] == "storage_limit_exceeded"
            assert error["type"] == "invalid_request_error"
            assert "leave 0.4 MB for another" in error["message"]
            assert "gateway.max_files_gb" in error["message"]
        assert names(tmp_path / "files", "file-*") == [first["id"]]
        await http.upload(data=b"x" * 400_000)
        assert (await http.upload(status=413))["error"]["code"] == "storage_limit_exceeded"
        await http("DELETE", f"/files/{first['id']}")
        await http.upload(data=b"x" * 600_000)


async def test_who_hangs_up_leaves_nothing_behind(place: Place, tmp_path: Path) -> None:
    _, writer = await asyncio.open_connection(*place.url.removeprefix("http://").split(":"))
    head = (
        b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n"
        b"Content-Type: multipart/form-data; boundary=cut\r\n\r\n"
    )
    writer.write(head + form(FILE)[:-9] + b"z" * 1_500_000)
    await writer.drain()
    folder = tmp_path / "files"
    await until(lambda: names(folder, "*.part") != [])
    writer.close()
    await until(lambda: names(folder, "file-*") == [])


async def test_names_of_files_lead_nowhere(http: Http, place: Place, tmp_path: Path) -> None:
    for name in ("../../../evil.txt", "C:\\windows\\evil.txt", "/etc/evil.txt"):
        assert (await http.upload(name))["filename"] == "evil.txt"
    assert names(tmp_path, "*evil*") == []


async def test_uploads_are_of_the_key_that_sent_them(tmp_path: Path) -> None:
    keys = FakeKeys()
    one, other, admin = keys.add(), keys.add(), keys.add(scopes=["call", "admin"])
    async with (
        running_stacks(tmp_path, keys) as place,
        caller(place, one.key) as mine,
        caller(place, other.key) as stranger,
        caller(place, admin.key) as all_seeing,
        caller(place, "sk-shoal-wrong") as nobody,
    ):
        file = (await mine.upload())["id"]
        await stranger("POST", "/vector_stores", {"name": "theirs"})
        for path in (f"/files/{file}", f"/files/{file}/content"):
            await stranger("GET", path, None, 404)
        await stranger("DELETE", f"/files/{file}", None, 404)
        await stranger("POST", "/vector_stores/vs_theirs/files", {"file_id": file}, 404)
        assert (await stranger("GET", "/files"))["data"] == []
        await nobody("GET", f"/files/{file}", None, 401)
        for each in (mine, all_seeing):
            assert [f["id"] for f in (await each("GET", "/files"))["data"]] == [file]
            assert (await each("GET", f"/files/{file}"))["id"] == file
        assert (await mine.attached("vs_theirs", file))["status"] == "completed"
        # who may use the store may use what is in it
        await stranger("GET", f"/vector_stores/vs_theirs/files/{file}/content")
        await all_seeing("DELETE", f"/files/{file}")
        await mine("GET", f"/files/{file}", None, 404)


async def test_keys_for_certain_collections(tmp_path: Path) -> None:
    keys = FakeKeys()
    any_, only = keys.add(), keys.add(collections=["ours", "nowhere"])
    async with (
        running_stacks(tmp_path, keys) as place,
        caller(place, any_.key) as free,
        caller(place, only.key) as bound,
    ):
        for name in ("ours", "theirs"):
            await free("POST", "/vector_stores", {"name": name})
        assert [s["id"] for s in (await bound("GET", "/vector_stores"))["data"]] == ["vs_ours"]
        file = (await bound.upload())["id"]
        assert (await bound.attached("vs_ours", file))["status"] == "completed"
        search = {"query": "tide"}
        assert (await bound("POST", "/vector_stores/vs_ours/search", search))["data"]
        refused = [
            ("GET", "/vs_theirs", None),
            ("POST", "/vs_theirs", {"name": "x"}),
            ("DELETE", "/vs_theirs", None),
            ("POST", "/vs_theirs/search", search),
            ("GET", "/vs_theirs/files", None),
            ("POST", "/vs_theirs/files", {"file_id": file}),
            ("GET", f"/vs_theirs/files/{file}", None),
            ("POST", "/vs_theirs/file_batches", {"file_ids": [file]}),
            ("GET", "/vs_not-there", None),
            ("POST", "", {"name": "new"}),
            ("POST", "", {"name": "nowhere"}),
        ]
        for method, path, said in refused:
            error = await bound(method, f"/vector_stores{path}", said, 403)
            assert error["code"] == "collection_not_allowed"
        await bound("GET", "/vector_stores/vs_nowhere", None, 404)
        assert place.library.names() == ["ours", "theirs"]
        await bound("DELETE", "/vector_stores/vs_ours")


async def test_a_store_that_has_expired(http: Http, place: Place, monkeypatch: Any) -> None:
    days = {"anchor": "last_active_at", "days": 1}
    file = (await http.upload())["id"]
    await http("POST", "/vector_stores", {"name": "it", "expires_after": days, "file_ids": [file]})
    await http.attached("vs_it", file)
    now = time.time()
    monkeypatch.setattr("shoal.assembly.store_place.time.time", lambda: now + 86_500)
    assert (await http("GET", "/vector_stores/vs_it"))["status"] == "expired"
    error = await http("POST", "/vector_stores/vs_it/search", {"query": "x"}, 400)
    assert "has expired" in error["message"]
    await http("POST", "/vector_stores/vs_it/files", {"file_id": file}, 400)
    days["days"] = 3
    changed = await http("POST", "/vector_stores/vs_it", {"expires_after": days})
    assert changed["status"] == "completed"
    assert (await http("POST", "/vector_stores/vs_it/search", {"query": "tide"}))["data"]


async def test_a_file_that_has_expired(http: Http, place: Place, tmp_path: Path) -> None:
    file = (await http.upload())["id"]
    await http("POST", "/vector_stores", {"name": "it"})
    await http.attached("vs_it", file)
    with sqlite3.connect(tmp_path / "files" / "files.db") as conn:
        conn.execute("UPDATE files SET expires_at = 1")
    await http("GET", f"/files/{file}", None, 404)
    assert (await http("GET", "/files"))["data"] == []
    assert (await http("GET", "/vector_stores/vs_it/files"))["data"] == []
    assert not (tmp_path / "files" / file).exists()


async def test_pages_of_a_store(http: Http) -> None:
    made = [(await http("POST", "/vector_stores", {"name": f"s{n}"}))["id"] for n in range(5)]
    page = await http("GET", "/vector_stores", limit="2", order="asc")
    assert (page["object"], page["has_more"]) == ("list", True)
    assert (page["first_id"], page["last_id"]) == (made[0], made[1])
    page = await http("GET", "/vector_stores", limit="2", order="asc", before=made[3])
    assert [one["id"] for one in page["data"]] == made[1:3]
    page = await http("GET", "/vector_stores", after=made[1])
    assert ([one["id"] for one in page["data"]], page["has_more"]) == ([made[0]], False)
    empty = await http("GET", "/vector_stores/vs_s1/files")
    assert (empty["data"], empty["first_id"], empty["last_id"]) == ([], None, None)


async def test_without_the_extra_or_weights_only_what_needs_them_fails(
    http: Http, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    def missing(*_: object) -> None:
        raise MissingExtra("docs", "keyword search")

    monkeypatch.setattr("shoal.retrieval.collection.require", missing)
    error = await http("POST", "/vector_stores", {"name": "it"}, 501)
    assert (error["code"], "shoal[docs]" in error["message"]) == ("extra_missing", True)
    assert place.library.names() == []
    assert (await http.upload())["status"] == "processed"
    assert (await http("GET", "/vector_stores"))["data"] == []


async def test_clients_are_told_when_to_ask_again(place: Place, http: Http) -> None:
    file = (await http.upload())["id"]
    await http("POST", "/vector_stores", {"name": "it"})
    place.encoder.gate.clear()
    await http("POST", "/vector_stores/vs_it/files", {"file_id": file})
    url = f"{place.base_url}/vector_stores/vs_it/files/{file}"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        assert reply.headers["openai-poll-after-ms"] == "250"
    place.encoder.gate.set()


async def test_a_gateway_without_stores(tmp_path: Path) -> None:
    async with running_gateway(FakeDesk()) as url, aiohttp.ClientSession() as session:
        for path in ("files", "vector_stores", "vector_stores/vs_a"):
            async with session.get(f"{url}/v1/{path}") as reply:
                assert reply.status == 404
                assert "keeps neither" in (await reply.json())["error"]["message"]


async def test_what_is_counted_and_logged(
    http: Http, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "shoal.access"):
        await http("POST", "/vector_stores", {"name": "it"})
        await http("POST", "/vector_stores/vs_no/search", {"query": "secret words"}, 404)
    async with aiohttp.ClientSession() as session, session.get(f"{place.url}/metrics") as reply:
        text = await reply.text()
    assert 'shoal_collection_acts_total{act="stores.create",outcome="ok"} 1.0' in text
    assert 'shoal_collection_acts_total{act="stores.search",outcome="NotFound"} 1.0' in text
    lines = [json.loads(record.message) for record in caplog.records]
    assert [(one["act"], one["ok"]) for one in lines] == [
        ("stores.create", True), ("stores.search", False),
    ]  # fmt: skip
    assert "secret" not in caplog.text
