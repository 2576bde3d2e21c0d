#!/usr/bin/env python3
"""What each type of cell costs and changes: KL from f32, likeliest token, perplexity, bytes a token, speed behind a context.

    bench/kv.py QUORUM [-m MODEL] [-f TEXT] [--ctx 1024] [--context 2k] [-p 256] [-n 32] [-r 3] [-t N]

`quorum compare` evaluates the text under kv.type=f32 and under each other type: mean KL in nats a token with its 95% interval, the
share of tokens whose likeliest next one is the same, perplexity over that of f32; the model's own f16 and q8_0 show what
rounding alone does. `quorum bench --sweep kv.type= --sweep context=` then measures all types in turn, so that a machine's moods
hit all alike: prefill and decode behind that context, medians with their range. `make bench-kv`. Standard library only.
"""
import argparse, json, os, subprocess, sys

TYPES = ["f32", "f16", "q8_0", "q4_0"]


def told(a, *words):
    """A command's standard output; its own words where it fails."""
    r = subprocess.run([a.quorum, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if r.returncode:
        sys.exit("bench/kv.py: quorum %s: %s" % (" ".join(words), r.stderr.strip() or "status %d" % r.returncode))
    return r.stdout


def compared(a, kind):
    model, threads = (["-m", a.m] if a.m else []), (["-t", str(a.t)] if a.t else [])
    j = json.loads(told(a, "compare", *model, *threads, "-A", "kv.type=f32", "-B", "kv.type=" + kind, "-f", a.f, "--ctx", str(a.ctx), "--json"))
    return "%.4f (%.4f to %.4f)" % (j["kl"]["mean"], *j["kl"]["ci"]), "%.1f%%" % (100 * j["top1_agreement"]), "%.4f" % (j["B"]["perplexity"] / j["A"]["perplexity"]), j


def spread(v):
    return "%.4g (%.4g to %.4g)" % (v["median"], v["low"], v["high"])


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("quorum")
    for flag, usual in (("-m", None), ("-f", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs", "thinking.txt")), ("--context", "2k"), ("-t", None)):
        p.add_argument(flag, default=usual)
    for flag, usual in (("--ctx", 1024), ("-p", 256), ("-n", 32), ("-r", 3)):
        p.add_argument(flag, type=int, default=usual)
    a = p.parse_args()
    model, threads = (["-m", a.m] if a.m else []), (["-t", str(a.t)] if a.t else [])
    each = json.loads(told(a, "model", "info", "--json", *([a.m] if a.m else [])))["kv_bytes_per_token"]
    words = {k: compared(a, k) for k in TYPES}
    sweep = json.loads(told(a, "bench", *model, *threads, "--sweep", "kv.type=" + ",".join(TYPES), "--sweep", "context=" + a.context,
                            "-p", str(a.p), "-n", str(a.n), "-r", str(a.r), "--json"))["sweep"]
    speed = {x["at"]["kv.type"]: x for x in sweep["points"]}
    one = words[TYPES[0]][3]
    print("%d tokens of %s, %d in a context; perplexity with f32 cells %.4g; prefill of %d and decode of %d behind %s, %d rounds in turn\n"
          % (one["tokens"], os.path.basename(a.f), a.ctx, one["A"]["perplexity"], a.p, a.n, a.context, a.r))
    print("| kv.type | bytes a token | KL from f32, nats a token (95%) | same likeliest token | perplexity ratio | prefill, tokens/s | decode, tokens/s |")
    print("|---|---|---|---|---|---|---|")
    for k in TYPES:
        kl, same, ratio, _ = words[k]
        print("| %s | %d | %s | %s | %s | %s | %s |" % (k, each[k], kl, same, ratio, spread(speed[k]["prefill_tokens_per_s"]), spread(speed[k]["decode_tokens_per_s"])))


main()
