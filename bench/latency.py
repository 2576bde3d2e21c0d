#!/usr/bin/env python3
"""From the key's byte to the last token, in a real terminal: Ctrl-C in the middle of an answer and in the middle of a long
prompt, in quorum --repl or, with --screen, in the full screen. The time ends where the word "stopped" arrives, after the last
token and after the answer was stored, so the figure is an upper bound.
usage: latency.py [--screen] [MODEL] [ROUNDS]   (BUILD names the build folder)"""
import fcntl, os, pty, re, select, struct, sys, tempfile, termios, time

full = '--screen' in sys.argv
sys.argv = [a for a in sys.argv if a != '--screen']
model = sys.argv[1] if len(sys.argv) > 1 else None
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 8
program = os.path.join(os.environ.get('BUILD', 'build'), 'quorum')
tmp = tempfile.mkdtemp()
args = [program] + ([] if full else ['--repl']) + ['--db', f'{tmp}/q.db', '--set', 'memory.on=off', '--set', 'sampler.loop_stop=off'] + (['-m', model] if model else [])
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(TERM='xterm', LANG='C.UTF-8', XDG_STATE_HOME=tmp)
    os.execv(program, args)
if full:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 120, 0, 0))
# What stands on the terminal when an answer runs, a long prompt is read, and the program waits for words.
RUNS = rb'decode' if full else rb'\w+ ' * 16
READS = rb'reading|prefill|prompt' if full else rb'reading the context'
READY = rb'/help' if full else rb'> '


def read(until, seconds):
    """Bytes until the pattern matches; their text and when the match came."""
    text, end = b'', time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.02)[0]:
            try:
                text += os.read(fd, 65536)
            except OSError:
                break
            if re.search(until, text):
                return time.monotonic()
    sys.exit(f'latency: waited in vain for {until!r}; the last that came: {text[-300:]!r}')


def stop(question, begun, wait):
    os.write(fd, question.encode() + b'\r')
    read(begun, 60)
    time.sleep(wait)
    start = time.monotonic()
    os.write(fd, b'\x03')
    end = read(rb'stopped', 20)
    if not full:
        read(READY, 10)
    return (end - start) * 1000


read(rb'/help', 60)
time.sleep(1.5)
decode, prefill = [], []
for i in range(rounds):
    decode.append(stop(f'Tell me a very long story about mountain number {i}, with every detail.', RUNS, 0.05 + 0.013 * i))
    os.write(fd, b'/new\r')
    time.sleep(0.3)
    words = ' '.join(f'sailor{j * 7 + i}' for j in range(260))
    prefill.append(stop(words, READS, 0.01 + 0.01 * i))
    os.write(fd, b'/new\r')
    time.sleep(0.3)
os.write(fd, b'\x04')
for what, v in (('decode', decode), ('prefill', prefill)):
    v.sort()
    print(f'Ctrl-C in {what}: median {v[len(v) // 2]:.1f} ms, worst {v[-1]:.1f} ms of {len(v)} (key to the word "stopped")')
