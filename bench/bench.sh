#!/bin/sh
# make bench: quorum bench on random weights in the shapes of Qwen3-30B-A3B, Q4_K_M. LAYERS=8 fits everywhere (3.2 GB).
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build} layers=${LAYERS:-8}
model=${BENCH_MODEL:-$build/bench/qwen3-30b-a3b-$layers.gguf}
mkdir -p "$build/bench"
[ -r "$model" ] || "$build/quorum" model synth --arch qwen3moe --like 30b-a3b --type Q4_K_M --layers "$layers" "$model" || exit 1
exec "$build/quorum" bench -m "$model" -p "${P:-512}" -n "${N:-32}" ${THREADS:+-t "$THREADS"}
