#!/bin/sh
# Runs every unit binary and every tests/*/*.test script, adds up their "ok", "not ok" and "skip" lines.
# A binary that dies without saying why counts as one failure. Last line: N passed, N failed, N skipped
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
export BUILD
log=$BUILD/test.log
: > "$log"
# The checked-in golden models, unpacked once for every test that needs a model.
for z in tests/golden/engine/*/model.gguf.gz; do
    to=$BUILD/golden/$(basename "$(dirname "$z")")
    mkdir -p "$to"
    [ "$to/model.gguf" -nt "$z" ] || gzip -dc "$z" > "$to/model.gguf" || exit 1
done
for t in "$BUILD"/tests/test_* tests/*/*.test; do
    [ -x "$t" ] || continue
    case $t in *.d|*.o) continue;; esac
    [ -n "$ONLY" ] && case $t in *$ONLY*) ;; *) continue;; esac
    start=$(date +%s)
    "$t" > "$BUILD/one.log" 2>&1
    rc=$?
    [ $rc -ne 0 ] && ! grep -q '^not ok ' "$BUILD/one.log" && echo "not ok $t: exit status $rc" >> "$BUILD/one.log"
    grep -E '^(not ok|skip|#) ' "$BUILD/one.log"
    [ $rc -ne 0 ] && tail -n 20 "$BUILD/one.log" | sed 's/^/    /'
    printf '%s: %s ok, %s s\n' "$t" "$(grep -c '^ok ' "$BUILD/one.log")" "$(( $(date +%s) - start ))"
    cat "$BUILD/one.log" >> "$log"
done
p=$(grep -c '^ok ' "$log") f=$(grep -c '^not ok ' "$log") s=$(grep -c '^skip ' "$log")
echo "$p passed, $f failed, $s skipped"
[ "$f" -eq 0 ] && [ "$p" -gt 0 ]
