"""A child process that has one model file loaded, and what it is asked for beside answers."""

import atexit
import contextlib
import hashlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import deque
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from shoal.errors import EngineUnreachable, MissingExtra

_HOST = Path(__file__).with_name("host.py")
_LONGEST_SOCKET = 90  # characters; systems take some 104
_SAID_LINES, _SAID_CHARACTERS = 20, 600
_END_S = 3.0
_LOAD_S = 900.0  # 90 GB from a disk of 100 MB/s; who waits longer waits for nothing
_MOST_GRAMMARS = 10_000
_running: "weakref.WeakSet[Child]" = weakref.WeakSet()


class Loading(Struct, frozen=True):
    """What a child is started with; ``context`` is of each slot, in tokens."""

    path: str
    context: int
    slots: int
    threads: int
    prompt_threads: int
    connections: int
    adapters: tuple[str, ...] = ()
    chat_template: str = ""
    prompt_cache: bool = True
    pooling: str = ""


class Child:
    """A running llama.cpp. ``alias`` is what it calls its model: made up, so that it can be found
    in what it says and replaced.

    Raises:
        MissingExtra: ``xllamacpp`` is not installed.
        EngineUnreachable: it could not load the model; says what llama.cpp said.
    """

    def __init__(self, name: str, loading: Loading) -> None:
        """Starts it and waits until the model is loaded: seconds."""
        if find_spec("xllamacpp") is None:
            raise MissingExtra("local", f"the local model {name}")
        self.name, self.loading = name, loading
        self.alias = f"shoal:{secrets.token_hex(8)}"
        self._folder = Path(tempfile.mkdtemp(prefix="shoal-"))
        if len(str(self._folder)) > _LONGEST_SOCKET - 10:
            self._folder.rmdir()
            self._folder = Path(tempfile.mkdtemp(prefix="shoal-", dir="/tmp"))
        self.socket = str(self._folder / "s.sock")
        self._said: deque[str] = deque(maxlen=_SAID_LINES)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_HOST)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
            )
        except OSError as error:  # no memory, or no more files
            self._folder.rmdir()
            said = f"{name}: no process can be started: {error.strerror}"
            raise EngineUnreachable(said, False) from None
        _running.add(self)
        self._hearing = threading.Thread(target=self._hear, daemon=True, name="shoal-llama-log")
        self._hearing.start()
        self._load()
        self.takes_tools = self._props_say_tools()
        self._held: dict[bytes, bool] = {}

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """Spent by it until now; 0 where the system does not tell."""
        try:
            told = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
            return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return 0.0

    @property
    def said(self) -> str:
        """The end of what it has complained about."""
        return " ".join(self._said)[-_SAID_CHARACTERS:]

    def ask(
        self, method: str, path: str, body: bytes = b"", timeout_s: float = 30.0
    ) -> tuple[int, bytes]:
        """Status and body of a reply; blocks.

        Raises:
            OSError, http.client.HTTPException: it does not answer.
        """
        connection = _Connection(self.socket, timeout_s)
        try:
            connection.request(method, path, body or None, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def has_tried(self, grammar: str) -> bool | None:
        """What ``holds_to`` has found before; None if it was not asked."""
        return self._held.get(_digest(grammar))

    def holds_to(self, grammar: str, timeout_s: float) -> bool:
        """Whether llama.cpp holds an answer to a grammar for JSON; found out by a try the first
        time, for it says nothing where it does not. Blocks, for as long as a slot must be waited
        for.

        What no JSON begins with is made as likely as can be: if it comes, nothing held the model.

        Raises:
            OSError, http.client.HTTPException, ValueError: it does not answer.
        """
        known = self.has_tried(grammar)
        if known is not None:
            return known
        _, told = self.ask("POST", "/tokenize", b'{"content":"]"}')
        never = int(json.loads(told)["tokens"][-1])
        trial = {
            "prompt": "a",
            "n_predict": 1,
            "temperature": 0,
            "cache_prompt": False,
            "grammar": grammar,
            "logit_bias": [[never, 1000]],
            "lora": [{"id": index, "scale": 0} for index in range(len(self.loading.adapters))],
        }
        status, told = self.ask("POST", "/completion", json.dumps(trial).encode(), timeout_s)
        held = status == 200 and "]" not in json.loads(told)["content"]
        if len(self._held) >= _MOST_GRAMMARS:
            self._held.clear()
        self._held[_digest(grammar)] = held
        return held

    def close(self) -> None:
        """End it. Waits a moment, then ends it by force; safe to call again."""
        _running.discard(self)
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_END_S if self.is_alive else 0)
        except subprocess.TimeoutExpired:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End it by force."""
        self._process.kill()
        self._process.wait()

    def _load(self) -> None:
        settings = msgspec.to_builtins(self.loading) | {"socket": self.socket, "alias": self.alias}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Timer(_LOAD_S, self._process.kill)
        late.daemon = True
        late.start()
        try:
            self._process.stdin.write(json.dumps(settings).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            late.cancel()
        told: dict[str, Any] = json.loads(line) if line.startswith(b"{") else {}
        if told.get("ready"):
            return
        self._process.wait()
        self._hearing.join(1)
        why = self.said or told.get("failed") or f"it ended with {self._process.returncode}"
        self.close()
        raise EngineUnreachable(
            f"{self.name}: llama.cpp cannot load {Path(self.loading.path).name}: {why}", False
        )

    def _props_say_tools(self) -> bool:
        try:
            _, body = self.ask("GET", "/props")
            caps = json.loads(body)["chat_template_caps"]
            return bool(caps["supports_tools"])
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return False

    def _hear(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if text := line.decode(errors="replace").strip():
                self._said.append(text[:_SAID_CHARACTERS])


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("shoal", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _environment() -> dict[str, str]:
    """No keys of anybody's, and threads that do not spin."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH")
    own = {name: os.environ[name] for name in kept if name in os.environ}
    return own | {"OMP_WAIT_POLICY": "passive", "PYTHONUNBUFFERED": "1"}


def _digest(grammar: str) -> bytes:
    return hashlib.sha256(grammar.encode()).digest()


@atexit.register
def _end_all() -> None:
    for child in list(_running):
        child.close()
