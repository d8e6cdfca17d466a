"""What this machine has for a model: memory, and how fast it is read."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from msgspec import Struct

from shoal.engines.local.memory import available_memory

_PROBE_MB = 128  # a core, well beyond its caches
_PROBE_S = 0.3


class Machine(Struct, frozen=True):
    """Bytes of memory that are free for a model (0: unknown), processor cores, and bytes a second
    that all cores together read from memory."""

    free_bytes: int
    cores: int
    bandwidth: float


def this_machine() -> Machine:
    """Look at this machine; takes about a second."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(available_memory() or 0, cores or 1, _bandwidth(cores or 1))


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
