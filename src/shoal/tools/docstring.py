"""What a docstring says of a function and of its parameters, in Google's style or in Sphinx's."""

import inspect
import re

from msgspec import Struct

_SECTION = re.compile(
    r"^(args|arguments|parameters|returns|raises|yields|examples?|notes?):\s*$", re.I
)
_OF_PARAMETERS = ("args", "arguments", "parameters")
_ENTRY = re.compile(r"^(\s+)\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")
_SPHINX = re.compile(r"^\s*:param\s+(?:[\w\[\], |.]+\s+)?(\w+):\s*(.*)$")
_OTHER_SPHINX = re.compile(r"^\s*:(returns?|rtype|raises?|type)\b")


class Docstring(Struct):
    """The text up to the first section, and what is said of each parameter, by name."""

    text: str
    parameters: dict[str, str]


def read_docstring(docstring: str) -> Docstring:
    """Never fails: what is not understood is text, or left out."""
    text: list[str] = []
    parameters: dict[str, list[str]] = {}
    section, current, indent = "", "", 0
    for line in inspect.cleandoc(docstring).splitlines():
        if found := _SECTION.match(line):
            section, current = found[1].lower(), ""
        elif found := _SPHINX.match(line):
            section, current, indent = ":param", found[1], 0
            parameters[current] = [found[2]]
        elif _OTHER_SPHINX.match(line):
            section, current = ":other", ""
        elif section in _OF_PARAMETERS and (found := _entry(line, indent if current else 0)):
            current, indent = found[2], len(found[1])
            parameters[current] = [found[3]]
        elif current and line.startswith(" "):
            parameters[current].append(line.strip())
        elif not section or (line.strip() and not line.startswith(" ") and section[0] != ":"):
            section, current = "", ""  # text again
            text.append(line)
    said = {name: " ".join(part for part in lines if part) for name, lines in parameters.items()}
    return Docstring("\n".join(text).strip(), said)


def _entry(line: str, indent: int) -> re.Match[str] | None:
    """A parameter's first line; one further in than those before goes on with the last."""
    found = _ENTRY.match(line)
    return found if found and (not indent or len(found[1]) <= indent) else None
