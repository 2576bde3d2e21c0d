#!/usr/bin/env python3
"""compare.py QUORUM TEMPLATE...: every template with every conversation of convs.py, with and without thinking, by `quorum template`
and by jinja2 in this process: byte for byte the same text, or both refuse. Prints lines for tests/run.sh."""
import json
import os
import subprocess
import sys
import tempfile

import convs

quorum, files = sys.argv[1], sys.argv[2:]
env = convs.environment(convs.DAY)
# What transformers' jinja2 does and we refuse: nothing, of what these templates use.
same = refused = 0
for path in files:
    name, bad = os.path.basename(path).removesuffix(".jinja"), []
    with open(path, encoding="utf-8", newline="") as f:
        source = f.read()
    try:
        compiled = env.from_string(source)
    except Exception:
        compiled = None
    with tempfile.TemporaryDirectory() as t:
        for what, messages, tools in convs.conversations():
            for n, v in (("m", messages), ("t", tools)):
                with open(os.path.join(t, n), "w", encoding="utf-8") as f:
                    json.dump(v, f, ensure_ascii=what != "parts")
            for think in (None, True, False):
                try:
                    want = convs.render(compiled, messages, tools, think, True, "<s>", "</s>") if compiled else None
                except Exception:
                    want = None
                args = [quorum, "template", "--template", path, "--bos", "<s>", "--eos", "</s>", "--messages", t + "/m", "--date", "2026-11-27"]
                args += ["--tools", t + "/t"] if tools is not None else []
                args += ["--thinking", "on" if think else "off"] if think is not None else []
                r = subprocess.run(args, capture_output=True)
                got = r.stdout.decode("utf-8", "replace") if r.returncode == 0 else None
                if got != want or r.returncode not in (0, 1):
                    bad.append("%s, thinking %s: %s" % (what, think, r.stderr.decode("utf-8", "replace")[:200].strip() or "another text"))
                same += got == want and got is not None
                refused += got is None and want is None
    print("not ok template_%s: %s" % (name, "; ".join(bad[:3])) if bad else "ok template_%s" % name)
print("# %d templates: %d texts are the same, %d times both refuse" % (len(files), same, refused))
