"""What tests/advice/launch.test tries: scripts and units of quorum launch as programs read them. Argument: a folder with the list of flags."""
import gzip
import json
import os
import re
import shutil
import subprocess
import sys

T, Q = sys.argv[1], os.environ["QUORUM"]
bad = False


def result(name, problems):
    global bad
    for p in problems[:20]:
        print("# " + p)
    print("ok " + name if not problems else "not ok %s: see above" % name)
    bad = bad or bool(problems)


def run(*args, **env):
    return subprocess.run([Q, *args], capture_output=True, text=True, env=dict(os.environ, **env))


def launch(*args):
    r = run("launch", *args, "--json")
    return json.loads(r.stdout) if r.returncode == 0 else r.stderr


# ---- what the releases take ----
TAKES, VALUES, server = {}, {}, None
for line in open(T + "/flags"):
    w = line.split()
    if w[0] == "RELEASE":
        server, TAKES[w[1]], VALUES[w[1]] = w[1], set(), {}
    elif w[0].startswith("-"):
        TAKES[server].add(w[0])
    else:
        VALUES[server].setdefault(w[0], set()).add(w[1])
TAKES["quorum"] = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", run("serve", "--help").stdout)) | set(re.findall(r"--[a-z-]+", run("--help").stdout.split("Where a model computes")[1]))
NAMES = {"VLLM": "vllm", "SGLANG": "sglang", "LLAMA": "llama-server", "QUORUM": "quorum"}
ROWS = re.findall(r'^ADV_FLAG\((\w+), (\w+), "([^"]+)", N_\("([^"]+)"\), "([^"]+)"\)', open("advice/launch_flags.def").read(), re.M)


def dead(rows):
    return ["%s has no %s" % (s, f) for s, _, f, _, _ in rows if f not in TAKES[NAMES[s]]]


few = ["%d rows" % len(ROWS)] if len(ROWS) < 50 else []
result("launch_flags_are_taken", dead(ROWS) + few + ["%s: only %d flags" % (s, len(f)) for s, f in TAKES.items() if len(f) < (10 if s == "quorum" else 150)])
gone = [("VLLM", "", f, "", "") for f in ("--swap-space", "--enable-reasoning", "--disable-log-requests")] + [("QUORUM", "", "--gpu", "", ""), ("SGLANG", "", "--tp-sizes", "", "")]
result("launch_dead_flags_are_found", [] if len(dead(gone)) == len(gone) else ["found %s" % dead(gone)])

# ---- every model of the catalogue under every server on several machines ----
text = open("engine/make/catalog.ini").read()
MODELS = re.findall(r"^\[[^/\]]+/([^\]]+)\]", text, re.M)
CASES = [(s, m, x) for m in MODELS for s, x in (("vllm", "rtx-pro-6000"), ("vllm", "8xh100"), ("sglang", "4xh100"), ("llama-server", "4090"), ("quorum", "cpu-64g"))]
KINDS = {"--tool-call-parser": "tool", "--reasoning-parser": "reasoning", "--quantization": "quantization"}
unknown, over, refused, plans = [], [], [], []
for s, m, x in CASES:
    o = launch(s, "--model", m, "--machine", x, "--users", "2", "--context", "4096")
    if isinstance(o, str):
        refused += [] if re.match(r"quorum: [^\n]+\n\Z", o) else ["%s %s %s: %s" % (s, m, x, o)]
        continue
    plans.append(o)
    for f in o["flags"]:
        if f["flag"] not in TAKES[s] or (f["flag"] in KINDS and f["value"] not in VALUES[s][KINDS[f["flag"]]]):
            unknown.append("%s %s: %s %s" % (s, m, f["flag"], f.get("value")))
    if o["each"] > o["has"] or (o["gpus"] and o["gpus"] * o["each"] < (o["weights"] - o["in_ram"]) * .99):
        over.append("%s %s on %s: %d of %d on %d" % (s, m, x, o["each"], o["has"], o["gpus"]))
for s in ("vllm", "sglang"):
    for kind in ("BF16", "FP8", "AWQ", "GPTQ"):
        o = launch(s, "--model", "Qwen3-30B-A3B-Instruct-2507", "--machine", "2xh100", "--type", kind, "--weights", "a/b")
        v = {f["flag"]: f.get("value") for f in o["flags"]}.get("--quantization")
        unknown += [] if v in VALUES[s]["quantization"] or (v is None and kind == "BF16") else ["%s: --quantization %s" % (s, v)]
