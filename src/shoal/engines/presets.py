"""Where well-known endpoints are, so that ``shoal.toml`` need not say it."""

import ipaddress
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from shoal.chat import Format

PresetName = Literal[
    "openai",
    "mistral",
    "groq",
    "together",
    "openrouter",
    "deepseek",
    "ollama",
    "vllm",
    "llama-server",
    "lm-studio",
]


class Preset(Struct, frozen=True):
    """One endpoint. ``hosted`` ones are out in the world, take a key from ``key_env`` and have
    their own price list, ``provider``; the others run on the user's own machines."""

    base_url: str
    key_env: str = ""
    provider: str = ""
    ask_usage: bool = True
    formats: tuple[Format, ...] = ("chat",)

    @property
    def hosted(self) -> bool:
        """Whether somebody else runs it."""
        return bool(self.provider)

    def options(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """The options that it stands for; what is ``stated`` wins."""
        found: dict[str, Any] = {
            "base_url": self.base_url,
            "ask_usage": self.ask_usage,
            "formats": self.formats,
        }
        if self.hosted:
            found |= {"key_env": self.key_env, "provider": self.provider}
        elif all(_is_loopback(url) for url in _addresses(stated, self.base_url)):
            # No price list is meant for it: a model of the same name is sold by others.
            found |= {"local": True, "input_price": 0.0, "output_price": 0.0}
        return found | dict(stated)


PRESETS: Mapping[PresetName, Preset] = MappingProxyType(
    {
        "openai": Preset(
            "https://api.openai.com/v1", "OPENAI_API_KEY", "openai", formats=("chat", "responses")
        ),
        # it tells usage without being asked, and refuses fields that it does not know
        "mistral": Preset("https://api.mistral.ai/v1", "MISTRAL_API_KEY", "mistral", False),
        "groq": Preset("https://api.groq.com/openai/v1", "GROQ_API_KEY", "groq"),
        "together": Preset("https://api.together.xyz/v1", "TOGETHER_API_KEY", "together"),
        "openrouter": Preset("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "openrouter"),
        "deepseek": Preset("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "deepseek"),
        "ollama": Preset("http://127.0.0.1:11434/v1"),
        "vllm": Preset("http://127.0.0.1:8000/v1"),
        "llama-server": Preset("http://127.0.0.1:8080/v1"),
        "lm-studio": Preset("http://127.0.0.1:1234/v1"),
    }
)


def with_preset(stated: object) -> object:
    """Options as they stand in ``shoal.toml``, with what their preset adds."""
    if not isinstance(stated, dict):
        return stated
    known = [preset for name, preset in PRESETS.items() if name == stated.get("preset")]
    return known[0].options(stated) if known else stated


def _addresses(stated: Mapping[str, Any], own: str) -> Iterator[str]:
    """Every address that would be asked."""
    yield str(stated.get("base_url", own))
    endpoints = stated.get("endpoints", ())
    for endpoint in endpoints if isinstance(endpoints, list | tuple) else ():
        if isinstance(endpoint, dict) and endpoint.get("base_url"):
            yield str(endpoint["base_url"])


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
