#!/usr/bin/env python3
"""Vocabularies of SentencePiece's for tests/unit/test_convert_pieces.c: make_pieces.py; needs torch, transformers, sentencepiece, protobuf and gguf.
Made with sentencepiece 0.2.3, transformers 5.24.0, torch 2.13.0, gguf 0.19.0, 2026-11-28. pieces/NAME/: the files of a folder, gzip'ed, and case.json
with the texts' ids by sentencepiece itself (first: by transformers too), and types and scores by gguf.vocab.SentencePieceVocab.
first    joined pieces, "▁" goes first, single bytes (as Llama 2 and Mistral have it): tokenizer.model, and tokenizer.json as transformers makes it
gemma    nothing goes first, runs of line ends are the user's; with a tiny Gemma 3 as transformers saves it, and its logits
unigram  pieces chosen by their sum, runs of spaces become one"""
import gzip, io, json, os, struct, tempfile
from pathlib import Path
import sentencepiece as sp
import torch
import transformers as T
from gguf.vocab import SentencePieceVocab
from sentencepiece import sentencepiece_model_pb2 as pb

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = ["the quick brown fox jumps over 13 lazy dogs", "Эксперт говорит о погоде: завтра снег.", "  two  spaces   three ", "for (int i = 0; i < n; i++)\n\treturn a[i];\n", "", " ", "ж🙂é日本",
         "a\n\nb\n\n\nc", "e\u0301 \u2581 x", "Слово, word; 3.14 — «да»", "if x:\n        y = 1\n", "ааааааааа (((((((("]

def lines():
    return [l for f in ("README.md", "docs/teaching.ru.md", "engine/text/spm.c") for l in open(os.path.join(HERE, "../../..", f), encoding="utf8").read().split("\n") if l.strip()]

def train(**how):
    b = io.BytesIO()
    sp.SentencePieceTrainer.train(sentence_iterator=iter(lines()), model_writer=b, normalization_rule_name="identity", character_coverage=.99, num_threads=1, minloglevel=2, split_digits=True, **how)
    return b.getvalue()

def keep(name, folder, case):
    out = os.path.join(HERE, "pieces", name)
    os.makedirs(out, exist_ok=True)
    for f in sorted(os.listdir(folder)):
        if f in ("generation_config.json", "case.json"): continue
        with open(os.path.join(folder, f), "rb") as r, open(os.path.join(out, f + ".gz"), "wb") as w, gzip.GzipFile("", "wb", 9, w, 0) as z: z.write(r.read())
    with open(os.path.join(out, "case.json.gz"), "wb") as w, gzip.GzipFile("", "wb", 9, w, 0) as z: z.write(json.dumps(case, ensure_ascii=False, separators=(",", ":")).encode())

def case_of(folder, user=()):
    v = list(SentencePieceVocab(Path(folder)).all_tokens())
    p = sp.SentencePieceProcessor(model_file=folder + "/tokenizer.model")
    return {"texts": TEXTS, "ids": [p.encode(t) for t in TEXTS], "scores": [s for _, s, _ in v], "types": [int(t) for _, _, t in v], "tokens": [t.decode() for t, _, _ in v]}

CONFIG = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True, "add_eos_token": False}
with tempfile.TemporaryDirectory() as d:
    with open(d + "/tokenizer.model", "wb") as f: f.write(train(model_type="bpe", vocab_size=480, byte_fallback=True, remove_extra_whitespaces=False, allow_whitespace_only_pieces=True))
    with open(d + "/tokenizer_config.json", "w") as f: json.dump({"tokenizer_class": "LlamaTokenizer", **CONFIG}, f)
    t = T.LlamaTokenizer.from_pretrained(d)
    case = case_of(d)
    with tempfile.TemporaryDirectory() as e:
        t.save_pretrained(e)
        os.replace(e + "/tokenizer.json", d + "/tokenizer.json")
    for text, ids in zip(TEXTS, case["ids"]): assert t(text, add_special_tokens=False)["input_ids"] == ids or text[:1] in ("", " "), (text, ids)    # before a space transformers puts none
    keep("first", d, case)
with tempfile.TemporaryDirectory() as d:
    with open(d + "/tokenizer.model", "wb") as f: f.write(train(model_type="unigram", vocab_size=420, byte_fallback=True, remove_extra_whitespaces=True))
    with open(d + "/tokenizer_config.json", "w") as f: json.dump({"tokenizer_class": "T5Tokenizer", **CONFIG, "add_bos_token": False}, f)
    keep("unigram", d, case_of(d))
with tempfile.TemporaryDirectory() as d:
    user = ["\n\n", "\n\n\n", "<start_of_turn>", "<end_of_turn>"]
    with open(d + "/tokenizer.model", "wb") as f:
        f.write(train(model_type="bpe", vocab_size=400, byte_fallback=True, remove_extra_whitespaces=False, add_dummy_prefix=False, user_defined_symbols=user, pad_id=0, eos_id=1, bos_id=2, unk_id=3))
    case = case_of(d)
    torch.manual_seed(5)
    m = T.Gemma3ForCausalLM(T.Gemma3TextConfig(vocab_size=400, hidden_size=32, intermediate_size=32, num_hidden_layers=6, num_attention_heads=2, num_key_value_heads=1, head_dim=16, query_pre_attn_scalar=16,
        sliding_window=8, max_position_embeddings=256, bos_token_id=2, eos_token_id=1, pad_token_id=0, dtype="bfloat16")).float().eval()
    with torch.no_grad():
        for p in m.parameters(): p.copy_(torch.round((torch.randn_like(p.float()) * .12).clamp(-2, 2) * 64) / 64)
    ids = [2] + case["ids"][0] + case["ids"][1]
    with torch.no_grad(): logits = m(torch.tensor([ids])).logits[0, -2:]
    m.to(torch.bfloat16).save_pretrained(d)
    with open(d + "/tokenizer_config.json", "w") as f:
        json.dump({"tokenizer_class": "GemmaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "add_bos_token": True,
                   "added_tokens_decoder": {str(case["tokens"].index(u)): {"content": u, "special": u[0] == "<"} for u in user}}, f)
    keep("gemma", d, {**case, "ids_of_logits": ids})
    with open(os.path.join(HERE, "pieces/gemma/logits.f32"), "wb") as f: f.write(struct.pack("<%df" % logits.numel(), *logits.flatten().tolist()))
