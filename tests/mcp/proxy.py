#!/usr/bin/env python3
"""Between a client and an MCP server that is a program, with a fault: proxy.py FAULT COMMAND... Faults:
noise (lines that are no message before each), pieces (a byte at a time), twice (each message), cut:FILE (in the middle of the first answer of a
tool both are ended; FILE is made then, and where it is nothing is cut)."""
import json
import os
import subprocess
import sys
import threading

fault, command = sys.argv[1], sys.argv[2:]
p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
tools = set()


def up():
    for line in sys.stdin.buffer:
        m = json.loads(line)
        if m.get("method") == "tools/call":
            tools.add(m["id"])
        p.stdin.write(line)
        p.stdin.flush()
    p.stdin.close()


def out(b):
    sys.stdout.buffer.write(b)
    sys.stdout.buffer.flush()


threading.Thread(target=up, daemon=True).start()
for line in p.stdout:
    if fault == "noise":
        out(b"INFO starting\n\xff\x00\n{\"jsonrpc\":\"2.0\",\"id\":123456,\"result\":{}}\n")
    if fault == "pieces":
        for i in range(len(line)):
            out(line[i:i + 1])
        continue
    if fault.startswith("cut:") and not os.path.exists(fault[4:]) and json.loads(line).get("id") in tools:
        open(fault[4:], "w").close()
        out(line[:len(line) // 2])
        p.kill()
        os._exit(9)
    out(line)
    if fault == "twice":
        out(line)
sys.exit(p.wait())
