"""Finds the steps of a plan in JSON text that is still being written.

It follows strings, escapes and brackets alone, a character at a time, whatever pieces the text
comes in: each object in the list under the outermost ``steps`` is given out as soon as it is
closed. What it does not know: whether the text is JSON, which whoever reads a step finds out.
"""

import json

_OPEN, _CLOSE = "{[", "}]"


class StepScanner:
    """Feed it text, get the JSON of steps. ``text`` is all that it was fed."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = self._escaped = False
        self._key: str | None = None  # the last key of the outermost object, while its value comes
        self._in_steps = self._seen = False
        self._kept: list[str] | None = None  # the step, or the key, that is being written

    @property
    def text(self) -> str:
        """All that it was fed."""
        return "".join(self._pieces)

    def feed(self, piece: str) -> list[str]:
        """The steps that this piece of text completes, as they are written."""
        self._pieces.append(piece)
        found = []
        for character in piece:
            if self._kept is not None:
                self._kept.append(character)
            if self._in_string:
                self._inside_string(character)
            elif character == '"' and self._depth:
                self._in_string = True
                if self._depth == 1 and self._key is None:
                    self._kept = [character]
            elif character in _OPEN:
                self._open(character)
            elif character in _CLOSE and self._depth:
                found += self._close()
            elif character == "," and self._depth == 1:
                self._key = None
        return found

    def _inside_string(self, character: str) -> None:
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._in_string = False
            if self._depth == 1 and self._key is None:
                self._key = _unquoted("".join(self._kept or ()))
                self._kept = None

    def _open(self, bracket: str) -> None:
        if not self._depth and bracket == "[":
            return  # prose
        self._depth += 1
        if self._depth == 2 and bracket == "[" and self._key == "steps" and not self._seen:
            self._in_steps = self._seen = True
        elif self._depth == 3 and bracket == "{" and self._in_steps:
            self._kept = [bracket]

    def _close(self) -> list[str]:
        self._depth -= 1
        if self._depth == 2 and self._in_steps and self._kept is not None:
            step, self._kept = "".join(self._kept), None
            return [step]
        if self._depth == 1:
            self._in_steps = False
        if self._depth == 0:
            self._key = self._kept = None
        return []


def _unquoted(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, str) else text
