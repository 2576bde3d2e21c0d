#!/usr/bin/env python3
"""Instructions that the products of one row of the matrix with one row of activations execute for 256 weights, counted in the
disassembly: NEON's paths beside AVX2's. Not time: how many of them run in a cycle is the processor's affair. Exit status 1: a
product that does not use its instruction set; "?": loops that another compiler has cut otherwise than gcc 12.

    arm_loops.py [BUILD]    of BUILD/arm and, on x86-64, BUILD's own objects (make arm-loops builds both)

A loop is what lies between a backward branch and its target. The innermost one with products runs as often as the products of a
block need; what the block's loop has besides is counted once. A loop between the two runs once a sub-block."""
import os
import re
import subprocess
import sys

BRANCH = re.compile(r"(b|b\..+|cbn?z|tbn?z|j\w+)$")


def functions(path, objdump):
    out, at = {}, None
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        head = re.match(r"[0-9a-f]+ <(.+)>:$", line)
        one = re.match(r" *([0-9a-f]+):\s+(\S+)\s*(.*)", line)
        if head:
            at = out[head[1]] = []
        elif one and at is not None and one[2] != "nop":
            at.append((int(one[1], 16), one[2], one[3]))
    return out


def loops(code):
    """(first, last) indices, the smallest first."""
    place, ends = {a: i for i, (a, _, _) in enumerate(code)}, {}
    for i, (a, op, arg) in enumerate(code):
        to = re.search(r"\b([0-9a-f]+) <", arg) if BRANCH.match(op) else None
        if to and int(to[1], 16) <= a and int(to[1], 16) in place:
            first = place[int(to[1], 16)]
            ends[first] = max(ends.get(first, 0), i)
    return sorted(ends.items(), key=lambda x: x[1] - x[0])


def hot(code, span, product):
    return sum(bool(re.match(product, op)) for _, op, _ in code[span[0]:span[1] + 1])


def block(code, product, needs, middle, end=r"scvtf$|vcvtdq2ps$"):
    """Instructions a block: `needs` products, `middle` rounds of a loop between the innermost and the block's. The block's
    loop is the smallest that turns sums into floats."""
    size = lambda s: s[1] - s[0] + 1
    nest = [s for s in loops(code) if hot(code, s, product)]
    if not nest:
        return None
    chain = [nest[0]]
    for s in nest[1:]:
        if s[0] <= chain[-1][0] and s[1] >= chain[-1][1] and not hot(code, chain[-1], end):
            chain.append(s)
    if not hot(code, chain[-1], end):
        return None
    here = hot(code, chain[0], product)
    if needs % here:
        return None
    runs = needs // here
    if len(chain) == 1:
        return size(chain[0]) * runs
    total, rest = size(chain[0]) * runs, chain[1:]
    if len(rest) == 2:
        total += (size(rest[0]) - size(chain[0])) * middle
    return total + size(rest[-1]) - size(rest[-2] if len(rest) == 2 else chain[0])


def straight(code, rounds):
    """A function that takes blocks of eight rows apart: a loop over the rows with, perhaps, one over sub-blocks inside."""
    spans = loops(code)
    if not spans:
        return len(code)
    outer = spans[-1]
    n = (outer[1] - outer[0] + 1) * 8
    for s in spans[:-1]:
        n += (s[1] - s[0] + 1) * (rounds - 1) * 8
    return n + len(code) - (outer[1] - outer[0] + 1)


# type, elements of a block and of a sub-block, has minima, names: rows_ and pack_, tiles_ here; run_, few_ and tile_ in AVX2
TYPES = [("Q2_K", 256, 16, "q2_k", "16_min", "q2k", "q2k"), ("Q3_K", 256, 16, "q3_k", "16", "less16", "q3k"), ("Q4_K", 256, 32, "q4_k", "32_min", "q4k", "q4k"),
         ("Q5_K", 256, 32, "q5_k", "32_min", "q5k", "q5k"), ("Q6_K", 256, 16, "q6_k", "16", "less16", "q6k"), ("IQ4_XS", 256, 32, "iq4_xs", "32", "iq4xs", "iq4xs"),
         ("Q4_0", 32, 32, "q4_0", "small", "less", "q40"), ("Q4_1", 32, 32, "q4_1", "small_min", "q4_1", "q41"), ("Q5_0", 32, 32, "q5_0", "small", "less", "q50"),
         ("Q5_1", 32, 32, "q5_1", "small_min", "q5_1", "q51"), ("Q8_0", 32, 32, "q8_0", "small", "byte", "q80"),
         ("IQ4_NL", 32, 32, "iq4_nl", "small", "byte", "iq4nl"), ("MXFP4", 32, 32, "mxfp4", "small", "less", "mxfp4")]


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    dump = os.environ.get("ARM_OBJDUMP", "aarch64-linux-gnu-objdump")
    arm = {f: functions("%s/arm/kernels/cpu/mat_%s.o" % (build, f), dump) for f in ("neon", "dotprod", "i8mm")}
    own = "%s/kernels/cpu/mat_avx2.o" % build
    x86 = functions(own, "objdump") if os.path.exists(own) else None
    say = lambda n, per: "?" if n is None else "%.0f" % (n / per)
    print("| type | 1 row: neon | dotprod | avx2 | 4 rows of many: dotprod | i8mm | avx2 | taken apart: dotprod | i8mm | avx2 |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    bad = 0
    for name, elems, sub, rows, tiles, run, tile in TYPES:
        per = 256 // elems                              # blocks that 256 weights are
        n16 = elems // 16                               # sixteens of a block
        cell = [say(block(arm["neon"]["rows_%s_1" % rows], "sadalp$", 4 * n16, 4) , 4 / per),
                say(block(arm["dotprod"]["rows_%s_1" % rows], "sdot$", 4 * n16, 4), 4 / per)]
        # AVX2: one row as it lies in memory, 32 bytes a product, or sixteen rows by four bytes and three rows of activations
        parts = straight(x86["tile_" + tile], elems // sub) if x86 else None
        one = block(x86["few_%s_1" % tile], "vpmaddubsw$", elems // 4, elems // sub) if x86 else None
        many = block(x86["run_%s_3" % run], "vpmaddubsw$", elems * 3 // 2, elems // sub) if x86 else None
        cell += [say(one, 8 / per)]
        cell += [say(block(arm["dotprod"]["tiles_%s_4" % tiles], "sdot$", 2 * elems, elems // sub), 32 / per),
                 say(block(arm["i8mm"]["tiles_%s_4" % tiles], "smmla$", elems, elems // sub), 32 / per), say(many, 48 / per)]
        cell += [say(straight(arm[f]["pack_" + rows], elems // sub), 8 / per) for f in ("dotprod", "i8mm")] + [say(parts, 8 / per)]
        for f, code in (("neon", "rows_%s_1" % rows), ("dotprod", "rows_%s_1" % rows), ("dotprod", "tiles_%s_4" % tiles), ("i8mm", "tiles_%s_4" % tiles)):
            product = {"neon": "sadalp$", "dotprod": "sdot$", "i8mm": "smmla$"}[f]
            if not any(re.match(product, op) for _, op, _ in arm[f][code]):
                print("%s of mat_%s.c multiplies without %s" % (code, f, product[:-1]))
                bad += 1
        print("| %s | %s |" % (name, " | ".join(cell)))
    return bad > 0


sys.exit(main())
