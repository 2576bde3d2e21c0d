#!/usr/bin/env python3
"""Makes tests/golden/types/NAME.bin with the gguf package (pip install gguf numpy).
Decode: int32 elements, int32 bytes, the encoded bytes, float32 values.
Encode (enc_NAME.bin): int32 elements, int32 bytes, float32 values, the encoded bytes.
Blocks are random bytes; the first ones have the scales 0, the smallest subnormal, the largest finite and -0.
"""
import os
import struct
import sys

import gguf
import numpy as np

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "types")
rng = np.random.default_rng(20260101)
T = gguf.GGMLQuantizationType
SCALES = {  # offsets of the half floats of a block
    "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2],
    "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}
EXTREME = [0x0000, 0x0001, 0x7BFF, 0x8000, 0x83FF, 0xFBFF, 0x03FF, 0x3C00]


def write(name, n, *parts):
    with open(os.path.join(out, name + ".bin"), "wb") as f:
        f.write(struct.pack("<ii", n, len(parts[0]) if not name.startswith("enc_") else len(parts[1])))
        for p in parts:
            f.write(p)


def main():
    os.makedirs(out, exist_ok=True)
    for name, offsets in SCALES.items():
        t = T[name]
        block, size = gguf.GGML_QUANT_SIZES[t]
        n_blocks = 48 if block == 32 else 16
        raw = rng.integers(0, 256, (n_blocks, size), dtype=np.uint8)
        for b in range(n_blocks):
            for o in offsets:
                v = EXTREME[b] if b < len(EXTREME) else int(np.float16(rng.normal() * 10 ** rng.uniform(-5, 2)).view(np.uint16))
                raw[b, o:o + 2] = np.frombuffer(struct.pack("<H", v), np.uint8)
        y = gguf.quants.dequantize(raw, t)
        write(name, y.size, raw.tobytes(), y.astype("<f4").tobytes())
    for name in ("F16", "BF16"):
        raw = rng.integers(0, 65536, 2048, dtype=np.uint16)
        raw = raw[~np.isnan(gguf.quants.dequantize(raw.view(np.uint8), T[name]).ravel())] if name == "BF16" else \
            raw[~np.isnan(raw.view(np.float16))]
        raw = raw[:1024]
        y = gguf.quants.dequantize(raw.view(np.uint8), T[name])
        write(name, y.size, raw.tobytes(), y.astype("<f4").tobytes())

    x = rng.normal(size=(24, 32)) * 10.0 ** rng.uniform(-7, 3, (24, 1))
    x[0] = 0
    x[1] = -0.0
    x[2, :4] = [127, 63.5, -0.5, 1.5]            # halves: rounded away from zero
    x[2, 4:] = 0
    x[3] = 1e-9
    x[4] = 5
    x[5, 7] = x[5, 9] * -1
    x = x.astype(np.float32)
    for name in ("Q8_0", "Q4_0", "Q4_1", "F16", "BF16", "F32"):
        src = x
        if name in ("F16", "BF16"):
            bits = rng.integers(0, 2 ** 32, 512, dtype=np.uint32)
            src = np.concatenate([x.ravel(), np.array([65519, 65520, 65504, 6e-8, 2.9e-8, 2.98023224e-8, 3e-8, 6.1e-5, np.inf, -np.inf]),
                                  rng.normal(size=256) * 1e-5, bits.view(np.float32)[~np.isnan(bits.view(np.float32))]]).astype(np.float32)
        with np.errstate(over="ignore"):
            e = gguf.quants.quantize(src, T[name])
        write("enc_" + name, src.size, src.astype("<f4").tobytes(), e.tobytes())
    print(sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out)), "bytes")


if __name__ == "__main__":
    sys.exit(main())
