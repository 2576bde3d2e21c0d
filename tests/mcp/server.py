#!/usr/bin/env python3
"""A server of the Model Context Protocol for the tests, of the standard library alone: both eras, stdio and HTTP, and faults on demand.
server.py [--era 2025|2026|both] [--http PORT_FILE] [--tls FOLDER] [--log FILE] [--pages N] [--fault NAME]... What it receives is a line of the log each."""
import argparse
import base64
import json
import os
import signal
import sys
import threading
import time

if any(a == "--http" for a in sys.argv):
    import ssl
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
else:
    BaseHTTPRequestHandler = object     # a third of a start

OBJECT = {"type": "object"}
META = "io.modelcontextprotocol/"


def schema(**props):
    return {"type": "object", "properties": {k: {"type": t} for k, t in props.items()}, "required": list(props)}


class Server:
    """What is said, whatever it is carried by. say(message): to who asked; own(message): by itself."""

    def __init__(self, args):
        self.args, self.faults = args, set(args.fault)
        self.extra, self.cancelled, self.waiting, self.mu, self.asked = [], {}, {}, threading.Condition(), 0
        self.listeners, self.own = {}, lambda m: None

    def log(self, what):
        if self.args.log:
            with open(self.args.log, "a", encoding="utf-8") as f:
                f.write(json.dumps(what) + "\n")

    def tools(self):
        t = [{"name": "echo", "title": "Echo", "description": "Says it back.", "inputSchema": schema(text="string"), "annotations": {"readOnlyHint": True, "destructiveHint": False}},
             {"name": "add", "description": "Adds.", "inputSchema": schema(a="integer", b="integer"), "outputSchema": schema(sum="integer")}]
        t += [{"name": n, "inputSchema": OBJECT} for n in ("fail", "progress", "ask", "stall", "crash", "change", "rich", "refuse", "half", "wrong_id", "twice",
                                                          "flood", "huge", "deep", "latin", "garbage", "sample", "url_ask", "sum_kind", "break_stream", "rounds")]
        t.append({"name": "where", "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "n": {"type": "integer", "x-mcp-header": "N"}}}})
        if "bad_tools" in self.faults:
            t = [7, {"name": ""}, {"name": "no_schema"}, {"name": "text_schema", "inputSchema": "x"}, {"name": "array", "inputSchema": {"type": "array"}}, {"name": "a\nb", "inputSchema": OBJECT},
                 {"name": "good", "inputSchema": OBJECT}, {"name": "good", "description": "again", "inputSchema": OBJECT},
                 {"name": "marked", "inputSchema": {"type": "object", "properties": {"x": {"type": "number", "x-mcp-header": "X"}}}},
                 {"name": "long", "description": "x" * (1 << 20) + "x", "inputSchema": OBJECT}]
        return t + self.extra

    # ---- answers ----
    def reply(self, m, result=None, error=None, era=None):
        out = {"jsonrpc": "2.0", "id": m["id"]}
        if error:
            out["error"] = {"code": error[0], "message": error[1]}
            if len(error) > 2:
                out["error"]["data"] = error[2]
        else:
            if era == 2026:
                result = {"resultType": "complete", **result, "_meta": {META + "serverInfo": {"name": "test", "version": "1.0"}}}
            out["result"] = result
        return out

    def page(self, m, key, items):
        if "loop" in self.faults:
            return {key: items[:1], "nextCursor": "again"}
        n, at = self.args.pages or len(items) or 1, int(m.get("params", {}).get("cursor", "0"))
        out = {key: items[at:at + n]}
        if at + n < len(items):
            out["nextCursor"] = str(at + n)
        if "ttl" in self.faults:
            out["ttlMs"] = 0
        return out

    def capabilities(self):
        return {"tools": {"listChanged": True}, "resources": {"listChanged": True}, "prompts": {}}

    def handle(self, m, say):
        self.log({"got": m})
        method, params, era = m.get("method"), m.get("params") or {}, self.args.era
        if "method" not in m:
            with self.mu:
                self.waiting[m.get("id")] = m
                self.mu.notify_all()
            return None
        modern = META + "protocolVersion" in params.get("_meta", {})
        if "id" not in m:
            if method == "notifications/cancelled":
                with self.mu:
                    self.cancelled[params["requestId"]] = True
                    self.mu.notify_all()
            return None
        if method == "initialize":
            if era == "2026":
                return say(self.reply(m, error=(-32602, "initialize is of another era")))
            version = "1999-01-01" if "old_version" in self.faults else "2025-11-25"
            return say(self.reply(m, {"protocolVersion": version, "capabilities": self.capabilities(), "serverInfo": {"name": "test", "title": "Test\u001b[31m", "version": "1.0"}, "instructions": "Be kind."}))
        if method == "server/discover":
            if "die_on_discover" in self.faults:
                os._exit(4)
            if "silent" in self.faults:
                return None
            if era == "2025":
                return say(self.reply(m, error=(-32602, "Invalid request parameters")))
            if "other_version" in self.faults:
                return say(self.reply(m, error=(-32022, "Unsupported protocol version", {"supported": ["2030-01-01"], "requested": "2026-07-28"})))
            return say(self.reply(m, {"supportedVersions": ["2026-07-28"], "capabilities": self.capabilities(), "instructions": "Be kind.", "ttlMs": 0, "cacheScope": "public"}, era=2026))
        if era == "2026" and not modern:
            return say(self.reply(m, error=(-32602, "no _meta")))
        return self.serve(m, method, params, 2026 if modern else 2025, say)

    def serve(self, m, method, params, era, say):
        if method == "ping":
            return say(self.reply(m, {}, era=era))
        if method == "subscriptions/listen":
            say({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {"notifications": params["notifications"], "_meta": {META + "subscriptionId": m["id"]}}})
            self.listeners[m["id"]] = say
            return None
        if method == "tools/list":
            return say(self.reply(m, self.page(m, "tools", self.tools()), era=era))
        if method == "resources/list":
            return say(self.reply(m, self.page(m, "resources", [{"uri": "mem://a", "name": "a", "mimeType": "text/plain", "size": 5}, {"uri": "mem://b", "name": "b"}]), era=era))
        if method == "resources/templates/list":
            return say(self.reply(m, {"resourceTemplates": [{"uriTemplate": "mem://{x}", "name": "any"}]}, era=era))
        if method == "prompts/list":
            return say(self.reply(m, {"prompts": [{"name": "greet", "description": "Greets.", "arguments": [{"name": "who", "description": "whom", "required": True}]}]}, era=era))
        if method == "prompts/get":
            return say(self.reply(m, {"messages": [{"role": "user", "content": {"type": "text", "text": "Greet %s." % params.get("arguments", {}).get("who")}}, {"role": "assistant", "content": {"type": "text", "text": "Hello!"}}]}, era=era))
        if method == "resources/read":
            c = {"mem://a": {"text": "hello", "mimeType": "text/plain"}, "mem://b": {"blob": base64.b64encode(bytes(range(256))).decode(), "mimeType": "application/octet-stream"}}.get(params["uri"])
            return say(self.reply(m, {"contents": [{"uri": params["uri"], **c}]}, era=era) if c else self.reply(m, error=(-32602, "no such resource")))
        if method == "tools/call":
            tool = getattr(self, "tool_" + params["name"], None)
            return tool(m, params, params.get("arguments") or {}, era, say) if tool else say(self.reply(m, error=(-32602, "Unknown tool: " + params["name"])))
        return say(self.reply(m, error=(-32601, "Method not found")))

    def text(self, m, s, era, say, **more):
        return say(self.reply(m, {"content": [{"type": "text", "text": s}], **more}, era=era))

    # ---- tools ----
    def tool_echo(self, m, p, a, era, say):
        return self.text(m, a.get("text", "?"), era, say)

    def tool_add(self, m, p, a, era, say):
        return self.text(m, "", era, say, structuredContent={"sum": a["a"] + a["b"]})

    def tool_fail(self, m, p, a, era, say):
        return self.text(m, "it did not work", era, say, isError=True)

    def tool_refuse(self, m, p, a, era, say):
        return say(self.reply(m, error=(-32602, "not\nlike \u001b[31mthis")))

    def tool_rich(self, m, p, a, era, say):
        return say(self.reply(m, {"content": [{"type": "text", "text": "one"}, {"type": "image", "data": "QUJD" * 1000, "mimeType": "image/png"}, {"type": "resource_link", "uri": "mem://a", "name": "a", "mimeType": "text/plain"},
                                              {"type": "resource", "resource": {"uri": "mem://c", "text": "inside"}}, {"type": "dance"}, 7]}, era=era))

    def tool_progress(self, m, p, a, era, say):
        token = p["_meta"]["progressToken"]
        for i in range(3):
            say({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": i + 1, "total": 3, "message": "step %d" % (i + 1)}})
        say({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 987654, "progress": 1}})
        return self.text(m, "done", era, say)

    def tool_nulls(self, m, p, a, era, say):
        say({"jsonrpc": "2.0", "id": None, "method": "notifications/progress", "params": {"progressToken": str(p["_meta"]["progressToken"]), "progress": 1, "total": 3, "message": "step"}})
        say({"jsonrpc": "2.0", "id": None, "method": "notifications/prompts/list_changed", "params": None})
        return say({**self.reply(m, {"content": [{"type": "text", "text": "nothing else"}]}, era=era), "error": None, "method": None, "params": None})

    def tool_ask(self, m, p, a, era, say):
        params = {"mode": "form", "message": "Who?", "requestedSchema": schema(name="string")}
        if era == 2026:
            given = p.get("inputResponses", {}).get("who")
            if not given:
                return say(self.reply(m, {"resultType": "input_required", "inputRequests": {"who": {"method": "elicitation/create", "params": params}}, "requestState": "st\u00e4te \"1\""}, era=era))
            return self.text(m, json.dumps([given, p.get("requestState")]), era, say)
        return self.text(m, json.dumps([self.ask_client("elicitation/create", params, say).get("result")]), era, say)

    def ask_client(self, method, params, say):
        with self.mu:
            self.asked += 1
            key = "ask-%d" % self.asked
            say({"jsonrpc": "2.0", "id": key, "method": method, "params": params})
            self.mu.wait_for(lambda: key in self.waiting, 60)
            return self.waiting.get(key, {})

    def tool_sample(self, m, p, a, era, say):
        out = [self.ask_client(x, {}, say).get("error", {}).get("code") for x in ("sampling/createMessage", "roots/list", "what/ever")] + [self.ask_client("ping", {}, say).get("result")]
        return self.text(m, json.dumps(out), era, say)

    def tool_pings(self, m, p, a, era, say):
        """All of them at once; then each answer is waited for."""
        for i in range(a["n"]):
            say({"jsonrpc": "2.0", "id": "ping-%d" % i, "method": "ping"})
        with self.mu:
            self.mu.wait_for(lambda: all("ping-%d" % i in self.waiting for i in range(a["n"])), 600)
        return self.text(m, str(sum(k.startswith("ping-") for k in map(str, self.waiting))), era, say)

    def tool_url_ask(self, m, p, a, era, say):
        return self.text(m, json.dumps(self.ask_client("elicitation/create", {"mode": "url", "message": "go", "url": "http://x", "elicitationId": "1"}, say).get("error", {}).get("code")), era, say)

    def tool_rounds(self, m, p, a, era, say):
        return say(self.reply(m, {"resultType": "input_required", "requestState": "again"}, era=era))

    def tool_sum_kind(self, m, p, a, era, say):
        return say(self.reply(m, {"resultType": "task", "content": []}, era=era))

    def tool_stall(self, m, p, a, era, say):
        with self.mu:
            self.log({"stalls": m["id"]})
        if isinstance(say, Answer) and era == 2026:              # closing the stream is the word for it
            say.stream()
            while not say.gone:
                say.raw_chunk(b": still here\n\n")
                time.sleep(0.01)
            return self.log({"cancelled": m["id"]})
        with self.mu:
            self.mu.wait_for(lambda: m["id"] in self.cancelled, 120)
        self.log({"cancelled": m["id"]})
        return self.text(m, "too late", era, say)

    def tool_change(self, m, p, a, era, say):
        for _ in range(6000):                                    # whoever is to be told must be there first
            if self.listeners if era == 2026 else (Streams.open or not self.args.http):
                break
            time.sleep(0.01)
        self.extra = [{"name": "new", "description": "New.", "inputSchema": OBJECT}]
        for i, listener in self.listeners.items():
            listener({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": {META + "subscriptionId": i}}})
        if era == 2025:
            self.own({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        return self.text(m, "changed", era, say)

    def tool_where(self, m, p, a, era, say):
        return self.text(m, json.dumps(m.get("headers", {})), era, say)

    # ---- faults ----
    def tool_crash(self, m, p, a, era, say):
        sys.stderr.write("first line\nI break \u001b[31mnow\n")
        sys.stderr.flush()
        os._exit(3)

    def tool_half(self, m, p, a, era, say):
        say.raw(b'{"jsonrpc":"2.0","id":%d,"resu' % m["id"])
        os._exit(0)

    def tool_wrong_id(self, m, p, a, era, say):
        for i in (m["id"] + 1000, "x", None, 1.5, -1, [], True):
            self.text({"id": i}, "not yours", era, say)
        return self.text(m, "yours", era, say)

    def tool_twice(self, m, p, a, era, say):
        self.text(m, "once", era, say)
        return self.text(m, "twice", era, say)

    def tool_flood(self, m, p, a, era, say):
        while say.raw(b"\n".join([b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}'] * 1000 + [b""])):
            pass

    def tool_huge(self, m, p, a, era, say):
        return self.text(m, "x" * (17 << 20), era, say)

    def tool_deep(self, m, p, a, era, say):
        say.raw(b'{"jsonrpc":"2.0","id":%d,"result":{"content":%s%s}}\n' % (m["id"], b"[" * 100000, b"]" * 100000))
        return self.text(m, "shallow", era, say)

    def tool_latin(self, m, p, a, era, say):
        say.raw(json.dumps(self.reply(m, {"content": [{"type": "text", "text": "caf@"}]}, era=era)).encode().replace(b"@", b"\xe9") + b"\n")

    def tool_garbage(self, m, p, a, era, say):
        for b in (b"Starting up...\n", b"\n", b"\r\n", b"{}\n", b"[]\n", b"null\n", b'{"jsonrpc":"2.0"}\n', b'{"jsonrpc":"1.0","id":1,"result":{}}\n', b"\xff\xfe\x00\n", b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}\n',
                  b'{"jsonrpc":"2.0","id":1,"result":7}\n', b'{"jsonrpc":"2.0","method":7}\n', b'{"jsonrpc":"2.0","method":"x","params":[]}\n'):
            say.raw(b)
        return self.text(m, "after it", era, say)

    def tool_lose_session(self, m, p, a, era, say):
        names = ["lost-%d" % i for i in range(len(Streams.sessions) + 1)]        # no name comes twice
        Streams.sessions.clear()
        Streams.sessions.update(names)
        return self.text(m, "lost", era, say)

    def tool_no_answer(self, m, p, a, era, say):
        say.raw(b'{"jsonrpc":"2.0","id":%d,%s}\n' % (m["id"], a["text"].encode()))

    def tool_break_stream(self, m, p, a, era, say):
        return say.broken(self.reply(m, {"content": [{"type": "text", "text": "resumed"}]}, era=era))


# ---- stdio ----
class Pipe:
    def __init__(self):
        self.mu = threading.Lock()

    def raw(self, b):
        with self.mu:
            sys.stdout.buffer.write(b)
            sys.stdout.buffer.flush()
        return True

    def broken(self, m):
        self(m)

    def __call__(self, m):
        self.raw(json.dumps(m).encode() + b"\n")


def stdio(server):
    say = Pipe()
    server.own = say
    if "deaf" in server.faults:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    fds = sorted(int(f) for f in os.listdir("/proc/self/fd"))
    server.log({"env": dict(os.environ), "fds": fds[:-1], "cwd": os.getcwd(), "tty": os.getsid(0) != os.getpid()})
    for line in sys.stdin.buffer:
        m = json.loads(line)
        threading.Thread(target=server.handle, args=(m, say), daemon=True).start() if m.get("method") == "tools/call" else server.handle(m, say)
    server.log({"end": "input closed"})
    while "stubborn" in server.faults or "deaf" in server.faults:
        time.sleep(1)


# ---- HTTP ----
class Streams:
    """Of the sessions of 2025: streams that are open by GET, and events that are kept for who asks again."""
    open, kept, mu, sessions = [], {}, threading.Condition(), set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def body_out(self, status, body=b"", kind="application/json", **more):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in more.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        self.wfile.write(body)

    def refused(self):
        s = self.server.mcp
        s.log({"http": self.command, "headers": dict(self.headers)})
        if "auth" in s.faults and self.headers.get("Authorization") != "Bearer right":
            self.body_out(403 if self.headers.get("Authorization") else 401, b"", WWW_Authenticate='Bearer resource_metadata="http://x/meta", scope="a b"')
            return True
        return False

    def do_POST(self):
        s = self.server.mcp
        m = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.refused():
            return None
        session, modern = self.headers.get("Mcp-Session-Id"), self.headers.get("MCP-Protocol-Version") == "2026-07-28"
        if "html" in s.faults:
            return self.body_out(200, b"<html>hello</html>", "text/html")
        if modern and s.args.era == "2025":
            return self.body_out(400, b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Missing session ID"}}')
        if modern and self.headers.get("Mcp-Method") != m.get("method"):
            return self.body_out(400, json.dumps(s.reply(m, error=(-32020, "Header mismatch"))).encode())
        if not modern and m.get("method") != "initialize" and session not in Streams.sessions:
            if "session_401" in s.faults:
                return self.body_out(401, b"Unauthorized: Session not found", "text/plain")
            return self.body_out(404, b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}') if "session_400" not in s.faults else \
                self.body_out(400, b'{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}')
        if m.get("params", {}).get("name") == "end_session":
            Streams.sessions.clear()
            return self.body_out(400 if "session_400" in s.faults else 401 if "session_401" in s.faults else 404, b"")
        if "id" not in m or "method" not in m:
            s.handle(m, lambda x: None)
            return self.body_out(202)
        if m.get("method") == "tools/call" and modern:
            m["headers"] = {k: v for k, v in self.headers.items() if k.lower().startswith("mcp-param") or k.lower() == "mcp-name"}
        say = Answer(self, m)
        s.handle(m, say)
        say.end()
        return None

    def do_GET(self):
        if self.refused():
            return None
        if "no_get" in self.server.mcp.faults or self.server.mcp.args.era == "2026":
            return self.body_out(405)
        last = self.headers.get("Last-Event-ID")
        say = Answer(self, {})
        say.stream()
        if last:
            with Streams.mu:
                Streams.mu.wait_for(lambda: last in Streams.kept, 60)
            say.event(json.dumps(Streams.kept.pop(last)), "after-" + last)
            return say.end()
        with Streams.mu:
            Streams.open.append(say)
            Streams.mu.wait_for(lambda: say.gone, 300)
        return None

    def do_DELETE(self):
        if self.refused():
            return None
        self.server.mcp.log({"deleted": self.headers.get("Mcp-Session-Id")})
        return self.body_out(200)


class Answer:
    """One answer: JSON where the first thing said is the answer, else a stream of events."""

    def __init__(self, handler, m):
        self.h, self.m, self.streams, self.answered, self.gone, self.mu = handler, m, False, False, False, threading.Lock()

    def stream(self):
        self.streams = True
        self.h.send_response(200)
        self.h.send_header("Content-Type", "text/event-stream")
        self.h.send_header("Transfer-Encoding", "chunked")
        self.h.end_headers()
        self.raw_chunk(b": hello\n\n")

    def raw_chunk(self, b):
        try:
            self.h.wfile.write(b"%x\r\n%s\r\n" % (len(b), b))
            self.h.wfile.flush()
        except OSError:
            self.gone = True

    def event(self, data, key=None):
        self.raw_chunk(((("id: %s\n" % key) if key else "") + "".join("data: %s\n" % x for x in data.split("\n")) + "\n").encode())

    def raw(self, b):
        with self.mu:
            if not self.streams:
                self.stream()
            self.raw_chunk(b"".join(b"data: " + line + b"\n\n" for line in b.split(b"\n") if line))
        return not self.gone

    def broken(self, m):
        key = "ev-%s" % self.m["id"]
        self.stream()
        self.raw_chunk(b"retry: 1\nid: %s\ndata:\n\n" % key.encode())
        self.answered = True
        with Streams.mu:
            Streams.kept[key] = m
            Streams.mu.notify_all()

    def __call__(self, m):
        with self.mu:
            if not self.streams and m.get("id") == self.m.get("id") and "method" not in m and "stream" not in self.h.server.mcp.faults:
                more = {}
                if self.m.get("method") == "initialize":
                    Streams.sessions.add("session-%d" % (len(Streams.sessions) + 1))
                    more = {"Mcp_Session_Id": max(Streams.sessions)}
                self.answered = True
                return self.h.body_out(200, json.dumps(m).encode(), **more)
            if not self.streams:
                self.stream()
            self.event(json.dumps(m))
            if self.gone:
                raise BrokenPipeError
            return None

    def end(self):
        if self.m.get("method") == "subscriptions/listen":
            with Streams.mu:
                Streams.mu.wait_for(lambda: self.gone, 300)
        if self.streams:
            try:
                self.h.wfile.write(b"0\r\n\r\n")
                self.h.wfile.flush()
            except OSError:
                self.gone = True
        elif not self.answered:
            self.h.body_out(202)
        self.h.close_connection = self.gone


def http(server, port_file):
    ThreadingHTTPServer.handle_error = lambda *a: None           # who closes a stream says that it has enough
    ThreadingHTTPServer.request_queue_size = 128
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if server.args.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(server.args.tls + "/cert.pem", server.args.tls + "/key.pem")
        web.socket = tls.wrap_socket(web.socket, server_side=True)
    web.daemon_threads, web.mcp = True, server

    def own(m):
        for say in list(Streams.open):
            say.event(json.dumps(m))

    server.own = own
    with open(port_file + ".new", "w", encoding="utf-8") as f:
        f.write(str(web.server_address[1]))
    os.rename(port_file + ".new", port_file)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()      # with who started it
    web.serve_forever()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--era", default="both")
    p.add_argument("--http")
    p.add_argument("--tls")              # a folder with cert.pem and key.pem
    p.add_argument("--log")
    p.add_argument("--pages", type=int, default=0)
    p.add_argument("--fault", action="append", default=[])
    args = p.parse_args()
    if "no_start" in args.fault:
        sys.stderr.write("cannot find its settings\n")
        return 3
    http(Server(args), args.http) if args.http else stdio(Server(args))
    return 0


sys.exit(main())
