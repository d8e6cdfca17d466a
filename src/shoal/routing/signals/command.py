"""A validator that is a program of the owner's: tests that run what an answer holds, for example.

The program gets the call as JSON on its standard input, ``{"messages": [{"role", "content"}, ...],
"answer": "...", "tool_calls": [{"name", "arguments"}, ...]}``, and finds nothing wrong by ending
with status 0. It runs apart: without a shell, in a folder of its own that is removed afterwards,
with PATH as its whole environment, and with limits on time, memory and the files that it writes.
What this module does not do: keep the program off the network or the owner's files. A program that
runs what a model wrote should run it in a sandbox.
"""

import os
import shlex
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from shoal.chat import Answer, Request

_WALL_S = 30.0
_MEMORY_KB, _FILE_BLOCKS = 2_000_000, 40_000  # of 1,024 and 512 bytes
_LONGEST = 200  # characters of a complaint
# One limit a line, for not every shell takes several; one that a system lacks leaves the others.
_LIMITED = f"""ulimit -t "$0" 2>/dev/null
ulimit -v {_MEMORY_KB} 2>/dev/null
ulimit -f {_FILE_BLOCKS} 2>/dev/null
exec "$@"
"""


class CommandPasses:
    """``command`` is split into words as a shell would, and read by none; words that name something
    in ``folder`` are taken for that."""

    def __init__(self, command: str, folder: Path, cpu_s: int = 10) -> None:
        """``cpu_s``: seconds of CPU time that the program may take.

        Raises:
            ValueError: a quotation mark is left open.
        """
        self.name, self._cpu_s = command, cpu_s
        words = shlex.split(command)
        self._words = [str(folder / w) if (folder / w).exists() else w for w in words]

    def complaint(self, request: Request, answer: Answer) -> str:
        """The last line that the program prints if it does not end well."""
        said = msgspec.json.encode(
            {
                "messages": [{"role": m.role, "content": m.text} for m in request.messages],
                "answer": answer.text,
                "tool_calls": [
                    {"name": call.name, "arguments": call.arguments} for call in answer.tool_calls
                ],
            }
        )
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            status, printed = _run(self._words, self._cpu_s, said, folder)
        if not status:
            return ""
        lines = printed.decode(errors="replace").strip().splitlines()
        why = lines[-1][:_LONGEST] if lines else f"it ended with status {status}"
        return f"{self.name}: {why}"


def _run(words: list[str], cpu_s: int, given: bytes, folder: str) -> tuple[int, bytes]:
    """Status and output of a program; what runs too long is killed with all that it started."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", _LIMITED, str(cpu_s), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(given, timeout=_WALL_S)
    except subprocess.TimeoutExpired:
        return 1, f"it ran longer than {_WALL_S:.0f} s".encode()
    finally:
        _kill(process)
    return process.returncode, printed


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):  # nothing of it is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
