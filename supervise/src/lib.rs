//! The MCP server by which a stuck agent asks the operator for more.
