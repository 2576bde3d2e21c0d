#!/usr/bin/env python3
"""The keys that a trainer's release knows, as a JSON list: keys.py trl|axolotl|llamafactory|accelerate|deepspeed, by the Python of its virtual
environment. keys.py FOLDER, by any Python: makes tests/course/keys.json of FOLDER/NAME.json. tests/course/trainers.sh does both."""
import dataclasses
import glob
import json
import os
import sys


def fields(*classes):
    return {f.name for c in classes for f in dataclasses.fields(c)}


def trl():
    import trl as t
    return fields(t.ScriptArguments, t.SFTConfig, t.DPOConfig, t.ModelConfig)


def axolotl():
    from axolotl.utils.schemas.config import AxolotlInputConfig
    return {x for name, f in AxolotlInputConfig.model_fields.items() for x in (name, f.alias) if x}


def llamafactory():
    from llamafactory.hparams import DataArguments, FinetuningArguments, GeneratingArguments, ModelArguments, TrainingArguments
    return fields(DataArguments, FinetuningArguments, GeneratingArguments, ModelArguments, TrainingArguments)


def accelerate():
    """fsdp_config and deepspeed_config take any key: what the launcher reads is found in its source."""
    import re
    import accelerate.commands.launch as launch
    import accelerate.utils.dataclasses as d
    from accelerate.commands.config.config_args import ClusterConfig
    text = open(launch.__file__).read() + open(d.__file__).read()
    return fields(ClusterConfig) | set(re.findall(r"\bfsdp_[a-z_]+", text)) | set(re.findall(r"\b(?:deepspeed|zero3)_[a-z_0-9]+", text))


def deepspeed():
    import deepspeed.runtime.constants as c
    import deepspeed.runtime.zero.config as z
    return {v for k, v in vars(c).items() if isinstance(v, str) and k.isupper()} | {"zero_optimization"} | set(z.DeepSpeedZeroConfig.model_fields)


if os.path.isdir(sys.argv[1]):
    out = {os.path.basename(f)[:-5]: json.load(open(f)) for f in sorted(glob.glob(sys.argv[1] + "/*.json"))}
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "keys.json"), "w") as f:
        json.dump(out, f, indent=0)
        f.write("\n")
else:
    keys = globals()[sys.argv[1]]()
    json.dump(sorted(keys), sys.stdout)
