"""Tools for the text files below one folder: list, read, search, and, only if asked for, write.

Each is a tool of its own, so that they can be granted one by one. No path leads out of the folder,
and links are not followed. What this module does not know: PDF and office files (collections do).
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct, structs

from shoal.tools.rooted import Rooted
from shoal.tools.threads import Threads
from shoal.tools.tool import Json, Tool, ToolResult, ToolSpec, ToolUse, failed, schema

_MOST_ENTRIES = 1_000
_MOST_LINE = 400  # characters of a line that a search shows

Do = Callable[[Rooted, "FileLimits", Mapping[str, Json], float], Json]


class FileLimits(Struct, frozen=True):
    """How many bytes are read at once, written at once, and looked through in files over
    ``search_file_bytes`` (larger ones are left out); ``hits`` is how many lines a search shows."""

    read_bytes: int = 200_000
    write_bytes: int = 1_000_000
    search_file_bytes: int = 5_000_000
    hits: int = 100


class FileTool:
    """One thing to do with the files of a folder."""

    def __init__(self, spec: ToolSpec, do: Do, rooted: Rooted, limits: FileLimits) -> None:
        self.spec = spec
        self._do, self._rooted, self._limits = do, rooted, limits
        self._threads = Threads(4)

    async def call(self, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Do it in a thread; what is wrong with a path or a file is told."""
        until = time.monotonic() + min(use.left_s, self.spec.timeout_s)
        work = partial(self._do, self._rooted, self._limits, arguments, until)
        path = str(arguments.get("path", ""))[:200]
        try:
            return ToolResult(await self._threads.run(work))
        except FileExistsError:
            return failed(f"{self.spec.name}: {path}: exists", "set replace, or choose a new name")
        except FileNotFoundError:
            return failed(f"{self.spec.name}: {path}: there is no such file", "list the folder")
        except OSError as error:
            said = f"{self.spec.name}: {path}: {error.strerror or type(error).__name__}"
            hint = "links are not followed, and folders are not files"
            return failed(said, hint, unsure=self.spec.effects == "writes")
        except (ValueError, TypeError, KeyError) as error:
            return failed(f"{self.spec.name}: {path}: {error}", "see what it takes")

    async def aclose(self) -> None:
        """There is nothing to let go of."""


def file_tools(
    name: str,
    root: Path,
    writes: bool = False,
    limits: FileLimits | None = None,
    about: str = "",
) -> list[Tool]:
    """``NAME_list``, ``NAME_read``, ``NAME_search``, and ``NAME_write`` if ``writes``. ``about``
    says what is in the folder."""
    rooted, limits = Rooted(root), limits or FileLimits()
    path: Json = {"type": "string", "description": "from the folder, with '/'; no '..'"}
    tools = [
        _tool(f"{name}_list", "The files and folders in a folder.", {"path": path}, [], _listed),
        _tool(
            f"{name}_read",
            f"The text of a file, at most {limits.read_bytes:,} bytes of it from offset on.",
            {"path": path, "offset": {"type": "integer", "minimum": 0, "description": "in bytes"}},
            ["path"],
            _read,
        ),
        _tool(
            f"{name}_search",
            "The lines of the text files in and below a folder that hold these very words.",
            {
                "text": {"type": "string", "minLength": 1, "maxLength": 500},
                "path": path,
                "ignore_case": {"type": "boolean"},
            },
            ["text"],
            _searched,
        ),
    ]
    if writes:
        spec = ToolSpec(
            name=f"{name}_write",
            description=f"Writes a whole text file, at most {limits.write_bytes:,} bytes.",
            takes=schema(
                {
                    "path": path,
                    "text": {"type": "string"},
                    "replace": {"type": "boolean", "description": "whether it may exist already"},
                },
                ["path", "text"],
            ),
            effects="writes",
        )
        tools.append((spec, _written))
    return [FileTool(_about(spec, about), do, rooted, limits) for spec, do in tools]