result("launch_values_are_taken", unknown + ([] if len(plans) > len(CASES) / 2 else ["only %d of %d fit" % (len(plans), len(CASES))]))
result("launch_fits_what_there_is", over)
result("launch_refuses_in_one_sentence", refused + ([] if len(plans) < len(CASES) else ["nothing was refused"]))


def flags(o):
    return {f["flag"]: f.get("value", "") for f in o["flags"]} if isinstance(o, dict) else {"error": o}


# ---- single facts, by hand ----
def facts():
    a = launch("vllm", "--model", "Qwen3-30B-A3B-Instruct-2507", "--machine", "rtx-pro-6000", "--context", "32768", "--users", "4")
    # 30,532,122,624 weights of two bytes, and 48 layers x 4 heads x 128 x 2 x 2 bytes a token
    yield a["type"] == "BF16" and abs(a["weights"] / (30532122624 * 2) - 1) < .001 and a["kv"] == 48 * 4 * 128 * 4 * 32768 * 4, "30B on one card: %s" % a
    b = launch("vllm", "--model", "Qwen3-30B-A3B-Instruct-2507", "--machine", "2x4090")
    yield b["type"] == "FP8" and flags(b)["--tensor-parallel-size"] == "2" and "--enable-expert-parallel" in flags(b) and flags(b)["--quantization"] == "fp8_per_block", "two cards: %s" % flags(b)
    c = launch("vllm", "--model", "Qwen3-30B-A3B-Instruct-2507", "--machine", "3x4090")
    yield c["gpus"] == 2, "three do not divide 32 heads and 128 experts: %s" % c["gpus"]
    d = launch("llama-server", "--model", "gpt-oss-120b", "--machine", "5090")
    layers = d["experts_in_ram_layers"]
    yield flags(d)["--n-cpu-moe"] == str(layers) and 0 < layers < 36 and abs(d["in_ram"] / (36 * 128 * 3 * 2880 * 2880 * 17 / 32) - layers / 36) < .02, "experts in RAM: %s" % d
    e = launch("sglang", "--model", "Qwen3.6-35B-A3B", "--machine", "h100", "--users", "3")
    # 30 layers x (32 x 128 x 128 + 3 x 8192) x 4 bytes a state, twice three of them
    yield e["name"] == "Qwen3.6-35B-A3B" and e["state"] == 30 * (32 * 128 * 128 + 3 * 8192) * 4 * 6 and flags(e)["--max-mamba-cache-size"] == "6", "states: %s" % e
    f = launch("vllm", "--model", "Qwen3-32B", "--machine", "5090")
    yield isinstance(f, str) and "--type AWQ --weights REPOSITORY" in f and "llama-server instead" in f and "2 such GPUs" in f, "what would fit: %s" % f
    g = launch("vllm", "--model", "Qwen3-32B", "--machine", "5090", "--type", "AWQ", "--weights", "Qwen/Qwen3-32B-AWQ")
    yield flags(g).get("--quantization") == "awq_marlin" and g["model"] == "Qwen/Qwen3-32B-AWQ", "4 bits: %s" % flags(g)
    h = launch("llama-server", "--model", "Qwen3-30B-A3B-Instruct-2507", "--machine", "4090", "--kv-half", "--users", "4", "--context", "16384")
    yield flags(h)["--cache-type-k"] == flags(h)["--cache-type-v"] == "q8_0" and flags(h)["--ctx-size"] == "65536" and h["kv"] == int(48 * 4 * 128 * 2 * 34 / 32) * 65536, "cells of a byte: %s" % flags(h)
    q = launch("llama-server", "--model", "Qwen3-30B-A3B-Instruct-2507", "--machine", "4090", "--kv-quarter", "--users", "4", "--context", "16384")
    yield flags(q)["--cache-type-k"] == flags(q)["--cache-type-v"] == "q4_0" and q["kv"] == int(48 * 4 * 128 * 2 * 18 / 32) * 65536, "cells of half a byte: %s" % flags(q)
    for how, kind, bytes_of_32 in (("--kv-half", "q8_0", 36), ("--kv-quarter", "q4_0", 18)):
        q = launch("quorum", "--model", "Qwen3-30B-A3B-Instruct-2507", "--machine", "cpu-64g", how, "--context", "4096")
        yield "kv.type=" + kind in q["script"] and q["kv"] == 48 * 4 * 128 * 2 * bytes_of_32 // 32 * 4096, "our own cells: %s" % q["kv"]
    i = launch("quorum", "--model", "gpt-oss-20b", "--machine", "4090")
    yield flags(i)["--device"] == "cuda" and i["gpus"] == 1, "gpt-oss on a GPU of ours: %s" % flags(i)
    for model in ("qwen35", "deepseek2", "qwen3moe"):
        with gzip.open("tests/golden/engine/%s/model.gguf.gz" % model) as z, open(T + "/golden.gguf", "wb") as to:
            shutil.copyfileobj(z, to)
        x = launch("quorum", "--model", T + "/golden.gguf", "--machine", "4090", "--context", "64")
        yield isinstance(x, dict) and flags(x)["--device"] == "auto" and x["gpus"] == 1, "every kind of layers is computed on a GPU: %s" % x
    o = launch("vllm", "--model", "gpt-oss-120b", "--machine", "h100")
    # the repository's safetensors: github.com/alvarobartt/hf-mem/issues/60
    yield o["type"] == "MXFP4" and abs(o["weights"] / 65248815744 - 1) < .005, "what is not experts is BF16 there: %s" % o["weights"]
    j = launch("vllm", "--model", "Qwen3-235B-A22B-Instruct-2507", "--machine", "8xh100")
    yield j["gpus"] in (7, 8) and j["gpus"] == 8 and j["type"] == "BF16", "8 cards: %s" % j["gpus"]


