#!/usr/bin/env python3
"""Fifty steps of training by PyTorch beside quorum's: curve.py QUORUM MODEL.gguf FOLDER. A forward pass of qwen3moe written from its definition (the
formulas are those of kernels/kernels.h) over the GGUF's own F32 weights, adapters on attention and routed experts, torch.optim.AdamW, five batches
in turn. Prints the largest difference of the losses; exit status 1 above 1e-3."""
import json
import struct
import subprocess
import sys

import torch

torch.set_num_threads(1)
STEPS, BATCHES, RANK, ALPHA, LR, DECAY = 50, 5, 4, 8.0, 2e-3, 0.01
SIZES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def read_gguf(path):
    """(keys, tensors by name as float32), of a file whose weights are all F32."""
    raw, at = open(path, "rb").read(), 0

    def take(form):
        nonlocal at
        v = struct.unpack_from("<" + form, raw, at)
        at += struct.calcsize("<" + form)
        return v[0] if len(v) == 1 else v

    def text():
        nonlocal at
        n = take("Q")
        at += n
        return raw[at - n:at].decode("utf-8", "replace")

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            item, n = take("I"), take("Q")
            return [value(item) for _ in range(n)]
        return take(SIZES[kind])

    assert raw[:4] == b"GGUF"
    at = 8
    n_tensor, n_key = take("QQ")
    keys = {}
    for _ in range(n_key):
        name = text()
        keys[name] = value(take("I"))
    rows = []
    for _ in range(n_tensor):
        name, dims = text(), take("I")
        ne = [take("Q") for _ in range(dims)]
        kind, offset = take("IQ")
        assert kind == 0, "%s is of type %d" % (name, kind)
        rows.append((name, ne, offset))
    align = keys.get("general.alignment", 32)
    base = (at + align - 1) // align * align
    out = {}
    for name, ne, offset in rows:
        n = 1
        for x in ne:
            n *= x
        out[name] = torch.tensor(struct.unpack_from("<%df" % n, raw, base + offset)).reshape(list(reversed(ne)))
    return keys, out


def write_adapter(path, tensors):
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()
    keys = [text("general.type") + struct.pack("<I", 8) + text("adapter"), text("general.architecture") + struct.pack("<I", 8) + text("qwen3moe"),
            text("adapter.type") + struct.pack("<I", 8) + text("lora"), text("adapter.lora.alpha") + struct.pack("<If", 6, ALPHA)]
    head, data = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys), b""
    for name, t in tensors.items():
        head += text(name) + struct.pack("<I", t.dim()) + b"".join(struct.pack("<Q", x) for x in reversed(t.shape)) + struct.pack("<IQ", 0, len(data))
        flat = t.detach().reshape(-1).tolist()
        data += struct.pack("<%df" % len(flat), *flat)
        data += b"\0" * (-len(data) % 32)
    head += b"\0" * (-len(head) % 32)
    open(path, "wb").write(head + data)


