#!/bin/sh
# make test-servers: what provider/remote.c says and hears with llama.cpp's own server on a Unix socket and a small GGUF.
#   LLAMA_SERVER  the program; else the one in PATH or of make peers
#   GGUF          a chat model; else the one that quorum model fetch took the default model from
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
server=${LLAMA_SERVER:-$(command -v llama-server || find "$build/peers" -type f -name llama-server 2> /dev/null | head -n 1)}
gguf=${GGUF:-$(find "${XDG_CACHE_HOME:-$HOME/.cache}/quorum/fetch" -name '*.gguf' 2> /dev/null | head -n 1)}
[ -x "$server" ] || { echo "skip servers: no llama-server: give LLAMA_SERVER=FILE, or run make peers"; exit 0; }
[ -r "$gguf" ] || { echo "skip servers: no model: give GGUF=FILE, or run quorum model fetch"; exit 0; }
tmp=$(mktemp -d) || exit 1
"$server" -m "$gguf" --host "$tmp/llama.sock" -c 2048 -np 1 --jinja > "$tmp/log" 2>&1 & pid=$!
trap 'kill $pid 2> /dev/null; rm -rf "$tmp"' EXIT
n=0                                      # until it listens; five minutes at most
until grep -q 'listening on' "$tmp/log"; do
    n=$((n + 1))
    if [ "$n" -gt 600 ] || ! kill -0 "$pid" 2> /dev/null; then echo "not ok servers: llama-server does not start"; tail -n 5 "$tmp/log" | sed 's/^/# /'; exit 1; fi
    sleep 0.5
done
QUORUM_LIVE_SOCKET=$tmp/llama.sock QUORUM_LIVE_PID=$pid "$build/tests/test_remote_live" > "$tmp/out"; status=$?
grep -E '^#|a_real_server_answers|^not ok' "$tmp/out"
exit $status
