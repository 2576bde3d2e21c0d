#!/usr/bin/env python3
"""A hub of the test's own that speaks Hugging Face's and ModelScope's addresses and has every fault: it prints its port and that of a second host (where
it redirects to), then serves ROOT/OWNER/NAME/... until it is killed. Each request is a line of JSON in LOG: {"n", "host", "path", "range", "if_range",
"token"}. Faults are read anew for each request from FAULTS, a file of JSON:

    {"cut": N}        every answer with a body is closed after N bytes        {"cut_first": N, "times": K}  the first K of them
    {"slow": S}       S seconds before each 64 KiB                            {"stall": K}    the first K answers stop in the middle, the line stays open
    {"status": [code, K, retry_after]}  the first K asks for a file           {"shift": true} another range than was asked for; {"shift_first": K}
    {"no_ranges": true}  200 and all of it                                    {"flip": true}  one byte is another
    {"no_hash": true} no X-Linked-Etag, no sha256 in the list                 {"gated": "TOKEN"}  only with this token
    {"no_if_range": true}  heeds no If-Range
    {"etag": "X"}     another validator                                       {"expire": K}   an address of the second host serves K times, then 403
    {"html": true}    a page instead of the list                              {"extra": [entries]}  further entries of the list
    {"page": N}       N entries a page                                        {"alien": true} a 500 of every fourth answer
    {"long": BYTES}   a file "long.bin" of so many bytes, zero but for its last 16"""
import hashlib
import http.server
import json
import os
import re
import sys
import threading
import time
import urllib.parse

ROOT, LOG, FAULTS = sys.argv[1:4]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
lock = threading.Lock()
count = {}
now = None
sums = {}


def faults():
    """What stands in the file; counting begins anew when it is another one."""
    global now
    try:
        st = os.stat(FAULTS)
        with lock:
            if (st.st_ino, st.st_mtime_ns) != now:
                now = st.st_ino, st.st_mtime_ns
                count.clear()
        return json.load(open(FAULTS))
    except (OSError, ValueError):
        return {}


def nth(what):
    """How often this has been asked before."""
    with lock:
        count[what] = count.get(what, 0) + 1
        return count[what] - 1


