"""Takes secrets out of what a service or a program says: what a tool gives goes into journals,
prompts and replies."""

from collections.abc import Iterable

from msgspec.structs import replace

from shoal.tools.tool import Json, ToolResult

_FROM = 8  # characters; shorter "secrets" occur in any text


class Blanks:
    """Puts ``***`` in place of each of these, and of what follows the last space in it, as in
    "Bearer KEY"."""

    def __init__(self, secrets: Iterable[str]) -> None:
        parts = {part for one in secrets for part in (one.strip(), one.strip().rpartition(" ")[2])}
        self._parts = sorted((one for one in parts if len(one) >= _FROM), key=len, reverse=True)

    def text(self, text: str) -> str:
        """A text without them."""
        for part in self._parts:
            text = text.replace(part, "***")
        return text

    def value(self, value: Json) -> Json:
        """A value without them, as deep as JSON that was parsed is."""
        if not self._parts:
            return value
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(one) for one in value]
            case dict():
                return {self.text(key): self.value(one) for key, one in value.items()}
            case _:
                return value

    def result(self, result: ToolResult) -> ToolResult:
        """What a call gave, without them.

        Raises:
            RecursionError: the value is nested too deeply.
        """
        if not self._parts:
            return result
        return replace(
            result,
            value=self.value(result.value),
            error=self.text(result.error),
            hint=self.text(result.hint),
        )
