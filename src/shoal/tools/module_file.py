"""A Python file as a module, wherever it lies."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def module_of(file: Path) -> ModuleType:
    """The module that a file makes: run once, and again only after the file has changed. Files of
    one name in different folders do not get into each other's way, as they would on ``sys.path``;
    nor can a file import what lies beside it.

    Raises:
        OSError: it cannot be read.
        Exception: whatever its code raises as it runs.
    """
    told = str(file.resolve()).encode() + b"\n" + file.read_bytes()
    name = f"shoal_file_{hashlib.sha256(told).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:  # whatever its code raises: half a module is none
        del sys.modules[name]
        raise
    return module
