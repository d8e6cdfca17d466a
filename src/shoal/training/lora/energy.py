"""Joules spent since a moment, where the machine tells: RAPL for processors, NVML for GPUs."""

import importlib
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

RAPL = Path("/sys/class/powercap")
Counter = tuple[Callable[[], float], float]
"""Reads joules, and the joules after which it begins at nought again (0: never)."""


class Meter:
    """Counts from when it is made. Counters of processors run over; read it every few minutes."""

    def __init__(self, rapl: Path = RAPL) -> None:
        self._counters = [*_processors(rapl), *_gpus()]
        self._last = [read() for read, _ in self._counters]
        self._joules = 0.0

    def read(self) -> float | None:
        """Joules so far, of the whole machine and not of this process; None where nobody tells."""
        if not self._counters:
            return None
        now = [read() for read, _ in self._counters]
        for (_, limit), before, after in zip(self._counters, self._last, now, strict=True):
            self._joules += after - before + (limit if after < before else 0.0)
        self._last = now
        return self._joules


def _processors(folder: Path) -> list[Counter]:
    """Packages only: their cores and memory are counted in them. Often root alone may read."""
    found = list[Counter]()
    for package in sorted(folder.glob("intel-rapl:*")):
        if package.name.count(":") != 1:
            continue
        read = partial(_microjoules, package / "energy_uj")
        try:
            read()
            found.append((read, _microjoules(package / "max_energy_range_uj")))
        except (OSError, ValueError):
            continue
    return found


def _microjoules(path: Path) -> float:
    return float(path.read_text()) / 1e6


def _gpus() -> list[Counter]:
    if importlib.util.find_spec("pynvml") is None:
        return []
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
        found = list[Counter]()
        for handle in handles:
            read = partial(_millijoules, nvml, handle)
            read()
            found.append((read, 0.0))
    except nvml.NVMLError:
        return []
    return found


def _millijoules(nvml: Any, handle: Any) -> float:
    return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