result("launch_knows_its_facts", [why for ok, why in facts() if not ok])

# ---- what cannot be ----
WRONG = [(("vllm", "--model", "Qwen3-32B", "--machine", "h100", "--kv-quarter"), "no cells of half a byte"),
         (("quorum", "--model", "Qwen3-8B", "--machine", "cpu-64g", "--kv-quarter", "--kv-half"), "leave one out"), (("vllm", "--model", "Qwen3-32B", "--machine", "cpu-64g"), "wants a GPU"), (("vllm", "--model", "gpt-oss-20b", "--machine", "h100", "--type", "FP8"), "leave --type out"),
         (("vllm", "--model", "Qwen3-32B", "--machine", "h100", "--type", "GPTQ"), "--weights"), (("vllm", "--model", "Qwen3-32B", "--machine", "h100", "--type", "Q4_K_M"), "BF16, FP8, AWQ or GPTQ"),
         (("vllm", "--model", "Qwen3-32B", "--machine", "h100", "--weights", "a/b"), "--type"), (("olama", "--model", "Qwen3-32B", "--machine", "h100"), "llama-server or quorum"),
         (("vllm", "--model", "Qwen3-32B", "--machine", "h100", "--context", "999999"), "--context 32768"), (("vllm", "--model", "Qwen3-32B", "--machine", "h100", "--host", "a b"), "--host wants"),
         (("llama-server", "--model", "Qwen3-8B", "--machine", "4090", "--host", "0.0.0.0"), "--key-file"), (("vllm", "--model", "no-such-model", "--machine", "h100"), "no-such-model"),
         (("vllm", "--model", "Qwen3-32B", "--machine", "toaster"), "toaster"), (("vllm", "--machine", "h100"), "--model"), (("--model", "Qwen3-32B"), "wants a server"),
         (("vllm", "--model", "Qwen3-32B", "--users", "0"), "1 to 1024"), (("llama-server", "--model", "Qwen3-8B", "--machine", "4090", "--weights", "a\nrm -rf /"), "line break"),
         (("vllm", "--model", "nowhere.gguf", "--machine", "h100"), "nowhere.gguf")]
result("launch_says_what_cannot_be", ["%s: %s" % (" ".join(a), o) for a, want in WRONG for o in [launch(*a)] if not isinstance(o, str) or want not in o])

# ---- as sh, shellcheck and systemd read them ----
with gzip.open("tests/golden/engine/qwen3moe/model.gguf.gz") as z, open(T + "/it's $HOME %h \"x\".gguf", "wb") as f:
    f.write(z.read())
