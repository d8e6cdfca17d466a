"""A model's table in ``shoal.toml``, written below what people wrote, and taken out again."""

import os
import tomllib
from pathlib import Path

from msgspec import json

from shoal.errors import ConfigError


def block(name: str, values: dict[str, str | int | float | bool], remark: str) -> str:
    """A table of settings as TOML, a remark in its first line.

    >>> print(block("granite", {"engine": "local"}, "from a file"), end="")
    # from a file
    [models."granite"]
    engine = "local"
    """
    lines = [f"# {' '.join(remark.split())}", f"[models.{_quoted(name)}]"]
    lines += [f"{key} = {_quoted(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def append(path: Path, text: str) -> None:
    """Write a block at the end of a settings file.

    Raises:
        ConfigError: the file cannot be written, or would not be TOML any more.
    """
    before = _read(path)
    gap = "" if not before or before.endswith("\n\n") else "\n" if before.endswith("\n") else "\n\n"
    _write(path, before + gap + text)


def take_out(path: Path, text: str) -> bool:
    """Remove a block that stands as it was written; whether it did."""
    before = _read(path)
    if not text or text not in before:
        return False
    head, _, tail = before.partition(text)
    _write(path, head.removesuffix("\n") + tail if head.endswith("\n\n") else head + tail)
    return True


def _quoted(value: str | int | float | bool) -> str:
    try:
        return json.encode(value).decode()  # of these, JSON and TOML are written alike
    except UnicodeEncodeError:  # a file name that is no UTF-8
        raise ConfigError(f"{value!r}: cannot be written into TOML; rename it") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `shoal init` writes one to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _write(path: Path, text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: would be no TOML any more ({error}); left as it was") from None
    path = path.resolve()  # a link stays one
    if not os.access(path, os.W_OK):
        raise ConfigError(f"{path}: is read-only; left as it was")
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        os.chmod(fresh, path.stat().st_mode)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
