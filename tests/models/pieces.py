#!/usr/bin/env python3
"""pieces.py QUORUM SHARED: folders with vocabularies of SentencePiece's that are trained here, through `quorum model convert`: tokens, types and scores are
gguf.vocab.SentencePieceVocab's, ids on whole corpora (Russian, English, code, spaces, random text) sentencepiece's; then tokenizer.json as transformers makes it
of the same vocabulary, without tokenizer.model. Needs sentencepiece, protobuf, transformers, gguf, numpy, safetensors. Ends with 1 and what differs."""
import json, os, subprocess, sys, tempfile, unicodedata
from pathlib import Path
import numpy as np
import sentencepiece as sp
from gguf import GGUFReader
from gguf.vocab import SentencePieceVocab
from safetensors.numpy import save_file
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/tokenizer"))
from make_pretok import corpora
from make_spm import FORMS, trained

def weights(folder, rows):
    z = lambda *s: np.zeros(s, dtype=np.float32)
    w = {"model.embed_tokens.weight": z(rows, 32), "model.norm.weight": z(32), "lm_head.weight": z(rows, 32)}
    for n, s in {"input_layernorm": (32,), "post_attention_layernorm": (32,), "self_attn.q_proj": (32, 32), "self_attn.k_proj": (32, 32), "self_attn.v_proj": (32, 32),
                 "self_attn.o_proj": (32, 32), "mlp.gate_proj": (32, 32), "mlp.up_proj": (32, 32), "mlp.down_proj": (32, 32)}.items(): w[f"model.layers.0.{n}.weight"] = z(*s)
    save_file(w, folder + "/model.safetensors")
    json.dump({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "max_position_embeddings": 256,
               "vocab_size": rows}, open(folder + "/config.json", "w"))

def ids(quorum, made, text): return json.loads(subprocess.run([quorum, "tokenize", "-m", made, "--json"], input=text.encode(), capture_output=True, check=True).stdout)["ids"]

def main(quorum, shared):
    texts = [(n, unicodedata.normalize("NFC", t)[:250000]) for n, t in corpora(shared)]
    sentences = [l for n, t in texts[:3] for l in t.split("\n") if l.strip()]
    bad = []
    with tempfile.TemporaryDirectory() as d:
        for form, (kind, table, squeeze, first) in FORMS.items():
            f, made = d + "/" + form, d + "/made.gguf"
            os.makedirs(f)
            m = trained(form, sentences)
            open(f + "/tokenizer.model", "wb").write(m.SerializeToString())
            json.dump({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": False}, open(f + "/tokenizer_config.json", "w"))
            weights(f, len(m.pieces))
            for way in ("tokenizer.model", "tokenizer.json"):
                if way == "tokenizer.json":
                    if kind != "bpe" or table != "identity" or not first: continue
                    from transformers import LlamaTokenizer
                    t = LlamaTokenizer.from_pretrained(f)
                    t.save_pretrained(d + "/hf")
                    os.replace(d + "/hf/tokenizer.json", f + "/tokenizer.json")
                    os.remove(f + "/tokenizer.model")
                r = subprocess.run([quorum, "model", "convert", f, made, "--force"], capture_output=True, text=True)
                if r.returncode: bad.append(f"{form} {way}: {r.stderr}"); continue
                g = GGUFReader(made)
                got = list(zip(*(g.fields["tokenizer.ggml." + k].contents() for k in ("tokens", "scores", "token_type"))))
                if way == "tokenizer.model": want = [(t.decode(), float(np.float32(s)), int(k)) for t, s, k in SentencePieceVocab(Path(f)).all_tokens()]
                elif [x for i, x in enumerate(got) if i > 2] != want[3:]: bad.append(f"{form} {way}: tokens")
                if way == "tokenizer.model" and got != want: bad.append(f"{form} {way}: tokens")
                p, total = sp.SentencePieceProcessor(model_proto=m.SerializeToString()), 0
                for name, whole in texts:
                    for k in range(0, min(len(whole), 60000), 5000):
                        t = whole[k:k + 5000]
                        if table != "identity" and (unicodedata.normalize("NFC", p.normalize(t)) != p.normalize(t)): continue
                        x, y = ids(quorum, made, t), p.encode(t)
                        total += len(x)
                        if x != y: bad.append(f"{form} {way}: {name} at {k}")
                print(f"# {form} from {way}: {len(got)} tokens, {total} ids")
    if bad: sys.exit("differ: " + "; ".join(bad[:6]))

main(*sys.argv[1:])
