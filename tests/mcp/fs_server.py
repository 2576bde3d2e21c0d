"""Files of folders on the official Python SDK, as filesystem servers lend them, for `make test-mcp`: what lies outside of its roots is refused.
fs_server.py ROOT..."""
import os
import sys

try:                                    # of 2026; it serves both eras
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
except ImportError:                     # releases 1.x
    from mcp.server.fastmcp import FastMCP as MCPServer
    from mcp.server.fastmcp.exceptions import ToolError

ROOTS = [os.path.realpath(r) for r in sys.argv[1:]]
server = MCPServer("files-test", instructions="Paths are absolute and lie below a root.")


def within(path):
    real = os.path.realpath(path)
    if not os.path.isabs(path) or not any(real == r or real.startswith(r + os.sep) for r in ROOTS):
        raise ToolError("%s is outside of the roots" % path)
    return real


@server.tool()
def list_roots() -> list[str]:
    """Names the folders that may be read and written."""
    return ROOTS


@server.tool()
def list_directory(path: str) -> str:
    """Lists a folder, a line a name; folders end with /."""
    at = within(path)
    return "\n".join(sorted(n + "/" * os.path.isdir(os.path.join(at, n)) for n in os.listdir(at)))


@server.tool()
def read_file(path: str) -> str:
    """Reads a text."""
    with open(within(path), encoding="utf-8", newline="") as f:
        return f.read()


@server.tool()
def write_file(path: str, content: str) -> str:
    """Writes a text; what was there is gone."""
    with open(within(path), "w", encoding="utf-8", newline="") as f:
        f.write(content)
    return "%d letters" % len(content)


server.run()
