#!/bin/sh
# Runs each test given under several orders of threads, blocks and streams: SEEDS, or 0, 1 and three drawn and printed.
# Then the emulator's own test. ONLY=part of a name; QUORUM_BRIEF=1: each way once. Last line: N passed, N failed, N skipped; status 1 if any failed.
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
export BUILD
[ -n "$SEEDS" ] || SEEDS="0 1 $(od -An -N6 -tu2 /dev/urandom | awk '{ print $1 + 2, $2 + 2, $3 + 2 }')"
echo "orders: $SEEDS (SEEDS='$SEEDS' repeats them)"
export ASAN_OPTIONS="detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}" UBSAN_OPTIONS="print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
export TSAN_OPTIONS="halt_on_error=1 history_size=2${TSAN_OPTIONS:+ $TSAN_OPTIONS}" EMU_LEAK=1
# zlib and cJSON were not built for MSan: what they write would count as never written. The device's memory is poisoned by the emulator itself.
export MSAN_OPTIONS="poison_in_malloc=0:poison_in_free=0${MSAN_OPTIONS:+:$MSAN_OPTIONS}"
log=$BUILD/orders.log
: > "$log"
one() {
    case $1 in *"$ONLY"*) ;; *) return;; esac
    begun=$(date +%s)
    out=$("$@" 2>&1)
    rc=$?
    [ $rc -ne 0 ] && ! echo "$out" | grep -q '^not ok ' && out="$out
not ok $1: exit status $rc"
    echo "$out" >> "$log"
    echo "$out" | grep -E '^(not ok|#|EMU|WARNING|==[0-9]+==ERROR|SUMMARY)' | head -n 40
    echo "$1, order $EMU_SEED: $(echo "$out" | grep -c '^ok ') ok, $(($(date +%s) - begun)) s"
}
for t in "$@"; do
    for EMU_SEED in $SEEDS; do
        export EMU_SEED
        one "$t"
    done
done
unset EMU_SEED EMU_LEAK
one tests/cuda_emu/emulator.test
failed=$(grep -c '^not ok ' "$log")
echo "$(grep -c '^ok ' "$log") passed, $failed failed, $(grep -c '^skip ' "$log") skipped"
[ "$failed" -eq 0 ]
