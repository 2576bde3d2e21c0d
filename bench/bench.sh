#!/bin/sh
# make bench: how close to the machine quorum comes, as one table (bench/goal.py) behind the sweeps that it is made of, on random weights in the shapes of Qwen3-30B-A3B, Q4_K_M: decode and
# prefill, over k, over contexts and types of the cache, over types of weights, and products by type. LAYERS=8 fits everywhere
# (3.2 GB); the types of weights take 7 GB for a while with 8 layers, so they have TYPE_LAYERS=2.
#   SHORT=1: a tiny model, a few tokens, no types: what a test runs.
#   PEER=path/to/llama-bench, PEER_AVX2=one built for AVX2: stand beside it in the last table.
#   P=512 N=32 ROUNDS=3 THREADS=cores BENCH_MODEL=FILE CONTEXTS=0,2k,8k,32k KS=1,4,8,16 TYPES=...
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build} layers=${LAYERS:-8}
mkdir -p "$build/bench"
if [ -n "$SHORT" ]; then
    model=${BENCH_MODEL:-$build/bench/tiny.gguf} like=smoke layers=2 p=${P:-8} n=${N:-2} rounds=${ROUNDS:-1} contexts=${CONTEXTS:-0,64} ks=${KS:-1,2}
else
    model=${BENCH_MODEL:-$build/bench/qwen3-30b-a3b-$layers.gguf} like=30b-a3b p=${P:-512} n=${N:-32} rounds=${ROUNDS:-3} contexts=${CONTEXTS:-0,2k,8k,32k} ks=${KS:-1,4,8,16}
fi
[ -r "$model" ] || "$build/quorum" model synth --arch qwen3moe --like "$like" --type Q4_K_M --layers "$layers" "$model" || exit 1
set -- -p "$p" -n "$n" -r "$rounds" ${THREADS:+-t "$THREADS"}
csv=$build/bench/csv
rm -rf "$csv" && mkdir -p "$csv" || exit 1
echo '## As it stands'
"$build/quorum" bench -m "$model" "$@" || exit 1
echo; echo '## Over k'
"$build/quorum" bench -m "$model" --sweep "k=$ks" --csv "$csv/k.csv" "$@" || exit 1
echo; echo '## Over contexts'
"$build/quorum" bench -m "$model" --sweep "context=$contexts" --sweep kv.type=f16,q8_0 --made-up --csv "$csv/context.csv" "$@" || exit 1
if [ -z "$SHORT" ]; then
    echo; echo '## Over types of weights'
    "$build/quorum" bench --like "$like" --layers "${TYPE_LAYERS:-2}" --sweep "type=${TYPES:-Q4_K_M,Q2_K,Q3_K_M,Q5_K_M,Q6_K,Q8_0,Q4_0,IQ4_XS,MXFP4,F16}" --csv "$csv/type.csv" "$@" || exit 1
    if [ -x "$build/bench/mat_bench" ]; then echo; echo '## Products by type'; "$build/bench/mat_bench" shares '' 2048 "${THREADS:-$(nproc)}" || exit 1; fi
    # How fast a key stops an answer of the default model, where it is installed.
    if [ -r "${XDG_DATA_HOME:-$HOME/.local/share}/quorum/models/smollm2-135m-instruct-carved.gguf" ] && command -v python3 > /dev/null; then BUILD=$build python3 bench/latency.py; fi
fi
command -v python3 > /dev/null || { echo 'the table of all needs python3' >&2; exit 0; }
echo; echo '## How close to the machine'
exec python3 bench/goal.py "$build/quorum" "$model" --csv "$csv" "$@"