def _about(spec: ToolSpec, about: str) -> ToolSpec:
    return structs.replace(spec, description=f"{about}\n{spec.description}".strip())


def _tool(
    name: str, description: str, takes: dict[str, Json], required: list[str], do: Do
) -> tuple[ToolSpec, Do]:
    told = schema(takes, required)
    return ToolSpec(name=name, description=description, takes=told, effects="reads"), do


def _listed(rooted: Rooted, limits: FileLimits, given: Mapping[str, Json], until: float) -> Json:
    found, more = rooted.entries(_text(given, "path"), _MOST_ENTRIES)
    entries: list[Json] = [
        {"path": each.path, "kind": "folder"}
        if each.is_folder
        else {"path": each.path, "kind": "file", "bytes": each.size}
        for each in found
    ]
    return {"entries": entries, "more": more}


def _read(rooted: Rooted, limits: FileLimits, given: Mapping[str, Json], until: float) -> Json:
    offset = given.get("offset", 0)
    if not isinstance(offset, int) or not 0 <= offset < 2**60:
        raise ValueError("offset is no number of bytes")
    data, size = rooted.read(_text(given, "path"), offset, limits.read_bytes)
    text, used = _decoded(data, at_start=offset == 0, at_end=offset + len(data) >= size)
    end = offset + used
    return {"text": text, "bytes": size, "next_offset": end if end < size else None}


def _searched(rooted: Rooted, limits: FileLimits, given: Mapping[str, Json], until: float) -> Json:
    sought, ignore = _text(given, "text"), bool(given.get("ignore_case", False))
    if not sought:
        raise ValueError("text to search for is expected")
    sought = sought.casefold() if ignore else sought
    hits: list[Json] = []
    left_out, more = 0, False
    for entry in rooted.walk(_text(given, "path")):
        if more := len(hits) >= limits.hits or time.monotonic() > until - 0.1:
            break
        if entry.size > limits.search_file_bytes:
            left_out += 1
            continue
        try:
            data, _ = rooted.read(entry.path, 0, limits.search_file_bytes)
            text, _ = _decoded(data, at_start=True, at_end=True)
        except (OSError, ValueError):  # gone meanwhile, not ours to read, or no text
            left_out += 1
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if sought in (line.casefold() if ignore else line):
                hits.append({"path": entry.path, "line": number, "text": line[:_MOST_LINE]})
    return {
        "hits": hits[: limits.hits],
        "more": more or len(hits) > limits.hits,
        "left_out": left_out,  # files that are no text, too large, or not to be read
    }


def _written(rooted: Rooted, limits: FileLimits, given: Mapping[str, Json], until: float) -> Json:
    data = _text(given, "text").encode()
    if len(data) > limits.write_bytes:
        raise ValueError(f"the text has {len(data):,} bytes, at most {limits.write_bytes:,} may be")
    existed = rooted.write(_text(given, "path"), data, bool(given.get("replace", False)))
    return {"bytes": len(data), "replaced": existed}


def _text(given: Mapping[str, Json], name: str) -> str:
    found = given.get(name, "")
    if not isinstance(found, str):
        raise ValueError(f"{name}: text is expected")
    return found


def _decoded(data: bytes, at_start: bool, at_end: bool) -> tuple[str, int]:
    """UTF-8 text, and how many of the bytes it is; a character cut at the end is left for later.

    Raises:
        ValueError: it is no such text.
    """
    if at_start and b"\0" in data[:8_000]:
        raise ValueError("this is no text file")
    try:
        return data.decode("utf-8"), len(data)
    except UnicodeDecodeError as error:
        cut = not at_end and len(data) - error.start < 4
        if cut and error.start > 0:
            return data[: error.start].decode("utf-8"), error.start
        raise ValueError(
            f"this is no text in UTF-8 (byte {data[error.start]:#04x} at {error.start:,})"
        ) from None
