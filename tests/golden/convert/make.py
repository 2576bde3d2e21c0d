#!/usr/bin/env python3
"""Two tiny models as transformers saves them, with what transformers computes: make.py, in this folder; needs torch, transformers and tokenizers.
Made with transformers 5.24.0, torch 2.13.0, 2026-11-28. Weights lie on a grid of 1/64, so that they pack well; each file is gzip'ed."""
import gzip
import json
import os
import struct
import tempfile
import torch
import transformers as T
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

here = os.path.dirname(os.path.abspath(__file__))
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
t.decoder = decoders.ByteLevel()
t.train_from_iterator(["the quick brown fox jumps over the lazy dog"], trainers.BpeTrainer(vocab_size=270, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
tok = T.PreTrainedTokenizerFast(tokenizer_object=t, eos_token="<|im_end|>", pad_token="<|endoftext|>")
tok.add_tokens(["<tool>"])
tok.chat_template = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
                     "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
common = dict(vocab_size=272, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=256,
              bos_token_id=None, eos_token_id=tok.eos_token_id, pad_token_id=None, dtype="bfloat16")
CASES = {"qwen3moe": (T.Qwen3MoeForCausalLM, T.Qwen3MoeConfig(intermediate_size=64, moe_intermediate_size=16, num_experts=4, num_experts_per_tok=2, norm_topk_prob=True,
                                                            tie_word_embeddings=True, **common)),
         "llama": (T.LlamaForCausalLM, T.LlamaConfig(intermediate_size=32, tie_word_embeddings=False, rope_parameters={
             "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}, **common))}
for name, (cls, config) in CASES.items():
    torch.manual_seed(3)
    m = cls(config).float().eval()
    with torch.no_grad():
        for p in m.parameters():
            p.copy_(torch.round((torch.randn_like(p.float()) * .12 + (p.dim() == 1)).clamp(-2, 2) * 64) / 64)
    text = "the quick fox<|im_end|> is 42 <tool>\u00e9"
    ids = tok(text)["input_ids"]
    with torch.no_grad():
        logits = m(torch.tensor([ids])).logits[0, -2:]
    out = os.path.join(here, name)
    os.makedirs(out, exist_ok=True)
    with tempfile.TemporaryDirectory() as d:
        m.to(torch.bfloat16).save_pretrained(d)
        tok.save_pretrained(d)
        for f in os.listdir(d):
            if f == "generation_config.json":
                continue
            with open(os.path.join(d, f), "rb") as r, open(os.path.join(out, f + ".gz"), "wb") as w, gzip.GzipFile("", "wb", 9, w, 0) as z:
                z.write(r.read())
    with open(os.path.join(out, "logits.f32"), "wb") as f:
        f.write(struct.pack("<%df" % logits.numel(), *logits.flatten().tolist()))
    with open(os.path.join(out, "case.json"), "w") as f:
        json.dump({"text": text, "ids": ids, "eos": tok.eos_token_id, "pad": tok.pad_token_id, "tool": tok.convert_tokens_to_ids("<tool>"), "template": tok.chat_template}, f)
