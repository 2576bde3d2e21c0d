#!/usr/bin/env python3
"""A server that speaks OpenAI's language and has no model: it answers with what was said, streamed as vLLM streams. It prints its port, then
serves until it is killed. FAULT= turns one thing bad: key (401), html, halt (the line is closed after the first words).
Where tools are offered, "use NAME JSON" asks for one, and what that brings is said: "It brought ...".
ROUTED=1: it tells token ids and, asked again, which experts ran (2 layers, 8 experts, 2 a token)."""
import http.server
import json
import os

FAULT, ROUTED = os.environ.get("FAULT", ""), os.environ.get("ROUTED") == "1"


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def whole(self, status, body, kind="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def event(self, what):
        data = ("data: %s\n\n" % (what if isinstance(what, str) else json.dumps(what))).encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def do_GET(self):
        if self.path == "/v1/models":
            self.whole(200, {"object": "list", "data": [{"id": "tiny", "max_model_len": 4096}]})
        else:
            self.whole(404, {"detail": "Not Found"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/completions" and ROUTED:
            n, start = len(body["prompt"]), body["routed_experts_prompt_start"]
            return self.whole(200, {"choices": [{"index": 0, "text": "x", "routed_experts": [[[(p + l) % 8, (p + l + 3) % 8] for l in range(2)] for p in range(start, n)]}]})
        if self.path != "/v1/chat/completions":
            return self.whole(404, {"detail": "Not Found"})
        if FAULT == "key":
            return self.whole(401, {"error": {"message": "Incorrect API key provided"}})
        if FAULT == "html":
            return self.whole(200, "<html>Welcome</html>", "text/html")
        last, call = body["messages"][-1], None
        words = ["You", " said", " \"", last["content"][:60], "\"."]
        if last["role"] == "tool":
            ids = [c["id"] for m in body["messages"] for c in m.get("tool_calls", [])]
            words = ["It", " brought", ": ", last["content"][:80].strip(), "."] if last["tool_call_id"] == ids[-1] else ["BROKEN"]
        elif body.get("tools") and last["content"].startswith("use "):
            words, call = ["I", " look."], last["content"].split(" ", 2)[1:]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        first = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
        if ROUTED:
            first["prompt_token_ids"] = [10, 11, 12]
        self.event(first)
        for i, w in enumerate(words):
            choice = {"index": 0, "delta": {"content": w}}
            if ROUTED:
                choice["token_ids"] = [20 + i]
            self.event({"choices": [choice]})
            if FAULT == "halt" and i == 1:
                self.close_connection = True
                return
        if call:
            self.event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "call_%d" % len(body["messages"]), "type": "function",
                                                                           "function": {"name": call[0], "arguments": call[1]}}]}}]})
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if call else "stop"}]})
        self.event({"choices": [], "usage": {"prompt_tokens": 3 if ROUTED else 30, "completion_tokens": len(words)}})
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
print(server.server_address[1], flush=True)
server.serve_forever()
