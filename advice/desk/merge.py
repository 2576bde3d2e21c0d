"""Joins the adapter in output/ with the model it was trained on, into merged/: what servers load and what is made a GGUF file of. Needs RAM
for the whole model in 16 bits, no GPU.

    python3 merge.py MODEL
"""
import os
import shutil
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    model, adapter, out = sys.argv[1], os.path.join(here, "output"), os.path.join(here, "merged")
    if not os.path.exists(os.path.join(adapter, "adapter_config.json")):
        sys.exit("output/ holds no adapter: train first (./run.sh train)")
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    merged = PeftModel.from_pretrained(base, adapter).merge_and_unload(safe_merge=True)
    half = out + ".part"
    shutil.rmtree(half, ignore_errors=True)
    merged.save_pretrained(half)
    AutoTokenizer.from_pretrained(model).save_pretrained(half)
    shutil.rmtree(out, ignore_errors=True)
    os.rename(half, out)


if __name__ == "__main__":
    main()