FILE = T + "/it's $HOME %h \"x\".gguf"
SHOWN = [("vllm", "--model", "Qwen3-30B-A3B-Thinking-2507", "--machine", "2x5090", "--users", "8"), ("sglang", "--model", "Qwen3.6-35B-A3B", "--machine", "h100", "--host", "0.0.0.0"),
         ("vllm", "--model", "Llama-3.3-70B-Instruct", "--machine", "2xh100", "--host", "::"), ("llama-server", "--model", FILE, "--machine", "4090"),
         ("llama-server", "--model", "gpt-oss-120b", "--machine", "5090", "--kv-half"), ("quorum", "--model", FILE, "--machine", "cpu-64g", "--host", "0.0.0.0", "--key-file", "/etc/a key"),
         ("quorum", "--model", "Qwen3-30B-A3B-Instruct-2507", "--machine", "4090")]
os.mkdir(T + "/bin")
for name in ("vllm", "python3", "llama-server", "quorum"):
    with open("%s/bin/%s" % (T, name), "w") as f:
        f.write('#!/bin/sh\nprintf "%s\\n" "${0##*/}" "$@"\n')
    os.chmod("%s/bin/%s" % (T, name), 0o755)
wrong, words, units, secret = [], [], [], []
for n, args in enumerate(SHOWN):
    for lang in ("en", "ru"):
        script = run("launch", *args, LANGUAGE=lang).stdout
        path = "%s/%d.sh" % (T, n)
        open(path, "w").write(script)
        for tool in (["sh", "-n", path],) + ((["shellcheck", path],) if shutil.which("shellcheck") else ()):
            r = subprocess.run(tool, capture_output=True, text=True)
            wrong += [] if script and r.returncode == 0 else ["%s, %s: %s" % (" ".join(args), tool[0], r.stdout + r.stderr)]
        comments = [a for a, b in zip(script.split("\n"), script.split("\n")[1:]) if b.startswith('set -- "$@"') and not a.startswith("# ")]
        wrong += ["a flag without its comment: %s" % c for c in comments]
    o = launch(*args)
    env = dict(os.environ, PATH=T + "/bin:" + os.environ["PATH"], VLLM_API_KEY="k", SGLANG_API_KEY="s3cret")
    got = subprocess.run(["/bin/sh", path], capture_output=True, text=True, env=env).stdout.split("\n")[:-1]
    want = [x for f in o["flags"] for x in ([f["flag"], f["value"]] if "value" in f else [f["flag"]] + (["s3cret"] if f["flag"] == "--api-key" else []))]
    words += [] if got[-len(want):] == want else ["%s runs %s" % (" ".join(args), got)]
    if "0.0.0.0" in args and args[0] == "sglang":
        r = subprocess.run(["/bin/sh", path], capture_output=True, text=True, env={k: v for k, v in env.items() if "KEY" not in k})
        secret += [] if r.returncode and "SGLANG_API_KEY" in r.stderr else ["it starts without a key: %s" % r]
    unit = "%s/quorum-launch-%d.service" % (T, n)
    open(unit, "w").write(run("launch", *args, "--unit").stdout)
    if shutil.which("systemd-analyze"):
        r = subprocess.run(["systemd-analyze", "--user", "verify", "--man=no", unit], capture_output=True, text=True, env=dict(os.environ, XDG_RUNTIME_DIR=T))
        said = [x for x in r.stderr.split("\n") if "quorum-launch" in x]
        if "nknown command" not in r.stderr:
            units += [] if not said else ["%s: %s" % (" ".join(args), said)]
result("launch_scripts_are_read_by_sh_and_shellcheck", wrong)
result("launch_scripts_run_what_was_planned", words)
result("launch_asks_for_a_key", secret)
result("launch_units_are_read_by_systemd", units) if shutil.which("systemd-analyze") else print("skip launch_units_are_read_by_systemd: no systemd-analyze")

page = subprocess.run([sys.executable, "build-aux/launch_flags.py"], capture_output=True, text=True).stdout
result("launch_page_is_the_table", [] if page and page == open("docs/launch-flags.md").read() else ["docs/launch-flags.md: python3 build-aux/launch_flags.py > docs/launch-flags.md"])
sys.exit(bad)
