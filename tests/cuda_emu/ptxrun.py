#!/usr/bin/env python3
"""ptxrun: interprets the PTX that nvcc writes, as far as wrappers.cu needs it: integers, loads and stores, branches,
asynchronous copies (as late as is allowed: at the wait), ldmatrix, mma. The emulator cannot see what stands in inline
assembly; this can. Semantics and fragment layouts are those of the PTX ISA manual, written down a second time.

  Ptx(text).launch(kernel, threads, params, mem)       params: bytes; mem: a Memory with the buffers that they point to
"""
import re
import struct

M32, M64 = (1 << 32) - 1, (1 << 64) - 1
SHARED = 1 << 24                                       # where a block's shared memory begins


class Fault(Exception):
    pass


def width(t):
    return 1 if t == "pred" else int(re.sub(r"\D", "", t))


def signed(v, w):
    v &= (1 << w) - 1
    return v - (1 << w) if v >> (w - 1) else v


def f32(bits):
    return struct.unpack("<f", struct.pack("<I", bits & M32))[0]


def bits32(f):
    return struct.unpack("<I", struct.pack("<f", f))[0]


def f16(bits):
    return struct.unpack("<e", struct.pack("<H", bits & 0xffff))[0]


def bf16(bits):
    return f32((bits & 0xffff) << 16)


class Memory:
    def __init__(self):
        self.parts = []

    def add(self, base, data):
        self.parts.append((base, data))
        return data

    def at(self, a, n, what):
        if a % n:
            raise Fault("%s: address %#x is not a multiple of %d" % (what, a, n))
        for base, data in self.parts:
            if base <= a and a + n <= base + len(data):
                return data, a - base
        raise Fault("%s: %#x, %d bytes, lies outside of every buffer" % (what, a, n))

    def load(self, a, n, what="ld"):
        d, o = self.at(a, n, what)
        return int.from_bytes(d[o:o + n], "little")

    def store(self, a, n, v, what="st"):
        d, o = self.at(a, n, what)
        d[o:o + n] = (v & ((1 << 8 * n) - 1)).to_bytes(n, "little")


