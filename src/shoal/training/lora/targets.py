"""The layers that an adapter is laid over, by architecture: all linear ones but the last.

Adapters on all of them learn as well as full fine-tuning does, on attention alone they do not
(Dettmers et al. 2023, section 4).
"""

from collections.abc import Sequence

_APART = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
TARGETS: dict[str, tuple[str, ...]] = {
    "llama": _APART,
    "mistral": _APART,
    "granite": _APART,
    "gemma2": _APART,
    "phi3": _FUSED,
}


def targets_of(model_type: str, asked: Sequence[str]) -> list[str] | str:
    """What peft is told: those asked for, or the architecture's, or all it finds."""
    return [*(asked or TARGETS.get(model_type, ()))] or "all-linear"
