"""A private nginx: static answers to every request, or a proxy in front of another one.

Debian's ``nginx-light`` with a configuration and a folder of its own, on free ports of 127.0.0.1.
The static answers are a Chat Completions answer (``/plain``), the same as a stream (``/stream``), a
stream of many events at once (``/long``) and of as many with a pause before each (``/paced``, by
the echo module that comes with ``nginx-light``).
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from benchmarks.processes import family, free_port, start, stop, wait_until_answers
from shoal.chat import Answer, Delta, Request, Usage
from shoal.formats import FORMATS, Envelope, deltas_of

PATH = "/v1/chat/completions"
_ECHO_MODULES = (
    Path("/usr/share/nginx/modules/ngx_http_echo_module.so"),
    Path("/usr/lib/nginx/modules/ngx_http_echo_module.so"),
)
_ANSWER = Answer(text="card_arrival", model="m", usage=Usage(300, 4))
_ASKED = Request("m", (), params='{"stream_options":{"include_usage":true}}')
_ENVELOPE = Envelope("1", 1, _ASKED)
_HEAD = """
{module}
user root;
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    client_body_buffer_size 1m;
    default_type application/json;
    types {{ application/json json; text/event-stream sse; }}
"""
_STATIC = """
    server {{
        listen 127.0.0.1:{port};
        root {folder}/answers;
        error_page 405 =200 $uri;
        location /plain/ {{ try_files /plain.json =404; }}
        location /stream/ {{ try_files /stream.sse =404; }}
        location /long/ {{ try_files /long.sse =404; }}
        {paced}
    }}
}}
"""
_PROXY = """
    upstream behind {{ server 127.0.0.1:{behind}; keepalive 256; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


class Nginx(Struct, frozen=True):
    """A running nginx: its port, and the process that serves."""

    port: int
    worker: int


def written(deltas: list[Delta]) -> bytes:
    """A stream of Chat Completions that says these steps."""
    writer = FORMATS["chat"].new_writer(_ENVELOPE)
    return writer.feed(deltas) + writer.end()


def long_stream(events: int) -> bytes:
    """A stream of so many events with text, and those that end it."""
    words = [Delta(text=f" word{number}") for number in range(events)]
    return written(
        [Delta(model="m"), *words, Delta(finish_reason="stop", usage=Usage(300, events))]
    )


@contextmanager
def static_nginx(folder: Path, events: int, pause_ms: float) -> Iterator[Nginx]:
    """Answers at once; ``events`` are in a long stream, ``pause_ms`` apart in a paced one."""
    answers = folder / "answers"
    answers.mkdir(parents=True)
    (answers / "plain.json").write_bytes(FORMATS["chat"].encode_answer(_ANSWER, _ENVELOPE))
    (answers / "stream.sse").write_bytes(written(deltas_of(_ANSWER)))
    (answers / "long.sse").write_bytes(long_stream(events))
    port, module = free_port(), _echo_module()
    paced = _paced(long_stream(events), pause_ms) if module else ""
    head = _HEAD.format(folder=folder, module=f"load_module {module};" if module else "")
    with _running(folder, head + _STATIC.format(port=port, folder=folder, paced=paced), port) as it:
        yield it


@contextmanager
def proxy_nginx(folder: Path, behind: Nginx) -> Iterator[Nginx]:
    """Passes everything on to ``behind``: the least that anything in between can cost."""
    folder.mkdir(parents=True)
    port = free_port()
    head = _HEAD.format(folder=folder, module="")
    with _running(folder, head + _PROXY.format(port=port, behind=behind.port), port) as it:
        yield it


def has_paced() -> bool:
    """Whether this nginx can pause within an answer."""
    return _echo_module() is not None


def _echo_module() -> Path | None:
    return next((path for path in _ECHO_MODULES if path.exists()), None)


def _paced(stream: bytes, pause_ms: float) -> str:
    lines = ["location /paced/ {", "default_type text/event-stream;"]
    for event in stream.decode().split("\n\n")[:-1]:
        quoted = event.replace("\\", "\\\\").replace('"', '\\"').replace("$", "")
        lines += [f"echo_sleep {pause_ms / 1e3:g};", f'echo "{quoted}\n";', "echo_flush;"]
    return "\n".join([*lines, "}"])


@contextmanager
def _running(folder: Path, settings: str, port: int) -> Iterator[Nginx]:
    if shutil.which("nginx") is None:
        raise SystemExit("nginx is missing: apt-get install nginx-light")
    path = folder / "nginx.conf"
    path.write_text(settings)
    command = ["nginx", "-p", str(folder), "-c", str(path)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    if checked.returncode:
        raise SystemExit(f"nginx refuses its settings: {checked.stderr}")
    process = start(command, folder / "nginx.log")
    try:
        wait_until_answers(f"http://127.0.0.1:{port}/plain{PATH}")
        yield Nginx(port, family(process.pid)[-1])
    finally:
        stop(process)
