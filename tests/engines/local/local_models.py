"""What the local engine's tests ask, and of whom."""

import json
from pathlib import Path

from shoal.chat import Request
from shoal.engines.options import AdapterOptions
from shoal.formats.chat_completions import decode_request

TOOLS_TEMPLATE = (
    "{% if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}"
    "{% for m in messages %}<|{{ m['role'] }}|>{% if m.tool_calls %}{% for c in m.tool_calls %}"
    '<tool_call>{"name": {{ c.function.name | tojson }}, "arguments": '
    "{{ c.function.arguments | tojson }}}</tool_call>{% endfor %}{% else %}{{ m['content'] }}"
    "{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def adapter_options(models: Path, name: str) -> AdapterOptions:
    """Those of an adapter on the model called ``base``."""
    return AdapterOptions(engine="adapter", base="base", path=models / f"{name}.gguf")


def asked(text: str = "hi", **fields: object) -> Request:
    """A request for a short greedy answer."""
    whole = {
        "model": "m",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 12,
        "temperature": 0,
    }
    return decode_request(json.dumps(whole | fields).encode())
