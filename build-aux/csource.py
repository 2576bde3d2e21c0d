"""csource: what the structure tests and rooms.py know of our C sources: functions, structs, includes, names used.
No full parser: it leans on the habits of the house (a definition begins in column 0, one file a translation unit)."""
import glob
import os
import re

ROOMS = ["base", "net", "mcp", "kernels", "engine", "memory", "rag", "lab", "train", "advice", "teach", "exam", "provider", "serve", "tools", "agent", "tui", "cli"]

# A body that is vector code: one long function with everything in registers is right there.
VECTOR = re.compile(r"kernels/cpu/.*(avx2|avx512|vnni|vbmi|neon|_512|vec)[^/]*$")


def sources(rooms=None, kinds="ch"):
    """Paths of a list of rooms (all of them by default), sorted."""
    out = []
    for room in rooms or ROOMS:
        for k in kinds:
            out += glob.glob(room + "/**/*." + k, recursive=True)
    return sorted(out)


_TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def _blank(m):
    s = m.group(0)
    lines = "\n" * s.count("\n")
    return " " + lines if s[0] == "/" else '""' if s[0] == '"' else "0"


class Source:
    """One file: .functions [(name, static, first line, last line)], .structs [(name, line, fields, functions among them)],
    .globals [name], .includes [path], .words {identifiers used}."""

    def __init__(self, path):
        self.path = path
        text = open(path, encoding="utf-8").read()
        self.lines = text.count("\n")
        self.includes = re.findall(r'^#include "([^"]+)"', text, re.M)
        code = _TOKENS.sub(_blank, text)
        macros = re.findall(r"^[ \t]*#[ \t]*define(?:[^\n]*\\\n)*[^\n]*", code, re.M)
        code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m.group(0).count("\n"), code, flags=re.M)
        self.functions, self.structs, self.globals, self._bodies = [], [], [], []
        self._top(code)
        if path.endswith(".h"):                             # what a header declares it does not use
            code = "\n".join(self._bodies)
        self.words = set(re.findall(r"(?<![.>\w])[A-Za-z_]\w*", code + "\n".join(macros)))

    def _top(self, code):
        depth = start = 0
        opened = None
        for m in re.finditer(r"[{};]", code):
            c, at = m.group(0), m.start()
            if c == "{":
                if depth == 0:
                    opened = at
                depth += 1
            elif c == "}":
                depth -= 1
                if depth == 0:
                    start = self._block(code, start, opened, at)
            elif depth == 0:
                self._statement(code[start:at])
                start = at + 1

    def _block(self, code, start, opened, closed):
        head = re.sub(r"__attribute__\s*\(\(.*?\)\)\s*\)?", " ", code[start:opened])
        words = head.strip()
        first = code.count("\n", 0, start + len(code[start:opened]) - len(code[start:opened].lstrip())) + 1
        if re.search(r"\b(struct|union)\b[^()=]*$", words):
            tag = re.search(r"\b(?:struct|union)\s+(\w+)\s*$", words)
            after = re.match(r"\s*(\w+)", code[closed + 1:])
            name = tag.group(1) if tag else after.group(1) if after and "typedef" in words else "(unnamed)"
            self._struct(name, first, code[opened + 1:closed])
            return start                                    # the statement goes on to its ;
        if "(" in words and "=" not in words and not words.startswith("typedef"):
            name = re.search(r"([A-Za-z_]\w*)\s*\(", words)
            if name:
                self.functions.append((name.group(1), bool(re.search(r"\b(static|INLINE)\b", words)), first,
                                       code.count("\n", 0, closed) + 1))
                self._bodies.append(code[opened:closed])
            return closed + 1
        if "=" in words or re.search(r"\benum\b", words):
            return start
        return closed + 1

    def _statement(self, s):
        s = re.sub(r"\{.*\}", "", s, flags=re.S).strip()
        if re.match(r"(static|typedef|extern|struct\s+\w+$|enum\b|_Static_assert)", s) or "(" in s.split("=")[0]:
            return
        m = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:=|$)", s)
        if m and re.search(r"\w[\s*]+\w", s):
            self.globals.append(m.group(1))

    def _struct(self, name, line, body):
        """Fields of a body; an unnamed inner struct or union counts by its fields, a named one as a single field."""
        n = funcs = 0
        while True:                                         # innermost first
            m = re.search(r"\b(struct|union|enum)\b(\s+\w+)?\s*\{([^{}]*)\}", body)
            if not m:
                break
            inner = m.group(3)
            named = re.match(r"\s*[*\w]", body[m.end():])
            if m.group(1) == "enum":
                put = "int"
            elif named:
                self._struct(name + " (inner)", line, inner)
                put = "int"
            else:
                put = inner
            body = body[:m.start()] + put + body[m.end():]
        for s in body.split(";"):
            s = s.strip()
            if not s or s.startswith("_Static_assert"):
                continue
            if "(*" in s.replace(" ", ""):
                funcs += 1
                n += 1
                continue
            flat = re.sub(r"\([^()]*\)|\[[^\]]*\]", "", s)
            n += flat.count(",") + 1
        self.structs.append((name, line, n, funcs))


def table_of_functions(s):
    """A struct that is mostly functions is a table (an interface), not an owner of state."""
    return s[3] * 2 > s[2]


def load(paths):
    return [Source(p) for p in paths]


def circles(files):
    """Circles among the files of a room: lists of paths. An edge is an include, or the use of a name that one file alone
    defines for others."""
    by_path = {f.path: f for f in files}
    owner = {}
    for f in files:
        for name, static, _, _ in f.functions:
            if not static and f.path.endswith(".c"):
                owner.setdefault(name, set()).add(f.path)
        if f.path.endswith(".c"):
            for name in f.globals:
                owner.setdefault(name, set()).add(f.path)
    edges = {f.path: {} for f in files}
    for f in files:
        own = {x[0] for x in f.functions}
        for inc in f.includes:
            if inc in by_path:
                edges[f.path][inc] = "includes it"
        for w in f.words - own:
            at = owner.get(w, ())
            if len(at) == 1:
                (to,) = at
                if to != f.path:
                    edges[f.path].setdefault(to, w)
    return _tangles(edges), edges


def _tangles(edges):
    """Strongly connected parts of more than one file (Tarjan 1972)."""
    index, low, stack, on, out = {}, {}, [], set(), []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        on.add(v)
        for w in edges[v]:
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in on:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            part = []
            while True:
                w = stack.pop()
                on.discard(w)
                part.append(w)
                if w == v:
                    break
            if len(part) > 1:
                out.append(sorted(part))

    for v in sorted(edges):
        if v not in index:
            visit(v)
    return out


def room_of(path):
    return path.split("/")[0]


if not os.path.isdir("base"):
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
