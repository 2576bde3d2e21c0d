#!/usr/bin/env python3
"""A forward pass of our own, in numpy and double precision: what the engine's goldens mean.

    ref.py check DIR...           the goldens of DIR (model.gguf or model.gguf.gz, cases.json, CASE.f32,
                                  CASE.routing.json) come out of this pass too
    ref.py new ARCH DIR [SEED]    a tiny random model of an architecture, its cases, and their goldens
    ref.py tiny ARCH DIR [SEED]   the same, still smaller and packed, with few cases and rows: to be checked in
    ref.py make DIR               the goldens of the cases in DIR/cases.json, for a model that is there
    ref.py against QUORUM DIR...  what this program evaluates for the cases of DIR is what this pass says
    ref.py pins OUT.json          choices of a router under pins (tests/golden/engine/pins.json)

A new architecture is a row of ARCH here and one in engine/run/arch.c; `ref.py new` then makes its golden without
PyTorch and without anybody's weights. Formulas: the papers and transformers' modelling files of each family; YaRN as in
engine/run/rope.c. Exit 1 and a line "not ok" where numbers differ by more than the tests allow."""
import gzip
import json
import os
import random
import struct
import subprocess
import sys

import numpy as np

import ref_delta

# rope: pairs (i, i + d/2) or adjacent; bias: of Q, K, V; gate; renorm: chosen weights divided by their sum, unless the
# file says otherwise; shared: a shared expert, gated by its own router or not; select: a bias for choosing only;
# qk_norm: of each head or ("whole") of all at once; fused: Q, K, V in one tensor, gate and up in another; scales:
# Granite's four multipliers; window: with attention.sliding_window, of so many layers the last sees all (0: every layer
# slides); local: sliding layers have a rope of their own; biases: of the output, the router and the experts; latent: MLA, the file's
# K and V of it in one tensor (kv_b, older files) or in two
ARCH = {
    "qwen3moe": dict(half=True, qk_norm="head", moe=True, gate="softmax", renorm=True),
    "qwen3": dict(half=True, qk_norm="head"),
    "llama": dict(half=False),
    "mixtral": dict(half=False, moe=True, gate="softmax", renorm=True, of="llama"),     # a llama file with experts
    "qwen2": dict(half=True, bias=True),
    "qwen2moe": dict(half=True, bias=True, moe=True, gate="softmax", renorm=False, shared="gated"),
    "olmoe": dict(half=True, qk_norm="whole", moe=True, gate="softmax", renorm=False),
    "granitemoe": dict(half=False, moe=True, gate="softmax", renorm=True, scales=True),
    "phi3": dict(half=True, fused=True),
    "gemma3": dict(half=True, qk_norm="head", window=6, local=True, post=True, embd_root=True, glu="gelu"),
    "gpt-oss": dict(half=True, bias=True, biases=True, sinks=True, window=2, moe=True, gate="softmax", renorm=True, glu="clamped",
                    ffn_norm="post_attention_norm"),
    "glm4moe": dict(half=True, bias=True, moe=True, gate="sigmoid", renorm=True, shared="plain", select=True,
                    ffn_norm="post_attention_norm", leading=1),
    "deepseek2": dict(half=False, latent=True, moe=True, gate="softmax", renorm=False, shared="plain", select=True, leading=1, mtp=1),
    "deepseek2-lite": dict(half=False, latent=True, moe=True, gate="softmax", renorm=False, shared="plain", leading=1, kv_b=True, mtp=1, of="deepseek2"),
    # GLM-4.5: more dense layers before the others, norms of Q and K, one group, a layer that only predicts further tokens
    "glm4moe-full": dict(half=True, bias=True, qk_norm="head", moe=True, gate="sigmoid", renorm=True, shared="plain", select=True,
                         ffn_norm="post_attention_norm", leading=2, mtp=1, groups=(1, 1), of="glm4moe"),
    "glm4moe-groups": dict(half=True, bias=True, moe=True, gate="sigmoid", renorm=True, shared="plain", select=True,
                           ffn_norm="post_attention_norm", leading=1, groups=(4, 2), of="glm4moe"),
}
ARCH.update(ref_delta.ARCH)


def row_of(kv):
    """The row of a file: some architectures have several."""
    arch = kv["general.architecture"]
    if arch == "llama" and kv.get("llama.expert_count"):
        return ARCH["mixtral"]
    return ARCH["glm4moe-full" if kv.get("glm4moe.nextn_predict_layers") else arch]


# ---- files ----

class Model:
    """A GGUF file of F32 tensors: keys in .kv (without the architecture's prefix in .key), tensors by name, [out][in]."""

    def __init__(self, path):
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
            self.bytes = f.read()
        self.at = 4
        version, n_tensor, n_kv = self.take("I"), self.take("Q"), self.take("Q")
        assert self.bytes[:4] == b"GGUF" and version in (2, 3), path
        self.kv = {}
        for _ in range(n_kv):
            name = self.string()
            self.kv[name] = self.value(self.take("I"))
        infos = []
        for _ in range(n_tensor):
            name, dims = self.string(), self.take("I")
            infos.append((name, [self.take("Q") for _ in range(dims)], self.take("I"), self.take("Q")))
        align = self.kv.get("general.alignment", 32)
        data = (self.at + align - 1) // align * align
        self.tensor = {}
        for name, ne, kind, offset in infos:
            assert kind == 0, "%s: only F32 tensors are read here" % name
            n = int(np.prod(ne))
            v = np.frombuffer(self.bytes, "<f4", n, data + offset).astype(np.float64)
            self.tensor[name] = v.reshape(ne[::-1])
        self.arch = self.kv["general.architecture"]
        self.row = dict(bias=False, moe=False, qk_norm=None)
        self.row.update(row_of(self.kv))

    def take(self, fmt):
        v = struct.unpack_from("<" + fmt, self.bytes, self.at)[0]
        self.at += struct.calcsize("<" + fmt)
        return v

    def string(self):
        n = self.take("Q")
        s = self.bytes[self.at:self.at + n]
        self.at += n
        return s.decode("utf-8", "replace")

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            item, n = self.take("I"), self.take("Q")
            return [self.value(item) for _ in range(n)]
        return self.take({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])

    def key(self, name, otherwise=None):
        v = self.kv.get("%s.%s" % (self.arch, name), otherwise)
        assert v is not None, name
        return v

    def weight(self, layer, name):
        return self.tensor.get("blk.%d.%s" % (layer, name))


