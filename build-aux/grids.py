#!/usr/bin/env python3
"""Prints kernels/grids.c from the codebooks of the gguf package (pip install gguf): build-aux/grids.py > kernels/grids.c.
A row of a grid is the package's own packing: eight numbers of two bits (grid_map has three values), or four of three bits that
stand in four bits each; the low bytes of all rows come first, then the high ones. kernels/grids.h says what the numbers mean."""
import sys

from gguf import quants

GRIDS = [("iq2_xxs", quants.IQ2_XXS), ("iq2_xs", quants.IQ2_XS), ("iq2_s", quants.IQ2_S), ("iq1", quants.IQ1_S),
         ("iq3_xxs", quants.IQ3_XXS), ("iq3_s", quants.IQ3_S)]
HEAD = """/* kernels/grids: see grids.h. Made by build-aux/grids.py from gguf/quants.py of the gguf package 0.19 (MIT licence), which has them
 * from ggml/src/ggml-common.h: data, not to be edited by hand. */
#include "kernels/grids.h"
"""


def main():
    print(HEAD, end="")
    for name, kind in GRIDS:
        raw = bytes.fromhex(kind.grid_hex.decode())
        rows = [raw[i] | raw[i + 1] << 8 for i in range(0, len(raw), 2)]
        assert len(rows) == kind.grid_shape[0]
        print(f"\nconst uint8_t ker_grid_{name}[2][{len(rows)}] __attribute__((aligned(64))) = {{")
        for half in range(2):
            print("    {")
            for i in range(0, len(rows), 24):
                print("        " + " ".join(f"{v >> 8 * half & 255}," for v in rows[i:i + 24]))
            print("    },")
        print("};")


if __name__ == "__main__":
    sys.exit(main())
