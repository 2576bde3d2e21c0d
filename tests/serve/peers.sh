#!/bin/sh
# make test-serve: quorum serve driven by the openai package, by lm-eval and by llm, in a virtual environment of its own.
#   GGUF      a chat model for what people would ask; else the default model, where it is fetched
#   SERVE_VENV  an environment that has the three packages already
cd "$(dirname "$0")/../.." || exit 1
command -v python3 > /dev/null || { echo "skip serve_peers: no python3"; exit 0; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
venv=${SERVE_VENV:-$tmp/venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv" > "$tmp/log" 2>&1 || { echo "skip serve_peers: no virtual environment: install python3-venv"; exit 0; }
    "$venv/bin/pip" install -q 'openai>=2' 'lm-eval[api]>=0.4.9' 'llm>=0.27' > "$tmp/log" 2>&1 ||
        { echo "skip serve_peers: pip brings none of openai, lm-eval and llm"; tail -n 3 "$tmp/log" | sed 's/^/# /'; exit 0; }
fi
GGUF=${GGUF:-$(find "${XDG_DATA_HOME:-$HOME/.local/share}/quorum/models" -name '*.gguf' 2> /dev/null | head -n 1)}
export GGUF
PATH=$venv/bin:$PATH "$venv/bin/python" tests/serve/peers.py
