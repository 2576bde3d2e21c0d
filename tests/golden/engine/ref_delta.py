"""Recurrent layers for ref.py, in numpy and double precision: the gated delta rule as Yang, Kautz and Hatamizadeh give it
(arXiv 2412.06464, equations 8 to 10), with the convolution, norms and gates of transformers' modeling_qwen3_next.py; and tiny
models that have such layers: `ref.py new qwen3next DIR`."""
import json
import os

import numpy as np

# paired: beta and alpha in one matrix, by key heads; tiled: value head h has key head h mod n_key, else h // (n_value / n_key)
BOTH = dict(half=True, qk_norm="head", gate="softmax", renorm=True, q_gate=True, ffn_norm="post_attention_norm")
ARCH = {
    "qwen3next": dict(BOTH, mtp=1, moe=True, shared="gated", delta=dict(paired=True, tiled=False)),
    "qwen35moe": dict(BOTH, moe=True, shared="gated", delta=dict(paired=False, tiled=True)),
    "qwen35": dict(BOTH, mtp=1, delta=dict(paired=False, tiled=True)),
}
L2_EPS = 1e-6
POSITIONS = [0, 2, 63, 64, 69]
NEXT = [0, 63, 68]            # rows of the head that predicts further tokens


def recurrent(m, layer):
    if "delta" not in m.row:
        return False
    said = m.kv.get(m.arch + ".attention.recurrent_layers")
    return bool(said[layer]) if said else (layer + 1) % m.key("full_attention_interval", 4) != 0


def unit(x):
    return x / np.sqrt(np.sum(x * x, -1, keepdims=True) + L2_EPS)


def mix(m, layer, x, eps, norm, silu):
    """The residual stream after the layer's mixer."""
    w = lambda name: m.weight(layer, name)
    kind, n = m.row["delta"], len(x)
    n_key, n_value, key = m.key("ssm.group_count"), m.key("ssm.time_step_rank"), m.key("ssm.state_size")
    value, taps, each = m.key("ssm.inner_size") // n_value, m.key("ssm.conv_kernel"), n_value // n_key
    y = norm(x, w("attn_norm.weight"), eps)
    into = np.concatenate([np.zeros((taps - 1, w("attn_qkv.weight").shape[0])), y @ w("attn_qkv.weight").T])
    mixed = silu(sum(into[t:t + n] * w("ssm_conv1d.weight")[:, t] for t in range(taps)))
    q, k, v = np.split(mixed, [n_key * key, 2 * n_key * key], 1)
    q, k, v = unit(q.reshape(n, n_key, key)) / np.sqrt(key), unit(k.reshape(n, n_key, key)), v.reshape(n, n_value, value)
    if kind["paired"]:
        two = (y @ w("ssm_ba.weight").T).reshape(n, n_key, 2, each)
        beta, alpha = two[:, :, 0].reshape(n, n_value), two[:, :, 1].reshape(n, n_value)
    else:
        beta, alpha = y @ w("ssm_beta.weight").T, y @ w("ssm_alpha.weight").T
    beta = 1 / (1 + np.exp(-beta))
    decay = np.exp(w("ssm_a") * np.logaddexp(0, alpha + w("ssm_dt.bias")))
    out = np.zeros((n, n_value, value))
    for h in range(n_value):
        g, s = h % n_key if kind["tiled"] else h // each, np.zeros((key, value))
        for t in range(n):
            s = s * decay[t, h]
            s = s + np.outer(k[t, g], beta[t, h] * (v[t, h] - s.T @ k[t, g]))
            out[t, h] = s.T @ q[t, g]
    out = norm(out, w("ssm_norm.weight"), eps) * silu((y @ w("attn_gate.weight").T).reshape(n, n_value, value))
    return x + out.reshape(n, -1) @ w("ssm_out.weight").T


# ---- a new model ----

