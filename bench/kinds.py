#!/usr/bin/env python3
"""Do the experts mean anything? Jensen-Shannon divergence of expert load between kinds of text.

    bench/kinds.py MODEL.gguf NAME=TEXTFILE ... [--k 8] [--tokens 2000] [--quorum build/quorum]

For each kind the first --tokens tokens are evaluated in windows of 256 at experts.k = --k; a layer's load is the share
of (token, slot) pairs that went to each expert. Printed: JSD in bits, mean over the routed layers, between every two
kinds, and between the two halves (alternate windows) of one kind, which is the noise. Standard library only.
"""
import argparse, json, math, os, subprocess, tempfile

ap = argparse.ArgumentParser()
ap.add_argument('model')
ap.add_argument('kinds', nargs='+', metavar='NAME=FILE')
ap.add_argument('--k', type=int, default=8)
ap.add_argument('--tokens', type=int, default=2000)
ap.add_argument('--quorum', default='build/quorum')
A = ap.parse_args()
WINDOW = 256


def load(ids_file, table):
    with open(ids_file) as f:
        ids = json.load(f)['ids']
    for layer, rows in enumerate(ids):
        t = table.setdefault(layer, {})
        for row in rows:
            for e in row:
                t[e] = t.get(e, 0) + 1


def jsd(a, b):
    total = []
    for layer in a:
        if not a[layer]:
            continue
        p, q = a[layer], b[layer]
        sp, sq = sum(p.values()), sum(q.values())
        d = 0.0
        for e in set(p) | set(q):
            x, y = p.get(e, 0) / sp, q.get(e, 0) / sq
            m = (x + y) / 2
            d += (x * math.log2(x / m) if x else 0) / 2 + (y * math.log2(y / m) if y else 0) / 2
        total.append(d)
    return sum(total) / len(total), max((v, l) for l, v in enumerate(total))


def merge(a, b):
    out = {}
    for layer in a:
        out[layer] = dict(a[layer])
        for e, n in b[layer].items():
            out[layer][e] = out[layer].get(e, 0) + n
    return out


halves = {}
with tempfile.TemporaryDirectory() as tmp:
    for kind in A.kinds:
        name, path = kind.split('=', 1)
        text = open(path, 'rb').read()
        ids = json.loads(subprocess.run([A.quorum, 'tokenize', '-m', A.model, '--json'], input=text, check=True,
                                        stdout=subprocess.PIPE).stdout)['ids'][:A.tokens]
        two = ({}, {})
        for w in range(0, len(ids) - WINDOW + 1, WINDOW):
            out = os.path.join(tmp, 'r.json')
            subprocess.run([A.quorum, 'eval', 'logits', '-m', A.model, '--tokens', ','.join(map(str, ids[w:w + WINDOW])),
                            '--out', os.path.join(tmp, 'l.f32'), '--routing', out, '--set', f'experts.k={A.k}'], check=True)
            load(out, two[w // WINDOW % 2])
        halves[name] = two

names = list(halves)
print(f'JSD of expert load, bits, mean over layers (largest layer), k={A.k}, {A.tokens} tokens a kind')
for i, a in enumerate(names):
    v, (top, l) = jsd(*halves[a])
    print(f'{a:>10} two halves       {v:.4f}')
    for b in names[i + 1:]:
        v, (top, l) = jsd(merge(*halves[a]), merge(*halves[b]))
        print(f'{a:>10} - {b:<14} {v:.4f}  ({top:.3f} in routed layer {l})')
