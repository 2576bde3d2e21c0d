#!/usr/bin/env python3
"""answers.json: which experts ran, as vLLM and SGLang tell it, encoded as their sources do (numpy is needed to make it, not to test):
  vLLM    vllm/entrypoints/openai/chat_completion/serving.py, "Encode routed_experts for transport": np.save of the array (positions, num_hidden_layers,
          num_experts_per_tok), base64; uint8 up to 256 experts, else uint16 (routed_experts capturer), int32 in between versions; before: .tolist()
  SGLang  DetokenizerManager: base64 of the int32 tensor's bytes, num_hidden_layers rows a token, in sglext.routed_experts of the answer or last chunk
The ids are a rule that the test knows: (7 * position + 3 * layer + 5 * place) mod experts; dense layers hold zeros there too."""
import base64
import io
import json
import os

import numpy as np


def ids(positions, layers, k, experts, dense, kind):
    a = np.zeros((positions, layers, k), dtype=kind)
    for p in range(positions):
        for l in range(dense, layers):
            for i in range(k):
                a[p, l, i] = (7 * p + 3 * l + 5 * i) % experts
    return a


def npy(a):
    buf = io.BytesIO()
    np.save(buf, a)
    return base64.b64encode(buf.getvalue()).decode("ascii")


rows = []
for name, kind, positions, layers, k, experts, dense in (("u1", np.uint8, 5, 4, 2, 16, 0), ("u2", np.uint16, 3, 3, 8, 512, 1), ("i4", np.int32, 7, 2, 4, 64, 0),
                                                         ("none", np.uint8, 0, 4, 2, 16, 0), ("many", np.uint8, 300, 2, 1, 8, 0)):
    a = ids(positions, layers, k, experts, dense, kind)
    shape = {"positions": positions, "layers": layers, "k": k, "experts": experts, "dense": dense}
    rows.append(dict(shape, name="vllm " + name, routing="vllm", said=npy(a)))
    rows.append(dict(shape, name="vllm lists " + name, routing="vllm", said=json.dumps(a.tolist())))
    rows.append(dict(shape, name="sglang " + name, routing="sglang", said=base64.b64encode(a.astype(np.int32).tobytes()).decode("ascii")))
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "answers.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
