"""A hub of model files on this machine, over HTTP as the Hugging Face hub speaks it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """One repository. ``pause_at``: a file's first answer stops there until ``go_on`` is set.
    ``ranges`` are the byte ranges asked for; ``tells`` is the digest told, if it is a wrong one."""

    def __init__(self, repository: str, files: dict[str, bytes]) -> None:
        self.repository, self.files = repository, files
        self.pause_at = 0
        self.paused, self.go_on = threading.Event(), threading.Event()
        self.ranges: list[str] = []
        self.tells = ""
        self.url = ""

    def digest(self, name: str) -> str:
        return self.tells or hashlib.sha256(self.files[name]).hexdigest()

    def listed(self) -> bytes:
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": "b",
                "lfs": {"sha256": self.digest(name), "size": len(content), "pointerSize": 134},
            }
            for name, content in self.files.items()
        ]
        return json.dumps({"id": self.repository, "sha": COMMIT, "siblings": siblings}).encode()


@contextmanager
def served(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub, listening."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.reply(body=False)

        def do_GET(self) -> None:
            self.reply(body=True)

        def reply(self, body: bool) -> None:
            path = urlsplit(self.path).path
            if path.startswith(f"/api/models/{hub.repository}"):
                return self.send(200, hub.listed(), {"Content-Type": "application/json"}, body)
            name = path.removeprefix(f"/{hub.repository}/resolve/{COMMIT}/")
            if name not in hub.files:
                return self.send(404, b"{}", {"X-Error-Code": "EntryNotFound"}, body)
            whole, asked = hub.files[name], self.headers.get("Range", "")
            headers = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{hub.digest(name)}"',
                       "X-Linked-Size": str(len(whole)), "ETag": f'"{hub.digest(name)}"',
                       "Accept-Ranges": "bytes"}  # fmt: skip
            if not asked:
                return self.send(200, whole, headers, body)
            hub.ranges.append(asked)
            begin = int(asked.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {begin}-{len(whole) - 1}/{len(whole)}"
            return self.send(206, whole[begin:], headers, body)

        def send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if not body:
                return
            if hub.pause_at and status == 206 and len(content) > hub.pause_at:
                self.wfile.write(content[: hub.pause_at])
                self.wfile.flush()
                hub.pause_at = 0
                hub.paused.set()
                hub.go_on.wait(30)
                self.close_connection = True
                return
            self.wfile.write(content)

        def log_message(self, *said: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()