def shapes(arch):
    """Keys and tensors of a model small enough to be kept: widths that fill no block of 16 as well as ones that do."""
    embd, heads, kv, dim, layers, x, ffx, ffs, ff = 32, 2, 1, 16, 3, 6, 16, 32, 48
    n_key, n_value, key, value, taps = 2, 4, 10, 20, 4
    row, channels = ARCH[arch], 2 * n_key * key + n_value * value
    keys = {"block_count": layers, "context_length": 256, "embedding_length": embd, "feed_forward_length": ff, "attention.head_count": heads,
            "attention.head_count_kv": kv, "attention.key_length": dim, "attention.value_length": dim, "attention.layer_norm_rms_epsilon": 1e-6,
            "rope.dimension_count": dim // 2, "rope.freq_base": 10000.0, "ssm.conv_kernel": taps, "ssm.state_size": key, "ssm.group_count": n_key,
            "ssm.time_step_rank": n_value, "ssm.inner_size": n_value * value, "full_attention_interval": 3}
    if row.get("moe"):
        keys.update({"expert_count": x, "expert_used_count": 2, "expert_feed_forward_length": ffx, "expert_shared_feed_forward_length": ffs})
    tensors = {"token_embd.weight": (320, embd), "output_norm.weight": (embd,)}
    for i in range(layers + row.get("mtp", 0)):
        t = {"attn_norm.weight": (embd,), "post_attention_norm.weight": (embd,)}
        if (i + 1) % 3 == 0 or i >= layers:
            t.update({"attn_q.weight": (heads * 2 * dim, embd), "attn_k.weight": (kv * dim, embd), "attn_v.weight": (kv * dim, embd),
                      "attn_output.weight": (embd, heads * dim), "attn_q_norm.weight": (dim,), "attn_k_norm.weight": (dim,)})
        else:
            t.update({"attn_qkv.weight": (channels, embd), "attn_gate.weight": (n_value * value, embd), "ssm_conv1d.weight": (channels, taps),
                      "ssm_dt.bias": (n_value,), "ssm_a": (n_value,), "ssm_norm.weight": (value,), "ssm_out.weight": (embd, n_value * value)})
            t.update({"ssm_ba.weight": (2 * n_value, embd)} if row["delta"]["paired"] else {"ssm_beta.weight": (n_value, embd), "ssm_alpha.weight": (n_value, embd)})
        if row.get("moe"):
            t.update({"ffn_gate_inp.weight": (x, embd), "ffn_gate_exps.weight": (x, ffx, embd), "ffn_up_exps.weight": (x, ffx, embd), "ffn_down_exps.weight": (x, embd, ffx),
                      "ffn_gate_shexp.weight": (ffs, embd), "ffn_up_shexp.weight": (ffs, embd), "ffn_down_shexp.weight": (embd, ffs), "ffn_gate_inp_shexp.weight": (embd,)})
        else:
            t.update({"ffn_gate.weight": (ff, embd), "ffn_up.weight": (ff, embd), "ffn_down.weight": (embd, ff)})
        if i >= layers:
            t.update({"nextn.eh_proj.weight": (embd, 2 * embd)})
            t.update({"nextn.%s.weight" % n: (embd,) for n in ("enorm", "hnorm", "shared_head_norm")})
        tensors.update({"blk.%d.%s" % (i, n): s for n, s in t.items()})
    if row.get("mtp"):
        keys.update({"block_count": layers + row["mtp"], "nextn_predict_layers": row["mtp"]})
    return keys, tensors


def numbers(name, shape, rng):
    """Random weights in steps that pack well."""
    v = np.round(rng.normal(size=shape) * 4) / 4 * (1 if "embd" in name else 2.0 ** np.round(np.log2(2 / np.sqrt(shape[-1]))))
    if name.endswith("ssm_a"):
        v = -np.exp(np.round(rng.normal(size=shape) * 4) / 4)
    if "norm" in name:
        v = 1 + np.round(rng.normal(size=shape) * 4) / 16
    return v


def cases(arch, rng):
    out = [{"name": "base", "settings": {}}, {"name": "eps", "settings": {"norm.eps": 0.01}}, {"name": "heads_off", "settings": {"attention.heads_off": ["2:1"]}}]
    if ARCH[arch].get("moe"):
        out += [{"name": "k_per_layer", "settings": {"experts.k": [1, 3, 2]}}]
    more = {"next": NEXT} if ARCH[arch].get("mtp") else {}
    return {**more, "arch": arch, "tokens": [int(t) for t in rng.integers(0, 300, 70)], "positions": POSITIONS, "n_vocab": 320, "cases": out, "made_with": "ref.py"}


def new(arch, where, seed, kvs, gguf):
    """model.gguf and cases.json in `where`: kvs are the vocabulary's keys, gguf makes the bytes (ref.py's)."""
    rng = np.random.default_rng(seed)
    keys, tensors = shapes(arch)
    all_keys = {"general.architecture": arch, "general.name": "random-" + arch, "general.file_type": 0}
    all_keys.update({"%s.%s" % (arch, k): v for k, v in keys.items()})
    all_keys.update(kvs)
    os.makedirs(where, exist_ok=True)
    further, last = np.random.default_rng(seed + 1000), "blk.%d." % (keys["block_count"] - keys.get("nextn_predict_layers", 0))
    with open(os.path.join(where, "model.gguf"), "wb") as f:
        f.write(gguf(all_keys, {n: numbers(n, s, further if n.startswith(last) else rng) for n, s in tensors.items()}))
    json.dump(cases(arch, rng), open(os.path.join(where, "cases.json"), "w"), separators=(",", ":"))
