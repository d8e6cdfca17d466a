"""All tools of one settings file: its own, and those of servers that come and go."""

from typing import cast

from shoal.errors import ToolServerError
from shoal.tools.mcp.options import McpOptions
from shoal.tools.mcp.server import McpServer
from shoal.tools.python import FunctionAbout, FunctionTool
from shoal.tools.tool import ToolUse
from shoal.tools.toolbox import Toolbox
from shoal.tools.toolset import Toolset


def own() -> str:
    return "own"


def add(a: int) -> int:
    return a + 1


class Server:
    """Lists one tool, unless it is down."""

    def __init__(self, name: str) -> None:
        self.options = McpOptions(name=name, place=None)  # type: ignore[arg-type]
        self.down, self.asked = False, 0

    async def tools(self) -> list[FunctionTool]:
        self.asked += 1
        if self.down:
            raise ToolServerError(f"{self.options.name} is down")
        about = FunctionAbout(name=f"{self.options.name}__add", effects="reads")
        return [FunctionTool(add, about)]

    async def aclose(self) -> None: ...


def toolset(*servers: Server) -> Toolset:
    return Toolset(Toolbox([FunctionTool(own, FunctionAbout())]), cast(list[McpServer], servers))


async def test_only_servers_of_granted_tools_are_asked() -> None:
    one, other = Server("one"), Server("other")
    found = toolset(one, other)
    await found.look({"own", "one__add"})
    assert (one.asked, other.asked) == (1, 0)
    assert [spec.name for spec in found.specs(None)] == ["own", "one__add"]
    await found.look(None)
    assert [spec.name for spec in found.specs(("other__add",))] == ["other__add"]


async def test_a_server_that_is_down_takes_nothing_from_others_or_from_runs_that_use_it() -> None:
    one, other = Server("one"), Server("other")
    found = toolset(one, other)
    await found.look(None)
    one.down = True
    await found.look(None)  # as another run begins
    assert [spec.name for spec in found.specs(None)] == ["own", "other__add"]
    assert list(found.troubles) == ["one"]
    assert (await found.call("one__add", {"a": 1}, ToolUse(), None)).value == 2
    asked = one.asked
    await found.look(None)
    assert one.asked == asked  # it is let be for a while
