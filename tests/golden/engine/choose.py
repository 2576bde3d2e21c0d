#!/usr/bin/env python3
"""Makes the small checked-in choice of the engine's goldens out of the full ones.

    choose.py GOLDEN_DIR        e.g. ../shared/data/golden

Takes whole models (gzip) and some cases; of each case the logits and the routing of a few positions, which
cases.json then lists as "positions". The full goldens were computed in F32 with PyTorch and transformers."""
import gzip, json, os, sys

CHOICE = {
    "qwen3moe": ["base", "k_per_layer", "pin", "forced", "yarn4"],
    "glm4moe": ["base", "k_per_layer", "bias_1_5"],
}
POSITIONS = [0, 1, 6, 7, 8, 31, 62, 63]

here = os.path.dirname(os.path.abspath(__file__))
for arch, names in CHOICE.items():
    src, dst = os.path.join(sys.argv[1], arch), os.path.join(here, arch)
    os.makedirs(dst, exist_ok=True)
    with open(os.path.join(src, "model.gguf"), "rb") as f, open(os.path.join(dst, "model.gguf.gz"), "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, mtime=0, filename="") as z:
            z.write(f.read())
    cases = json.load(open(os.path.join(src, "cases.json")))
    cases["cases"] = [c for c in cases["cases"] if c["name"] in names]
    cases["positions"] = POSITIONS
    row = 4 * cases["n_vocab"]
    for c in cases["cases"]:
        if "force_routing" in c:      # the forced ids must be whole
            ids = json.load(open(os.path.join(src, c["force_routing"])))["ids"]
            c["force_routing"] = c["name"] + ".ids.json"
            json.dump({"ids": ids}, open(os.path.join(dst, c["force_routing"]), "w"), separators=(",", ":"))
        logits = open(os.path.join(src, c["name"] + ".f32"), "rb").read()
        with open(os.path.join(dst, c["name"] + ".f32"), "wb") as f:
            f.write(b"".join(logits[p * row:(p + 1) * row] for p in POSITIONS))
        r = json.load(open(os.path.join(src, c["name"] + ".routing.json")))
        r = {k: [[layer[p] for p in POSITIONS] for layer in v] for k, v in r.items()}
        r["weights"] = [[[float("%.7g" % x) for x in t] for t in layer] for layer in r["weights"]]
        with gzip.GzipFile(os.path.join(dst, c["name"] + ".routing.json.gz"), "wb", mtime=0) as f:     # tests/packed.h
            f.write(json.dumps(r, separators=(",", ":")).encode())
    json.dump(cases, open(os.path.join(dst, "cases.json"), "w"), separators=(",", ":"))
