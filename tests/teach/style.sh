#!/bin/sh
# make test-style: 200 examples of a made-up style taught to the default model, chosen experts and all experts; reports held against each other.
# Half an hour on two cores. STEPS, MODEL and GENERAL may be set.
q=${BUILD:-build}/quorum
t=$(mktemp -d) || exit 1
trap 'rm -rf "$t"' EXIT INT TERM
model=${MODEL:-${XDG_DATA_HOME:-$HOME/.local/share}/quorum/models/smollm2-135m-instruct-carved.gguf}
[ -f "$model" ] || { echo "skip planted_style: the default model is not here (quorum model fetch)"; exit 0; }
[ -n "$GENERAL" ] || GENERAL=../shared/data/carve/wiki30.txt
[ -f "$GENERAL" ] && general="general=$GENERAL"
export XDG_DATA_HOME="$t/data" LC_ALL=C.UTF-8 LANGUAGE=
python3 tests/teach/style.py 200 1 > "$t/style.jsonl" || exit 1
for experts in auto all; do
    "$q" teach add "$t/style.jsonl" to $experts > "$t/out" || { cat "$t/out"; echo "not ok planted_style: the examples were not taken"; exit 1; }
    # shellcheck disable=SC2086
    "$q" teach run $experts experts=$experts ${STEPS:+steps=$STEPS} $SETTINGS $general -m "$model" || { echo "not ok planted_style: the run of $experts failed"; exit 1; }
    "$q" teach report $experts --json > "$t/$experts.json" && "$q" teach drop $experts || exit 1
done
python3 - "$t" << 'PY'
import json, sys
r = {e: json.load(open("%s/%s.json" % (sys.argv[1], e)))["report"] for e in ("auto", "all")}
gain = {e: r[e]["heldout"]["before"] - r[e]["heldout"]["after"] for e in r}
part, share = gain["auto"] / gain["all"], r["auto"]["chosen_n"] / r["all"]["chosen_n"]
print("# held out %+.1f%% (all experts %+.1f%%), general text %+.2f%% (%+.2f%%), gain of auto %.3f of all with %.2f of the experts" % (
    r["auto"]["heldout"]["percent"], r["all"]["heldout"]["percent"], r["auto"]["general"]["percent"], r["all"]["general"]["percent"], part, share))
bad = 0
for name, good in (("held_out_loss_falls_by_15_percent", r["auto"]["heldout"]["percent"] <= -15), ("forgetting_is_under_3_percent", r["auto"]["general"]["percent"] < 3),
                   ("half_of_the_experts_are_enough", share <= .5), ("the_chosen_reach_nine_tenths_of_the_gain", part >= .9)):
    print("%s %s" % ("ok" if good else "not ok", name + ("" if good else ": see the numbers above")))
    bad |= not good
sys.exit(bad)
PY
