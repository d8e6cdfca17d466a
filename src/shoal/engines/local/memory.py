"""What a model will take of the memory, reckoned before it is loaded, and what there is."""

from pathlib import Path

from msgspec import Struct

from shoal.engines.local.header import Header

_F16, _F32 = 2, 4
_BATCH = 512  # tokens that are computed at once
_PROCESS = 64 * 1024 * 1024  # of the interpreter and llama.cpp's code
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


class Need(Struct, frozen=True):
    """Bytes that a model takes: its weights, what each token of context takes, and the rest."""

    weights: int
    a_token: int
    rest: int

    def total(self, tokens: int) -> int:
        """With so many tokens of context, of all slots together."""
        return self.weights + self.a_token * tokens + self.rest

    def fitting(self, available: int) -> int:
        """The most tokens of context that there is room for; 0 if there is none for the weights."""
        return max(0, (available - self.weights - self.rest) // max(1, self.a_token))


def need_of(header: Header) -> Need:
    """What a model takes.

    Keys and values are kept in 16 bits for each head of each layer; the rest is what one batch
    needs for its logits and between layers. Layers that keep only a window are reckoned as if they
    kept all.
    """
    layers = header.number("block_count", 1)
    width = header.number("embedding_length", 1)
    heads = max(1, header.number("attention.head_count", 1))
    kv_heads = header.number("attention.head_count_kv", heads) or heads
    head = width // heads
    kept = header.number("attention.key_length", head) + header.number(
        "attention.value_length", head
    )
    inner = header.number("feed_forward_length", 4 * width)
    words = header.values.get("tokenizer.ggml.tokens")
    vocabulary = words if isinstance(words, int) else 0
    rest = _BATCH * _F32 * (vocabulary + 4 * width + 2 * inner) + _PROCESS
    return Need(header.size, layers * kv_heads * kept * _F16, rest)


def available_memory() -> int | None:
    """Bytes that can be had without swapping, within the limits of a container; None where the
    system does not tell."""
    found = [free for free in (_of_system(), *(_of_group(*pair) for pair in _CGROUPS)) if free]
    return min(found) if found else None


def _of_system() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _of_group(limit: str, used: str) -> int | None:
    try:
        most = Path(limit).read_text(encoding="ascii").strip()
        now = Path(used).read_text(encoding="ascii").strip()
    except OSError:
        return None
    if not (most.isdecimal() and now.isdecimal()) or int(most) > 1 << 60:
        return None
    return max(1, int(most) - int(now))
