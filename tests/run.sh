#!/bin/sh
# Runs every unit binary and every tests/*/*.test script and adds up their "ok", "not ok" and "skip" lines. A test that
# dies without saying why counts as one failure. Last line: N passed, N failed, N skipped
#   ONLY=part of a name; JOBS=how many at a time (one more than there are processors).
# Tests run several at a time, the longest of the last run first (of none: of tests/longest). What needs the machine for itself (a terminal of tmux,
# make in the build directory, a clock) says so near its top ("alone: why", or tmux) and runs behind the others, one by one.
# Each test's output stays in BUILD/log/, its seconds in BUILD/test.times.
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
export BUILD
# What the tests compare bit for bit is the CPU's arithmetic, also on a machine with a GPU.
export QUORUM_DEVICE=cpu
logs=$BUILD/log
command -v python3 > /dev/null || { echo "the tests need python3: run make deps-test, or install it"; exit 1; }

name_of() { echo "${1#"$BUILD"/}" | tr / _; }

# One test: its lines into its log, what a reader wants of it to standard output, at once.
one() {
    log=$logs/$(name_of "$1")
    start=$(date +%s%N)
    limit=
    [ -z "$QUORUM_LONG" ] && command -v timeout > /dev/null && limit='timeout 900'
    $limit "$1" > "$log" 2>&1 < /dev/null
    rc=$?
    ms=$(( ($(date +%s%N) - start) / 1000000 ))
    [ $rc -ne 0 ] && ! grep -q '^not ok ' "$log" && echo "not ok $1: exit status $rc" >> "$log"
    echo "$ms $1" > "$log.ms"
    {
        grep -E '^(not ok|skip|#) ' "$log"
        [ $rc -ne 0 ] && tail -n 20 "$log" | sed 's/^/    /'
        printf '%s: %s ok, %d.%d s\n' "$1" "$(grep -c '^ok ' "$log")" $((ms / 1000)) $((ms % 1000 / 100))
    } > "$log.said"
    cat "$log.said"
    rm -f "$log.said"
}
if [ "$1" = --one ]; then one "$2"; exit 0; fi

# The checked-in golden models, unpacked once for every test that needs a model.
for z in tests/golden/engine/*/model.gguf.gz; do
    to=$BUILD/golden/$(basename "$(dirname "$z")")
    mkdir -p "$to"
    [ "$to/model.gguf" -nt "$z" ] || gzip -dc "$z" > "$to/model.gguf" || exit 1
done
rm -rf "$logs"
mkdir -p "$logs" || exit 1
times=$BUILD/test.times
touch "$times"

source_of() {
    case $1 in */test_*) ;; *) echo "$1"; return;; esac
    s=tests/unit/$(basename "$1").c
    [ -e "$s" ] || s=${s%c}cpp
    echo "$s"
}
list() {
    for t in "$BUILD"/tests/test_* tests/*/*.test; do
        [ -x "$t" ] || continue
        case $t in *.d|*.o) continue;; esac
        [ -e "$(source_of "$t")" ] || continue                # a binary whose source is gone
        [ -n "$ONLY" ] && case $t in *"$ONLY"*) ;; *) continue;; esac
        head -n 15 "$(source_of "$t")" | grep -qE 'alone:|tmux' && alone=1 || alone=0
        ms=$(sed -n "s|^\([0-9]*\) $t\$|\1|p" "$times")
        [ -n "$ms" ] || ms=$(sed -n "s|^\([0-9]*\) ${t#"$BUILD"/}\$|\1000|p" tests/longest)
        echo "$alone ${ms:-0} $t"
    done
}
list | sort -k1,1n -k2,2nr > "$logs/order"
# One more than processors: a third of the tests wait for clocks, children and sockets half of their time.
jobs=${JOBS:-$(( $(nproc 2> /dev/null || echo 2) + 1 ))}
sed -n 's/^0 [0-9]* //p' "$logs/order" | xargs -P "$jobs" -I '{}' sh tests/run.sh --one '{}'
sed -n 's/^1 [0-9]* //p' "$logs/order" | while read -r t; do one "$t"; done
cat "$logs"/*.ms > "$logs/now" 2> /dev/null
{ cat "$logs/now"; sed 's/^[0-9]* //' "$logs/now" | grep -vxFf - "$times" 2> /dev/null; } | awk '!seen[$2]++' > "$times.new" && mv "$times.new" "$times"
ls "$logs" | grep -vE '\.ms$|^order$|^now$' | (cd "$logs" && xargs cat) > "$BUILD/test.log"
p=$(grep -c '^ok ' "$BUILD/test.log") f=$(grep -c '^not ok ' "$BUILD/test.log") s=$(grep -c '^skip ' "$BUILD/test.log")
echo "$p passed, $f failed, $s skipped"
[ "$f" -eq 0 ] && [ "$p" -gt 0 ]
