"""What can be wrong with a model's file, found before llama.cpp sees it.

Which architectures there are llama.cpp alone knows; it refuses others itself, by the file's head.
"""

from pathlib import Path

from msgspec.structs import replace

from shoal.engines.local.header import Header, Tensor, read_header
from shoal.engines.local.memory import available_memory, need_of
from shoal.errors import ConfigError

TEMPLATE = "tokenizer.chat_template"
_GB = 1_000_000_000
_LEAST_CONTEXT = 256


def check_model(path: Path, place: str, template: str | None) -> Header:
    """The head of a model's file, once it is sure that llama.cpp can be asked to load it.

    Raises:
        ConfigError: it is missing, truncated, damaged, no model, or has no chat template and
            ``template`` names none.
    """
    header = _read(path, place)
    kind = header.values.get("general.type", "model")
    if kind != "model":
        raise ConfigError(
            f"{place}.path: {path.name} is of the type {kind!r}, and no model"
            + ('; one is asked through engine = "adapter"' if kind == "adapter" else "")
        )
    if not header.architecture:
        raise ConfigError(f"{place}.path: {path.name} does not say its general.architecture")
    if "tokenizer.ggml.model" not in header.values or not header.tensors:
        raise ConfigError(f"{place}.path: {path.name} holds no tokenizer, or no tensors")
    if template is None and not header.values.get(TEMPLATE):
        raise ConfigError(
            f"{place}.path: {path.name} holds no chat template, so nobody knows how it wants to be "
            'talked to; set chat_template to a file (relative to shoal.toml), or to "chatml" if it '
            "was trained with that"
        )
    return header


def check_memory(
    header: Header, name: str, context: int, slots: int, has_weights: bool = False
) -> None:
    """See that a model fits into the memory that is left, with so many tokens for each slot.
    ``has_weights``: they are in the memory already.

    Raises:
        ConfigError: it does not; says what would.
    """
    available = available_memory()
    if available is None:
        return
    need = need_of(header)
    if has_weights:
        need = replace(need, weights=0)
    asked = need.total(context * slots)
    if asked <= available:
        return
    fitting = need.fitting(available)
    said = (
        f"{name}: is too large: {need.weights / _GB:.1f} GB of weights, "
        f"{need.a_token * context * slots / _GB:.1f} GB for {slots} x {context:,} tokens of "
        f"context and {need.rest / _GB:.1f} GB beside; {available / _GB:.1f} GB are available. "
    )
    if fitting // slots >= _LEAST_CONTEXT:
        raise ConfigError(said + f"It would fit with context_tokens = {fitting // slots}")
    if fitting >= _LEAST_CONTEXT:
        raise ConfigError(said + f"It would fit with slots = 1 and context_tokens = {fitting}")
    raise ConfigError(
        said + "Not even its weights fit: take a smaller model, or one quantised to fewer bits"
    )


def check_adapter(path: Path, place: str, base: Header, base_name: str) -> Header:
    """The head of a LoRA adapter's file that fits ``base``.

    Raises:
        ConfigError: it is missing, truncated, no adapter, or made for another base; says where it
            differs.
    """
    header = _read(path, place)
    if header.values.get("general.type") != "adapter":
        raise ConfigError(f"{place}.path: {path.name} is no adapter")
    if header.values.get("adapter.type") != "lora":
        raise ConfigError(f"{place}.path: {path.name} is no adapter of the type lora")
    if header.architecture != base.architecture:
        raise ConfigError(
            f"{place}.path: {path.name} is for a base of the architecture "
            f"{header.architecture!r}; {base_name} is {base.architecture!r}"
        )
    for name, part in header.tensors.items():
        if why := _misfit(name, part, header, base):
            raise ConfigError(f"{place}.path: {path.name} was made for another base: {why}")
    if not header.tensors:
        raise ConfigError(f"{place}.path: {path.name} holds no tensors")
    return header


def _misfit(name: str, part: Tensor, adapter: Header, base: Header) -> str:
    """How one half of a low-rank pair does not fit its base; "" if it does."""
    stem, _, half = name.rpartition(".")
    if half not in ("lora_a", "lora_b"):
        return "" if name in base.tensors else f"{name} is in no {base.architecture}"
    if f"{stem}.lora_a" not in adapter.tensors or f"{stem}.lora_b" not in adapter.tensors:
        return f"{stem} has one half of its pair only"
    if stem not in base.tensors:
        return f"the base has no {stem}"
    a, b = (adapter.tensors[f"{stem}.{end}"].shape for end in ("lora_a", "lora_b"))
    whole = base.tensors[stem].shape
    if stem == "token_embd.weight":  # whose halves are turned
        return "" if (len(a), len(b)) == (2, 2) else f"{stem} is no pair of matrices"
    if len(a) < 2 or len(b) < 2 or a[0] != whole[0] or b[1] != whole[1] or a[1] != b[0]:
        return f"{stem} is {a} by {b}, the base's {whole}"
    return ""


def _read(path: Path, place: str) -> Header:
    try:
        return read_header(path)
    except ConfigError as error:
        raise ConfigError(f"{place}.path: {error}") from None