class Kernel:
    """Of one .entry: params {name: offset}, code [(negated, predicate, opcode parts, operands, text)], labels, shared {name: address}."""

    def __init__(self, params, body):
        self.params, at = {}, 0
        for p in re.finditer(r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)(?:\s+\.ptr[^,]*?)?\s+(\w+)(?=,|\s*$)", params):
            n = width(p[1]) // 8
            at = -(-at // n) * n
            self.params[p[2]] = at
            at += n
        self.code, self.labels, self.shared, self.shared_end = [], {}, {}, SHARED
        for st in re.split(r";|(?<=:)\n", body):
            st = st.strip()
            while st[:1] in ("{", "}") and st:
                st = st[1:].strip()
            label = re.match(r"^(\$?\w+):\s*(.*)$", st, re.S)
            if label:
                self.labels[label[1]] = len(self.code)
                st = label[2].strip()
            array = re.match(r"\.shared\s+\.align\s+(\d+)\s+\.b8\s+(\w+)\[(\d+)\]", st)
            if array:
                self.shared_end = -(-self.shared_end // int(array[1])) * int(array[1])
                self.shared[array[2]] = self.shared_end
                self.shared_end += int(array[3])
            elif st and st[0] != ".":
                m = re.match(r"(?:@(!?)(%p\d+)\s+)?(\S+)\s*(.*)$", st, re.S)
                ops = [x.strip() for x in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,{}\[\]]+", m[4]) if x.strip()]
                self.code.append((m[1] == "!", m[2], m[3].split("."), ops, " ".join(st.split())))


def parts(op):
    return [x.strip() for x in op.strip("{}").split(",")]


class Thread:
    def __init__(self, kernel, mem, params, special):
        self.k, self.mem, self.params, self.r = kernel, mem, params, dict(special)
        self.copies, self.group = [], 0

    def get(self, o):
        if o in self.r:
            return self.r[o]
        if o in self.k.shared:
            return self.k.shared[o]
        if o[:2] in ("0f", "0F"):
            return int(o[2:], 16)
        if re.match(r"-?\d", o):
            return int(o, 0) & M64
        raise Fault("%s is read before it is written" % o if o[:1] == "%" else "operand " + o)

    def value(self, o, t):
        v = self.get(o)
        return signed(v, width(t)) if t[0] == "s" else v & ((1 << width(t)) - 1)

    def address(self, o):
        m = re.match(r"\[\s*([^+\]]+?)\s*(?:\+\s*(-?\d+))?\s*\]", o)
        return m[1], int(m[2] or 0)

    def where(self, o):
        base, off = self.address(o)
        return self.get(base) + off

    def run(self):
        """A generator: yields what the lanes of the warp do together and is sent this lane's result."""
        pc = 0
        while True:
            neg, pred, op, o, text = self.k.code[pc]
            pc += 1
            if pred and bool(self.get(pred)) == neg:
                continue
            if op[0] == "ret":
                if self.copies:
                    raise Fault("the thread ends with copies on their way")
                return
            if op[0] == "bra":
                pc = self.k.labels[o[0]]
            elif op[0] in ("bar", "barrier"):
                yield ("sync", None, text)
            elif op[0] == "ldmatrix":
                self.set(o[0], (yield ("ldmatrix", (self.where(o[1]), len(parts(o[0])), tuple(op)), text)))
            elif op[0] == "mma":
                self.set(o[0], (yield ("mma", ([[self.get(x) for x in parts(q)] for q in o[1:4]], tuple(op)), text)))
            elif op[0] == "cp":
                self.copy(op, o, text)
            else:
                self.step(op, o, text)

    def set(self, to, values):
        to = parts(to)
        if len(to) != len(values):
            raise Fault("%d registers for %d" % (len(values), len(to)))
        for d, v in zip(to, values):
            self.r[d] = v

    def copy(self, op, o, text):
        if op[2] == "commit_group":
            self.group += 1
        elif op[2] in ("wait_group", "wait_all"):
            upto = self.group - int(o[0]) if op[2] == "wait_group" else self.group + 1
            for group, d, s, n, part in self.copies:
                if group < upto:
                    for i in range(n):
                        self.mem.store(d + i, 1, self.mem.load(s + i, 1, text) if i < part else 0, text)
            self.copies = [c for c in self.copies if c[0] >= upto]
        else:
            if op[1:] not in (["async", "ca", "shared", "global"], ["async", "cg", "shared", "global"]):
                raise Fault("unknown: " + text)
            d, s, n = self.where(o[0]), self.where(o[1]), int(o[2])
            if n not in (4, 8, 16) or (op[2] == "cg" and n != 16):
                raise Fault("no such size: " + text)
            part = self.get(o[3]) & M32 if len(o) > 3 else n
            if d % n or s % n or part > n:
                raise Fault("misaligned, or more than its size: " + text)
            if not SHARED <= d < self.k.shared_end:
                raise Fault("not to shared memory: " + text)
            self.copies.append((self.group, d, s, n, part))

    def step(self, op, o, text):
        b, t, get, r = op[0], op[-1], self.get, self.r
        if b in ("mov", "cvta"):
            if o[0][0] == "{":
                w = width(t) // len(parts(o[0]))
                for i, d in enumerate(parts(o[0])):
                    r[d] = get(o[1]) >> w * i & ((1 << w) - 1)
            elif o[1][0] == "{":
                w = width(t) // len(parts(o[1]))
                r[o[0]] = sum((get(x) & ((1 << w) - 1)) << w * i for i, x in enumerate(parts(o[1])))
            else:
                r[o[0]] = get(o[1])
        elif b == "ld":
            n, dests = width(t) // 8, parts(o[0])
            base, off = self.address(o[1])
            if op[1] == "param":
                a = self.k.params[base] + off
                r[o[0]] = int.from_bytes(self.params[a:a + n], "little")
                return
            a = get(base) + off
            if a % (n * len(dests)):
                raise Fault("misaligned: " + text)
            for i, d in enumerate(dests):
                v = self.mem.load(a + i * n, n, text)
                r[d] = signed(v, 8 * n) & M64 if t[0] == "s" else v
        elif b == "st":
            n, a, from_ = width(t) // 8, self.where(o[0]), parts(o[1])
            if a % (n * len(from_)):
                raise Fault("misaligned: " + text)
            for i, s in enumerate(from_):
                self.mem.store(a + i * n, n, get(s), text)
        elif b == "setp":
            x, y = self.value(o[1], t), self.value(o[2], t)
            r[o[0]] = {"lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y, "eq": x == y, "ne": x != y}[op[1]]
        elif b == "selp":
            r[o[0]] = get(o[1] if get(o[3]) else o[2])
        else:
            r[o[0]] = self.integer(op, o, text)

    def integer(self, op, o, text):
        b, t = op[0], op[-1]
        if t[0] == "f":
            raise Fault("unknown: " + text)
        if b == "cvt":
            return self.value(o[1], t) & ((1 << width(op[-2])) - 1)
        x = self.value(o[1], t)
        if b in ("mul", "mad"):
            v = x * self.value(o[2], t)
            to = t[0] + str(2 * width(t)) if "wide" in op else t
            v = v >> width(t) if "hi" in op else v
            if b == "mad":
                v += self.value(o[3], to)
            return v & ((1 << width(to)) - 1)
        if b in ("not", "neg"):
            v = ~x if b == "not" else -x
        elif b in ("shl", "shr"):
            n = self.get(o[2]) & M32
            v = x << min(n, width(t)) if b == "shl" else x >> min(n, 64)
        else:
            y = self.value(o[2], t)
            ops = {"add": lambda: x + y, "sub": lambda: x - y, "and": lambda: x & y, "or": lambda: x | y, "xor": lambda: x ^ y,
                   "div": lambda: int(x / y), "rem": lambda: x - int(x / y) * y, "min": lambda: min(x, y), "max": lambda: max(x, y)}
            if b not in ops:
                raise Fault("unknown: " + text)
            v = ops[b]()
        return v & ((1 << max(width(t), 1)) - 1)


def ldmatrix(lanes, mem):
    """Matrix i's row j begins at the address of lane 8 i + j; lane l gets elements (l / 4, 2 (l % 4) and the next)."""
    num, op = lanes[0][1], lanes[0][2]
    shape = ["ldmatrix", "sync", "aligned", "m8n8", "x%d" % num] + (["trans"] if "trans" in op else []) + ["shared", "b16"]
    if list(op) != shape:
        raise Fault("not an ldmatrix of %d registers: %s" % (num, ".".join(op)))
    rows = [[mem.load(lanes[8 * i + j][0], 16, "ldmatrix") for j in range(8)] for i in range(num)]

    def element(i, j, c):
        j, c = (c, j) if "trans" in op else (j, c)
        return rows[i][j] >> 16 * c & 0xffff

    return [[element(i, l // 4, l % 4 * 2) | element(i, l // 4, l % 4 * 2 + 1) << 16 for i in range(num)] for l in range(32)]


# opcode: (K, bits of an element, how it is read, registers of A, of B)
MMA = {
    "m16n8k16.row.col.f32.f16.f16.f32": (16, 16, f16, 4, 2),
    "m16n8k16.row.col.f32.bf16.bf16.f32": (16, 16, bf16, 4, 2),
    "m16n8k32.row.col.s32.s8.s8.s32": (32, 8, lambda b: signed(b, 8), 4, 2),
    "m16n8k16.row.col.s32.s8.s8.s32": (16, 8, lambda b: signed(b, 8), 2, 1),
}


def mma(lanes, _):
    op = lanes[0][1]
    kind = MMA.get(".".join(op[3:]))
    if op[:3] != ("mma", "sync", "aligned") or not kind:
        raise Fault("unknown: " + ".".join(op))
    k, bits, read, na, nb = kind
    per = 32 // bits                                   # elements of a register
    a, b = [[0] * k for _ in range(16)], [[0] * 8 for _ in range(k)]
    for l in range(32):
        (fa, fb, fc), g, t = lanes[l][0], l // 4, l % 4
        if (len(fa), len(fb), len(fc)) != (na, nb, 4):
            raise Fault("%s with %d, %d and %d registers" % (".".join(op), len(fa), len(fb), len(fc)))
        for i in range(per * na):
            e = read(fa[i // per] >> bits * (i % per) & ((1 << bits) - 1))
            a[g + 8 * (i // per % 2)][t * per + i % per + 4 * per * (i // (2 * per))] = e
        for i in range(per * nb):
            b[t * per + i % per + 4 * per * (i // per)][g] = read(fb[i // per] >> bits * (i % per) & ((1 << bits) - 1))
    out = []
    for l in range(32):
        fc, g, t, d = lanes[l][0][2], l // 4, l % 4, []
        for i in range(4):
            s = sum(a[g + 8 * (i // 2)][x] * b[x][2 * t + i % 2] for x in range(k))
            d.append((signed(fc[i], 32) + s) & M32 if bits == 8 else bits32(f32(fc[i]) + s))
        out.append(d)
    return out


TOGETHER = {"sync": lambda lanes, mem: [None] * 32, "ldmatrix": ldmatrix, "mma": mma}


class Ptx:
    def __init__(self, text):
        text = re.sub(r"//[^\n]*", "", text)
        self.kernels = {m[1]: Kernel(m[2], m[3]) for m in re.finditer(r"\.entry\s+(\w+)\((.*?)\)(.*?\n\{.*?\n\})", text, re.S)}

    def launch(self, name, params, mem):
        """One warp. A Fault tells what is wrong."""
        k = self.kernels[name]
        mem.add(SHARED, bytearray(b"\xff" * (k.shared_end - SHARED)))
        threads = [Thread(k, mem, params, {"%tid.x": l, "%ntid.x": 32, "%ctaid.x": 0, "%nctaid.x": 1}) for l in range(32)]
        runs, send = [t.run() for t in threads], [None] * 32
        while True:
            met = []
            for l in range(32):
                try:
                    met.append(runs[l].send(send[l]))
                except StopIteration:
                    met.append(None)
            if all(m is None for m in met):
                return
            if any(m is None or m[0] != met[0][0] or m[2] != met[0][2] for m in met):
                raise Fault("lanes meet in different places: " + str({m and m[2] for m in met}))
            send = TOGETHER[met[0][0]]([m[1] for m in met], mem)
