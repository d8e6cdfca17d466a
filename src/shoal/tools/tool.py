"""What a tool is: a name, what it takes and gives as JSON Schema, and what it does to the world.

A tool never raises on bad input or trouble of its own: it returns a ``ToolResult`` that tells what
was wrong and what to do, as data that a planner can read. What a tool returns is data too: nobody
interprets it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
    """What JSON can say."""
else:  # msgspec resolves annotations, and knows no alias that names itself
    Json = Any

Effects = Literal["none", "reads", "writes"]
"""What a call does: computes only, reads what is elsewhere, or changes something there."""


class ToolSpec(Struct, frozen=True, kw_only=True):
    """What is known of a tool before it is called.

    ``takes`` and ``gives`` are JSON Schemas as text, ``gives`` "" if nobody knows. ``repeatable``:
    called twice with one idempotency key, it does its work once; always true of what writes
    nothing. ``timeout_s`` seconds is the longest a call may take, ``cost`` the most it may cost in
    USD.
    """

    name: str
    description: str
    takes: str = '{"type":"object"}'
    gives: str = ""
    effects: Effects = "writes"
    repeatable: bool = False
    timeout_s: float = 30.0
    cost: float = 0.0

    @property
    def may_repeat(self) -> bool:
        """Whether a call whose outcome nobody knows may be made again."""
        return self.repeatable or self.effects != "writes"


class ToolUse(Struct, frozen=True):
    """The circumstances of one call: its ``key`` is the same each time that this very call is
    tried, ``left_s`` the seconds that it may take."""

    key: str = ""
    left_s: float = 30.0


class ToolResult(Struct, frozen=True):
    """What a call gave: a ``value``, or an ``error`` and a ``hint`` what to do about it.

    ``passing`` says that trying again may help; ``unsure`` that nobody knows whether the work was
    done (the connection broke, the time ran out). ``cost`` is in USD.
    """

    value: Json = None
    error: str = ""
    hint: str = ""
    passing: bool = False
    unsure: bool = False
    cost: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it gave a value."""
        return not self.error


class Tool(Protocol):
    """Something that can be called by name. Many calls may run at the same time."""

    @property
    def spec(self) -> ToolSpec:
        """What is known of it. May change while it runs, as an MCP server's does; who checked a
        call against one spec calls it only if it still is that."""

    async def call(self, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Do it. ``arguments`` fit ``spec.takes``. Never blocks the event loop, and ends within
        ``use.left_s`` or soon after; raises nothing but ``CancelledError``."""

    async def aclose(self) -> None:
        """Let go of what it holds: connections, processes."""


def failed(
    error: str, hint: str = "", *, passing: bool = False, unsure: bool = False
) -> ToolResult:
    """A call that gave nothing: what was wrong, and what to do."""
    return ToolResult(error=error, hint=hint, passing=passing, unsure=unsure)


def schema(properties: Mapping[str, Json], required: Sequence[str] = ()) -> str:
    """The JSON Schema, as text, of an object with these properties and no others."""
    told: dict[str, Json] = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
    return msgspec.json.encode(told).decode()
