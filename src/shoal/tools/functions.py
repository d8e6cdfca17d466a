"""Functions that ``shoal.toml`` names: of an installed module, or of a file beside it."""

import importlib
import importlib.util
import sys
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any


def function_at(name: str, folder: Path) -> Any:
    """What ``package.module:name``, or ``file.py:name`` relative to ``folder``, stands for.

    Raises:
        FileNotFoundError: there is no such file.
        Exception: whatever the code of a module does as it is imported.
    """
    module, _, path = name.rpartition(":")
    found: Any = _of_file(folder / module) if module.endswith(".py") else _installed(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _installed(module: str) -> ModuleType:
    return importlib.import_module(module)


def _of_file(path: Path) -> ModuleType:
    """The module in a file. It gets a name of its own, under which type hints are looked up."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file '{path}'")
    digest = blake2b(str(path.resolve()).encode("utf-8", "surrogateescape"), digest_size=4)
    name = f"shoal_tools_{path.stem}_{digest.hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:  # whatever it was, half a module is left to nobody
        del sys.modules[name]
        raise
    return module