def sha256(path):
    key = (path, os.stat(path).st_mtime_ns)
    if key not in sums:
        sums[key] = hashlib.sha256(open(path, "rb").read()).hexdigest()
    return sums[key]


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cdn = False

    def log_message(self, *args):
        pass

    def note(self):
        with lock, open(LOG, "a") as f:
            f.write(json.dumps({"host": "cdn" if self.cdn else "hub", "path": self.path, "range": self.headers.get("Range"),
                                "if_range": self.headers.get("If-Range"), "token": self.headers.get("Authorization")}) + "\n")

    def whole(self, status, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def closed(self, f):
        if "gated" in f and self.headers.get("Authorization") != "Bearer " + f["gated"]:
            self.whole(403 if self.headers.get("Authorization") else 401, {"error": "restricted"}, X_Error_Code="GatedRepo")
            return True
        return False

    def entries(self, repo, f):
        top = os.path.join(ROOT, repo)
        for folder, _, names in sorted(os.walk(top)):
            for n in sorted(names):
                p = os.path.join(folder, n)
                yield os.path.relpath(p, top), p

    def tree(self, repo, f, query):
        if f.get("html"):
            return self.whole(200, b"<html>Sign in to this network</html>", Content_Type="text/html")
        if not os.path.isdir(os.path.join(ROOT, repo)):
            return self.whole(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        out = [{"type": "directory", "path": "dir", "oid": COMMIT, "size": 0}]
        for rel, p in self.entries(repo, f):
            data = open(p, "rb").read()
            e = {"type": "file", "path": rel, "size": len(data), "oid": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
            if len(data) >= 4096 or rel.endswith(".gguf"):
                e["lfs"] = {"size": len(data), "pointerSize": 134}
                if not f.get("no_hash"):
                    e["lfs"]["oid"] = sha256(p)
            out.append(e)
        out += f.get("extra", [])
        if "many" in f:
            out += [{"type": "file", "path": "many/%05d.txt" % i, "size": 0, "oid": hashlib.sha1(b"blob 0\0").hexdigest()} for i in range(f["many"])]
        at, n = int(query.get("cursor", ["0"])[0]), f.get("page", 1000)
        more = {"Link": '<%s/api/models/%s/tree/main?recursive=true&cursor=%d>; rel="next"' % (f.get("link_host", "http://127.0.0.1:%d" % PORTS[0]), repo, at + n)} if at + n < len(out) else {}
        self.whole(200, out[at:at + n], **more)

    def tree_ms(self, repo):
        self.whole(200, {"Code": 200, "Data": {"Files": [{"Type": "tree", "Path": "dir", "Name": "dir", "Size": 0}] + [
            {"Type": "blob", "Path": rel, "Name": os.path.basename(rel), "Size": os.path.getsize(p), "Sha256": sha256(p)} for rel, p in self.entries(repo, {})]}})

    def do_HEAD(self):
        self.whole(405, b"")

    def do_GET(self):
        self.note()
        f = faults()
        url = urllib.parse.urlsplit(self.path)
        path, query = urllib.parse.unquote(url.path), urllib.parse.parse_qs(url.query)
        if f.get("alien") and nth("alien%d" % self.cdn) % 4 == 3:
            return self.whole(500, b"")
        if self.cdn:
            key = query.get("key", [""])[0]
            if "expire" in f and nth("key" + key) >= f["expire"]:
                return self.whole(403, b"")
            return self.file(os.path.join(ROOT, path.lstrip("/")), f)
        m = re.match(r"/api/models/([^/]+/[^/]+)/tree/[^/]+$", path)
        if m:
            return None if self.closed(f) else self.tree(m.group(1), f, query)
        m = re.match(r"/api/v1/models/([^/]+/[^/]+)/repo/files$", path)
        if m:
            return self.tree_ms(m.group(1))
        m = re.match(r"(?:/models)?/([^/]+/[^/]+)/resolve/[^/]+/(.+)$", path)
        if m:
            return None if self.closed(f) else self.resolve(m.group(1) + "/" + m.group(2), f)
        return self.file(os.path.join(ROOT, path.lstrip("/")), f)

    def resolve(self, rel, f):
        p = os.path.join(ROOT, rel)
        if not os.path.isfile(p):
            return self.whole(404, b"", X_Error_Code="EntryNotFound")
        if os.path.getsize(p) < 4096 and not p.endswith(".gguf"):
            return self.whole(307, b"", Location="/here/" + urllib.parse.quote(rel))         # of the same host, relative
        head = {} if f.get("no_hash") else {"X_Linked_Etag": '"%s"' % sha256(p), "X_Linked_Size": str(os.path.getsize(p))}
        self.whole(302, b"elsewhere", Location="http://127.0.0.1:%d/%s?key=%d" % (PORTS[1], urllib.parse.quote(rel), nth("key")), X_Repo_Commit=COMMIT, **head)

    def file(self, p, f):
        if "status" in f:
            code, times, wait = f["status"]
            if nth("status") < times:
                return self.whole(code, b"", **({"Retry_After": str(wait)} if wait else {}))
        if p.startswith(ROOT + "/here/"):
            p = ROOT + p[len(ROOT) + 5:]
        long = f.get("long") if p.endswith("/long.bin") else None
        if not long and not os.path.isfile(p):
            return self.whole(404, b"")
        size = long or os.path.getsize(p)
        etag = '"%s"' % f.get("etag", "v1")
        asked = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range") or "")
        if f.get("no_ranges") or (self.headers.get("If-Range") not in (None, etag) and not f.get("no_if_range")):
            asked = None
        lo, hi = (int(asked.group(1)), min(int(asked.group(2) or size - 1), size - 1)) if asked else (0, size - 1)
        if asked and lo >= size:
            return self.whole(416, b"", Content_Range="bytes */%d" % size)
        if asked and (f.get("shift") or ("shift_first" in f and lo and nth("shift") < f["shift_first"])):
            lo, hi = (lo + 1, hi) if lo < hi else (max(lo - 1, 0), hi)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(hi - lo + 1))
        self.send_header("ETag", etag)
        if asked:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (lo, hi, size))
        self.end_headers()
        self.body(p, lo, hi, size, long, f)

    def body(self, p, lo, hi, size, long, f):
        fd = None if long else open(p, "rb")
        stall = hi > lo and "stall" in f and nth("stall") < f["stall"]
        cut = f.get("cut", f["cut_first"] if "cut_first" in f and hi > lo and nth("cut") < f.get("times", 1) else None)
        at = lo
        while at <= hi:
            n = min(1 << 16, hi + 1 - at)
            if long:
                data = bytearray(n)
                for i in range(max(at, size - 16), at + n):
                    data[i - at] = 7
            else:
                fd.seek(at)
                data = bytearray(fd.read(n))
            if f.get("flip") and at <= size // 2 < at + n:
                data[size // 2 - at] ^= 1
            if cut is not None and at + n - lo > cut:
                self.wfile.write(data[:max(0, cut - (at - lo))])
                self.close_connection = True
                return
            if f.get("slow"):
                time.sleep(f["slow"])
            try:
                self.wfile.write(data)
            except OSError:
                self.close_connection = True
                return
            at += n
            if stall:
                time.sleep(30)
                self.close_connection = True
                return


class Second(Answer):
    cdn = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, address):       # a client that went away is what the tests are about
        pass


given = [int(x) for x in sys.argv[4:6]] or [0, 0]        # a hub that comes back where it was
servers = [Server(("127.0.0.1", given[0]), Answer), Server(("127.0.0.1", given[1]), Second)]
PORTS = [s.server_address[1] for s in servers]
print(*PORTS, flush=True)
threading.Thread(target=servers[1].serve_forever, daemon=True).start()
servers[0].serve_forever()
