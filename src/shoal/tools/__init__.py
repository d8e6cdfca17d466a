"""What a plan or an agent may do in the world: functions, databases, addresses, files, MCP."""