# ---- the pass ----

def norm(x, w, eps):
    return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps) * w


def silu(x):
    return x / (1 + np.exp(-x))


def glu(kind, gate, up):
    """silu(gate) * up; Gemma's tanh form of GELU (modeling_gemma3.py: gelu_pytorch_tanh); gpt-oss's clamped one (modeling_gpt_oss.py)."""
    if kind == "gelu":
        return 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate ** 3))) * up
    if kind == "clamped":
        gate, up = np.minimum(gate, 7), np.clip(up, -7, 7)
        return gate / (1 + np.exp(-1.702 * gate)) * (up + 1)
    return silu(gate) * up


def yarn_factor(m, settings):
    """By how much YaRN stretches, 1 where it does not act."""
    scaling = settings.get("rope.scaling", m.key("rope.scaling.type", "none"))
    return max(settings.get("rope.factor", m.key("rope.scaling.factor", 1.0)), 1.0) if scaling == "yarn" else 1.0


def latent_attention(m, layer, x, eps, f, settings):
    """DeepSeek-V2's (arXiv 2405.04434, equations 9 to 19), every head's K and V written out; scores under YaRN as modeling_deepseek.py
    has them (mscale_all_dim)."""
    w = lambda name: m.weight(layer, name)
    heads, rank, rope = m.key("attention.head_count"), m.key("attention.kv_lora_rank"), m.key("rope.dimension_count")
    head, dim = m.key("attention.key_length_mla", m.key("attention.key_length")), m.key("attention.value_length_mla", m.key("attention.value_length"))
    nope, n = head - rope, len(x)
    y = norm(x, w("attn_norm.weight"), eps)
    q = norm(y @ w("attn_q_a.weight").T, w("attn_q_a_norm.weight"), eps) @ w("attn_q_b.weight").T if m.key("attention.q_lora_rank", 0) else y @ w("attn_q.weight").T
    q = q.reshape(n, heads, head)
    both = y @ w("attn_kv_a_mqa.weight").T
    latent = norm(both[:, :rank], w("attn_kv_a_norm.weight"), eps)
    turned = rotate(both[:, None, rank:], m.row["half"], f, 1.0)[:, 0]
    q = np.concatenate([q[..., :nope], rotate(q[..., nope:], m.row["half"], f, 1.0)], -1)
    if w("attn_kv_b.weight") is not None:
        kv = w("attn_kv_b.weight").reshape(heads, nope + dim, rank)
        k_b, v_b = kv[:, :nope], kv[:, nope:]
    else:
        k_b, v_b = w("attn_k_b.weight").transpose(0, 2, 1), w("attn_v_b.weight")
    grown = 1 + m.key("rope.scaling.yarn_log_multiplier", 0.0) * np.log(yarn_factor(m, settings))
    out = np.zeros((n, heads, dim))
    for h in range(heads):
        k = np.concatenate([latent @ k_b[h].T, turned], -1)
        s = q[:, h] @ k.T * (grown ** 2 / np.sqrt(head))
        s[np.triu_indices(n, 1)] = -np.inf
        p = np.exp(s - s.max(1, keepdims=True))
        out[:, h] = p / p.sum(1, keepdims=True) @ (latent @ v_b[h].T)
    for h in spread(settings, "attention.heads_off", layer, heads):
        out[:, h] = 0
    return joined(m, x, out.reshape(n, -1) @ w("attn_output.weight").T, None, eps)


