"""Programs on this machine that already run models: Ollama, vLLM, llama-server, LM Studio."""

import asyncio
from typing import Any

import msgspec
from msgspec import Struct

from shoal.engines.presets import PRESETS, PresetName

_WAIT_S = 1.0
_MOST_BYTES = 2_000_000


class Endpoint(Struct, frozen=True):
    """One that answered: the preset it is, its address, and the models it offers."""

    preset: PresetName
    base_url: str
    models: tuple[str, ...]


async def found_endpoints() -> list[Endpoint]:
    """Ask the usual ports of this machine who is there; those that do not answer within a second
    are not."""
    import aiohttp

    local = [(name, preset.base_url) for name, preset in PRESETS.items() if not preset.hosted]
    timeout = aiohttp.ClientTimeout(total=_WAIT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        models = await asyncio.gather(*(_models(session, url) for _, url in local))
    return [
        Endpoint(name, url, offered)
        for (name, url), offered in zip(local, models, strict=True)
        if offered is not None
    ]


async def _models(session: Any, base_url: str) -> tuple[str, ...] | None:
    """What an OpenAI-compatible endpoint offers; None if none is there."""
    import aiohttp

    try:
        async with session.get(f"{base_url}/models", allow_redirects=False) as reply:
            if reply.status != 200:
                return None
            body = await reply.content.read(_MOST_BYTES)
        told = msgspec.json.decode(body, type=_Told)
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
        return None
    return tuple(model.id for model in told.data or ())


class _Model(Struct):
    id: str


class _Told(Struct):
    data: list[_Model] | None
