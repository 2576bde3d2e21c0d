#!/usr/bin/env python3
"""Do the experts mean anything? Jensen-Shannon divergence of expert load between kinds of text.

    bench/kinds.py MODEL.gguf NAME=TEXTFILE ... [--k 8] [--tokens 2000] [--quorum build/quorum]

For each kind the first --tokens tokens are evaluated in windows of 256 at experts.k = --k; a layer's load is the share
of (token, slot) pairs that went to each expert. Printed: JSD in bits, mean over the routed layers, between every two
kinds, and between the two halves (alternate windows) of one kind, which is the noise. Standard library only;
tests/models/routing.test uses the same functions.
"""
import argparse, json, os, subprocess, tempfile
from math import log2

WINDOW = 256


def windows(quorum, model, text, k, tokens):
    """Expert counts [layer]{expert: n} of each window of the text; layers without experts are left out."""
    ids = json.loads(subprocess.run([quorum, 'tokenize', '-m', model, '--json'], input=text.encode(), check=True,
                                    stdout=subprocess.PIPE).stdout)['ids'][:tokens]
    out = []
    with tempfile.TemporaryDirectory() as tmp:
        routing = os.path.join(tmp, 'r.json')
        for w in range(0, len(ids) - WINDOW + 1, WINDOW):
            subprocess.run([quorum, 'eval', 'logits', '-m', model, '--tokens', ','.join(map(str, ids[w:w + WINDOW])), '--out',
                            os.path.join(tmp, 'l.f32'), '--routing', routing, '--set', f'experts.k={k}'], check=True,
                           stdout=subprocess.DEVNULL)
            with open(routing) as f:
                out.append([count(layer) for layer in json.load(f)['ids'] if layer and layer[0]])
    return out


def count(layer):
    n = {}
    for row in layer:
        for e in row:
            n[e] = n.get(e, 0) + 1
    return n


def total(counts):
    """Sum of several windows' counts."""
    out = [{} for _ in counts[0]]
    for window in counts:
        for layer, n in zip(out, window):
            for e, c in n.items():
                layer[e] = layer.get(e, 0) + c
    return out


def jsd(a, b):
    """Divergence in bits of each layer's load."""
    out = []
    for p, q in zip(a, b):
        sp, sq, d = sum(p.values()), sum(q.values()), 0.0
        for e in set(p) | set(q):
            x, y = p.get(e, 0) / sp, q.get(e, 0) / sq
            m = (x + y) / 2
            d += (x * log2(x / m) if x else 0) / 2 + (y * log2(y / m) if y else 0) / 2
        out.append(d)
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('model')
    ap.add_argument('kinds', nargs='+', metavar='NAME=FILE')
    ap.add_argument('--k', type=int, default=8)
    ap.add_argument('--tokens', type=int, default=2000)
    ap.add_argument('--quorum', default='build/quorum')
    a = ap.parse_args()
    kinds = {}
    for kind in a.kinds:
        name, path = kind.split('=', 1)
        with open(path, encoding='utf-8', errors='replace') as f:
            kinds[name] = windows(a.quorum, a.model, f.read(), a.k, a.tokens)
    print(f'JSD of expert load, bits, mean over routed layers (the largest), k={a.k}, {a.tokens} tokens a kind')
    names = list(kinds)
    for i, x in enumerate(names):
        d = jsd(total(kinds[x][::2]), total(kinds[x][1::2]))
        print(f'{x:>10}   two halves     {sum(d) / len(d):.4f}')
        for y in names[i + 1:]:
            d = jsd(total(kinds[x]), total(kinds[y]))
            print(f'{x:>10} - {y:<14} {sum(d) / len(d):.4f}  ({max(d):.3f} in routed layer {d.index(max(d))})')


if __name__ == '__main__':
    main()
