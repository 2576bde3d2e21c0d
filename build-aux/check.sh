#!/bin/sh
# make check: what reads the sources without running them. Each part prints ok, not ok or skip (its tool is absent).
#   ONLY=format|tidy|cppcheck|shell|catalogues|docs|structure: one part
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
export BUILD
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
bad=0
rooms='base net mcp kernels engine memory rag lab provider serve tools agent tui cli'
# shellcheck disable=SC2086  # a list of words
c_files() { find $rooms -name '*.c' | case $(uname -m) in x86_64) grep -vE '_(neon|dotprod|i8mm).c$';; aarch64) grep -vE '_(avx2|avx512|vnni|vbmi).c$';; *) grep -vE '_(avx2|avx512|vnni|vbmi|neon|dotprod|i8mm).c$';; esac | sort; }
isa() { case $1 in *_avx2.c) echo '-mavx2 -mfma -mf16c -mbmi2';; *_avx512.c) echo '-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi2';; *_vnni.c) echo '-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi2 -mavx512vnni';; *_vbmi.c) echo '-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi2 -mavx512vnni -mavx512vbmi';; esac; }
need() { command -v "$1" > /dev/null || { echo "skip check $2: $1 is not installed"; return 1; }; }
part() { case $ONLY in ''|"$1") return 0;; esac; return 1; }
said() {                                     # name, status: what stands in $out is shown when it is bad
    if [ "$2" = 0 ]; then echo "ok check $1"
    else head -n "${LINES_SHOWN:-40}" "$out" | sed 's/^/# /'; echo "not ok check $1"; bad=1; fi
}

if part format; then python3 build-aux/format.py > "$out" 2>&1; said format $?; fi

# Not asked for: parameters that could be swapped and narrowing (a question of taste, thousands of places), assignments
# in conditions and sizeof of expressions (habits here), what libc's own macros do, reserved names of system interfaces,
# signed bytes and whole divisions (formats of numbers are full of both), magic words without a zero.
tidy='-*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-narrowing-conversions,-bugprone-implicit-widening-of-multiplication-result'
tidy=$tidy,-bugprone-assignment-in-if-condition,-bugprone-reserved-identifier,-bugprone-sizeof-expression,-bugprone-branch-clone,-bugprone-macro-parentheses
tidy=$tidy,-bugprone-signal-handler,-bugprone-multi-level-implicit-pointer-conversion,-bugprone-switch-missing-default-case,-bugprone-not-null-terminated-result,-bugprone-signed-char-misuse,-bugprone-integer-division
if part tidy && need clang-tidy tidy; then
    TIDY=$tidy FLAGS="-std=gnu11 -D_GNU_SOURCE -I. -I$BUILD $(pkg-config --cflags ncursesw libedit sqlite3 libcjson libutf8proc md4c inih libmd zlib libxml-2.0 libarchive libcurl 2> /dev/null)"
    export TIDY FLAGS
    for f in $(c_files); do echo "$f $(isa "$f")"; done |
        xargs -P "$(nproc 2> /dev/null || echo 2)" -I '{}' sh -c 'set -- $1; f=$1; shift
            clang-tidy --quiet --checks="$TIDY" "$f" -- "$@" $FLAGS 2> /dev/null' - '{}' > "$out" 2>&1
    grep -qE '(warning|error):' "$out"; [ $? -ne 0 ]; said tidy $?
fi
if part cppcheck && need cppcheck cppcheck; then
    # Suppressed: what cppcheck 2.10 makes of macros that it does not know (format strings, list loops, vector bodies), and
    # names of parameters that differ between a header and its file; arrays whose index is compared with another index.
    # shellcheck disable=SC2046
    cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -j "$(nproc 2> /dev/null || echo 2)" -I. -D__x86_64__ -D_GNU_SOURCE \
        --suppress=nullPointerOutOfMemory --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
        --suppress=internalAstError --suppress=unknownMacro --suppress=uninitvar --suppress=legacyUninitvar --suppress=funcArgOrderDifferent \
        --suppress=invalidFunctionArg --suppress=arrayIndexThenCheck $(c_files) > "$out" 2>&1
    said cppcheck $?
fi
if part shell && need shellcheck shell; then
    # SC2086, SC2046: words split on purpose; SC1007: VAR= before a command; SC2015: ok || no; SC2010, SC2012: names are ours;
    # SC2034, SC2154: loop counters, variables of make; SC3013: -nt, which every sh here has
    git ls-files '*.sh' '*.test' .ci/run | while read -r f; do head -n 1 "$f" | grep -qE '^#!.*(sh|bash)$' && echo "$f"; done |
        xargs shellcheck -S warning -e SC2086,SC2046,SC1007,SC2015,SC2010,SC2012,SC2034,SC2154,SC3013 > "$out" 2>&1
    said shell $?
fi
if part catalogues && need msgfmt catalogues; then
    rc=0
    for f in po/*.po; do msgfmt -c --check-accelerators='&' -o /dev/null "$f" >> "$out" 2>&1 || rc=1; done
    said catalogues $rc
fi
if part docs; then tests/structure/docs.test > "$out" 2>&1; said docs $?; fi
if part structure; then
    rc=0
    : > "$out"
    for t in circles includes sizes map saying; do "tests/structure/$t.test" >> "$out" 2>&1 || rc=1; done
    grep -v '^ok ' "$out" > "$out.bad"; mv "$out.bad" "$out"
    said structure $rc
fi
exit $bad
