"""client: a server of ours for a test, and how it is asked: http.client and sockets, nothing else."""
import atexit
import base64
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
Q = BUILD + "/quorum"
T = tempfile.mkdtemp()
ENV = dict(os.environ, HOME=T + "/home", LC_ALL="C.UTF-8", LANGUAGE="en", QUORUM_DEVICE="cpu")
for v in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "QUORUM_MODELS", "LANG", "http_proxy", "https_proxy"):
    ENV.pop(v, None)
os.mkdir(T + "/home")
_running, _problems, _failed = [], [], False


def golden(name):
    path = "%s/%s.gguf" % (T, name)
    if not os.path.exists(path):
        with gzip.open("tests/golden/engine/%s/model.gguf.gz" % name) as z, open(path, "wb") as f:
            f.write(z.read())
    return path


def check(fine, what, *said):
    if not fine:
        _problems.append("%s %s" % (what, " ".join(repr(x)[:600] for x in said)))


def result(name):
    global _failed
    for p in _problems[:12]:
        print("# " + p.encode("ascii", "backslashreplace").decode())
    print("not ok %s: %d" % (name, len(_problems)) if _problems else "ok " + name)
    sys.stdout.flush()
    _failed = _failed or bool(_problems)
    _problems.clear()


def finish():
    for s in list(_running):
        s.stop()
    sys.exit(1 if _failed else 0)


class Server:
    """quorum serve --json, from its line "listening" on; its events are read when it has ended."""

    def __init__(self, model, *args, where=("--listen", "127.0.0.1:0")):
        self.p = subprocess.Popen([Q, "serve", "-m", model, "--json", *where, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
        line = self.p.stdout.readline()
        self.hello = json.loads(line) if line else None
        self.ended = None
        self.told = []
        self.hears = threading.Thread(target=lambda: self.told.extend(self.p.stdout), daemon=True)       # a pipe holds some hundred events
        self.hears.start()
        _running.append(self)
        if self.hello:
            a = self.hello["address"]
            self.path = a[5:] if a.startswith("unix:") else None
            self.port = None if self.path else int(a.rsplit(":", 1)[1])

    def connect(self):
        s = socket.socket(socket.AF_UNIX) if self.path else socket.socket()
        s.settimeout(120)
        s.connect(self.path or ("127.0.0.1", self.port))
        return s

    def http(self):
        c = http.client.HTTPConnection("localhost", self.port or 80, timeout=120)
        c.sock = self.connect()
        return c

    def ask(self, path, body=None, method=None, headers=None, key=None):
        """status, the answer (an object where it is JSON), its headers."""
        h = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            h.setdefault("Content-Type", "application/json")
        if key:
            h["Authorization"] = "Bearer " + key
        c = self.http()
        c.request(method or ("GET" if body is None else "POST"), path, body, {k: v for k, v in h.items() if v is not None})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, json.loads(data) if r.headers.get("Content-Type", "").startswith("application/json") else data, r.headers

    def good(self, path, body=None, **more):
        status, answer, _ = self.ask(path, body, **more)
        check(status == 200, "%s: status %d:" % (path, status), answer)
        return answer if status == 200 else {}

    def stream(self, path, body):
        """The events of a stream: objects, and whether [DONE] came."""
        status, data, headers = self.ask(path, dict(body, stream=True))
        check(status == 200 and headers["Content-Type"].startswith("text/event-stream"), "no stream:", status, data)
        events = [x[6:] for x in (data.decode() if isinstance(data, bytes) else "").split("\n\n") if x.startswith("data: ")]
        return [json.loads(x) for x in events if x != "[DONE]"], events[-1:] == ["[DONE]"]

    def raw(self, data, end=False):
        """What comes back for these bytes until the line is closed, or a whole answer with a length is there."""
        s = self.connect()
        s.sendall(data)
        if end:
            s.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            m = re.search(rb"\r\n\r\n", got)
            n = re.search(rb"(?i)content-length: (\d+)", got)
            if m and n and len(got) >= m.end() + int(n.group(1)):
                break
            try:
                more = s.recv(65536)
            except ConnectionResetError:
                break
            if not more:
                break
            got += more
        s.close()
        return got

    def stop(self, sig=signal.SIGTERM):
        """Exit status, events behind the first, standard error."""
        if self in _running:
            _running.remove(self)
            self.p.send_signal(sig)
            err = self.p.stderr.read()
            self.p.wait(timeout=120)
            self.hears.join(timeout=120)
            self.ended = self.p.returncode, b"".join(self.told).decode(), err.decode()
        return self.ended


def npy(text):
    """A base64 .npy as a list of positions of layers of ids, and its type."""
    b = base64.b64decode(text)
    assert b[:8] == b"\x93NUMPY\x01\x00"
    n = struct.unpack("<H", b[8:10])[0]
    head = eval(b[10:10 + n].decode(), {"__builtins__": {}}, {"False": False})
    assert (10 + n) % 64 == 0 and not head["fortran_order"]
    size = {"|u1": "B", "<u2": "H", "<i4": "i"}[head["descr"]]
    p, l, k = head["shape"]
    flat = struct.unpack("<%d%s" % (p * l * k, size), b[10 + n:])
    return [[list(flat[(i * l + j) * k:(i * l + j + 1) * k]) for j in range(l)] for i in range(p)], head["descr"]


def quorum(*args, stdin=b""):
    r = subprocess.run([Q, *args], input=stdin, capture_output=True, env=ENV, timeout=300)
    return r.returncode, r.stdout, r.stderr.decode("utf-8", "replace")


@atexit.register
def _clean():
    for s in _running:
        s.p.kill()
        s.p.wait()
    shutil.rmtree(T, ignore_errors=True)


def with_template(name, template):
    """A golden model with another chat template: the head of its GGUF file is written anew."""
    with open(golden(name), "rb") as f:
        b = f.read()
    n_tensor, n_kv = struct.unpack("<QQ", b[8:24])
    at, size = 24, {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def text(i):
        n = struct.unpack("<Q", b[i:i + 8])[0]
        return i + 8 + n

    def value(i, kind):
        if kind == 8:
            return text(i)
        if kind == 9:
            inner, n = struct.unpack("<IQ", b[i:i + 12])
            i += 12
            for _ in range(n):
                i = value(i, inner)
            return i
        return i + size[kind]

    head, found = b[:24], False
    for _ in range(n_kv):
        start, at = at, text(at)
        key, kind = b[start + 8:at], struct.unpack("<I", b[at:at + 4])[0]
        end = value(at + 4, kind)
        if key == b"tokenizer.chat_template":
            found = True
            head += b[start:at + 4] + struct.pack("<Q", len(template.encode())) + template.encode()
        else:
            head += b[start:end]
        at = end
    start = at
    for _ in range(n_tensor):
        at = text(at)
        dims = struct.unpack("<I", b[at:at + 4])[0]
        at += 4 + 8 * dims + 12
    head += b[start:at]
    assert found
    path = "%s/%s-tools.gguf" % (T, name)
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32) + b[at + (-at % 32):])
    return path
