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
    said = "".join(letter for letter in " ".join(remark.split()) if letter.isprintable())
    lines = [f"# {said}", f"[models.{_quoted(name)}]"]
    lines += [f"{key} = {_quoted(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def append(path: Path, text: str) -> None:
    """Write a block at the end of a settings file.

    Raises:
        ConfigError: the file cannot be written, or would not be TOML any more.
    """
    before = _read(path)
    gap = "" if not before or before.endswith("\n\n") else "\n" if before.endswith("\n") else "\n\n"
    _write(path, before, before + gap + text)


def take_out(path: Path, text: str) -> bool:
    """Remove a block that stands as it was written; whether it did."""
    before = _read(path)
    if not text or text not in before:
        return False
    head, _, tail = before.partition(text)
    left = head.removesuffix("\n") + tail if head.endswith("\n\n") else head + tail
    _write(path, before, left)
    return True


def _quoted(value: str | int | float | bool) -> str:
    try:
        return json.encode(value).decode().replace("\x7f", "\\u007f")  # else as in JSON
    except UnicodeEncodeError:  # a file name that is no UTF-8
        raise ConfigError(f"{value!r}: cannot be written into TOML; rename it") from None


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # lines end as they did
            return file.read()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `shoal init` writes one to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _write(path: Path, before: str, text: str) -> None:
    """Put ``text`` in the place of ``before``, all of it or nothing; where the file is a link, in
    the place of what it leads to."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: would be no TOML any more ({error}); left as it was") from None
    place = path.resolve()  # a link stays one
    if not os.access(place, os.W_OK):
        raise ConfigError(f"{place}: is read-only; left as it was")
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8", newline="") as file:
            os.chmod(fresh, place.stat().st_mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if _read(place) != before:
            raise ConfigError(f"{path}: was changed meanwhile; left as it is now, try again")
        fresh.replace(place)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        fresh.unlink(missing_ok=True)
