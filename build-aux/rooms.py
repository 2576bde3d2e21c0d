#!/usr/bin/env python3
"""The table of rooms for ARCHITECTURE.md ("How large"): lines, files, public headers, largest struct, longest function.
rooms.py --write puts it there."""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from csource import ROOMS, VECTOR, load, sources, table_of_functions

PUBLIC = {"base": "base.h, say.h, knob.h, child.h, seccomp.h", "engine": "engine.h, text.h, models.h, embed.h", "cli": "none", "tools": "tools.h, sandbox.h"}


def row(room):
    files = load(sources([room]))
    structs = [(s[2], s[0]) for f in files for s in f.structs if not table_of_functions(s)]
    functions = [(last - first + 1, name) for f in files if not VECTOR.search(f.path) for name, _, first, last in f.functions]
    return "| %s | %d | %d | %s | %s | %s |" % (room, sum(f.lines for f in files), len(files), PUBLIC.get(room, room + ".h"),
                                               "%s (%d)" % max(structs)[::-1] if structs else "none", "%s (%d)" % max(functions)[::-1] if functions else "none")


table = "\n".join(["| room | lines | files | public header | largest struct (fields) | longest function (lines) |", "|---|---|---|---|---|---|"] +
                  [row(r) for r in ROOMS if sources([r])]) + "\n"
if sys.argv[1:] == ["--write"]:
    text = open("ARCHITECTURE.md", encoding="utf-8").read()
    new = re.sub(r"\| room \| lines \|.*?\n(?!\|)", lambda m: table, text, flags=re.S)
    if table not in new:
        sys.exit("ARCHITECTURE.md has no table of rooms")
    open("ARCHITECTURE.md", "w", encoding="utf-8").write(new)
else:
    print(table, end="")
