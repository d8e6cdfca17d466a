"""Open models that are usual on one's own machine, with what decides whether they fit.

The figures are those of the published ``config.json`` of each; parameters as its makers state them.
"""

from msgspec import Struct

_KV_BYTES = 2  # of a number in the key-value cache, f16


class Family(Struct, frozen=True):
    """One size of a model: parameters in billions, of which ``active`` take part in a token (fewer
    in a mixture of experts), and the shape of its attention. ``window`` is the sliding window, in
    tokens, of ``windowed`` of its layers."""

    name: str
    hub: str  # a repository that has it as GGUF
    parameters: float
    layers: int
    kv_heads: int
    head_width: int
    context: int
    active: float = 0.0
    windowed: int = 0
    window: int = 0

    @property
    def active_parameters(self) -> float:
        """Billions of parameters that are read for a token."""
        return self.active or self.parameters

    def cache_bytes(self, tokens: int) -> int:
        """Bytes of the keys and values of so many tokens, all layers together."""
        one = 2 * self.kv_heads * self.head_width * _KV_BYTES
        full = (self.layers - self.windowed) * tokens
        return one * (full + self.windowed * min(tokens, self.window or tokens))


FAMILIES = (
    Family("Llama 3.2 1B", "bartowski/Llama-3.2-1B-Instruct-GGUF", 1.24, 16, 8, 64, 131_072),
    Family("Granite 3.3 2B", "ibm-granite/granite-3.3-2b-instruct-GGUF", 2.53, 40, 8, 64, 131_072),
    Family(
        "Gemma 2 2B", "bartowski/gemma-2-2b-it-GGUF", 2.61, 26, 4, 256, 8_192,
        windowed=13, window=4_096,
    ),
    Family("Llama 3.2 3B", "bartowski/Llama-3.2-3B-Instruct-GGUF", 3.21, 28, 8, 128, 131_072),
    Family(
        "Granite Code 3B", "ibm-granite/granite-3b-code-instruct-2k-GGUF", 3.48, 32, 32, 80, 2_048
    ),
    Family("Phi-3.5 mini 4B", "bartowski/Phi-3.5-mini-instruct-GGUF", 3.82, 32, 32, 96, 131_072),
    Family("Mistral 7B", "bartowski/Mistral-7B-Instruct-v0.3-GGUF", 7.25, 32, 8, 128, 32_768),
    Family("Llama 3.1 8B", "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", 8.03, 32, 8, 128, 131_072),
    Family("Granite 3.3 8B", "ibm-granite/granite-3.3-8b-instruct-GGUF", 8.17, 40, 8, 128, 131_072),
    Family(
        "Gemma 2 9B", "bartowski/gemma-2-9b-it-GGUF", 9.24, 42, 8, 256, 8_192,
        windowed=21, window=4_096,
    ),
    Family(
        "Mistral Nemo 12B", "bartowski/Mistral-Nemo-Instruct-2407-GGUF", 12.2, 40, 8, 128, 131_072
    ),
    Family("Phi-4 14B", "bartowski/phi-4-GGUF", 14.7, 40, 10, 128, 16_384),
    Family(
        "Granite Code 20B", "ibm-granite/granite-20b-code-instruct-8k-GGUF", 20.1, 52, 1, 128, 8_192
    ),
    Family(
        "Mistral Small 24B", "bartowski/Mistral-Small-24B-Instruct-2501-GGUF",
        23.6, 40, 8, 128, 32_768,
    ),
    Family(
        "Gemma 2 27B", "bartowski/gemma-2-27b-it-GGUF", 27.2, 46, 16, 128, 8_192,
        windowed=23, window=4_096,
    ),
    Family("Qwen 2.5 32B", "bartowski/Qwen2.5-32B-Instruct-GGUF", 32.8, 64, 8, 128, 32_768),
    Family(
        "Mixtral 8x7B", "bartowski/Mixtral-8x7B-Instruct-v0.1-GGUF", 46.7, 32, 8, 128, 32_768,
        active=12.9,
    ),
    Family(
        "Llama 3.3 70B", "bartowski/Llama-3.3-70B-Instruct-GGUF", 70.6, 80, 8, 128, 131_072
    ),
)  # fmt: skip

BITS = {
    "Q4_0": 4.64,
    "Q4_K_M": 4.90,
    "Q5_K_M": 5.71,
    "Q6_K": 6.57,
    "Q8_0": 8.51,
    "F16": 16.0,
}
"""Bits a parameter takes, by the sizes of the published files of Llama 3.1 8B: some tensors are
kept finer than the name says."""


def families_called(name: str) -> list[Family]:
    """The families whose names hold all words of ``name``."""
    words = name.lower().replace("-", " ").split()
    return [
        family
        for family in FAMILIES
        if all(word in family.name.lower().replace("-", " ") for word in words)
    ]
