#!/bin/sh
# run.sh of `make gpu-kit`: what a machine with an NVIDIA GPU has to say about the plugin. Needs nothing but this folder and
# a driver. Each step has a time limit, writes its part of report.json and report.md at once, and a step that fails or
# hangs does not keep the others from running. Models are made here of random numbers and deleted behind the step.
#   ./run.sh [--only STEP[,STEP]] [--plugin FILE] [--device N] [--out DIR] [--tmp DIR] [--seconds N] [--limit PART=N] [--full] [--tiny]
#     steps: device kernels goldens adapters doctor layers8 layers48 contexts fetched cublas peer; sanitize only when it is asked for
#     --seconds   for all steps together (290); --limit PART=N  for one part
#     --full      48 layers from a real file of 18 GB; else the 8 layers of a small file lie on the device six times
#     --tiny      a model of 2 MB and few tokens: tries this script where a plugin is slow (the emulator)
here=$(cd "$(dirname "$0")" && pwd) || exit 1
steps='device kernels goldens adapters doctor layers8 layers48 contexts fetched cublas peer sanitize'
only='' plugin=$here/libquorum-cuda.so device=0 out=$PWD tmp='' seconds=290 limits='' full='' tiny=''
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
say() { echo "run.sh: $*" >&2; exit 2; }
number() { case $2 in '' | *[!0-9]*) say "$1 takes a whole number, not '$2'" ;; esac; }
while [ $# -gt 0 ]; do
    case $1 in
    --full) full=1; shift; continue ;;
    --tiny) tiny=1; shift; continue ;;
    --only | --plugin | --device | --out | --tmp | --seconds | --limit) [ $# -gt 1 ] || usage ;;
    *) usage ;;
    esac
    case $1 in
    --only) only=,$2, ;;
    --plugin) plugin=$2 ;;
    --device) number --device "$2"; device=$2 ;;
    --out) out=$2 ;;
    --tmp) tmp=$2 ;;
    --seconds) number --seconds "$2"; seconds=$2 ;;
    --limit)
        case $2 in ?*=*) ;; *) say "--limit takes PART=SECONDS, not '$2'" ;; esac
        number "--limit ${2%%=*}=" "${2#*=}"
        limits="$limits $2"
        ;;
    esac
    shift 2
done
for s in $(echo "$only" | tr ',' ' '); do
    case " $steps " in *" $s "*) ;; *) say "there is no step '$s': take of $steps" ;; esac
done
[ -z "$only" ] || [ -n "$(echo "$only" | tr -d ',')" ] || say "--only names no step: take of $steps"
# All but the plugin came in one file: it is unpacked beside it, where programs may be run, and again where a later kit was copied over it.
if [ -r "$here/inside.tar.gz" ] && [ "$(cksum < "$here/inside.tar.gz")" != "$(cat "$here/unpacked" 2> /dev/null)" ]; then
    [ -w "$here" ] || say "$here cannot be written: copy the folder to a place where inside.tar.gz can be unpacked"
    rm -rf "$here/golden" "$here/lora" "$here/unpacked"
    gzip -dc "$here/inside.tar.gz" 2> /dev/null | tar -x -C "$here" -f - 2> /dev/null && cksum < "$here/inside.tar.gz" > "$here/unpacked" ||
        say "inside.tar.gz cannot be unpacked (that takes gzip, tar, cksum and 40 MB of room in $here): copy the whole folder again"
