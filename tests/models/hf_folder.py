#!/usr/bin/env python3
"""hf_folder.py FILE.gguf FOLDER: a model of architecture qwen2, qwen3, llama or gemma3 as the folder that it was made of: safetensors in F32, config.json, and
its vocabulary as tokenizer.json (byte pairs) or tokenizer.model (SentencePiece's). For tests: what `quorum model convert` makes of FOLDER is compared
with FILE. Needs PyPI's gguf, numpy, safetensors, and for a tokenizer.model sentencepiece and protobuf. What rows of heads were turned is turned back."""
import json, os, re, sys
import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.numpy import save_file

LAYER = {"attn_norm.weight": "input_layernorm.weight", "ffn_norm.weight": "post_attention_layernorm.weight", "attn_q.weight": "self_attn.q_proj.weight", "attn_k.weight": "self_attn.k_proj.weight",
         "attn_v.weight": "self_attn.v_proj.weight", "attn_output.weight": "self_attn.o_proj.weight", "attn_q.bias": "self_attn.q_proj.bias", "attn_k.bias": "self_attn.k_proj.bias",
         "attn_v.bias": "self_attn.v_proj.bias", "attn_q_norm.weight": "self_attn.q_norm.weight", "attn_k_norm.weight": "self_attn.k_norm.weight", "ffn_gate.weight": "mlp.gate_proj.weight",
         "ffn_up.weight": "mlp.up_proj.weight", "ffn_down.weight": "mlp.down_proj.weight"}
GEMMA = {"post_attention_norm.weight": "post_attention_layernorm.weight", "ffn_norm.weight": "pre_feedforward_layernorm.weight", "post_ffw_norm.weight": "post_feedforward_layernorm.weight"}
WHOLE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}
TYPES = {"qwen2": ("qwen2", "Qwen2ForCausalLM"), "qwen3": ("qwen3", "Qwen3ForCausalLM"), "llama": ("llama", "LlamaForCausalLM"), "gemma3": ("gemma3_text", "Gemma3ForCausalLM")}
GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

def main(path, folder):
    r = GGUFReader(path)
    get = lambda key, other=None: r.fields[key].contents() if key in r.fields else other
    arch = get("general.architecture")
    one = lambda key, other=None: get(arch + "." + key, other)
    gemma, heads, kv = arch == "gemma3", one("attention.head_count"), one("attention.head_count_kv")
    os.makedirs(folder, exist_ok=True)
    out = {}
    for t in r.tensors:
        m = re.fullmatch(r"blk\.(\d+)\.(.*)", t.name)
        name = f"model.layers.{m[1]}.{({**LAYER, **GEMMA} if gemma else LAYER)[m[2]]}" if m else WHOLE[t.name]
        w = np.ascontiguousarray(dequantize(t.data, t.tensor_type).reshape([int(n) for n in reversed(t.shape)]), dtype=np.float32)
        if gemma and t.name.endswith("norm.weight"): w = w - np.float32(1)
        if arch == "llama" and m and m[2] in ("attn_q.weight", "attn_k.weight"):
            n = heads if m[2] == "attn_q.weight" else kv
            w = w.reshape(n, w.shape[0] // n // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
        out[name] = np.ascontiguousarray(w)
    save_file(out, folder + "/model.safetensors")
    tokens, types, scores = (get("tokenizer.ggml." + k) for k in ("tokens", "token_type", "scores"))
    width = one("attention.key_length", one("embedding_length") // heads)
    config = {"model_type": TYPES[arch][0], "architectures": [TYPES[arch][1]], "num_hidden_layers": one("block_count"), "hidden_size": one("embedding_length"), "intermediate_size": one("feed_forward_length"),
              "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": width, "max_position_embeddings": one("context_length"), "rms_norm_eps": one("attention.layer_norm_rms_epsilon"),
              "rope_theta": one("rope.freq_base", 10000.0), "vocab_size": len(tokens), "tie_word_embeddings": "output.weight" not in {t.name for t in r.tensors}}
    if gemma: config.update(sliding_window=one("attention.sliding_window"), query_pre_attn_scalar=width)
    json.dump(config, open(folder + "/config.json", "w"))
    token = lambda name: tokens[get(f"tokenizer.ggml.{name}_token_id")] if get(f"tokenizer.ggml.{name}_token_id") is not None else None
    also = {"add_bos_token": get("tokenizer.ggml.add_bos_token"), "add_eos_token": get("tokenizer.ggml.add_eos_token"), "chat_template": get("tokenizer.chat_template")}
    settings = {**{k: v for k, v in also.items() if v is not None}, **{n + "_token": token(k) for n, k in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")) if token(k)}}
    added = [{"id": i, "content": t, "special": k == 3} for i, (t, k) in enumerate(zip(tokens, types)) if k in (3, 4)]
    if scores:
        from sentencepiece import sentencepiece_model_pb2 as pb
        m = pb.ModelProto()
        for t, s, k in zip(tokens, scores, types): m.pieces.add(piece=t, score=s, type=k)
        m.trainer_spec.model_type, m.trainer_spec.byte_fallback, m.trainer_spec.vocab_size = pb.TrainerSpec.BPE, True, len(tokens)
        for n, k in (("unk", "unknown"), ("bos", "bos"), ("eos", "eos"), ("pad", "padding")): setattr(m.trainer_spec, n + "_id", get(f"tokenizer.ggml.{k}_token_id", -1))
        m.normalizer_spec.add_dummy_prefix, m.normalizer_spec.remove_extra_whitespaces = get("tokenizer.ggml.add_space_prefix", True), False
        open(folder + "/tokenizer.model", "wb").write(m.SerializeToString())
    else:
        json.dump({"added_tokens": added, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": GPT4}}, {"type": "ByteLevel"}]},
                   "model": {"type": "BPE", "vocab": {t: i for i, (t, k) in enumerate(zip(tokens, types)) if k == 1}, "merges": get("tokenizer.ggml.merges")}}, open(folder + "/tokenizer.json", "w"))
    json.dump(settings, open(folder + "/tokenizer_config.json", "w"))

main(*sys.argv[1:])
