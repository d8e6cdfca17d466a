"""Who does what a plan's steps ask for. The executor knows nobody else."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from shoal.errors import ShoalError
from shoal.planning.plan import Ask
from shoal.tools.tool import Json, ToolResult, ToolUse


class Said(Struct, frozen=True):
    """What an ``ask`` step got: text, who said it and why they were asked, the recorded call's id,
    what it took in tokens, ``output_tokens`` of these written, and what it cost in USD. ``trouble``
    says why it is no answer: it was refused, say, or broken off, and costs all the same."""

    text: str
    by: str = ""
    why: str = ""
    call_id: str = ""
    tokens: int = 0
    cost: float = 0.0
    trouble: str = ""
    output_tokens: int = 0


class TooLittleLeft(ShoalError):
    """A call may take more USD or tokens than are left of its run's budget; nobody was asked."""


class Hands(Protocol):
    """The world as one run may touch it: with the grants, policy and purse of who started it."""

    async def tokens(self, step: Ask) -> float:
        """The tokens that ``ask`` takes at most for a step of a task, whose request is made of
        more than the step says.

        Raises:
            ShoalError: no request can be made of it.
        """

    async def ask(self, step: Ask, left_usd: float, left_tokens: float) -> Said:
        """Have a step answered whose slots, system and prompt are filled in, for at most
        ``left_usd`` and ``left_tokens``, infinite if nothing limits them.

        Raises:
            TooLittleLeft: it may take more than that; nobody was asked.
            ShoalError: nobody could, or may, answer.
        """

    async def retrieve(
        self, collection: str, query: str, k: int, where: Mapping[str, Json]
    ) -> list[Json]:
        """The best passages, as ``Retrieve`` says.

        Raises:
            ShoalError: there is no such collection, or the filter will not do.
        """

    async def use(self, tool: str, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Call a tool. One that is unknown or not granted is an error as data, like any other."""
