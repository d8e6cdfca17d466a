"""What there is to train on, and which method that allows."""

import importlib.util
from pathlib import Path

import torch
from msgspec import Struct

from shoal.errors import LearningError
from shoal.training.lora.options import Method

_BYTES = {"lora": 2.0, "dora": 2.0, "qlora": 0.6, "full": 8.0}
"""A weight of the frozen model: 16 bits, or 4 with the scales of their blocks."""
_ACTIVATIONS = 1.3  # adapter, its gradients and moments, activations with checkpointing


class Hardware(Struct, frozen=True):
    """``device`` is "cuda", "mps" or "cpu"; ``memory`` the bytes that are free there."""

    device: str
    memory: int
    has_bfloat16: bool
    has_four_bits: bool

    @classmethod
    def found(cls) -> "Hardware":
        """That of this machine."""
        if torch.cuda.is_available():
            free, _ = torch.cuda.mem_get_info()
            four = importlib.util.find_spec("bitsandbytes") is not None
            return cls("cuda", free, torch.cuda.is_bf16_supported(), four)
        if torch.backends.mps.is_available():
            return cls("mps", int(torch.mps.recommended_max_memory()), False, False)
        return cls("cpu", _available(), False, False)


def choose(asked: Method, weights: int, hardware: Hardware, largest: Path) -> Method:
    """The method for a model of so many ``weights``; ``largest`` names it in the error.

    Raises:
        LearningError: it does not fit, or QLoRA is asked for where it cannot be done.
    """
    if asked == "qlora" and not hardware.has_four_bits:
        raise LearningError(
            "QLoRA needs an NVIDIA GPU and bitsandbytes (pip install bitsandbytes); "
            "take method = 'lora'"
        )
    four: tuple[Method, ...] = ("qlora",) if hardware.has_four_bits else ()
    methods: tuple[Method, ...] = ("lora", *four) if asked == "auto" else (asked,)
    width = 4.0 if hardware.device == "cpu" else 2.0  # float32 on the CPU
    for method in methods:
        need = weights * max(_BYTES[method], width if method != "qlora" else 0) * _ACTIVATIONS
        if need <= hardware.memory:
            return method
    most = hardware.memory / (max(_BYTES[methods[-1]], width if not four else 0) * _ACTIVATIONS)
    raise LearningError(
        f"{largest}: {weights / 1e9:.1f} billion weights do not fit into "
        f"{hardware.memory / 1e9:.1f} GB ({hardware.device}); about {most / 1e9:.1f} billion would"
    )


def _available() -> int:
    """Bytes that can be had without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        told = next(line for line in lines if line.startswith("MemAvailable"))
        return int(told.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return 8 << 30
