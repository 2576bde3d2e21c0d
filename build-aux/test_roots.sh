#!/bin/sh
# make test-roots: the suite in fresh Debian systems, built with each compiler, warnings being errors. Says why it cannot.
#   SUITES, CCS: which; ONLY: a part of the suite; OUT: where the whole output stays (build-roots).
cd "$(dirname "$0")/.." || exit 1
ROOTS=${ROOTS:-build-roots}
export ROOTS
why=$(sh build-aux/roots.sh can) || { echo "skip test-roots: $why"; exit 0; }
mkdir -p "$ROOTS" || exit 1
bad=0
for suite in ${SUITES:-bookworm trixie}; do
    sh build-aux/roots.sh make "$suite" build || { echo "not ok test-roots $suite: no system could be made"; bad=1; continue; }
    for cc in ${CCS:-gcc clang}; do
        tree=$(mktemp -d) || exit 1
        git ls-files -z --cached --others --exclude-standard | tar -c --null -T - 2> /dev/null | tar -x -C "$tree"
        log=$ROOTS/$suite-$cc.log
        sh build-aux/roots.sh in "$suite" build "$tree" sh -c "make -j\$(nproc) CC=$cc CFLAGS=-Werror all programs && make -j\$(nproc) CC=$cc CFLAGS=-Werror ONLY='$ONLY' test" > "$log" 2>&1
        rc=$?
        last=$(tail -n 1 "$log")
        if [ $rc -eq 0 ]; then echo "ok test-roots $suite $cc: $last"
        else
            grep -E '^not ok |error:|Error [0-9]' "$log" | head -n 20 | sed 's/^/# /'
            echo "not ok test-roots $suite $cc: $last (all of it: $log)"
            bad=1
        fi
        rm -rf "$tree"
    done
done
exit $bad
