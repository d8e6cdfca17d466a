"""Joules spent since a moment, where the machine tells: RAPL of the processors, NVML of the GPUs."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

RAPL = Path("/sys/class/powercap")


class Meter:
    """Counts from when it is made. Counters of processors run over; read it every few minutes."""

    def __init__(self, rapl: Path = RAPL) -> None:
        self._counters = [*_processors(rapl), *_gpus()]
        self._last = [read() for read, _ in self._counters]
        self._joules = 0.0

    def read(self) -> float | None:
        """Joules so far of the whole machine, not of this process alone; None where nobody tells."""
        if not self._counters:
            return None
        now = [read() for read, _ in self._counters]
        for (_, limit), before, after in zip(self._counters, self._last, now, strict=True):
            self._joules += after - before + (limit if after < before else 0.0)
        self._last = now
        return self._joules


def _processors(folder: Path) -> list[tuple[Callable[[], float], float]]:
    """Packages only: their cores and memory are counted in them. Often root alone may read."""
    found = []
    for package in sorted(folder.glob("intel-rapl:*")):
        if package.name.count(":") != 1:
            continue
        try:
            limit = float((package / "max_energy_range_uj").read_text()) / 1e6
            float((package / "energy_uj").read_text())
        except (OSError, ValueError):
            continue
        found.append((lambda path=package / "energy_uj": float(path.read_text()) / 1e6, limit))
    return found


def _gpus() -> list[tuple[Callable[[], float], float]]:
    if importlib.util.find_spec("pynvml") is None:
        return []
    nvml = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
        for handle in handles:
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError:
        return []
    return [
        (lambda handle=handle: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3, 0.0)
        for handle in handles
    ]
