"""GGUF against transformers, token by token, for each architecture that Shoal writes.

    python -m benchmarks.generative_gguf [NAME … | --speed]

Tiny checkpoints of the real classes (``tests/training/tiny_models.py``), as they are (random
weights, so that many tokens are nearly as likely as the likeliest) and after a LoRA tuning on 16
examples, merged. Agreement: of the tokens that transformers writes greedily in float32, the share
that llama.cpp finds likeliest after the same tokens before. Extras: ``train`` and ``local``.
``--speed``: CPU time and memory of writing a self-made Llama of 134 million weights, in float32.
"""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "training"))

PRECISIONS = ("f16", "q8_0", "q4_0")


def row(name: str, home: Path) -> str:
    """One line of the table."""
    import llama_cpp
    from test_training_whole_way import OPTIONS, Way, agreement, greedy
    from tiny_examples import EXAMPLES
    from tiny_models import tiny_model

    from shoal.training.generative import fine_tune, merge, to_gguf

    base = tiny_model(name, home / "base")
    tuned = merge(base, fine_tune(base, EXAMPLES, home / "run", OPTIONS).adapter, home / "merged")
    cells = []
    for folder in (base, tuned):
        way = Way(base, base, folder, *greedy(folder))
        for precision in PRECISIONS:
            path = to_gguf(folder, home / f"{folder.name}-{precision}.gguf", precision)
            model: Any = llama_cpp.LlamaCpp(path)
            cells.append(f"{agreement(model, way):.1%}")
    return f"| {name} | " + " | ".join(cells) + " |"


def speed() -> None:
    """Prints a row for each precision. Anonymous memory: pages of the mapped file do not count, as
    the system takes them back when it needs them."""
    from tiny_models import tiny_model

    sizes = {
        "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64,
    }  # fmt: skip
    with TemporaryDirectory() as home:
        model = tiny_model("llama3", Path(home) / "model", **sizes)
        for precision in PRECISIONS:
            code = (
                "import sys, time; from pathlib import Path\n"
                "from shoal.training.generative import to_gguf\n"
                "began = time.process_time()\n"
                "path = to_gguf(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])\n"
                "spent = time.process_time() - began\n"
                "status = Path('/proc/self/status').read_text()\n"
                "held = int(status.split('RssAnon:')[1].split()[0]) / 1e3\n"
                "size = path.stat().st_size / 1e6\n"
                "print(f'{sys.argv[3]}: {spent:.1f} CPU-s, {size:.0f} MB, {held:.0f} MB held')"
            )
            path = Path(home) / "written.gguf"
            subprocess.run([sys.executable, "-c", code, model, path, precision], check=True)


def main() -> None:
    from tiny_models import TINY

    if "--speed" in sys.argv:
        speed()
        return
    began = time.process_time()
    print("| checkpoint | random: f16 | Q8_0 | Q4_0 | tuned: f16 | Q8_0 | Q4_0 |")
    print("|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or TINY:
        with TemporaryDirectory() as home:
            print(row(name, Path(home)), flush=True)
    print(f"{time.process_time() - began:.0f} CPU-seconds")


if __name__ == "__main__":
    main()
