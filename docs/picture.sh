#!/bin/sh
# The picture of the README: the real program on the default model, in a tmux of 120x32 with directories of its own.
# A note is added, one thing is asked at large and two that the note knows; one answer is given again with 2 experts of
# 16, k is lowered by one in the middle of the last, and the program saves its screen. Usage: docs/picture.sh [FILE.svg]
# Needs tmux and the default model; takes half a minute.
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
out=${1:-docs/screen.svg}
case $out in /*) ;; *) out=$PWD/$out;; esac
command -v tmux >/dev/null || { echo "picture: tmux is absent" >&2; exit 1; }
models=${XDG_DATA_HOME:-$HOME/.local/share}/quorum/models
ls "$models"/*.gguf >/dev/null 2>&1 || { echo "picture: the default model is absent: quorum model fetch" >&2; exit 1; }
dir=$(mktemp -d) || exit 1
t="tmux -L quorum-picture-$$ -f /dev/null"
unset TMUX
LC_ALL=C.UTF-8; export LC_ALL
trap '$t kill-server 2>/dev/null; rm -rf "$dir"' EXIT
mkdir -p "$dir/data/quorum"
ln -s "$models" "$dir/data/quorum/models"
cat > "$dir/lighthouse.md" <<'EOF'
# The lighthouse of Kerrin

## The lamp

The lamp of Kerrin is lit at sunset and turns once in twelve seconds. It burns rapeseed oil, three litres a night, and
can be seen from eighteen miles away.

## The keeper

The keeper lives in the white cottage below the tower with a dog called Biscuit. On Fridays she rows to the mainland for
bread, oil and letters.
EOF
program="exec env -u LC_ALL -u NO_COLOR LANG=C.UTF-8 COLORTERM=truecolor XDG_DATA_HOME=$dir/data XDG_CONFIG_HOME=$dir/c \
XDG_STATE_HOME=$dir/s XDG_CACHE_HOME=$dir/k $PWD/$BUILD/quorum --set sampler.temperature=0 --set ui.theme=dark"
(cd "$dir" && $t new-session -d -x 120 -y 32 "$program")
$t set -g escape-time 10

screen() { $t capture-pane -p; }
until_on() {
    i=0
    while [ $i -lt 600 ]; do screen | grep -qF -- "$1" && return 0; sleep 0.05; i=$((i+1)); done
    echo "picture: \"$1\" did not come; the screen was:" >&2
    screen >&2
    exit 1
}
say() { $t send-keys -l "$1"; $t send-keys Enter; }
# The usual rates of the experts are learned while the program is idle: the picture waits for them.
until_on 'of 8192'
i=0
while screen | grep -q 'learning what is usual' && [ $i -lt 240 ]; do sleep 0.25; i=$((i+1)); done
say '/add lighthouse.md'
until_on 'passages'
say 'Write two lines about the sea at night.'
until_on 'The sea at night is'
sleep 1
until_on 'Enter send'
say 'How far away can the lamp of Kerrin be seen?'
until_on '18 miles away.'
until_on 'Enter send'
say '/again experts.k=2'
until_on '[2/2]'
sleep 1
until_on 'Enter send'
say '/set ui.pace 8'
until_on 'ui.pace 8'
say 'What does the lamp of Kerrin burn, and how often does it turn?'
until_on 'turns once in twelve seconds. It'       # in the answer; the panel breaks the line elsewhere
$t send-keys F7
until_on 'k 11/16'
say '/set ui.pace 0'
until_on 'and can be seen from'
until_on '11 ·'
sleep 1
$t send-keys Escape
sleep 0.3
say "/screenshot $out"
until_on 'The screen is in'
echo "$out"
