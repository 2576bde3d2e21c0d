#!/usr/bin/env python3
"""Decode as quorum advise foretells it beside what quorum bench measures, on synthetic files in published shapes: make bench-advise.

  advise.py QUORUM FOLDER [SHAPE-TYPE-LAYERS]...

Files are made in FOLDER (up to 6 GB each) and kept there. Foretold and measured are taken in turn, twice, and the medians compared:
on a busy machine both swing. Fails where they differ by more than 15%."""
import json
import os
import statistics
import subprocess
import sys

FILES = ["0.6b-Q4_K_M-0", "0.6b-Q8_0-0", "4b-Q4_K_M-0", "4b-Q8_0-0", "30b-a3b-Q4_K_M-8", "30b-a3b-Q8_0-8"]
TRIES = 2


def run(*words):
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def main():
    quorum, folder, names = sys.argv[1], sys.argv[2], sys.argv[3:] or FILES
    os.makedirs(folder, exist_ok=True)
    bad = 0
    print("%-20s %9s %9s %6s" % ("file", "foretold", "measured", "off"))
    for name in names:
        shape, kind, layers = name.rsplit("-", 2)
        f = "%s/%s.gguf" % (folder, name)
        if not os.path.exists(f):
            arch = "qwen3moe" if "-a" in shape else "qwen3"
            subprocess.run([quorum, "model", "synth", "--arch", arch, "--like", shape, "--type", kind, "--layers", layers, f], check=True, capture_output=True)
        foretold, measured = [], []
        for _ in range(TRIES):
            foretold.append(run(quorum, "advise", "-m", f, "--json")["decode"])
            measured.append(run(quorum, "bench", "-m", f, "-p", "16", "-n", "12", "-r", "2", "--json")["decode"]["tokens_per_s"])
        a, b = statistics.median(foretold), statistics.median(measured)
        bad += abs(a / b - 1) > .15
        print("%-20s %9.1f %9.1f %5.0f%%" % (name, a, b, 100 * (a / b - 1)), flush=True)
    return bad > 0


sys.exit(main())
