"""What the child process runs: llama.cpp's server on a socket that only its parent's user can open.

Started as a script, by its path, so that it loads nothing of Shoal. The first line of its standard
input is its settings; it says one line, ``{"ready": true}`` or ``{"failed": WHY}``, and ends when
its input does: with its parent, however that ends.
"""

import contextlib
import json
import os
import sys
from typing import Any


def main() -> None:
    """Load the model, say so, and serve it until the input ends."""
    settings = json.loads(sys.stdin.readline())
    _die_first()
    try:
        server = _server(settings)  # kept: it ends with its last reference
    except Exception as error:  # whatever it is, the parent has to be told
        _say({"failed": str(error)})
        os._exit(1)
    _say({"ready": server is not None})
    sys.stdin.read()
    with contextlib.suppress(OSError):  # the parent does it too, unless it was killed
        os.unlink(settings["socket"])
        os.rmdir(os.path.dirname(settings["socket"]))
    os._exit(0)  # at once: destructors would wait for what is being answered


def _server(settings: dict[str, Any]) -> object:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.model_alias = {settings["alias"]}
    params.hostnames = [settings["socket"]]
    params.n_ctx = settings["context"] * settings["slots"]
    params.n_parallel = settings["slots"]
    params.n_threads_http = settings["connections"]
    for cpu, threads in (
        (params.cpuparams, settings["threads"]),
        (params.cpuparams_batch, settings["prompt_threads"]),
    ):
        cpu.n_threads = threads
        cpu.poll = 0  # a thread that waits gives its core away
    params.lora_adapters = [
        xllamacpp.CommonAdapterLoraInfo(path, 0.0) for path in settings["adapters"]
    ]
    params.chat_template = settings["chat_template"]
    params.cache_prompt = settings["prompt_cache"]
    params.cache_ram_mib = 0  # it would give one adapter what another has read
    params.fit_params = False  # what does not fit was refused before
    params.warmup = False
    params.ui = False
    params.verbosity = 1
    if settings["pooling"]:
        params.embedding = True
        kind = f"LLAMA_POOLING_TYPE_{settings['pooling'].upper()}"
        params.pooling_type = getattr(xllamacpp.llama_pooling_type, kind)
        params.n_batch = params.n_ubatch = min(settings["context"], 2048)
    return xllamacpp.Server(params)


def _die_first() -> None:
    """When memory runs out, this process is to go, and not the gateway."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("500")
    except OSError:  # no such thing on this system
        pass


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
