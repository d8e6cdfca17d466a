"""llama.cpp in this process, asked for the tokens that it would write."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import xllamacpp


class LlamaCpp:
    """One model, one slot, one thread, no cache: the same question has the same answer."""

    def __init__(self, path: Path, adapter: Path | None = None) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_parallel, params.n_ctx, params.n_batch, params.n_ubatch = 1, 512, 512, 512
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.warmup, params.verbosity, params.cache_prompt = False, -1, False
        params.cache_ram_mib, params.fit_params, params.use_jinja = 0, False, True
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        if adapter is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        self._server = xllamacpp.Server(params)

    def greedy(self, prompt: list[int] | str, count: int) -> list[int]:
        """The likeliest tokens after the prompt."""
        asked = {
            "prompt": prompt, "n_predict": count, "temperature": 0, "top_k": 1, "seed": 1,
            "return_tokens": True, "cache_prompt": False,
        }  # fmt: skip
        return list(self._post("completion", asked)["tokens"])

    def tokens(self, text: str) -> list[int]:
        """The text's tokens, marks among them."""
        asked = {"content": text, "add_special": False, "parse_special": True}
        return list(self._post("tokenize", asked)["tokens"])

    def chat(self, messages: list[dict[str, str]], count: int) -> str:
        """The answer to a conversation, by the file's own chat template."""
        asked = {
            "messages": messages, "max_tokens": count, "temperature": 0, "cache_prompt": False,
        }  # fmt: skip
        answer = self._post("v1/chat/completions", asked)
        return str(answer["choices"][0]["message"]["content"])

    def _post(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(asked).encode()
        with urllib.request.urlopen(f"{self._server.listening_address}/{path}", body) as answer:
            return dict(json.load(answer))
