"""JSON as an LLM writes it: separators, indent, code fence; read leniently, written alike."""

import json
import re

import msgspec
from msgspec import Struct

_FENCED = re.compile(r"\A\s*(```[\w-]*)\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


class JsonStyle(Struct, frozen=True, omit_defaults=True):
    """How JSON text is laid out.

    ``indent`` is in spaces (0: on one line), ``fence`` the opening line of a code fence or "".
    """

    item_separator: str = ", "
    key_separator: str = ": "
    indent: int = 0
    fence: str = ""
    ascii: bool = False

    def write(self, value: object) -> str:
        """JSON text of a value in this style."""
        text = json.dumps(
            value,
            ensure_ascii=self.ascii,
            indent=self.indent or None,
            separators=(self.item_separator, self.key_separator),
        )
        return f"{self.fence}\n{text}\n```" if self.fence else text

    @staticmethod
    def read(text: str) -> object:
        """The value of JSON text, also inside a code fence.

        Raises:
            ValueError: no JSON.
        """
        return msgspec.json.decode(unfenced(text)[1])


def unfenced(text: str) -> tuple[str, str]:
    """The opening line of the code fence ("" without one) and the text inside."""
    fenced = _FENCED.match(text) if text.lstrip().startswith("```") else None
    return (fenced[1], fenced[2]) if fenced else ("", text)


def read_object(text: str) -> dict[str, object] | None:
    """The JSON object that is all of the text (a code fence aside), else None."""
    inner = unfenced(text)[1].strip()
    if not inner.startswith("{"):
        return None
    try:
        value = msgspec.json.decode(inner, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return None
    return value


def style_of(text: str) -> JsonStyle:
    """The style that writes the same text again, else the nearest."""
    fence, inner = unfenced(text)
    inner = inner.strip()
    value = read_object(text)
    indented = re.match(r"\{\n( +)", inner)
    indent = len(indented[1]) if indented else 0
    candidates = [
        JsonStyle(items, keys, indent, fence, escaped)
        for items in ((",",) if indent else (", ", ","))
        for keys in (": ", ":")
        for escaped in ((False, True) if "\\u" in inner else (False,))
    ]
    exact = (style for style in candidates if unfenced(style.write(value))[1] == inner)
    return next(exact, candidates[0] if ": " in inner else candidates[-1])