class Model:
    def __init__(self, path):
        k, self.w = read_gguf(path)
        p = "qwen3moe."
        self.layers, self.heads, self.kv = k[p + "block_count"], k[p + "attention.head_count"], k[p + "attention.head_count_kv"]
        self.dim = k.get(p + "attention.key_length", k[p + "embedding_length"] // self.heads)
        self.eps, self.theta, self.used = k[p + "attention.layer_norm_rms_epsilon"], k.get(p + "rope.freq_base", 10000.0), k[p + "expert_used_count"]
        self.vocab = self.w["token_embd.weight"].shape[0]
        torch.manual_seed(11)
        self.lora = {}
        for layer in range(self.layers):
            for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"):
                full = "blk.%d.%s.weight" % (layer, name)
                shape = self.w[full].shape
                lead = list(shape[:-2])
                a = (torch.rand(lead + [RANK, shape[-1]]) * 2 - 1) / shape[-1] ** .5
                self.lora[full + ".lora_a"] = a.requires_grad_()
                self.lora[full + ".lora_b"] = (torch.randn(lead + [shape[-2], RANK]) * .02).requires_grad_()

    def mul(self, name, x, expert=None):
        full = name + ".weight"
        w, a, b = self.w[full], self.lora.get(full + ".lora_a"), self.lora.get(full + ".lora_b")
        if expert is not None:
            w, a, b = w[expert], a[expert], b[expert]
        y = x @ w.T
        return y if a is None else y + ALPHA / RANK * ((x @ a.T) @ b.T)

    def norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.w[name]

    def rope(self, x):
        half = self.dim // 2
        angle = torch.arange(x.shape[0], dtype=torch.float32)[:, None] * (self.theta ** (-torch.arange(half, dtype=torch.float32) * 2 / self.dim))[None, :]
        cos, sin = angle.cos()[:, None, :], angle.sin()[:, None, :]
        a, b = x[..., :half], x[..., half:]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def attention(self, n, x):
        t, p = x.shape[0], "blk.%d." % n
        y = self.norm(x, p + "attn_norm.weight")
        q, k = self.mul(p + "attn_q", y).view(t, self.heads, self.dim), self.mul(p + "attn_k", y).view(t, self.kv, self.dim)
        v = self.mul(p + "attn_v", y).view(t, self.kv, self.dim)
        q, k = self.rope(self.norm(q, p + "attn_q_norm.weight")), self.rope(self.norm(k, p + "attn_k_norm.weight"))
        group = self.heads // self.kv
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        s = torch.einsum("ihd,jhd->hij", q, k) / self.dim ** .5
        s = s.masked_fill(torch.triu(torch.ones(t, t, dtype=torch.bool), 1), float("-inf"))
        o = torch.einsum("hij,jhd->ihd", s.softmax(-1), v).reshape(t, -1)
        return x + self.mul(p + "attn_output", o)

    def experts(self, n, x):
        p = "blk.%d." % n
        y = self.norm(x, p + "ffn_norm.weight")
        gate = (y @ self.w[p + "ffn_gate_inp.weight"].T).softmax(-1)
        w, ids = gate.topk(self.used, -1)
        w = w / w.sum(-1, keepdim=True)
        out = torch.zeros_like(x)
        for e in ids.unique().tolist():
            row, slot = (ids == e).nonzero(as_tuple=True)
            h = torch.nn.functional.silu(self.mul(p + "ffn_gate_exps", y[row], e)) * self.mul(p + "ffn_up_exps", y[row], e)
            out = out.index_add(0, row, w[row, slot][:, None] * self.mul(p + "ffn_down_exps", h, e))
        return x + out

    def loss(self, batch):
        total, count = 0, 0
        for tokens, mask in zip(batch["tokens"], batch["mask"]):
            x = self.w["token_embd.weight"][torch.tensor(tokens)]
            for n in range(self.layers):
                x = self.experts(n, self.attention(n, x))
            head = self.w.get("output.weight", self.w["token_embd.weight"])
            logp = (self.norm(x, "output_norm.weight") @ head.T).log_softmax(-1)
            at = torch.tensor([i for i in range(1, len(tokens)) if mask[i]])
            total = total - logp[at - 1, torch.tensor(tokens)[at]].sum()
            count += len(at)
        return total / count


def main():
    quorum, path, folder = sys.argv[1:4]
    m = Model(path)
    g = torch.Generator().manual_seed(5)
    batches, names = [], []
    for i in range(BATCHES):
        lengths = [12 + 5 * i, 20 - 2 * i, 9]
        tokens = [torch.randint(0, m.vocab, (n,), generator=g).tolist() for n in lengths]
        batches.append({"tokens": tokens, "mask": [[int(k >= n // 3) for k in range(n)] for n in lengths]})
        names.append("%s/batch%d.json" % (folder, i))
        json.dump({"sft": batches[-1]}, open(names[-1], "w"))
    write_adapter(folder + "/init.gguf", m.lora)
    out = subprocess.run([quorum, "train", "run", "-m", path, "--init", folder + "/init.gguf", "--steps", str(STEPS), "--lr", str(LR), "--weight-decay", str(DECAY), "--out",
                          folder + "/final.gguf", "--json"] + [x for n in names for x in ("--batch", n)], check=True, capture_output=True, text=True).stdout
    have = [e["loss"] for e in map(json.loads, out.splitlines()) if e["event"] == "train_loss"]
    optimiser = torch.optim.AdamW(m.lora.values(), lr=LR, weight_decay=DECAY)
    want = []
    for step in range(STEPS + 1):
        loss = m.loss(batches[step % BATCHES])
        want.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert len(have) == STEPS + 1, len(have)
    off = max(abs(a - b) for a, b in zip(have, want))
    print("PyTorch %s: the loss goes from %.4f to %.4f, the largest difference of %d losses is %.2g" % (torch.__version__, want[0], want[-1], len(want), off))
    return 0 if off < 1e-3 and want[-1] < want[0] else 1


if __name__ == "__main__":
    sys.exit(main())
