#!/bin/sh
# make test-trainers: each generated folder by its trainer's own parser, the keys that our list has against those of the releases, and one training of
# three steps on a processor, after which routed experts have changed. Needs python3-venv, the network and 12 GB; minutes. A trainer that cannot be
# installed is skipped by name. VENVS=DIR keeps the virtual environments.
cd "$(dirname "$0")/../.." || exit 1
q=$PWD/${BUILD:-build}/quorum
t=$(mktemp -d) || exit 1
trap 'rm -rf "$t"' EXIT
venvs=${VENVS:-$t}
mkdir -p "$venvs"
export LC_ALL=C.UTF-8 LANGUAGE=en DISABLE_VERSION_CHECK=1 DS_ACCELERATOR=cpu CUDA_VISIBLE_DEVICES=
failed=0
ok() { echo "ok $1"; }
bad() { echo "not ok $1: $2"; failed=1; }
venv() { # NAME, then packages
    name=$1; shift
    [ -x "$venvs/venv-$name/bin/python" ] && return 0
    python3 -m venv "$venvs/venv-$name" && "$venvs/venv-$name/bin/pip" install -q "$@" > "$t/pip" 2>&1 && return 0
    echo "skip $name: cannot be installed here: $(tail -1 "$t/pip")"
    rm -rf "$venvs/venv-$name"
    return 1
}
deepspeed_venv() {
    venv deepspeed torch==2.13.0 setuptools wheel numpy pydantic hjson msgpack py-cpuinfo einops psutil tqdm packaging || return 1
    "$venvs/venv-deepspeed/bin/python" -c 'import deepspeed' > /dev/null 2>&1 || DS_BUILD_OPS=0 "$venvs/venv-deepspeed/bin/pip" install -q --no-deps --no-build-isolation deepspeed==0.19.8 > "$t/pip" 2>&1 ||
        { echo "skip deepspeed: cannot be installed here: $(tail -1 "$t/pip")"; return 1; }
}
. tests/course/matrix.sh
[ -z "$failed_matrix" ] && ok folders || bad folders "$failed_matrix"
parse() { # WHAT VENV FOLDER...
    what=$1 py=$venvs/venv-$2/bin/python; shift 2
    "$py" tests/course/parsers.py "$what" "$@" > "$t/parsed" 2> /dev/null || failed=1
    grep -E '^(not )?ok ' "$t/parsed" || bad "$what" "nothing was said"
    "$py" tests/course/keys.py "$what" 2> /dev/null | tail -1 > "$t/keys" && python3 - "$what" "$t/keys" <<'P' && ok "keys_$what" || bad "keys_$what" "the list is another: tests/course/keys.py makes it"
import json, sys
assert json.load(open("tests/course/keys.json"))[sys.argv[1]] == json.load(open(sys.argv[2]))
P
}
with() { for f in $folders; do [ ! -e "$f/$1" ] || echo "$f"; done; }
of() { for f in $folders; do case ${f##*/} in "$1"-*) echo "$f";; esac; done; }
venv trl trl==1.16.0 peft==0.21.2 accelerate==1.15.0 transformers==5.24.0 torch==2.13.0 datasets && trl=1
[ "${trl:-}" ] && parse trl trl $(of trl) && parse accelerate trl $(with accelerate.yaml)
venv axolotl axolotl==0.19.0 && parse axolotl axolotl $(of axolotl)
venv llamafactory llamafactory==0.9.5 torch==2.11.0 torchaudio==2.11.0 && parse llamafactory llamafactory $(of llamafactory)
deepspeed_venv && parse deepspeed deepspeed $(with deepspeed.json)
if [ "${trl:-}" ]; then
    "$venvs/venv-trl/bin/python" tests/course/tiny.py "$t/model" > /dev/null 2>&1
    (. "$venvs/venv-trl/bin/activate" && HF_HUB_OFFLINE=1 "$t/trl-cpu/run.sh" train && "$t/trl-cpu/run.sh" merge) > "$t/log" 2>&1
    "$venvs/venv-trl/bin/python" - "$t" <<'P' > "$t/why" 2>&1 && ok experts_are_trained || bad experts_are_trained "$(tail -2 "$t/why" "$t/log")"
import json, sys
import torch
from safetensors import safe_open
t = sys.argv[1]
j = json.load(open(t + "/trl-cpu/output/trained.json"))
assert j["steps"] == 3 and j["trained"]["experts"] == 7168 and j["trained"]["attention"] == 14336 and not j["trained"]["routers"] and j["changed"]["experts"], j
a = safe_open(t + "/trl-cpu/output/adapter_model.safetensors", "pt")
b = [k for k in a.keys() if ".experts." in k and "lora_B" in k]
assert len(b) == 4 and all(a.get_tensor(k).abs().max() > 0 for k in b), b      # B begins as zeros
P
    for f in full parts; do
        (. "$venvs/venv-trl/bin/activate" && cd "$t/trl-$f" && HF_HUB_OFFLINE=1 python trl_train.py --use_cpu true --max_steps 2 --gradient_accumulation_steps 1 --eval_strategy no) > "$t/log" 2>&1 &&
            grep -q '"experts": true' "$t/trl-$f/output/trained.json" && ok "trains_$f" || bad "trains_$f" "$(tail -2 "$t/log")"
    done
fi
exit $failed
