"""Trains with TRL what config.yaml says, and keeps to desk.json beside it: what is trained and what is frozen, ranks of the experts, when to
stop. It goes on from the last checkpoint where there is one, and ends with an error where a part that should learn does not.

    accelerate launch --config_file accelerate.yaml trl_train.py [more options of TRL]
"""
import json
import os
import re
import sys

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint


class Stop(TrainerCallback):
    """Ends the training at a held-out loss that is good enough, or when it has not become better for so many evaluations."""

    def __init__(self, loss, patience):
        self.loss, self.patience, self.best, self.since = loss, patience, float("inf"), 0

    def on_evaluate(self, args, state, control, metrics=None, **_):
        now = (metrics or {}).get("eval_loss")
        if now is None:
            return
        self.since = 0 if now < self.best else self.since + 1
        self.best = min(self.best, now)
        if self.loss and now <= self.loss or self.patience and self.since >= self.patience:
            control.should_training_stop = True


def count(model, parts):
    """Numbers that are trained, by part: the first pattern that is found in a parameter's name."""
    out = {name: 0 for name in parts}
    for name, p in model.named_parameters():
        part = next((part for part, pattern in parts.items() if re.search(pattern, name)), "other")
        if p.requires_grad:
            out[part] = out.get(part, 0) + (getattr(p, "ds_numel", None) or p.numel())
    return out


def print_of(p):
    """Two sums over all numbers of a parameter that lie on this device: any change is seen, also of one row of an embedding or one expert."""
    p = p.detach()
    p = p.to_local() if hasattr(p, "to_local") else p
    return (p.sum(dtype=torch.float64).item(), torch.linalg.vector_norm(p, dtype=torch.float64).item()) if p.numel() else None


def prints(model):
    return {n: print_of(p) for n, p in model.named_parameters() if p.requires_grad}


def moved(model, before, parts):
    out = {}
    for n, p in model.named_parameters():
        if before.get(n):                                # ZeRO-3 has nothing here outside of a step
            part = next((part for part, pattern in parts.items() if re.search(pattern, n)), "other")
            out[part] = out.get(part, False) or print_of(p) != before[n]
    return out


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    with open("desk.json", encoding="utf-8") as f:
        desk = json.load(f)
    import trl
    from datasets import load_dataset

    pairs = desk["task"] == "pairs"
    config, trainer_class = (trl.DPOConfig, trl.DPOTrainer) if pairs else (trl.SFTConfig, trl.SFTTrainer)
    parser = trl.TrlParser((trl.ScriptArguments, config, trl.ModelConfig))
    script, args, model = parser.parse_args_and_config(["--config", "config.yaml"] + sys.argv[1:], fail_with_unknown_args=True)
    kwargs = dict(revision=model.model_revision, attn_implementation=model.attn_implementation, dtype=model.dtype)
    quantization = trl.get_quantization_config(model)
    if desk.get("dequantize") and quantization is None:
        from transformers import Mxfp4Config
        kwargs["quantization_config"] = Mxfp4Config(dequantize=True)
    args.model_init_kwargs = {**kwargs, **(args.model_init_kwargs or {})}
    peft = trl.get_peft_config(model)
    if peft is not None:
        peft.rank_pattern = desk.get("rank_pattern", {})
        peft.alpha_pattern = desk.get("alpha_pattern", {})
    data = load_dataset("json", data_files={"train": "data/train.jsonl", "test": "data/test.jsonl"})
    trainer = trainer_class(model=model.model_name_or_path, args=args, train_dataset=data["train"], peft_config=peft, quantization_config=quantization,
                            eval_dataset=data["test"] if args.eval_strategy != "no" else None, callbacks=[Stop(desk["stop"]["loss"], desk["stop"]["patience"])])
    parts = desk["parts"]
    if peft is None:
        for name, p in trainer.model.named_parameters():
            part = next((part for part, pattern in parts.items() if re.search(pattern, name)), None)
            p.requires_grad_(part in desk["trained"])
            if p.requires_grad and desk.get("widen"):    # small steps are lost in 16 bits
                p.data = p.data.float()
    trained = count(trainer.model, parts)
    trainer.accelerator.print("trained numbers by part: " + ", ".join("%s %d" % x for x in trained.items()))
    empty = [part for part in desk["trained"] if not trained.get(part)]
    wrong = [part for part, n in trained.items() if n and part not in desk["trained"]]
    if empty or wrong:
        sys.exit("what is trained is not what desk.json asks for: nothing of %s, something of %s; transformers may have renamed these parts: compare "
                 "the patterns in desk.json with the model's parameters" % (", ".join(empty) or "none is missing", ", ".join(wrong) or "none is too many"))
    before = prints(trainer.model)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(args.output_dir) if os.path.isdir(args.output_dir) else None)
    changed = moved(trainer.model, before, parts)
    if trainer.state.global_step > 1 and any(part in changed and not changed[part] for part in desk["trained"]):
        sys.exit("no number of %s changed: the learning rate may be 0, or too small for the type" % ", ".join(p for p in desk["trained"] if not changed.get(p, True)))
    trainer.save_model(args.output_dir)
    if trainer.accelerator.is_main_process:
        with open(os.path.join(args.output_dir, "trained.json"), "w", encoding="utf-8") as f:
            json.dump({"trained": trained, "changed": changed, "steps": trainer.state.global_step}, f, indent=1)


if __name__ == "__main__":
    main()
