#!/usr/bin/env python3
"""Prints docs/launch-flags.md from advice/launch_flags.def and the releases in advice/launch_flags.c; tests/advice/launch.test compares."""
import re

SERVERS = re.findall(r'\[(\w+)\] = \{"([^"]+)", "([^"]+)", ("[^"]+"|QUORUM_VERSION), "([^"]+)"', open("advice/launch_flags.c").read())
ROWS = re.findall(r'^ADV_FLAG\((\w+), (\w+), "([^"]+)", N_\("([^"]+)"\), "([^"]+)"\)', open("advice/launch_flags.def").read(), re.M)
print("""# Flags of launch scripts

What `quorum launch` may write, with the release whose own argument definitions each flag was found in. `tests/advice/flags.py` takes the names
out of the releases (vLLM's and SGLang's sources as syntax trees, llama.cpp's common/arg.cpp as text), `tests/advice/launch.test` holds this
table, the parsers' names and the names of types against them; a flag that a release does not take fails it. quorum's own are held
against its `--help`. No server was started with them on a machine with a GPU.
This page is made by build-aux/launch_flags.py from advice/launch_flags.def.""")
for key, name, title, release, package in SERVERS:
    print("\n## %s%s\nFrom %s.\n\n| flag | what it does | defined in |\n|---|---|---|" % (title, "" if key == "QUORUM" else " " + release.strip('"'), package.rstrip() if key != "QUORUM" else "this program"))
    for s, _, flag, words, source in ROWS:
        if s == key:
            print("| %s | %s | %s |" % (flag, words, source))
