"""How a generative model is tuned."""

from typing import Literal

from msgspec import Struct

Method = Literal["auto", "lora", "dora", "qlora", "full"]
Recipe = Literal["supervised", "distil", "step-by-step", "reasoning"]


class TuningOptions(Struct, frozen=True):
    """``method`` auto: LoRA, or QLoRA (Dettmers et al. 2023) where 16 bits a weight do not fit on
    the GPU; DoRA (Liu et al. 2024) is only taken if asked for, as no GGUF adapter can hold it.

    ``rank`` and ``alpha`` are of the adapter; ``targets`` the layers it is laid over, empty for all
    linear ones of the architecture. ``batch`` texts make a step; ``max_tokens`` is the longest text
    that is learned from. ``held_out`` of the examples judge when to stop: after ``patience``
    judgements, ``judgements`` to an epoch, none of them better. ``packing`` puts several short
    texts in a row, None where a GPU makes it worth while. ``teacher_share`` is how much of the loss
    is the teacher's, the rest the answers' (recipe "distil"); ``on_policy`` lets the student write
    the answers itself and learn what the teacher thinks of them (Agarwal et al. 2023). Requests are
    calibration examples from ``near`` of their word triples on.
    """

    method: Method = "auto"
    recipe: Recipe = "supervised"
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.05
    targets: tuple[str, ...] = ()
    epochs: int = 3
    rate: float = 2e-4
    batch: int = 8
    max_tokens: int = 2048
    held_out: float = 0.1
    patience: int = 3
    judgements: int = 2
    packing: bool | None = None
    teacher_share: float = 0.5
    on_policy: bool = False
    temperature: float = 1.0
    near: float = 0.8
    seed: int = 0
