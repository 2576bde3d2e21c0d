#!/bin/sh
# make test-mcp: the MCP client against servers that others wrote. Two virtual environments, kept in BUILD: the present SDK with the reference
# servers, and release 1.
set -eu
at=${BUILD:-build}/mcp
for one in 'now:mcp mcp-server-time mcp-server-git mcp-server-fetch' 'one:mcp<2'; do
    v=$at/${one%%:*}
    [ -x "$v/done" ] && continue
    python3 -m venv "$v"
    # shellcheck disable=SC2086  # a list of packages
    "$v/bin/pip" install -q ${one#*:}
    ln -sf bin/python "$v/done"
done
MCP_SDK=$at/now/bin/python MCP_SDK1=$at/one/bin/python
case $at in /*) ;; *) MCP_SDK=$PWD/$MCP_SDK MCP_SDK1=$PWD/$MCP_SDK1 ;; esac
export MCP_SDK MCP_SDK1
"${BUILD:-build}/tests/test_mcp_real"
