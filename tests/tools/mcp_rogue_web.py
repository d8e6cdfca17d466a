"""A server over HTTP written by hand, which misbehaves as it is told to: ``MANNER PORT``."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANNER, PORT = sys.argv[1], int(sys.argv[2])
NOTICE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}'


class Rogue(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._say(405, b"{}")

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method = request.get("method")
        if "id" not in request:
            return self._say(202, b"")
        if method == "initialize":
            version = request["params"]["protocolVersion"]
            info = {"name": "rogue", "version": "0"}
            told = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            return self._reply(request, told)
        if method == "tools/list":
            tools = [{"name": "act", "inputSchema": {"type": "object"}}]
            return self._reply(request, {"tools": tools})
        if method == "tools/call":
            return self._call(request)
        self._say(404, b"{}")

    def _call(self, request: Any) -> None:
        if MANNER == "500":
            return self._say(500, b"{}")
        if MANNER == "404":
            return self._say(404, b"{}")
        if MANNER == "long":
            return self._say(200, b"[" + b"1," * 1_000_000 + b"1]")
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for _ in range(1_000_000 if MANNER == "floods" else 3):
            self.wfile.write(b"event: message\ndata: " + NOTICE + b"\n\n")
        # "breaks-off" ends here

    def _reply(self, request: Any, result: Any) -> None:
        said = {"jsonrpc": "2.0", "id": request["id"], "result": result}
        self._say(200, json.dumps(said).encode())

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", PORT), Rogue).serve_forever()