fi
[ -x "$here/gpu_bench" ] && [ -x "$here/quorum" ] || say "$here lacks gpu_bench or quorum: copy the whole folder that make gpu-kit wrote"
start=$(date +%s)
deadline=$((start + seconds))
parts=$out/quorum-parts
mkdir -p "$parts" 2> /dev/null && [ -w "$parts" ] && [ -w "$out" ] || say "$out cannot be written: name a folder for the reports with --out"
rm -f "$parts"/*

# Where a model fits: memory of the machine if there is much, else a disk.
free_kib() { df -Pk "$1" 2> /dev/null | awk 'NR == 2 { print $4 }'; }
need=$((5 * 1048576))
[ -n "$full" ] && need=$((21 * 1048576))
[ -n "$tiny" ] && need=65536
choose_tmp() {
    memory=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
    for d in /dev/shm "${TMPDIR:-/tmp}" "$out"; do
        [ -w "$d" ] || continue
        [ "$(free_kib "$d")" -gt $need ] 2> /dev/null || continue
        [ "$d" = /dev/shm ] && [ "${memory:-0}" -lt $((need * 3)) ] && continue
        echo "$d"
        return
    done
}
[ -n "$tmp" ] || tmp=$(choose_tmp)
[ -n "$tmp" ] || { echo "no folder with $((need / 1048576)) GiB free: give one with --tmp" >&2; tmp=$out; }
work=$(mktemp -d "$tmp/quorum-kit.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME="$work/state"     # what is found of the GPU is kept apart from the user's
pid=''
trap '[ -n "$pid" ] && kill "$pid" 2> /dev/null; exit 130' INT TERM HUP

# report.json and report.md from what the parts hold now.
assemble() {
    {
        printf '{"kit": "%s", "date": "%s", "host": "%s", "steps": {' "$(cat "$here/VERSION" 2> /dev/null)" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(uname -sm)"
        comma=''
        for s in "$parts"/*.status; do
            [ -r "$s" ] || continue
            read -r word took < "$s"
            part=${s%.status}
            printf '%s\n"%s": {"result": "%s", "seconds": %s, "numbers": ' "$comma" "$(basename "$part" | sed 's/^[0-9]*-//')" "$word" "$took"
            numbers=''
            [ -s "$part.json" ] && numbers=$(tr -d '\n' < "$part.json")
            case $numbers in '{'*'}') printf '%s' "$numbers" ;; *) printf '{}' ;; esac
            printf '}'
            comma=,
        done
        printf '\n}}\n'
    } > "$out/report.json.new" && mv "$out/report.json.new" "$out/report.json"
    {
        echo "# quorum on a GPU: $(sed -n 's/^| device | \(.*\) |  |$/\1/p' "$parts"/*-device.md 2> /dev/null | head -n 1)"
        echo
        echo "Kit $(cat "$here/VERSION" 2> /dev/null), $(date -u +%Y-%m-%d), $(uname -sm), $(nproc 2> /dev/null) processors. Measured by run.sh; random weights."
        echo
        table '| ' ' | ' ' |'
        for m in "$parts"/*.md; do [ -r "$m" ] && cat "$m"; done
    } > "$out/report.md.new" && mv "$out/report.md.new" "$out/report.md"
}

table() {
    printf '%s%-20s%s%-24s%s%7s%s\n' "$1" part "$2" result "$2" seconds "$3"
    [ "$1" = '| ' ] && echo '|---|---|---|'
    for s in "$parts"/*.status; do
        [ -r "$s" ] || continue
        read -r word took < "$s"
        printf '%s%-20s%s%-24s%s%7s%s\n' "$1" "$(basename "${s%.status}" | sed 's/^[0-9]*-//')" "$2" "$word" "$2" "$took" "$3"
    done
}

# What the program itself says goes into the report as it is, without lines that a terminal overwrites.
own_words() {
    [ -s "$1.md" ] && return
    { echo; echo "### The program's own words: $name"; echo; echo '```'; tr '\r' '\n' < "$1.log" | grep -v '^ *$' | head -n 120; echo '```'; } > "$1.md"
}

# part NAME LIMIT COMMAND...: runs it with a limit, never waits longer, notes how it ended.
count=0
part() {
    name=$1 limit=$2
    shift 2
    for l in $limits; do [ "${l%%=*}" = "$name" ] && limit=${l#*=}; done
    count=$((count + 1))
    base=$parts/$(printf '%02d' $count)-$name
    now=$(date +%s)
    [ $((deadline - now)) -lt "$limit" ] && limit=$((deadline - now))
    if [ "$limit" -lt 2 ]; then
        echo "left-out:no-time 0" > "$base.status"
        assemble
        return
    fi
    echo "== $name (at most $limit s)"
    "$@" --out "$base" --budget "$limit" > "$base.log" 2>&1 &
    pid=$!
    rc=''
    ticks=0
    while kill -0 $pid 2> /dev/null; do
        [ $ticks -ge $((limit * 5)) ] && { kill -TERM $pid 2> /dev/null; sleep 1; kill -KILL $pid 2> /dev/null; rc=124; break; }
        sleep 0.2
        ticks=$((ticks + 1))
    done
    # One that even SIGKILL does not end (stuck in the driver) is left behind.
    if [ -z "$rc" ] || ! kill -0 $pid 2> /dev/null; then wait $pid 2> /dev/null; last=$?; [ -z "$rc" ] && rc=$last; fi
    case $rc in
    0) word=ok ;;
    1) word=WRONG ;;
    3) word=no-device ;;
    77) word=skipped ;;
    124) word=TIME-IS-UP ;;
    *) word=FAILED:$rc ;;
    esac
    echo "$word $(($(date +%s) - now))" > "$base.status"
    [ "$rc" = 3 ] && { head -n 1 "$base.log" | sed 's/^/-- /'; assemble; return; }
    grep -vE '^writing' "$base.log" | grep -E 'tokens/s|largest difference|overlap|wrong|of its limit|problem|[Ee]rror|device|GiB|launch|sum of' | head -n 60
    [ "$rc" = 0 ] || { echo "-- $name: $word"; tail -n 8 "$base.log" | sed 's/^/   /'; }
    case $name in doctor | *-program) [ "$rc" = 0 ] && own_words "$base" ;; esac
    [ "$rc" = 0 ] || [ -s "$base.md" ] || { echo; echo "### $name: $word"; echo; echo '```'; tail -n 8 "$base.log"; echo '```'; } > "$base.md"
    assemble
}

# Commands of a part are these functions: they take --out and --budget as gpu_bench does and leave what they do not need.
# Each becomes one process, so that a limit ends what runs and not a shell around it.
bench() {
    step=$1
    shift
    exec "$here/gpu_bench" "$step" --plugin "$plugin" --device "$device" "$@"
}
adapters() {
    [ -d "$1" ] || { echo "no adapters in the kit: it was made without ../shared/data/lora"; return 77; }
    bench adapters "$@"
}
# model FILE LAYERS LIKE ARCH: random weights.
model() { exec "$here/quorum" model synth --force --arch "$4" --like "$3" --type Q4_K_M --layers "$2" "$1"; }
# The program itself on the device, its own benchmark.
program() { exec "$here/quorum" bench --device "cuda:$device" -m "$1" -p 512 -n 64 -r 2; }

# shellcheck disable=SC2086  # quick is a word or nothing
doctor() { exec "$here/quorum" doctor --gpu --device "cuda:$device" --plugin "$plugin" $quick; }

peer() {
    peer=$here/llama-bench
    [ -x "$peer" ] || { echo "no llama-bench beside the kit"; return 77; }
    LD_LIBRARY_PATH=$(dirname "$peer") timeout 80 "$peer" -m "$work/48.gguf" -p 512,4096 -n 64 -ngl 99 -r 2 -o md > "$work/peer.md" 2> "$work/peer.log" || { tail -n 5 "$work/peer.log"; return 1; }
    { echo; echo '### llama.cpp, the same file'; echo; cat "$work/peer.md"; } > "$2.md"
    cat "$work/peer.md"
}

sanitize() {
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null) || true
    [ -n "$tool" ] || { echo "no compute-sanitizer here"; return 77; }
    exec "$tool" --error-exitcode 1 "$here/gpu_bench" kernels small --plugin "$plugin" --device "$device" "$@"
}

tokens=64 contexts=0 long=8192,32768 pre=512,4096 long_pre=16384 ks=1,4,8,16 many=48 talk8=48 talk48=12 like=30b-a3b dense_like=0.6b dense_arch=qwen3 small='' quick='' few=8 all=48
[ -n "$tiny" ] && tokens=3 long=128,256 pre=32 long_pre=64 ks=1,2 many=4 talk8=3 talk48=2 like=smoke dense_like=smoke dense_arch=qwen3moe small=small quick=--quick few=2 all=2
wanted() { [ -z "$only" ] && [ "$1" != sanitize ] && return 0; case $only in *,$1,*) return 0 ;; esac; return 1; }

finish() {
    rm -f "$work"/*.gguf
    echo
    table '' '  ' ''
    sed -n 's/^| \(decode[^|]*tokens\/s\|prefill[^|]*tokens\/s\) | \([^|]*\)|.*/  \1: \2/p; s/^### \(Speed.*\)/\1/p' "$parts"/*.md 2> /dev/null
    echo "$out/report.md and report.json, $(($(date +%s) - start)) s"
}