def frequencies(m, settings, n):
    """Inverse frequencies for a text of n tokens, and what cos and sin are multiplied by."""
    dim = m.key("rope.dimension_count")
    theta = settings.get("rope.theta", m.key("rope.freq_base", 10000.0))
    own = "longrope" if "rope_factors_long.weight" in m.tensor else m.key("rope.scaling.type", "none")
    scaling, factor = settings.get("rope.scaling", own), settings.get("rope.factor", m.key("rope.scaling.factor", 1.0))
    original = settings.get("rope.original_context", m.key("rope.scaling.original_context_length", m.key("context_length")))
    f = theta ** (-2.0 * np.arange(dim // 2) / dim)
    if scaling == "linear":
        return f / factor, 1.0
    if scaling == "longrope":
        s = m.key("context_length") / original
        return f / m.tensor["rope_factors_%s.weight" % ("long" if n > original else "short")], np.sqrt(1 + np.log(s) / np.log(original)) if s > 1 else 1.0
    if scaling != "yarn":
        return f, 1.0
    turn = lambda n: dim * np.log(original / (n * 2 * np.pi)) / (2 * np.log(theta))
    low, high = turn(32), turn(1)
    if settings.get("rope.yarn_range", "rounded") == "rounded":
        low, high = np.floor(low), np.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = np.clip((np.arange(dim // 2) - low) / (high - low if high > low else 0.001), 0, 1)
    return f / factor * ramp + f * (1 - ramp), 0.1 * np.log(factor) + 1 if factor > 1 else 1.0


def slides(m, layer):
    every = m.row.get("window", 0)
    return m.key("attention.sliding_window", 0) > 0 and (not every or layer % every != every - 1)


def rotate(x, half, f, scale):
    """x [token][head][dim]: the first 2 * len(f) numbers of each head turn."""
    n = len(f)
    a = np.arange(len(x))[:, None] * f
    cos, sin = np.cos(a)[:, None] * scale, np.sin(a)[:, None] * scale
    i, j = (slice(0, n), slice(n, 2 * n)) if half else (slice(0, 2 * n, 2), slice(1, 2 * n, 2))
    y = x.copy()
    y[..., i], y[..., j] = x[..., i] * cos - x[..., j] * sin, x[..., j] * cos + x[..., i] * sin
    return y


def joined(m, x, part, norm_of, eps):
    """What a part of a layer gives, into the stream."""
    if norm_of is not None:
        part = norm(part, norm_of, eps)
    return x + part * m.key("residual_scale", 1.0)


def attention(m, layer, x, eps, f, scale, settings):
    if m.row.get("latent"):
        return latent_attention(m, layer, x, eps, f, settings)
    w = lambda name: m.weight(layer, name)
    heads, kv_heads = m.key("attention.head_count"), m.key("attention.head_count_kv")
    dim, n, local = m.key("attention.key_length", x.shape[1] // heads), len(x), slides(m, layer)
    y = norm(x, w("attn_norm.weight"), eps)
    if local and m.row.get("local"):
        f, scale = m.key("rope.freq_base_swa", 10000.0) ** (-2.0 * np.arange(len(f)) / (2 * len(f))), 1.0
        f = f.astype(np.float32).astype(np.float64)
    part, at = [], 0
    for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
        p = y @ (w("attn_qkv.weight")[at:at + count * dim] if m.row.get("fused") else w("attn_%s.weight" % name)).T
        at += count * dim
        if m.row["bias"]:
            p = p + w("attn_%s.bias" % name)
        if m.row["qk_norm"] == "whole" and name != "v":
            p = norm(p, w("attn_%s_norm.weight" % name), eps)
        p = p.reshape(n, count, -1)
        if m.row.get("q_gate") and name == "q":
            p, gate = p[..., :dim], 1 / (1 + np.exp(-p[..., dim:]))
        if m.row["qk_norm"] == "head" and name != "v":
            p = norm(p, w("attn_%s_norm.weight" % name), eps)
        part.append(p if name == "v" else rotate(p, m.row["half"], f, scale))
    q, k, v = part
    out = np.zeros((n, heads, dim))
    for h in range(heads):
        g = h // (heads // kv_heads)
        s = q[:, h] @ k[:, g].T * m.key("attention.scale", 1 / np.sqrt(dim))
        s[np.triu_indices(n, 1)] = -np.inf
        if local:
            s[np.tril_indices(n, -m.key("attention.sliding_window"))] = -np.inf
        sink = w("attn_sinks.weight")[h] if m.row.get("sinks") else -np.inf
        top = np.maximum(s.max(1, keepdims=True), sink)
        p = np.exp(s - top)
        out[:, h] = p / (p.sum(1, keepdims=True) + np.exp(sink - top)) @ v[:, g]
    for h in spread(settings, "attention.heads_off", layer, heads):
        out[:, h] = 0
    if m.row.get("q_gate"):
        out = out * gate
    out = out.reshape(n, -1) @ w("attn_output.weight").T
    if m.row.get("biases"):
        out = out + w("attn_output.bias")
    return joined(m, x, out, w("post_attention_norm.weight") if m.row.get("post") else None, eps)


def grouped(value, best, pins, k, groups, n_best):
    """Of `best`, pins and the experts of the groups that count; and by how much the last of these groups led."""
    size, held, taken = len(value) // groups[0], 0, []
    inside = {g: [i for i in best if i // size == g and i not in pins] for g in range(groups[0])}
    score = {g: np.sort(value[g * size:(g + 1) * size])[-n_best:].sum() for g in inside if inside[g]}
    order = sorted(score, key=lambda g: (-score[g], g))
    while len(taken) < len(order) and (len(taken) < groups[1] or held < k - min(k, len(pins))):
        taken.append(order[len(taken)])
        held += len(inside[taken[-1]])
    led = score[taken[-1]] - score[order[len(taken)]] if taken and len(taken) < len(order) else np.inf
    return [i for i in best if i in pins or i // size in taken], led


def choose(logit, k, gate="softmax", renorm=True, scale=1.0, select=None, add=None, pins=(), bans=(), router_scale=0.0, forced=None,
           temperature=1.0, min_p=0.0, groups=(0, 0)):
    """One token's experts: ids in the order of choice, weights, and by how much the last chosen led.

    Edits act on the scores that decide: `add` on the logits before the gate, a ban is never chosen, a pin takes one of
    the k slots with its own gate value; of more pins than slots the best stay. Scores are divided by the temperature; of
    the chosen, those below min_p of the largest value are dropped, never a pin, and the others share the weight. In a carved model (router_scale) scores
    are (logit + 4 * select) / router_scale and every weight is 1. Equal scores: the lower id. groups: (n, used), only the
    experts of the `used` best groups may be chosen; a group's score is the sum of its two best behind a sigmoid, its best
    behind a softmax (modeling_deepseek_v3.py, modeling_deepseek_v2.py); more groups where those do not hold k."""
    s = np.array(logit, np.float64)
    if router_scale:
        s = (s + 4 * (select if select is not None else 0)) / router_scale
    if add is not None:
        s = s + add
    s = s / temperature
    banned = np.zeros(len(s), bool)
    banned[list(bans)] = True
    e = np.exp(np.where(banned, -np.inf, s) - s[~banned].max())
    value = np.ones(len(s)) if router_scale else e / e.sum() if gate == "softmax" else 1 / (1 + np.exp(-s))
    rank = s if router_scale or (gate == "softmax" and select is None) else value + (select if select is not None else 0)
    best = [i for i in np.argsort(-rank, kind="stable") if not banned[i]]
    k = min(k, len(best))
    if groups[0] > 1:
        best, led = grouped(np.where(banned, 0, value) + (select if select is not None else 0), best, [i for i in best if i in pins], k, groups, 2 if gate == "sigmoid" else 1)
    ids = list(forced) if forced is not None else [i for i in best if i in pins][:k]
    lead = led if groups[0] > 1 and forced is None else np.inf
    if forced is None:
        rest = [i for i in best if i not in pins]
        free = k - len(ids)
        ids += rest[:free]
        if 0 < free < len(rest):
            lead = min(lead, rank[rest[free - 1]] - rank[rest[free]])
    if forced is None and min_p > 0:
        edge = min_p * value[ids].max()
        lead = min([lead] + [abs(value[i] - edge) for i in ids if i not in pins])
        ids = [i for i in ids if i in pins or value[i] >= edge]
    w = value[ids]
    if not router_scale:
        w = w / max(w.sum(), 1e-20) * scale if renorm else w * scale
    return [int(i) for i in ids], w, lead


def spread(settings, name, layer, n_expert):
    """{"1:5": 2} or ["1:5"] of one layer."""
    v, out = settings.get(name, []), {}
    for item in v:
        at, e = item.split(":")
        if int(at) == layer:
            out[int(e)] = v[item] if isinstance(v, dict) else 1
    return out


def narrow(h, settings, layer, trace, of=0):
    """Of a part's neurons [token][n] ffn.width, the first or (":magnitude") a token's largest, of equals the first; 0: all.
    of: a shared part keeps the share that its width is of a routed expert's `of` neurons."""
    width, last = settings.get("ffn.width", 0), False
    if isinstance(width, str):
        width, last = width.removesuffix(":magnitude"), width.endswith(":magnitude")
        width = [int(v) for v in width.split(",")]
        width = width[0] if len(width) == 1 else width
    width = width[layer] if isinstance(width, list) else width
    n = h.shape[1]
    if of and width:
        width = 0 if width >= of else max((width * n + of // 2) // of, 1)
    if not width or width >= n:
        return h
    h = h.copy()
    for row in h:
        order = np.argsort(-np.abs(row), kind="stable") if last else np.arange(n)
        if last:
            size = np.abs(row[order])
            trace["width"] = min(trace["width"], (size[width - 1] - size[width]) / size[0])
        row[order[width:]] = 0
    return h


def experts(m, layer, x, y, settings, forced, trace):
    n_expert = m.key("expert_count")
    k = settings.get("experts.k", m.key("expert_used_count"))
    k = k[layer] if isinstance(k, list) else k
    gate = {1: "softmax", 2: "sigmoid"}.get(m.kv.get(m.arch + ".expert_gating_func"), m.row["gate"])
    w = lambda name: m.weight(layer, name)
    add = np.zeros(n_expert)
    for e, b in spread(settings, "experts.bias", layer, n_expert).items():
        add[e] = b
    logits = y @ w("ffn_gate_inp.weight").T
    if m.row.get("biases"):
        logits = logits + w("ffn_gate_inp.bias")
    ids, weights = [], []
    out = np.zeros_like(x)
    for t in range(len(x)):
        i, v, lead = choose(logits[t], k, gate, m.kv.get(m.arch + ".expert_weights_norm", m.row["renorm"]),
                            m.kv.get(m.arch + ".expert_weights_scale", 1.0), w("exp_probs_b.bias"), add,
                            spread(settings, "experts.pin", layer, n_expert), spread(settings, "experts.ban", layer, n_expert),
                            m.kv.get("quorum.router_scale", 0.0), forced[t] if forced else None,
                            settings.get("experts.temperature", 1.0), settings.get("experts.min_p", 0.0),
                            (m.key("expert_group_count", 0), m.key("expert_group_used_count", 0)))
        for e, a in zip(i, v):
            bias = lambda name: w(name + ".bias")[e] if m.row.get("biases") else 0
            h = glu(m.row.get("glu"), w("ffn_gate_exps.weight")[e] @ y[t] + bias("ffn_gate_exps"), w("ffn_up_exps.weight")[e] @ y[t] + bias("ffn_up_exps"))
            out[t] += a * (w("ffn_down_exps.weight")[e] @ narrow(h[None], settings, layer, trace)[0] + bias("ffn_down_exps"))
        ids.append(i)
        weights.append([float(a) for a in v])
        trace["lead"] = min(trace["lead"], lead)
    if m.row.get("shared"):
        h = silu(y @ w("ffn_gate_shexp.weight").T) * (y @ w("ffn_up_shexp.weight").T)
        part = narrow(h, settings, layer, trace, w("ffn_gate_exps.weight").shape[1]) @ w("ffn_down_shexp.weight").T
        if m.row["shared"] == "gated":
            part *= 1 / (1 + np.exp(-(y @ w("ffn_gate_inp_shexp.weight").reshape(-1))))[:, None]
        out += part
    trace["ids"].append(ids)
    trace["weights"].append(weights)
    return joined(m, x, out, None, 0)


def dense(m, layer, x, y, eps, settings, trace):
    w = lambda name: m.weight(layer, name)
    up = y @ w("ffn_up.weight").T
    gate, up = np.split(up, 2, 1) if m.row.get("fused") else (y @ w("ffn_gate.weight").T, up)
    h = narrow(glu(m.row.get("glu"), gate, up), settings, layer, trace)
    return joined(m, x, h @ w("ffn_down.weight").T, w("post_ffw_norm.weight") if m.row.get("post") else None, eps)


def hidden(m, tokens, settings, forced=None):
    """Rows behind the output norm [token][width], and {"ids", "weights": [routed layer][token][slot], "lead", "width"}: by how
    much the last chosen expert and the last neuron kept by magnitude led."""
    eps = settings.get("norm.eps", m.key("attention.layer_norm_rms_epsilon"))
    f, scale = frequencies(m, settings, len(tokens))
    f = f.astype(np.float32).astype(np.float64)        # frequencies are stored in F32
    trace = {"ids": [], "weights": [], "lead": np.inf, "width": np.inf}
    x = m.tensor["token_embd.weight"][tokens] * m.key("embedding_scale", 1.0)
    if m.row.get("embd_root"):
        x = x * np.sqrt(x.shape[1])
    for layer in range(m.key("block_count") - m.key("nextn_predict_layers", 0)):
        if ref_delta.recurrent(m, layer):
            x = ref_delta.mix(m, layer, x, eps, norm, silu)
        else:
            x = attention(m, layer, x, eps, f, scale, settings)
        x = feed_forward(m, layer, x, eps, settings, forced, trace)
    return norm(x, m.tensor["output_norm.weight"], eps), trace


def feed_forward(m, layer, x, eps, settings, forced, trace):
    leading = m.key("leading_dense_block_count", 0)
    y = norm(x, m.weight(layer, m.row.get("ffn_norm", "ffn_norm") + ".weight"), eps)
    if m.row["moe"] and layer >= leading:
        return experts(m, layer, x, y, settings, forced[layer - leading] if forced else None, trace)
    return dense(m, layer, x, y, eps, settings, trace)


def output(m):
    return m.tensor.get("output.weight", m.tensor["token_embd.weight"]).T


def forward(m, tokens, settings, forced=None):
    """Logits [token][vocabulary], and what `hidden` says of the routing."""
    y, trace = hidden(m, tokens, settings, forced)
    return y @ output(m) / m.key("logit_scale", 1.0), trace


def foretold(m, tokens):
    """Logits [token - 1][vocabulary] of the head that predicts one token further (DeepSeek-V3, arXiv 2412.19437, equations 21 to 23):
    row i has the hidden row of token i and the embedded token i + 1. Embedding, last norm and output are the head's own where the file has them
    (GLM-4.5), else the model's."""
    h, _ = hidden(m, tokens, {})
    layer, eps = m.key("block_count") - m.key("nextn_predict_layers"), m.key("attention.layer_norm_rms_epsilon")
    w = lambda name: m.weight(layer, "nextn.%s.weight" % name)
    own = lambda name, otherwise: m.tensor.get("blk.%d.nextn.%s.weight" % (layer, name), otherwise)
    f, scale = frequencies(m, {}, len(tokens))
    x = np.concatenate([norm(own("embed_tokens", m.tensor["token_embd.weight"])[tokens[1:]], w("enorm"), eps), norm(h[:-1], w("hnorm"), eps)], -1) @ w("eh_proj").T
    x = attention(m, layer, x, eps, f.astype(np.float32).astype(np.float64), scale, {})
    x = feed_forward(m, layer, x, eps, {}, None, {"ids": [], "weights": [], "lead": np.inf, "width": np.inf})
    head = own("shared_head_head", None)
    return norm(x, own("shared_head_norm", m.tensor["output_norm.weight"]), eps) @ (output(m) if head is None else head.T)


# ---- goldens ----

def model_of(where):
    for name in ("model.gguf", "model.gguf.gz"):
        if os.path.exists(os.path.join(where, name)):
            return Model(os.path.join(where, name))
    sys.exit("no model in " + where)


def forced_of(where, case):
    return json.load(open(os.path.join(where, case["force_routing"])))["ids"] if "force_routing" in case else None


def differences(logits, trace, want, routing):
    """Sentences about what the tests would not allow (tests/unit/test_engine_golden.c has the same limits)."""
    out = []
    worst = np.abs(logits - want).max() / np.abs(want).max()
    if not worst <= 2e-4:
        out.append("logits differ by %.3g of the largest" % worst)
    for layer, (a, b, c, d) in enumerate(zip(trace["ids"], routing["ids"], trace["weights"], routing["weights"])):
        for t in range(len(b)):
            mine, theirs = dict(zip(a[t], c[t])), dict(zip(b[t], d[t]))
            if set(mine) != set(theirs):
                out.append("routed layer %d, token %d: %s, not %s" % (layer, t, sorted(mine), sorted(theirs)))
            elif max(abs(mine[e] - theirs[e]) for e in mine) > 1e-4:
                out.append("routed layer %d, token %d: weights differ" % (layer, t))
    if len(trace["ids"]) != len(routing["ids"]):
        out.append("%d routed layers, not %d" % (len(trace["ids"]), len(routing["ids"])))
    return out


def picked(trace, positions):
    return {k: [[layer[p] for p in positions] for layer in trace[k]] for k in ("ids", "weights")}


def golden_json(path):
    """The file, or the one that is kept packed (tests/packed.h); None: there is neither."""
    if os.path.exists(path):
        return json.load(open(path))
    return json.load(gzip.open(path + ".gz")) if os.path.exists(path + ".gz") else None


def text_of(cases, case):
    """A case's tokens, and the positions whose rows its files hold."""
    tokens = case.get("tokens", cases["tokens"])
    if "rows" in case:
        return tokens, list(range(case["first_row"], case["first_row"] + case["rows"]))
    return tokens, cases.get("positions", list(range(len(tokens))))


def check(where):
    m, cases, bad = model_of(where), json.load(open(os.path.join(where, "cases.json"))), 0
    for case in cases["cases"]:
        name = case["name"]
        tokens, positions = text_of(cases, case)
        logits, trace = forward(m, tokens, case["settings"], forced_of(where, case))
        want = np.fromfile(os.path.join(where, name + ".f32"), "<f4").reshape(len(positions), -1)
        path = os.path.join(where, name + ".routing.json")
        routing = golden_json(path) or {"ids": [], "weights": []}
        wrong = differences(logits[positions], picked(trace, positions), want, routing)
        for w in wrong[:5]:
            print("# %s/%s: %s" % (m.arch, name, w))
        print("%s %s/%s" % ("not ok" if wrong else "ok", m.arch, name))
        bad += bool(wrong)
    if "next" in cases:
        want = np.fromfile(os.path.join(where, "next.f32"), "<f4").reshape(len(cases["next"]), -1)
        off = np.abs(foretold(m, cases["tokens"])[cases["next"]] - want).max() / np.abs(want).max()
        print("%s %s/next%s" % (("not ok", m.arch, ": off by %.3g" % off) if off > 2e-4 else ("ok", m.arch, "")))
        bad += off > 2e-4
    return bad


def make(where):
    m, cases = model_of(where), json.load(open(os.path.join(where, "cases.json")))
    for case in cases["cases"]:
        tokens, positions = text_of(cases, case)
        logits, trace = forward(m, tokens, case["settings"], forced_of(where, case))
        logits[positions].astype("<f4").tofile(os.path.join(where, case["name"] + ".f32"))
        if trace["lead"] < 2e-4:
            return False
        if m.row["moe"]:
            json.dump(picked(trace, positions), open(os.path.join(where, case["name"] + ".routing.json"), "w"))
    if "next" in cases:
        foretold(m, cases["tokens"])[cases["next"]].astype("<f4").tofile(os.path.join(where, "next.f32"))
    return True


# ---- a new model ----

def put_kv(name, v):
    s = lambda x: struct.pack("<Q", len(x.encode())) + x.encode()
    if isinstance(v, bool):
        return s(name) + struct.pack("<I?", 7, v)
    if isinstance(v, int):
        return s(name) + struct.pack("<II", 4, v)
    if isinstance(v, float):
        return s(name) + struct.pack("<If", 6, v)
    if isinstance(v, str):
        return s(name) + struct.pack("<I", 8) + s(v)
    kind = 8 if v and isinstance(v[0], str) else 5
    return s(name) + struct.pack("<IIQ", 9, kind, len(v)) + b"".join(s(x) if kind == 8 else struct.pack("<i", x) for x in v)


def shapes(row, arch, tiny):
    """Keys without the architecture's prefix."""
    embd, dim, layers, ff = (32, 16, 2, 48) if tiny else (64, 32, 3, 96)
    layers = 6 if row.get("window") == 6 else layers + row.get("mtp", 0) + (row.get("leading", 0) > 1)
    keys = {"block_count": layers, "context_length": 256, "embedding_length": embd, "feed_forward_length": ff,
            "attention.head_count": 4, "attention.head_count_kv": 2, "attention.key_length": dim, "attention.value_length": dim,
            "attention.layer_norm_rms_epsilon": 1e-6, "rope.dimension_count": dim // 2 if row.get("of", arch) == "glm4moe" else dim, "rope.freq_base": 10000.0}
    if row.get("moe"):
        keys.update({"expert_count": 8 if tiny else 12, "expert_used_count": 3 if tiny else 4, "expert_feed_forward_length": 16 if tiny else 32,
                     "leading_dense_block_count": row.get("leading", 0)})
    if row.get("shared"):
        keys.update({"expert_shared_count": 1, "expert_shared_feed_forward_length": 32 if tiny else 64})
    if row.get("mtp"):
        keys["nextn_predict_layers"] = row["mtp"]
    if row.get("groups"):
        keys.update({"expert_group_count": row["groups"][0], "expert_group_used_count": row["groups"][1]})
    if row.get("scales"):
        keys.update({"attention.scale": 0.2, "embedding_scale": 6.0, "residual_scale": 0.4, "logit_scale": 3.0})
    if "window" in row:
        keys["attention.sliding_window"] = 20
    if row.get("latent"):
        rank, nope, rope, v = (24, 12, 8, 16) if tiny else (32, 16, 8, 24)
        keys.update({"attention.head_count_kv": 4, "attention.kv_lora_rank": rank, "rope.dimension_count": rope,
                     "attention.key_length": nope + rope, "attention.value_length": v})
        del keys["expert_shared_feed_forward_length"]
    if row.get("latent") and not row.get("kv_b"):
        keys.update({"attention.head_count_kv": 1, "attention.q_lora_rank": 20, "attention.key_length": rank + rope, "attention.value_length": rank,
                     "attention.key_length_mla": nope + rope, "attention.value_length_mla": v, "expert_gating_func": 2, "expert_weights_norm": True,
                     "expert_weights_scale": 1.5, "expert_group_count": 4, "expert_group_used_count": 2, "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
                     "rope.scaling.original_context_length": 64, "rope.scaling.yarn_log_multiplier": 0.1})
    if row.get("fused"):
        keys.update({"rope.dimension_count": dim * 3 // 4, "rope.scaling.original_context_length": 64})
    if row.get("sinks"):
        keys.update({"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64})
    return keys


def layer_tensors(row, k, i):
    """Name, shape [out][in] of one layer's."""
    embd, heads, kv, dim = (k[n] for n in ("embedding_length", "attention.head_count", "attention.head_count_kv", "attention.key_length"))
    ff, x, ffx, ffs = k["feed_forward_length"], k.get("expert_count"), k.get("expert_feed_forward_length"), k.get("expert_shared_feed_forward_length", k.get("expert_feed_forward_length"))
    t = {"attn_norm.weight": (embd,), "attn_output.weight": (embd, heads * dim), row.get("ffn_norm", "ffn_norm") + ".weight": (embd,)}
    if row.get("fused"):
        t.update({"attn_qkv.weight": ((heads + 2 * kv) * dim, embd), "ffn_up.weight": (2 * ff, embd), "ffn_down.weight": (embd, ff)})
        return t
    if row.get("latent"):
        rank, rope, low = k["attention.kv_lora_rank"], k["rope.dimension_count"], k.get("attention.q_lora_rank")
        head, v = k.get("attention.key_length_mla", dim), k.get("attention.value_length_mla", k["attention.value_length"])
        t.update({"attn_kv_a_mqa.weight": (rank + rope, embd), "attn_kv_a_norm.weight": (rank,), "attn_output.weight": (embd, heads * v)})
        t.update({"attn_q_a.weight": (low, embd), "attn_q_a_norm.weight": (low,), "attn_q_b.weight": (heads * head, low)} if low else {"attn_q.weight": (heads * head, embd)})
        t.update({"attn_kv_b.weight": (heads * (head - rope + v), rank)} if row.get("kv_b") else
                 {"attn_k_b.weight": (heads, rank, head - rope), "attn_v_b.weight": (heads, v, rank)})
    else:
        t.update({"attn_q.weight": (heads * dim, embd), "attn_k.weight": (kv * dim, embd), "attn_v.weight": (kv * dim, embd)})
    if row.get("bias"):
        t.update({"attn_q.bias": (heads * dim,), "attn_k.bias": (kv * dim,), "attn_v.bias": (kv * dim,)})
    if row.get("qk_norm"):
        whole = row["qk_norm"] == "whole"
        t.update({"attn_q_norm.weight": (heads * dim if whole else dim,), "attn_k_norm.weight": (kv * dim if whole else dim,)})
    if row.get("sinks"):
        t["attn_sinks.weight"] = (heads,)
    if row.get("post"):
        t.update({"post_attention_norm.weight": (embd,), "post_ffw_norm.weight": (embd,)})
    if row.get("biases"):
        t.update({"attn_output.bias": (embd,), "ffn_gate_inp.bias": (x,), "ffn_gate_exps.bias": (x, ffx), "ffn_up_exps.bias": (x, ffx), "ffn_down_exps.bias": (x, embd)})
    if not row.get("moe") or i < row.get("leading", 0):
        t.update({"ffn_gate.weight": (ff, embd), "ffn_up.weight": (ff, embd), "ffn_down.weight": (embd, ff)})
        return t
    t.update({"ffn_gate_inp.weight": (x, embd), "ffn_gate_exps.weight": (x, ffx, embd), "ffn_up_exps.weight": (x, ffx, embd),
              "ffn_down_exps.weight": (x, embd, ffx)})
    if row.get("select"):
        t["exp_probs_b.bias"] = (x,)
    if row.get("shared"):
        t.update({"ffn_gate_shexp.weight": (ffs, embd), "ffn_up_shexp.weight": (ffs, embd), "ffn_down_shexp.weight": (embd, ffs)})
    if row.get("shared") == "gated":
        t["ffn_gate_inp_shexp.weight"] = (embd,)
    if i >= k["block_count"] - row.get("mtp", 0):
        t.update({"nextn.eh_proj.weight": (embd, 2 * embd), "nextn.enorm.weight": (embd,), "nextn.hnorm.weight": (embd,)})
    return t


def gguf(kvs, tensors):
    """The bytes of a file of these keys and F32 tensors."""
    head, data = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(kvs)) + b"".join(put_kv(k, v) for k, v in kvs.items()), b""
    for name, v in tensors.items():
        head += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", v.ndim) + struct.pack("<%dQ" % v.ndim, *v.shape[::-1])
        head += struct.pack("<IQ", 0, len(data))
        data += v.astype("<f4").tobytes() + b"\0" * (-v.size * 4 % 32)
    return head + b"\0" * (-len(head) % 32) + data


def write_model(path, kvs, tensors, rng, tiny):
    """tiny: numbers of few digits, which pack well."""
    numbers = {}
    for name, shape in tensors.items():
        v = rng.normal(size=shape) * (1 if "embd" in name or "sinks" in name else 2 / np.sqrt(shape[-1]))
        if "norm" in name:
            v = 1 + 0.2 * rng.normal(size=shape)
        if "factors" in name:
            v = 1 + rng.random(shape) * (3 if "long" in name else 0.5)
        if tiny:
            v = np.round(v * 16) / 16
        numbers[name] = v
    with open(path, "wb") as f:
        f.write(gguf(kvs, numbers))


def long_case(row, rng, rows):
    """Past what a window or the short factors hold, and past a page of 64 cells; last rows only."""
    n = 150
    return {"name": "long", "settings": {}, "tokens": [int(t) for t in rng.integers(0, 300, n)], "first_row": n - rows, "rows": rows}


def new_cases(row, layers, rng):
    cases = [{"name": "base", "settings": {}}, {"name": "eps", "settings": {"norm.eps": 0.01}},
             {"name": "yarn4", "settings": {"rope.scaling": "yarn", "rope.factor": 4.0, "rope.original_context": 64}},
             {"name": "theta", "settings": {"rope.theta": 500.0}}, {"name": "linear", "settings": {"rope.scaling": "linear", "rope.factor": 2.0}},
             {"name": "heads_off", "settings": {"attention.heads_off": ["0:1", "%d:3" % (layers - 1)]}}]
    widths = ([20, 7, 11] + [9] * layers)[:layers]
    cases += [{"name": "width", "settings": {"ffn.width": widths}}, {"name": "width_magnitude", "settings": {"ffn.width": ",".join(map(str, widths)) + ":magnitude"}}]
    if row.get("moe"):
        last, routed = layers - 1, max(row.get("leading", 0), 1)
        cases += [{"name": "k_per_layer", "settings": {"experts.k": [1, 6, 11, 2][:layers]}}, {"name": "pin", "settings": {"experts.pin": ["%d:7" % routed, "%d:2" % last]}},
                  {"name": "ban", "settings": {"experts.ban": ["%d:3" % routed]}}, {"name": "bias", "settings": {"experts.bias": {"%d:5" % last: 2.0}}},
                  {"name": "temperature", "settings": {"experts.temperature": 0.5}}, {"name": "min_p", "settings": {"experts.min_p": 0.6}}]
    if row.get("sinks"):
        cases.append({"name": "yarn_exact", "settings": {"rope.yarn_range": "exact"}})
    if row.get("latent") and not row.get("kv_b"):
        cases.append({"name": "unscaled", "settings": {"rope.scaling": "none"}})
    if row.get("fused") or "window" in row:
        cases.append(long_case(row, rng, 150))
    return cases


def tiny_cases(row, layers, rng):
    cases = [{"name": "base", "settings": {}}, {"name": "theta_eps", "settings": {"rope.theta": 500.0, "norm.eps": 0.01}}]
    if row.get("moe"):
        routed = max(row.get("leading", 0), 1)
        cases.append({"name": "k_ban", "settings": {"experts.k": [1, 5, 5, 2][:layers], "experts.ban": ["%d:3" % routed]}})
    if row.get("sinks"):
        cases.append({"name": "yarn_exact", "settings": {"rope.yarn_range": "exact"}})
    if row.get("latent") and not row.get("kv_b"):
        cases.append({"name": "unscaled", "settings": {"rope.scaling": "none"}})
    if row.get("fused") or "window" in row:
        cases.append(long_case(row, rng, 4))
    return cases


def new(arch, where, seed, tiny=False):
    """Shapes of the other goldens; the vocabulary of one of them, so that the engine opens it."""
    row, rng = ARCH[arch], np.random.default_rng(seed)
    here = os.path.dirname(os.path.abspath(__file__))
    vocab = {k: v for k, v in Model(os.path.join(here, "qwen3moe", "model.gguf.gz")).kv.items() if k.startswith("tokenizer.") and v != []}
    if arch in ref_delta.ARCH:
        return ref_delta.new(arch, where, seed, vocab, gguf)
    keys, n_vocab = shapes(row, arch, tiny), 320
    embd, layers = keys["embedding_length"], keys["block_count"]
    passed = layers - row.get("mtp", 0)
    tensors = {"token_embd.weight": (n_vocab, embd), "output_norm.weight": (embd,)}
    if not tiny:
        tensors["output.weight"] = (n_vocab, embd)
    if row.get("fused"):
        tensors.update({"rope_factors_%s.weight" % n: (keys["rope.dimension_count"] // 2,) for n in ("long", "short")})
    for i in range(layers):
        tensors.update({"blk.%d.%s" % (i, n): s for n, s in layer_tensors(row, keys, i).items()})
    arch = row.get("of", arch)
    kvs = {"general.architecture": arch, "general.name": "random-" + arch, "general.file_type": 0}
    kvs.update({"%s.%s" % (arch, k): v for k, v in keys.items()})
    kvs.update(vocab)
    os.makedirs(where, exist_ok=True)
    write_model(os.path.join(where, "model.gguf"), kvs, tensors, rng, tiny)
    cases = {"arch": arch, "tokens": [int(t) for t in rng.integers(0, 300, 40)], "n_vocab": n_vocab, "made_with": "ref.py",
             "cases": tiny_cases(row, passed, rng) if tiny else new_cases(row, passed, rng)}
    if tiny:
        cases["positions"] = [0, 19, 20, 39]
    if row.get("mtp"):
        cases["next"] = [0, 20, 38]
    json.dump(cases, open(os.path.join(where, "cases.json"), "w"))


def pack(where):
    """As tests/packed.h reads it; equal bytes make an equal file."""
    for name in sorted(os.listdir(where)):
        if name == "model.gguf" or name.endswith(".routing.json"):
            path = os.path.join(where, name)
            with open(path, "rb") as f, open(path + ".gz", "wb") as to, gzip.GzipFile("", "wb", 9, to, 0) as z:
                z.write(f.read())
            os.remove(path)


# ---- the program ----

def words(v):
    """A case's setting as the command line takes it."""
    if isinstance(v, dict):
        return ",".join("%s=%.17g" % x for x in v.items())
    if isinstance(v, list):
        return ",".join(x if isinstance(x, str) else "%.17g" % x for x in v)
    return v if isinstance(v, str) else "%.17g" % v


def against(program, where):
    cases, bad = json.load(open(os.path.join(where, "cases.json"))), 0
    m = model_of(where)
    out, ids = os.path.join(where, "out.f32"), os.path.join(where, "out.json")
    for case in cases["cases"]:
        tokens, positions = text_of(cases, case)
        length = {"context.length": max(len(tokens), m.key("rope.scaling.original_context_length", 0), 256)} if "tokens" in case else {}
        sets = [x for k, v in {**length, **case["settings"]}.items() for x in ("--set", "%s=%s" % (k, words(v)))]
        r = subprocess.run([program, "eval", "logits", "-m", os.path.join(where, "model.gguf"), "--tokens", ",".join(map(str, tokens)),
                            "--out", out, "--set", "kv.type=f32"] + (["--routing", ids] if m.row["moe"] else []) + sets, capture_output=True, text=True)
        wrong = [r.stderr.strip()] if r.returncode else []
        if not wrong:
            logits, trace = forward(m, tokens, case["settings"])
            routing = json.load(open(ids)) if m.row["moe"] else {"ids": [], "weights": []}
            routing = {k: [layer for layer in routing[k] if any(layer)] for k in routing}
            wrong = differences(logits, trace, np.fromfile(out, "<f4").reshape(len(tokens), -1), routing)
        for w in wrong[:5]:
            print("# %s/%s: %s" % (m.arch, case["name"], w))
        bad += bool(wrong)
    print("%s the_engine_agrees_on_a_new_%s" % ("not ok" if bad else "ok", m.arch) + (": %d cases differ" % bad if bad else ""))
    return bad


# ---- pins ----

def pins(path):
    """Every kind of gate, with fewer pins than slots, as many, and more."""
    kinds = {"softmax": dict(gate="softmax", renorm=False), "softmax_renorm": dict(gate="softmax", renorm=True),
             "sigmoid": dict(gate="sigmoid", renorm=False), "sigmoid_renorm": dict(gate="sigmoid", renorm=True, scale=1.5, select=True),
             "carved": dict(router_scale=1e-3, select=True)}
    rng, out, n = random.Random(40), [], 12
    some = lambda count, size: np.array([(2 * rng.random() - 1) * size for _ in range(count)])
    for name, kind in kinds.items():
        unit = kind.get("router_scale", 1.0)
        select = np.round(some(n, .2 if unit == 1 else .3 * unit), 7) if kind.get("select") else None
        rows = np.round(some(24 * n, 3).reshape(24, n), 4) * unit
        for k, p in ((1, [7]), (1, [0]), (1, [11]), (2, [2, 9]), (2, [9, 4]), (3, [1, 5, 6]), (2, [3]), (4, [0, 8]), (1, [2, 9]), (2, [1, 5, 6]), (3, [0, 3, 7, 10, 11]),
                     (12, [4]), (1, list(range(n)))):
            args = {**kind, "select": select}
            c = [choose(r, k, pins=p, **args) for r in rows]
            out.append({"gate": name, "k": k, "pins": p, "ids": [x[0] for x in c], "weights": [[round(float(w), 7) for w in x[1]] for x in c]})
        out.append({"gate": name, "kind": {**kind, "select": None if select is None else select.tolist()}, "logits": rows.tolist()})
    with open(path, "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


def main(args):
    if args[:1] == ["check"] and len(args) > 1:
        return 1 if sum(check(d) for d in args[1:]) else 0
    if args[:1] == ["make"] and len(args) == 2:
        return 0 if make(args[1]) else 1
    if args[:1] in (["new"], ["tiny"]) and len(args) in (3, 4):
        seed = int(args[3]) if len(args) == 4 else 1
        for s in range(seed, seed + 50):       # a near tie in the routing would prove nothing: the next seed
            new(args[1], args[2], s, args[0] == "tiny")
            if make(args[2]):
                if args[0] == "tiny":
                    pack(args[2])
                return 0
        return 1
    if args[:1] == ["against"] and len(args) > 2:
        return 1 if sum(against(args[1], d) for d in args[2:]) else 0
    if args[:1] == ["pins"] and len(args) == 2:
        return pins(args[1])
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
