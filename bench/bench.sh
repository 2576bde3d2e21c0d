#!/bin/sh
# make bench: quorum bench on random weights in the shapes of Qwen3-30B-A3B, Q4_K_M. LAYERS=8 fits everywhere (3.2 GB).
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build} layers=${LAYERS:-8}
model=${BENCH_MODEL:-$build/bench/qwen3-30b-a3b-$layers.gguf}
mkdir -p "$build/bench"
[ -r "$model" ] || "$build/quorum" model synth --arch qwen3moe --like 30b-a3b --type Q4_K_M --layers "$layers" "$model" || exit 1
"$build/quorum" bench -m "$model" -p "${P:-512}" -n "${N:-32}" ${THREADS:+-t "$THREADS"} || exit 1
# How fast a key stops an answer of the default model, where it is installed.
if [ -r "${XDG_DATA_HOME:-$HOME/.local/share}/quorum/models/smollm2-135m-instruct-carved.gguf" ] && command -v python3 > /dev/null; then BUILD=$build python3 bench/latency.py; fi
