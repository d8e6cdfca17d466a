"""LiteLLM's proxy as something to compare with, in a virtual environment of its own."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.processes import family, free_port, running, wait_until_answers

VERSION = "1.108.7"
_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches a list from the net
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "DISABLE_ADMIN_UI": "True",
    "NO_DOCS": "True",
    # it listens on loopback, and checks no key: less work than it would have with one
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


def installed(folder: Path) -> Path:
    """The folder with LiteLLM in it: installed there unless it is, its bytecode compiled."""
    python = folder / "bin" / "python"
    if not (folder / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        wanted = f"litellm[proxy]=={VERSION}"
        subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)
    compiling = [python, "-m", "compileall", "-q", "-j", "2", folder / "lib"]
    subprocess.run(compiling, check=False, capture_output=True)  # some templates are no Python
    return folder


@contextmanager
def litellm_proxy(
    environment: Path, folder: Path, models: Sequence[tuple[str, str]]
) -> Iterator[tuple[int, int]]:
    """Its port, and the process that serves, one worker; ``models`` are names and base URLs."""
    folder.mkdir(parents=True)
    listed = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{name}", "api_base": url, "api_key": "none"},
        }
        for name, url in models
    ]
    settings = folder / "litellm.yaml"  # JSON is YAML
    chosen = {"telemetry": False, "set_verbose": False}
    settings.write_bytes(msgspec.json.encode({"model_list": listed, "litellm_settings": chosen}))
    port = free_port()
    command = [str(environment / "bin" / "litellm"), "--config", str(settings)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with running(command, folder / "litellm.log", _QUIET) as process:
        wait_until_answers(f"http://127.0.0.1:{port}/health/liveliness", 180, process)
        yield port, family(process.pid)[-1]
