"""Tiny checkpoints of published architectures: the real classes, random weights, own tokenizers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tiny_vocabularies import LLAMA3, TEKKEN, bytes_of, pieces_of
from tokenizers import Tokenizer

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
}


class Tiny(NamedTuple):
    """``settings`` go to the config class; ``template`` has ROLE and TEXT where they belong."""

    model: str
    settings: dict[str, Any]
    tokenizer: Callable[[Path], Tokenizer]
    bos: str
    eos: str
    turn: str
    start: str
    starts_with_bos: bool = True


_LLAMA3_MARKS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
_GRANITE_MARKS = ["<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"]
_PHI3_MARKS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
_PHI4_MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_sep|>", "<|im_end|>"]
_GEMMA_MARKS = ["<start_of_turn>", "<end_of_turn>"]
_NEMO_MARKS = ["<s>", "</s>", "[INST]", "[/INST]"]

TINY = {
    "llama3": Tiny(
        "Llama",
        {
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500_000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 128,
            },
        },
        lambda _: bytes_of(LLAMA3, _LLAMA3_MARKS, True, "<|begin_of_text|>"),
        "<|begin_of_text|>",
        "<|eot_id|>",
        "<|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "llama2": Tiny(
        "Llama",
        {"attention_bias": True},
        lambda folder: pieces_of(folder, ["<turn>"], True, "<s>", "</s>"),
        "<s>",
        "</s>",
        "<turn>ROLE\nTEXT</s>",
        "<turn>assistant\n",
    ),
    "granite": Tiny(
        "Granite",
        {
            "attention_multiplier": 0.3,
            "embedding_multiplier": 2.0,
            "residual_multiplier": 0.7,
            "logits_scaling": 2.0,
            "tie_word_embeddings": True,
        },
        lambda _: bytes_of("digits", _GRANITE_MARKS),
        "<|end_of_text|>",
        "<|end_of_text|>",
        "<|start_of_role|>ROLE<|end_of_role|>TEXT<|end_of_text|>\n",
        "<|start_of_role|>assistant<|end_of_role|>",
        starts_with_bos=False,
    ),
    "mistral": Tiny(
        "Mistral",
        {"head_dim": 32, "sliding_window": None},
        lambda folder: pieces_of(folder, ["[INST]", "[/INST]"], True, "<s>", "</s>", first=True),
        "<s>",
        "</s>",
        "[INST]ROLE\nTEXT</s>",
        "[INST]assistant\n",
    ),
    "nemo": Tiny(
        "Mistral",
        {"head_dim": 32, "sliding_window": None},
        lambda _: bytes_of(TEKKEN, _NEMO_MARKS, True, "<s>"),
        "<s>",
        "</s>",
        "[INST]ROLE[/INST]TEXT</s>",
        "[INST]assistant[/INST]",
    ),
    "gemma2": Tiny(
        "Gemma2",
        {
            "num_hidden_layers": 4,
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 24,
        },
        lambda folder: pieces_of(folder, _GEMMA_MARKS, False, "<bos>", "<eos>"),
        "<bos>",
        "<end_of_turn>",
        "<start_of_turn>ROLE\nTEXT<end_of_turn>\n",
        "<start_of_turn>assistant\n",
    ),
    "phi3": Tiny(
        "Phi3",
        {"sliding_window": None, "num_key_value_heads": 4, "pad_token_id": 0},
        lambda folder: pieces_of(folder, _PHI3_MARKS, True, "<s>", "</s>", swallows=True),
        "<s>",
        "<|end|>",
        "<|ROLE|>\nTEXT<|end|>\n",
        "<|assistant|>\n",
    ),
    "phi4": Tiny(
        "Phi3",
        {"sliding_window": None, "pad_token_id": 0},
        lambda _: bytes_of(LLAMA3, _PHI4_MARKS),
        "<|endoftext|>",
        "<|im_end|>",
        "<|im_start|>ROLE<|im_sep|>TEXT<|im_end|>",
        "<|im_start|>assistant<|im_sep|>",
        starts_with_bos=False,
    ),
}


def template_of(tiny: Tiny) -> str:
    """A chat template in Jinja."""
    turn = tiny.turn.replace("\n", "\\n")
    before, role_on = turn.split("ROLE")
    between, after = role_on.split("TEXT")
    start = tiny.start.replace("\n", "\\n")
    bos = "{{ bos_token }}" if tiny.starts_with_bos else ""
    return (
        f"{bos}{{% for message in messages %}}"
        f"{{{{ '{before}' + message['role'] + '{between}' + message['content'] + '{after}' }}}}"
        f"{{% endfor %}}{{% if add_generation_prompt %}}{{{{ '{start}' }}}}{{% endif %}}"
    )


def tiny_model(name: str, folder: Path, **settings: Any) -> Path:
    """Write one, as it would be published."""
    import torch
    import transformers

    tiny = TINY[name]
    parsed = tiny.tokenizer(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=parsed, bos_token=tiny.bos, eos_token=tiny.eos, pad_token=tiny.eos
    )
    tokenizer.chat_template = template_of(tiny)
    tokenizer.save_pretrained(folder)
    numbers = {
        f"{part}_token_id": parsed.token_to_id(getattr(tiny, part)) for part in ("bos", "eos")
    }
    size = -(-parsed.get_vocab_size() // 32) * 32  # padded, as many are
    config_class = getattr(transformers, f"{tiny.model}Config")
    config = config_class(**SIZES | {"vocab_size": size} | numbers | tiny.settings | settings)
    torch.manual_seed(11)
    model = getattr(transformers, f"{tiny.model}ForCausalLM")(config)
    with torch.no_grad():
        for parameter in model.parameters():  # norms of one and biases of nought would hide faults
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder
