"""What this machine has for a model: memory, and how fast it is read."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from msgspec import Struct

_MEMINFO = Path("/proc/meminfo")
_CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)
_PROBE_MB = 128  # a core, well beyond its caches
_PROBE_S = 0.3


class Machine(Struct, frozen=True):
    """Bytes of memory that are free for a model, processor cores, and bytes a second that all cores
    together read from memory."""

    free_bytes: int
    cores: int
    bandwidth: float


def this_machine() -> Machine:
    """Look at this machine; takes about a second."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(free_memory(), cores or 1, _bandwidth(cores or 1))


def free_memory() -> int:
    """Bytes that a process can still take without pushing others out, the container's limit
    included; 0 if that cannot be told here."""
    free = [_left(limit, used) for limit, used in _CGROUPS]
    return min(filter(None, [_available(), *free]), default=0)


def _available() -> int:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        told = dict(line.split(":", 1) for line in lines if ":" in line)
        return int(told["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # as on Windows
        return 0


def _left(limit: Path, used: Path) -> int:
    try:
        return max(0, int(limit.read_text()) - int(used.read_text())) or 1
    except (OSError, ValueError):  # no such group, or "max"
        return 0


def _bandwidth(cores: int) -> float:
    """Bytes a second, by summing an array on every core at once."""
    arrays = [np.ones(_PROBE_MB * 131_072) for _ in range(cores)]  # of 8 bytes each

    def read(array: np.ndarray) -> float:
        began, done = time.perf_counter(), 0
        while (took := time.perf_counter() - began) < _PROBE_S:
            array.sum()  # lets other threads run meanwhile
            done += array.nbytes
        return done / took

    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(read, arrays))
