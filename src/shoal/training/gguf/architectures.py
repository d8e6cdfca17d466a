"""The architectures that can be written as GGUF, each as a row of a table.

llama.cpp's source is the specification: what it reads under which key, and how it computes with it.
Where it computes otherwise than transformers does, the row refuses (``must_be``) or the context is
cut to what both agree on (``has_windows``).
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from shoal.errors import ArtifactError
from shoal.training.gguf.checkpoint_config import CheckpointConfig


class Must(Struct, frozen=True):
    """A setting that llama.cpp takes for granted."""

    name: str
    allowed: tuple[Any, ...]


class Architecture(Struct, frozen=True):
    """How one architecture is written.

    ``family`` is llama.cpp's name. ``halves_turn`` says that rope pairs a number with one half a
    head further on, where llama.cpp pairs neighbours: rows of queries and keys are re-ordered.
    ``norm_shift`` is added to the weights of norms (Gemma's are kept less 1). ``scalars`` are
    settings written as they are: name in ``config.json``, method of ``gguf.GGUFWriter``, default.
    ``has_windows``: llama.cpp has its attention within a window.
    """

    name: str
    family: str
    halves_turn: bool = False
    norm_shift: float = 0.0
    scalars: tuple[tuple[str, str, Any], ...] = ()
    must: tuple[Must, ...] = ()
    has_windows: bool = False
    writes_head_width: bool = False
    refuses: Callable[[CheckpointConfig], str] | None = None


def _gemma(config: CheckpointConfig) -> str:
    """Gemma 2's attention scale is not written; llama.cpp knows it from the number of layers."""
    is_27b = config.must("num_hidden_layers") == 46
    known = config.must("hidden_size") // config.heads if is_27b else config.head_width
    if config.get("query_pre_attn_scalar", 256) != known:
        return f"query_pre_attn_scalar must be {known} for llama.cpp to compute the same"
    kinds = config.get("layer_types", [])
    turns = ("sliding_attention", "full_attention")
    if any(kind != turns[number % 2] for number, kind in enumerate(kinds)):
        return "layers of sliding and of full attention must take turns, sliding first"
    return ""


_SILU = Must("hidden_act", ("silu", "swish"))
_NO_BIAS = (Must("attention_bias", (False,)), Must("mlp_bias", (False,)))

ARCHITECTURES = (
    Architecture(
        "LlamaForCausalLM", "llama", halves_turn=True, must=(_SILU,), writes_head_width=True
    ),
    Architecture(
        "MistralForCausalLM", "llama", halves_turn=True, must=(_SILU,), writes_head_width=True
    ),
    Architecture(
        "GraniteForCausalLM",
        "granite",
        halves_turn=True,
        scalars=(
            ("attention_multiplier", "add_attention_scale", 1.0),
            ("embedding_multiplier", "add_embedding_scale", 1.0),
            ("residual_multiplier", "add_residual_scale", 1.0),
            ("logits_scaling", "add_logit_scale", 1.0),
        ),
        must=(_SILU,),
    ),
    Architecture(
        "Gemma2ForCausalLM",
        "gemma2",
        norm_shift=1.0,
        scalars=(
            ("attn_logit_softcapping", "add_attn_logit_softcapping", 50.0),
            ("final_logit_softcapping", "add_final_logit_softcapping", 30.0),
            ("sliding_window", "add_sliding_window", 4096),
        ),
        must=(Must("hidden_activation", ("gelu_pytorch_tanh",)), _NO_BIAS[0]),
        has_windows=True,
        writes_head_width=True,
        refuses=_gemma,
    ),
    Architecture("Phi3ForCausalLM", "phi3", must=(_SILU,)),
)


def architecture_of(config: CheckpointConfig) -> Architecture:
    """The row for a checkpoint.

    Raises:
        ArtifactError: its architecture is not known, or is set in a way that llama.cpp cannot do.
    """
    found = next((row for row in ARCHITECTURES if row.name == config.architecture), None)
    if found is None:
        known = ", ".join(row.name for row in ARCHITECTURES)
        raise ArtifactError(
            f"{config.path}: {config.architecture} cannot be written as GGUF; known are {known}"
        )
    for must in found.must:
        value = config.get(must.name, must.allowed[0])
        if value not in must.allowed:
            raise ArtifactError(
                f"{config.path}: `{must.name}` is {value!r}; llama.cpp's {found.family} knows "
                f"{', '.join(map(repr, must.allowed))}"
            )
    if found.refuses is not None and (why := found.refuses(config)):
        raise ArtifactError(f"{config.path}: {why}")
    return found
