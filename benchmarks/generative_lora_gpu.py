"""LoRA on a self-made Llama of about a billion weights: tokens a second and memory on a GPU.

    python -m benchmarks.generative_lora_gpu [--size 1b|tiny] [--method lora|qlora|dora]
        [--tokens 1024] [--batch 8] [--steps 20]

The weights are random and nothing is downloaded: speed and memory do not depend on what a model
knows. Needs the extra ``train``. Without a GPU it says so and ends, but for ``--size tiny``, which
shows that the script works and nothing else. One warm-up step is left out of the speed;
memory is the most that torch had allocated.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SIZES: dict[str, dict[str, int]] = {
    # Llama 3.2 1B's
    "1b": {
        "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
    },
    "tiny": {
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    },
}  # fmt: skip


def make_model(size: str, folder: Path) -> int:
    """Write the checkpoint; gives how many weights it has."""
    import torch
    import transformers

    config = transformers.LlamaConfig(
        **SIZES[size], max_position_embeddings=8192, tie_word_embeddings=True
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    return int(sum(parameter.numel() for parameter in model.parameters()))


def make_adapter(folder: Path, method: str, rank: int) -> Any:
    """The model as the trainer of Shoal loads it, an adapter of rank ``rank`` over its layers."""
    import peft

    from shoal.training.lora.hardware import Hardware
    from shoal.training.lora.loading import model_of
    from shoal.training.lora.targets import targets_of

    model = model_of(folder, Hardware.found(), method)  # type: ignore[arg-type]
    if method == "qlora":
        model = peft.prepare_model_for_kbit_training(model)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules=targets_of("llama", ()),
        use_dora=method == "dora",
    )  # fmt: skip
    tuned = peft.get_peft_model(model, config)
    tuned.gradient_checkpointing_enable()
    tuned.enable_input_require_grads()
    return tuned


def train(model: Any, vocabulary: int, batch: int, tokens: int, steps: int) -> tuple[float, float]:
    """Seconds a step, and the loss of the last one; random texts."""
    import torch

    device = next(model.parameters()).device
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4)
    ids = torch.randint(vocabulary, (batch, tokens), device=device)
    began, loss = 0.0, torch.zeros(())
    for step in range(steps + 1):
        if step == 1:  # the first allocates and compiles
            began = _now()
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return (_now() - began) / steps, float(loss)


def _now() -> float:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=[*SIZES], default="1b")
    parser.add_argument("--method", choices=["lora", "qlora", "dora"], default="lora")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    import torch

    if not torch.cuda.is_available() and asked.size != "tiny":
        print("no GPU that torch can use: nothing is measured. --size tiny tries the script out")
        sys.exit(2)
    is_gpu = torch.cuda.is_available()
    with TemporaryDirectory() as home:
        weights = make_model(asked.size, Path(home))
        model = make_adapter(Path(home), asked.method, asked.rank)
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    vocabulary = SIZES[asked.size]["vocab_size"]
    seconds, loss = train(model, vocabulary, asked.batch, asked.tokens, asked.steps)
    where = torch.cuda.get_device_name() if is_gpu else "CPU"
    speed = asked.batch * asked.tokens / seconds
    memory = torch.cuda.max_memory_allocated() / 2**30 if is_gpu else float("nan")
    print(
        f"{where}: {weights / 1e9:.2f} billion weights, {asked.method}, rank {asked.rank}, "
        f"{asked.batch} × {asked.tokens} tokens: {speed:,.0f} tokens/s, {seconds * 1e3:.0f} ms "
        f"a step, {memory:.1f} GiB, loss {loss:.2f}"
    )


if __name__ == "__main__":
    main()
