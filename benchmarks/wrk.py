"""Drives an address of this machine with wrk (Debian's package); each user message is new."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

_MARK = "@NUMBER@"
_SCRIPT = """
local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  folder = args[1]
  head, tail = read(folder .. "/head"), read(folder .. "/tail")
  number = tonumber(args[2])
  wrk.headers["content-type"] = "application/json"
end

function request()
  number = number + 1
  return wrk.format("POST", nil, nil, head .. number .. tail)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %d %d %d %f %f %f\\n", summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""
_RESULT = re.compile(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+) ([\d.]+)")


class Drive(Struct, frozen=True):
    """What one run of wrk did; times in seconds and milliseconds."""

    calls: int
    seconds: float
    p50_ms: float
    p99_ms: float


class Traffic:
    """Requests of one kind; each is another conversation, numbered on from run to run."""

    def __init__(self, folder: Path, request: dict[str, object]) -> None:
        """``request`` holds ``MARK`` where the number goes."""
        folder.mkdir(parents=True)
        head, mark, tail = json.dumps(request).partition(_MARK)
        assert mark
        (folder / "head").write_text(head)
        (folder / "tail").write_text(tail)
        (folder / "wrk.lua").write_text(_SCRIPT)
        self._folder = folder
        self._begun = 0

    def drive(self, url: str, connections: int, seconds: int) -> Drive:
        """Ask again and again from so many connections.

        Raises:
            SystemExit: wrk is missing, or an answer was an error.
        """
        if shutil.which("wrk") is None:
            raise SystemExit("wrk is missing: apt-get install wrk")
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["-s", str(self._folder / "wrk.lua"), url, "--"]
        command += [str(self._folder), str(self._begun)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = _RESULT.search(said)
        if found is None or int(found[3]) or float(found[4]):
            raise SystemExit(f"{url}: not every call was answered:\n{said}")
        calls = int(found[1])
        self._begun += calls + connections
        return Drive(calls, int(found[2]) / 1e6, float(found[5]) / 1e3, float(found[6]) / 1e3)


def chat_request(model: str, system: str, tools: list[object], stream: bool) -> dict[str, object]:
    """A Chat Completions request whose user message is another each time."""
    asked: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": f"where is my card number {_MARK}?"},
        ],
        "temperature": 0,
    }
    if tools:
        asked["tools"] = tools
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return asked
