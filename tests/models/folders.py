#!/usr/bin/env python3
"""folders.py QUORUM FILE.gguf FOLDER OUT.gguf: FOLDER is what hf_folder.py made of FILE; `quorum model convert FOLDER OUT` must give FILE's tensors (as F32, bit for
bit), tokens, scores, types, merges and ids of texts, and the same greedy answer. Ends with 1 and what differs. Needs gguf, numpy."""
import json, subprocess, sys
import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

TEXTS = ["The expert speaks: 3.14, 2026!", "Эксперт говорит о погоде — завтра снег.", "  two  spaces   three \t tab", "for (int i = 0; i < n; i++) {\n    a[i] += x->y;\n}\n", "if x:\n        y = 1\n\n\n", "日本語🙂é e\u0301",
         "don't we'll I'M", "<html><body>", "   ", "1234567890 12 345"]
quorum, old, folder, new = sys.argv[1:]
bad = []
r = subprocess.run([quorum, "model", "convert", folder, new, "--force"], capture_output=True, text=True)
if r.returncode: sys.exit("convert: " + r.stderr)
a, b = GGUFReader(old), GGUFReader(new)
there = {t.name: t for t in b.tensors}
for t in a.tensors:
    o = there.pop(t.name, None)
    if o is None or [int(n) for n in o.shape] != [int(n) for n in t.shape]: bad.append(t.name); continue
    x, y = (np.asarray(dequantize(v.data, v.tensor_type), dtype=np.float32).reshape(-1) for v in (t, o))
    if "norm.weight" in t.name and "gemma" in a.fields["general.architecture"].contents(): same = np.allclose(x, y, rtol=0, atol=2e-7 * max(1, abs(x).max()))      # one less and one more rounds
    else: same = np.array_equal(x, y)
    if not same: bad.append(t.name)
bad += list(there)
for key in ("tokens", "merges", "token_type", "scores"):
    x, y = (f.fields["tokenizer.ggml." + key].contents() if "tokenizer.ggml." + key in f.fields else None for f in (a, b))
    if x != y and key in ("tokens", "merges"): bad.append(key)
    elif x != y:            # convert_hf_to_gguf.py gives added tokens a score of their own, and control to those that look special
        n = sum(p != q for p, q in zip(x, y))
        print(f"# {key}: {n} of {len(x)} differ")
        if n > 8: bad.append(key)
for text in TEXTS:
    x, y = (json.loads(subprocess.run([quorum, "tokenize", "-m", f, "--json"], input=text.encode(), capture_output=True, check=True).stdout)["ids"] for f in (old, new))
    if x != y: bad.append("ids of " + repr(text))
ask = lambda f: subprocess.run([quorum, "-m", f, "--db", ":memory:", "--base", "-p", "The capital of France is", "--set", "sampler.temperature=0", "--set", "sampler.max_tokens=8"], capture_output=True, text=True)
x, y = ask(old), ask(new)
if x.returncode or y.returncode or x.stdout != y.stdout: bad.append("the answer: %r, %r %s" % (x.stdout, y.stdout, y.stderr))
print("# %d tensors, %d texts, answer %r" % (len(a.tensors), len(TEXTS), y.stdout))
if bad: sys.exit("differ: " + ", ".join(bad[:8]))
