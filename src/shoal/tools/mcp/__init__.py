"""The tools of MCP servers as Shoal's: ``McpServer`` of ``McpOptions``.

What a server says is data, and servers misbehave: they hang, die, flood, and change their tools
under a plan that was checked. Importing this package loads nothing of the ``mcp`` package, which
takes two seconds; the first use of a server does, in a thread.
"""

from shoal.tools.mcp.options import Address, Command, Limits, McpOptions
from shoal.tools.mcp.server import McpServer
from shoal.tools.mcp.tool import McpTool

__all__ = ["Address", "Command", "Limits", "McpOptions", "McpServer", "McpTool"]
