"""What llama.cpp must know of a model besides its tensors and its tokens."""

from gguf import GGUFWriter

from shoal.training.gguf.architectures import Architecture
from shoal.training.gguf.checkpoint_config import CheckpointConfig


def context_of(config: CheckpointConfig, architecture: Architecture) -> int:
    """Tokens up to which llama.cpp computes as transformers does.

    Where llama.cpp knows no sliding window, that is the window: within it both attend to all.
    """
    longest = int(config.must("max_position_embeddings"))
    window = config.get("sliding_window")
    has_one = window and config.get("use_sliding_window", True)
    return longest if architecture.has_windows or not has_one else min(longest, int(window))


def write_settings(
    writer: GGUFWriter, config: CheckpointConfig, architecture: Architecture, name: str
) -> None:
    """Write sizes and scalars; rope and tokens are written elsewhere."""
    writer.add_type("model")
    writer.add_name(name)
    writer.add_vocab_size(config.must("vocab_size"))
    writer.add_block_count(config.must("num_hidden_layers"))
    writer.add_context_length(context_of(config, architecture))
    writer.add_embedding_length(config.must("hidden_size"))
    writer.add_feed_forward_length(config.must("intermediate_size"))
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.key_heads)
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    if architecture.writes_head_width:
        writer.add_key_length(config.head_width)
        writer.add_value_length(config.head_width)
    for setting, method, default in architecture.scalars:
        getattr(writer, method)(config.get(setting, default))