# Whether there is a device is asked whatever is wanted: without one nothing else is tried, and each step says so.
part device 20 bench device
if grep -q '^no-device ' "$parts/01-device.status"; then
    for s in $steps; do
        [ "$s" != device ] && wanted "$s" || continue
        count=$((count + 1))
        echo 'no-device 0' > "$parts/$(printf '%02d' $count)-$s.status"
    done
    assemble
    finish
    exit 3
fi
# shellcheck disable=SC2086  # small is a word or nothing
wanted kernels && part kernels 60 bench kernels $small
if wanted goldens; then
    set --
    for g in "$here"/golden/*; do [ -r "$g/cases.json" ] && set -- "$@" "$g"; [ -n "$tiny" ] && break; done
    part goldens 45 bench goldens "$@"
fi
if wanted adapters; then
    set --
    for g in "$here"/lora/*; do [ -r "$g/cases.json" ] && set -- "$@" "$g"; [ -n "$tiny" ] && break; done
    part adapters 20 adapters "$@"
fi
wanted doctor && part doctor 40 doctor
if wanted layers8; then
    part layers8-model 60 model "$work/8.gguf" $few $like qwen3moe
    part layers8-compare 40 bench compare "$work/8.gguf" --tokens $talk8
    part layers8-speed 30 bench speed "$work/8.gguf" --tokens $tokens --contexts $contexts --prefill $pre --k $ks
    [ -n "$tiny" ] || part layers8-program 30 program "$work/8.gguf"
    part dense-model 30 model "$work/dense.gguf" 0 $dense_like $dense_arch
    part dense-compare 20 bench compare "$work/dense.gguf" --tokens $talk8
    part dense-speed 20 bench speed "$work/dense.gguf" --tokens $tokens --contexts $contexts --prefill $pre
    rm -f "$work/dense.gguf"
fi
if wanted layers48 || wanted contexts || wanted fetched; then
    file=$work/8.gguf
    if [ -n "$full" ]; then
        rm -f "$work/8.gguf"
        file=$work/48.gguf
        part layers48-model 120 model "$file" $all $like qwen3moe
    elif [ ! -r "$file" ]; then part layers8-model 60 model "$file" $few $like qwen3moe; fi
    wanted layers48 && part layers48-speed 45 bench speed "$file" --layers $many --tokens $tokens --contexts $contexts --prefill $pre --k $ks
    wanted contexts && part contexts 45 bench speed "$file" --layers $many --tokens 32 --contexts $long --prefill $long_pre --k ""
    wanted layers48 && part layers48-compare 45 bench compare "$file" --layers $many --tokens $talk48
    wanted fetched && part fetched 25 bench fetched "$file" --layers $few --tokens $tokens
    rm -f "$work/8.gguf"
fi
# shellcheck disable=SC2086  # small is a word or nothing
wanted cublas && part cublas 25 bench cublas $small
if wanted peer; then
    [ -x "$here/llama-bench" ] && [ ! -r "$work/48.gguf" ] && part peer-model 120 model "$work/48.gguf" $all $like qwen3moe
    part peer 90 peer
fi
rm -f "$work"/*.gguf
wanted sanitize && part sanitize 120 sanitize
finish
