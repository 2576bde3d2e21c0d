#!/usr/bin/env python3
"""Makes tests/golden/types/NAME.bin with the gguf package (pip install gguf numpy); with "check", compares instead.
Decode: int32 elements, int32 bytes, the encoded bytes, float32 values.
Encode (enc_NAME.bin): int32 elements, int32 bytes, float32 values, the encoded bytes.
Blocks are random bytes; the first ones have the scales 0, the smallest subnormal, the largest finite and -0.
Types of few bits (crc_NAME.bin): int32 elements, int32 bytes, the encoded bytes, and instead of values the CRC-32 of each
block's; their blocks go through every row of a grid, every exponent and every byte of base 3 besides random ones.
Each type has a seed of its own, so that a new row changes no old file: a place in the stream of one generator.
"""
import gzip
import os
import struct
import sys
import tempfile
import zlib

import gguf
import numpy as np

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "types")
T = gguf.GGMLQuantizationType
# name: offsets of the half floats of a block (columns d and m of kernels/types.def), seed. A new row: 1000000 * its id.
BLOCKS = {
    "Q8_0": ([0], 0), "Q4_0": ([0], 284), "Q4_1": ([0, 2], 472), "Q5_0": ([0], 752), "Q5_1": ([0, 2], 964), "Q4_K": ([0, 2], 1268),
    "Q5_K": ([0, 2], 1589), "Q6_K": ([208], 1973), "IQ4_NL": ([0], 2411), "IQ4_XS": ([0], 2599),
}
# name: offset of the half float, or None; how the blocks behind the random ones are made
FEW = {
    "Q2_K": (80, None), "Q3_K": (108, None), "IQ2_XXS": (0, "iq2_xxs"), "IQ2_XS": (0, "iq2_xs"), "IQ2_S": (0, "iq2_s"), "IQ3_XXS": (0, "iq3_xxs"),
    "IQ3_S": (0, "iq3_s"), "IQ1_S": (0, "iq1_s"), "IQ1_M": (None, "iq1_m"), "TQ1_0": (52, "tq1_0"), "TQ2_0": (64, None),
    "MXFP4": (None, "mxfp4"), "NVFP4": (None, "nvfp4"),
}
FLOATS = {"F16": 2887, "BF16": 3399}
ENCODED = {"Q8_0": 0, "Q4_0": 0, "Q4_1": 0, "MXFP4": 0, "F32": 0, "F16": 4717, "BF16": 5238}   # 0: nothing random beside the common values
VALUES = 3911
EXTREME = [0x0000, 0x0001, 0x7BFF, 0x8000, 0x83FF, 0xFBFF, 0x03FF, 0x3C00]


def at(seed):
    rng = np.random.default_rng(20260101)
    rng.bit_generator.advance(seed)
    return rng


def write(out, name, n, *parts):
    with gzip.GzipFile(os.path.join(out, name + ".bin.gz"), "wb", mtime=0) as f:         # tests/packed.h
        f.write(struct.pack("<ii", n, len(parts[0]) if not name.startswith("enc_") else len(parts[1])))
        for p in parts:
            f.write(p)


def block(out, name):
    offsets, seed = BLOCKS[name]
    t, rng = T[name], at(seed)
    elements, size = gguf.GGML_QUANT_SIZES[t]
    n_blocks = 48 if elements == 32 else 16
    raw = rng.integers(0, 256, (n_blocks, size), dtype=np.uint8)
    for b in range(n_blocks):
        for o in offsets:
            v = EXTREME[b] if b < len(EXTREME) else int(np.float16(rng.normal() * 10 ** rng.uniform(-5, 2)).view(np.uint16))
            raw[b, o:o + 2] = np.frombuffer(struct.pack("<H", v), np.uint8)
    y = gguf.quants.dequantize(raw, t)
    write(out, name, y.size, raw.tobytes(), y.astype("<f4").tobytes())


