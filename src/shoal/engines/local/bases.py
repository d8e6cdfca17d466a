"""The model files that are loaded in this process, each once, whoever uses it."""

import os
import threading
from collections.abc import Sequence

from shoal.engines.local.base_model import Adapter, BaseModel, BaseSettings

_Key = tuple[str, int, int, BaseSettings]
_lock = threading.Lock()
_open: dict[_Key, tuple[BaseModel, int]] = {}


def open_base(name: str, settings: BaseSettings) -> BaseModel:
    """The model of a file, shared with all who opened it with the same settings; to be given back
    by ``release_base``. ``name`` is what errors call it.

    Raises:
        ConfigError: see ``BaseModel``.
    """
    key = _key(settings)
    with _lock:
        found = _open.get(key)
        base, users = found if found else (BaseModel(name, settings), 0)
        _open[key] = base, users + 1
    return base


def release_base(base: BaseModel, adapters: Sequence[Adapter] = ()) -> None:
    """Let go of a base and of the adapters added to it. Its last user ends it; takes a moment
    then."""
    for adapter in adapters:
        base.drop_adapter(adapter)
    with _lock:
        for key, (known, users) in list(_open.items()):
            if known is base:
                _open[key] = base, users - 1
                if users > 1:
                    return
                del _open[key]
    base.close()


def release_later(base: BaseModel, adapters: Sequence[Adapter]) -> None:
    """The same in a thread of its own: who is collected as garbage is so in any thread, in that of
    an event loop too and in one that holds the lock here, and a child takes seconds to end."""
    threading.Thread(target=release_base, args=(base, adapters), name="shoal-llama-end").start()


def open_bases() -> tuple[BaseModel, ...]:
    """Those that somebody has opened."""
    with _lock:
        return tuple(base for base, _ in _open.values())


def base_of_digest(digest: str) -> BaseModel | None:
    """One that somebody has opened, by the SHA-256 of its file; not to be released by who asks.

    Takes a second for each GB of files that nobody has asked for so before.
    """
    return next((base for base in open_bases() if base.digest == digest), None)


def _key(settings: BaseSettings) -> _Key:
    try:
        found = settings.path.stat()
    except OSError:  # the model's own check says what is wrong
        return str(settings.path), 0, 0, settings
    return os.path.realpath(settings.path), found.st_size, found.st_mtime_ns, settings
