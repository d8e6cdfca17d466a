"""The vault of one call: which placeholder stands for which value, and the way back."""

import json
import re
from bisect import bisect_left
from collections.abc import Mapping

from msgspec.structs import replace

from shoal.chat import Answer, ToolCall
from shoal.routing.privacy.placeholders import IN_JSON, IN_TEXT, LONGEST, key_of


class Vault:
    """Holds the values that were taken out of a request, as long as its call lasts.

    ``placeholders`` maps values to placeholders. Never stored, and its repr shows no value.
    """

    def __init__(self, placeholders: Mapping[str, str]) -> None:
        self._values = {key_of(form): value for value, form in placeholders.items()}
        self._keys = sorted(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Vault({', '.join(self._keys)})"

    def value(self, form: str, in_json: bool) -> str:
        """What a placeholder stands for; the placeholder itself if it is unknown."""
        value = self._values.get(key_of(form))
        if value is None:
            return form
        return json.dumps(value, ensure_ascii=False)[1:-1] if in_json else value

    def may_begin(self, beginning: str) -> bool:
        """Whether what has come of a placeholder may become a known one."""
        key = key_of(beginning)
        at = bisect_left(self._keys, key)
        return at < len(self._keys) and self._keys[at].startswith(key)

    def restore(self, answer: Answer) -> Answer:
        """The answer with values for placeholders, in its text, refusal and calls of tools.

        ``body`` is dropped if it holds a placeholder, so that it is built anew.
        """
        if not self._values:
            return answer
        raw = answer.body.decode(errors="replace")
        text = self.restore_text(answer.text)
        return replace(
            answer,
            text=text,
            alternatives=answer.alternatives if text == answer.text else (),
            refusal=self.restore_text(answer.refusal),
            tool_calls=tuple(self._restore_call(call) for call in answer.tool_calls),
            reasoning=tuple(
                replace(block, text=self.restore_text(block.text)) for block in answer.reasoning
            ),
            body=answer.body if self.restore_text(raw, in_json=True) == raw else b"",
        )

    def restore_text(self, text: str, in_json: bool = False) -> str:
        """A text with values for placeholders; inside JSON they are escaped as JSON wants it."""
        if "[" not in text:
            return text
        forms = IN_JSON if in_json else IN_TEXT
        return forms.whole.sub(lambda match: self.value(match[0], in_json), text)

    def _restore_call(self, call: ToolCall) -> ToolCall:
        return replace(
            call, arguments=self.restore_text(call.arguments, begins_json(call.arguments))
        )


def begins_json(arguments: str) -> bool:
    """Whether arguments are JSON, though perhaps cut short; else the input of a custom tool."""
    return arguments.lstrip()[:1] == "{"


class Restorer:
    """Restores a text that comes in pieces, wherever it was cut.

    ``in_json`` for the arguments of a tool call. Only what may still become a known placeholder is
    held back.
    """

    def __init__(self, vault: Vault, in_json: bool = False) -> None:
        self._vault = vault
        self._in_json = in_json
        self._begun: re.Pattern[str] = (IN_JSON if in_json else IN_TEXT).begun
        self._held = ""

    def feed(self, delta: str) -> str:
        """What may be passed on after this piece; may be empty."""
        text = self._held + delta
        if "[" not in text and not text.endswith("\\"):
            self._held = ""
            return text
        at = self._open(text)
        self._held = text[at:]
        return self._vault.restore_text(text[:at], self._in_json)

    def end(self) -> str:
        """What was still held back."""
        held, self._held = self._held, ""
        return held

    def _open(self, text: str) -> int:
        """Where a placeholder begins that is not yet whole; the length if none does."""
        at = max(text.rfind("]") + 1, len(text) - LONGEST, 0)
        while match := self._begun.search(text, at):
            if self._vault.may_begin(match[0]):
                return match.start()
            at = match.start() + 1
        return len(text)