def every(how, rng):
    """Blocks in which each row of a grid, each exponent or each byte stands once, under scales and signs that change."""
    at = np.arange(32, dtype=np.uint8)

    def put(size, b, *parts):
        raw = np.zeros(size, np.uint8)
        raw[:2] = np.frombuffer(struct.pack("<H", 0x3C01 + b), np.uint8)
        for o, p in parts:
            p = np.asarray(p)
            raw[o:o + p.nbytes] = p.view(np.uint8)
        return raw

    def random(n):
        return rng.integers(0, 256, n, dtype=np.uint8)

    if how == "iq2_xxs":     # eight times: four rows, signs and scale
        return [put(66, b, (2, np.concatenate([np.concatenate([at[4 * j:4 * j + 4] + np.uint8(32 * b), random(4)]) for j in range(8)]).astype(np.uint8))) for b in range(8)]
    if how == "iq2_xs":
        return [put(74, b, (2, at.astype(np.uint16) + 32 * b | rng.integers(0, 128, 32).astype(np.uint16) << 9), (66, random(8))) for b in range(16)]
    if how == "iq2_s":
        return [put(82, b, (2, at + np.uint8(32 * (b & 7))), (34, random(32)), (66, np.full(8, 85 * (b >> 3), np.uint8)), (74, random(8))) for b in range(32)]
    if how == "iq3_xxs":
        return [put(98, b, (2, np.arange(64, dtype=np.uint8) + np.uint8(64 * b)), (66, random(32))) for b in range(4)]
    if how == "iq3_s":
        return [put(110, b, (2, np.arange(64, dtype=np.uint8) + np.uint8(64 * (b & 3))), (66, np.full(8, 255 * (b >> 2), np.uint8)), (74, random(36))) for b in range(8)]
    if how == "iq1_s":
        return [put(50, b, (2, at + np.uint8(32 * (b & 7))), (34, np.full(8, 585 * (b >> 3), np.uint16) | rng.integers(0, 16, 8).astype(np.uint16) << 12)) for b in range(64)]
    if how == "iq1_m":       # its half float: 0x3c01 + b in the top nibbles of four words
        d = [np.array([(0x3C01 + b >> 4 * i & 15) << 12 for i in range(4)], np.uint16) | rng.integers(0, 4096, 4).astype(np.uint16) for b in range(64)]
        return [put(56, b, (0, at + np.uint8(32 * (b & 7))), (32, np.full(16, 17 * (b >> 3), np.uint8) | random(16) & 0x88), (48, d[b])) for b in range(64)]
    if how == "tq1_0":
        return [put(54, b, (0, (np.arange(52) + 52 * b & 255).astype(np.uint8)), (52, np.array([0x3C01 + b], np.uint16))) for b in range(5)]
    if how == "mxfp4":
        return [put(17, b, (0, np.concatenate([[b], np.arange(16) * 17 + 1 & 255]).astype(np.uint8))) for b in range(256)]
    if how == "nvfp4":
        return [put(36, b, (0, np.concatenate([np.arange(4) + 4 * b, np.arange(32) * 23 + 1 & 255]).astype(np.uint8))) for b in range(64)]
    return []


def few(out, name):
    offset, how = FEW[name]
    t = T[name]
    rng = at(1000000 * int(t))
    elements, size = gguf.GGML_QUANT_SIZES[t]
    raw = rng.integers(0, 256, (10, size), dtype=np.uint8)
    for b in range(len(raw) if offset is not None else 0):
        offsets = [offset] if name != "Q2_K" else [offset, offset + 2]
        for o in offsets:
            raw[b, o:o + 2] = np.frombuffer(struct.pack("<H", EXTREME[(b + o) % len(EXTREME)] if b < 8 else 0x2E66), np.uint8)
    if name == "IQ1_M":
        for b in range(len(raw)):
            for i in range(4):
                raw[b, 49 + 2 * i] = raw[b, 49 + 2 * i] & 15 | ((EXTREME[b % 8] if b < 8 else 0x2E66) >> 4 * i & 15) << 4
    raw = np.array(list(raw) + every(how, rng), np.uint8)
    with np.errstate(over="ignore"):
        y = gguf.quants.dequantize(raw, t).astype("<f4")
    assert y.shape == (len(raw), elements) and not np.isnan(y).any()
    sums = np.array([zlib.crc32(row.tobytes()) for row in y], "<u4")
    write(out, "crc_" + name, y.size, raw.tobytes(), sums.tobytes())


def number(out, name):
    raw = at(FLOATS[name]).integers(0, 65536, 2048, dtype=np.uint16)
    raw = raw[~np.isnan(gguf.quants.dequantize(raw.view(np.uint8), T[name]).ravel())] if name == "BF16" else raw[~np.isnan(raw.view(np.float16))]
    raw = raw[:1024]
    y = gguf.quants.dequantize(raw.view(np.uint8), T[name])
    write(out, name, y.size, raw.tobytes(), y.astype("<f4").tobytes())


def encoded(out, name):
    rng = at(VALUES)
    x = rng.normal(size=(24, 32)) * 10.0 ** rng.uniform(-7, 3, (24, 1))
    x[0] = 0
    x[1] = -0.0
    x[2, :4] = [127, 63.5, -0.5, 1.5]            # halves: rounded away from zero
    x[2, 4:] = 0
    x[3] = 1e-9
    x[4] = 5
    x[5, 7] = x[5, 9] * -1
    src = x.astype(np.float32)
    if ENCODED[name]:
        rng = at(ENCODED[name])
        bits = rng.integers(0, 2 ** 32, 512, dtype=np.uint32)
        src = np.concatenate([src.ravel(), np.array([65519, 65520, 65504, 6e-8, 2.9e-8, 2.98023224e-8, 3e-8, 6.1e-5, np.inf, -np.inf]),
                              rng.normal(size=256) * 1e-5, bits.view(np.float32)[~np.isnan(bits.view(np.float32))]]).astype(np.float32)
    with np.errstate(over="ignore"):
        e = gguf.quants.quantize(src, T[name])
    write(out, "enc_" + name, src.size, src.astype("<f4").tobytes(), e.tobytes())


def make(out):
    for make_one, names in ((block, BLOCKS), (few, FEW), (number, FLOATS), (encoded, ENCODED)):
        for name in names:
            make_one(out, name)


def main(args):
    if args != ["check"]:
        os.makedirs(HERE, exist_ok=True)
        make(HERE)
        return 0
    with tempfile.TemporaryDirectory() as t:
        make(t)
        read = lambda d, f: gzip.open(os.path.join(d, f), "rb").read()
        wrong = [f for f in sorted(os.listdir(HERE)) if not os.path.exists(os.path.join(t, f)) or read(t, f) != read(HERE, f)]
    print("\n".join(wrong) if wrong else "the same bytes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
