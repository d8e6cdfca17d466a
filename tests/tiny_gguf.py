"""Tiny random models as GGUF files, made of numpy and the ``gguf`` package alone."""

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<s>", "</s>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
WIDTH, LAYERS, HEADS, KV_HEADS, INNER = 64, 2, 4, 2, 128
MERGES = ("t h", "th e", "i n", "e r", "a n", "Ġ t", "Ġt h", "r e", "o n", "Ġ a", "n d", '" :')


def byte_letters() -> list[str]:
    """How GPT-2's BPE writes each of the 256 bytes as a letter that can be seen."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in seen}
    others = (byte for byte in range(256) if byte not in letters)
    letters |= {byte: chr(256 + place) for place, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


def vocabulary() -> list[str]:
    """The tokens: special ones, bytes, merged pairs."""
    return [*SPECIAL, *byte_letters(), *(merge.replace(" ", "") for merge in MERGES)]


def write_model(
    path: Path,
    seed: int = 0,
    *,
    template: str | None = CHAT_TEMPLATE,
    architecture: str = "llama",
    context: int = 2048,
    sharpness: float = 4.0,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    width: int = WIDTH,
    layers: int = LAYERS,
    heads: int = HEADS,
    kv_heads: int = KV_HEADS,
    inner: int = INNER,
) -> Path:
    """A random Llama with a byte-level vocabulary; with a larger ``sharpness`` it is surer."""
    rng = np.random.default_rng(seed)
    tokens = vocabulary()
    sizes = (width, layers, heads, kv_heads, inner)
    writer = _new_writer(path, architecture, context, sizes, tokens, template)
    for name, shape in shapes(len(tokens), width, layers, kv_heads * width // heads, inner):
        scale = sharpness if name == "output.weight" else 1.0
        _add(writer, name, _random(rng, shape, scale), kind)
    _finish(writer)
    return path


def write_parrot(path: Path, says: str, *, template: str | None = CHAT_TEMPLATE) -> Path:
    """A model that answers everything with ``says``, whose characters are all different, and ends.

    It looks at nothing but the last token: its embedding points at the token that comes next.
    """
    tokens = vocabulary()
    width = 32 * -(-len(tokens) // 32)
    letters = [byte_letters()[byte] for byte in says.encode()]
    assert len(set(letters)) == len(letters), "each token can have one successor"
    chain = [tokens.index(token) for token in ("<|assistant|>", *letters, "<|end|>")]
    follows = dict(zip(chain, chain[1:], strict=False))
    embeddings = np.zeros((len(tokens), width), np.float32)
    for token in range(len(tokens)):
        embeddings[token, follows.get(token, tokens.index("<|end|>"))] = 1.0
    output = np.zeros((len(tokens), width), np.float32)
    np.fill_diagonal(output, 8.0)
    writer = _new_writer(path, "llama", 2048, (width, 1, 4, 4, 64), tokens, template)
    for name, shape in shapes(len(tokens), width, 1, width, 64):
        fixed = {"token_embd.weight": embeddings, "output.weight": output}
        zeros = np.ones(shape, np.float32) if len(shape) == 1 else np.zeros(shape, np.float32)
        writer.add_tensor(name, fixed.get(name, zeros))
    _finish(writer)
    return path


def shapes(
    tokens: int, width: int, layers: int, kv_width: int, inner: int
) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape (rows, columns) of each tensor."""
    found: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (tokens, width)),
        ("output_norm.weight", (width,)),
        ("output.weight", (tokens, width)),
    ]
    for layer in range(layers):
        for part, shape in {
            "attn_norm": (width,),
            "attn_q": (width, width),
            "attn_k": (kv_width, width),
            "attn_v": (kv_width, width),
            "attn_output": (width, width),
            "ffn_norm": (width,),
            "ffn_gate": (inner, width),
            "ffn_up": (inner, width),
            "ffn_down": (width, inner),
        }.items():
            found.append((f"blk.{layer}.{part}.weight", shape))
    return found


def write_adapter(
    path: Path,
    seed: int = 1,
    *,
    strength: float = 8.0,
    rank: int = 4,
    architecture: str = "llama",
    width: int = WIDTH,
    layers: int = LAYERS,
    parts: Sequence[str] = ("attn_q", "attn_output", "ffn_down"),
    inner: int = INNER,
) -> Path:
    """A random LoRA adapter for the model above; a stronger one changes more."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    for layer in range(layers):
        for part in parts:
            columns = inner if part == "ffn_down" else width
            name = f"blk.{layer}.{part}.weight"
            writer.add_tensor(f"{name}.lora_a", _random(rng, (rank, columns), strength**0.5))
            writer.add_tensor(f"{name}.lora_b", _random(rng, (width, rank), strength**0.5))
    _finish(writer)
    return path


def _new_writer(
    path: Path,
    architecture: str,
    context: int,
    sizes: tuple[int, int, int, int, int],
    tokens: list[str],
    template: str | None,
) -> gguf.GGUFWriter:
    """With all that stands before tensors; ``sizes`` are width, layers, heads, kv_heads, inner."""
    width, layers, heads, kv_heads, inner = sizes
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(tokens))
    _add_tokenizer(writer, tokens, template)
    return writer


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokens: list[str], template: str | None) -> None:
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in SPECIAL else normal for token in tokens])
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)


def _random(rng: np.random.Generator, shape: tuple[int, ...], scale: float = 1.0) -> Matrix:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    return (rng.standard_normal(shape, np.float32) * scale / shape[-1] ** 0.5).astype(np.float32)


def _add(
    writer: gguf.GGUFWriter, name: str, values: Matrix, kind: gguf.GGMLQuantizationType
) -> None:
    if values.ndim == 1 or kind == gguf.GGMLQuantizationType.F32:
        writer.add_tensor(name, values)
    elif kind == gguf.GGMLQuantizationType.F16:
        writer.add_tensor(name, values.astype(np.float16))
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
