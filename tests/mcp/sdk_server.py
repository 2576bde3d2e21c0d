"""A server on the official Python SDK, for `make test-mcp`: tools, a resource, a template, a prompt, progress, a form, a log.
sdk_server.py [--http PORT]"""
import asyncio
import sys
from typing import Annotated

from pydantic import BaseModel

try:                                    # of 2026; it serves both eras
    from mcp.server.mcpserver import Context, MCPServer
    from mcp.server.mcpserver.resolve import Elicit, Resolve
    NEW = True
except ImportError:                     # releases 1.x
    from mcp.server.fastmcp import Context, FastMCP as MCPServer
    NEW = False

HTTP = int(sys.argv[sys.argv.index("--http") + 1]) if "--http" in sys.argv else 0
server = MCPServer("sdk-test", instructions="Test only.", **({} if NEW else {"host": "127.0.0.1", "port": HTTP or 8000}))


class Who(BaseModel):
    name: str


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def echo(text: str) -> str:
    """Says it back."""
    return text


@server.tool()
def broken() -> str:
    """Fails."""
    raise ValueError("it did not work")


@server.tool()
async def steps(ctx: Context) -> str:
    """Tells how far it is."""
    for i in range(3):
        await ctx.report_progress(i + 1, 3, "step %d" % (i + 1))
    return "done"


if NEW:
    async def who_is_it(ctx: Context) -> Elicit[Who]:
        return Elicit("Who?", Who)

    @server.tool()
    async def ask(who: Annotated[Who, Resolve(who_is_it)]) -> str:
        """Asks the person."""
        return "accept " + who.name
else:
    @server.tool()
    async def ask(ctx: Context) -> str:
        """Asks the person."""
        r = await ctx.elicit("Who?", Who)
        return "accept " + r.data.name if r.action == "accept" else r.action


@server.tool()
async def stall() -> str:
    """Waits until it is cancelled."""
    print("stalls", file=sys.stderr, flush=True)
    try:
        await asyncio.sleep(600)
    except BaseException:
        print("cancelled", file=sys.stderr, flush=True)
        raise
    return "late"


@server.resource("note://one", mime_type="text/plain")
def one() -> str:
    return "a note"


@server.resource("note://{name}")
def any_note(name: str) -> str:
    return "the note " + name


@server.prompt()
def greet(who: str) -> str:
    """Greets."""
    return "Greet %s." % who


if HTTP:
    server.run("streamable-http", **({"host": "127.0.0.1", "port": HTTP} if NEW else {}))
else:
    server.run()
