#!/usr/bin/env python3
"""Loads a training folder by its trainer's own parser, without a GPU and without the model: parsers.py trl|axolotl|llamafactory|accelerate|
deepspeed FOLDER... Run by the Python of the virtual environment in which that trainer is (tests/course/trainers.sh). Each folder is named with
"ok" or with what the parser said."""
import json
import os
import sys


def trl(folder):
    """Unknown keys fail. A processor trains here: bf16 asks for a GPU when the arguments are made."""
    import trl as t
    desk = json.load(open("desk.json"))
    config = t.DPOConfig if desk["task"] == "pairs" else t.SFTConfig
    parser = t.TrlParser((t.ScriptArguments, config, t.ModelConfig))
    _, args, model = parser.parse_args_and_config(args=["--config", "config.yaml", "--use_cpu", "true", "--bf16", "false"], fail_with_unknown_args=True)
    assert args.output_dir == "output" and args.learning_rate > 0
    peft = t.get_peft_config(model)
    if peft is not None:
        peft.rank_pattern = desk["rank_pattern"]
        want = "experts" in desk["trained"]
        assert bool(peft.target_parameters) == want and (not want or peft.lora_dropout == 0), "experts are not named"


def llamafactory(folder):
    import yaml
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import get_train_args
    config = yaml.safe_load(open("config.yaml"))
    config.update({"bf16": False, "use_cpu": True})
    deepspeed = config.pop("deepspeed", None)            # asks for the package: its file is held against DeepSpeed's own parser
    assert deepspeed is None or os.path.exists(deepspeed)
    quantized = config.pop("quantization_bit", None)     # asks for a GPU's package
    assert quantized in (None, 4)
    _, data, train, fine, _ = get_train_args(config)
    found = get_dataset_list(data.dataset, data.dataset_dir) + get_dataset_list(data.eval_dataset, data.dataset_dir)
    assert found and all(os.path.exists(os.path.join("data", x.dataset_name)) for x in found), "a file of examples is missing"
    assert fine.finetuning_type in ("lora", "full") and train.output_dir == "output"


def axolotl(folder):
    """Its model takes any key, so they are held against its fields too."""
    import yaml
    from axolotl.utils.schemas.config import AxolotlInputConfig
    config = yaml.safe_load(open("config.yaml"))
    fields = set(AxolotlInputConfig.model_fields) | {f.alias for f in AxolotlInputConfig.model_fields.values() if f.alias}
    unknown = sorted(set(config) - fields)
    assert not unknown, "no such keys: %s" % unknown
    c = AxolotlInputConfig(**config)
    assert c.output_dir == "output" and bool(c.quantize_moe_experts) == bool(config.get("quantize_moe_experts"))


def accelerate(folder):
    from accelerate.commands.config.config_args import load_config_from_file
    assert load_config_from_file("accelerate.yaml").num_processes >= 1


def deepspeed(folder):
    os.environ["DS_ACCELERATOR"] = "cpu"
    from deepspeed.runtime.config import DeepSpeedConfig
    config = json.load(open("deepspeed.json"))
    known = json.load(open(os.path.join(HERE, "keys.json")))["deepspeed"]
    assert set(config) <= set(known), "no such keys: %s" % sorted(set(config) - set(known))
    # What "auto" stands for is put in by transformers before DeepSpeed sees it.
    config.update({"train_batch_size": 16, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 16, "gradient_clipping": 1.0})
    assert DeepSpeedConfig(config).zero_config.stage in (2, 3)


HERE = os.path.dirname(os.path.abspath(__file__))
what, folders, bad = sys.argv[1], sys.argv[2:], 0
os.environ.update({"DISABLE_VERSION_CHECK": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""})
for f in folders:
    os.chdir(f)
    try:
        globals()[what](f)
        print("ok %s %s" % (what, os.path.basename(f)))
    except BaseException as e:                           # some parsers exit
        bad = 1
        print("not ok %s %s: %s: %s" % (what, os.path.basename(f), type(e).__name__, str(e).replace("\n", " ")[:600]))
sys.exit(bad)
