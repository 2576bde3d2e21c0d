#!/usr/bin/env python3
"""Prints kernels/grids.def from the codebooks of the gguf package (pip install gguf): build-aux/grids.py > kernels/grids.def.
Behind them, for look-ups of IQ1's rows, which rise: where in each sixteen in a row the high byte changes.
A row of a grid is the package's own packing: eight numbers of two bits (grid_map has three values), or four of three bits that
stand in four bits each. kernels/grids.h says what the numbers mean, kernels/grids.c makes the tables."""
import sys

from gguf import quants

GRIDS = [("IQ2_XXS", quants.IQ2_XXS), ("IQ2_XS", quants.IQ2_XS), ("IQ2_S", quants.IQ2_S), ("IQ1", quants.IQ1_S),
         ("IQ3_XXS", quants.IQ3_XXS), ("IQ3_S", quants.IQ3_S)]
HEAD = """/* kernels/grids: the rows of the codebooks, as grids.h describes them: GRID_name(R) gives R(row) for each. Made by build-aux/grids.py
 * from gguf/quants.py of the gguf package 0.19 (MIT licence), which has them from ggml/src/ggml-common.h: data, not to be edited
 * by hand. */
"""


STEPS = """
/* S(count, first, other) of sixteen rows in a row: the high byte of the first `count` and of the others. */
#define GRID_IQ1_STEPS(S) \\
"""


def steps(rows):
    """The steps of a grid whose rows rise, in which sixteen have two high bytes at most."""
    print(STEPS, end="")
    for i in range(0, len(rows), 16):
        high = [r >> 8 for r in rows[i:i + 16]]
        count = high.count(high[0])
        assert high == [high[0]] * count + [high[-1]] * (16 - count)
        last = " \\\n" if i + 16 < len(rows) else "\n"
        print(("    " if i % 128 == 0 else "") + f"S({count}, {high[0]}, {high[-1]})", end=last if i % 128 == 112 else " ")


def main():
    print(HEAD, end="")
    iq1 = None
    for name, kind in GRIDS:
        raw = bytes.fromhex(kind.grid_hex.decode())
        rows = [raw[i] | raw[i + 1] << 8 for i in range(0, len(raw), 2)]
        assert len(rows) == kind.grid_shape[0]
        print(f"\n#define GRID_{name}(R) \\")
        for i in range(0, len(rows), 16):
            print("    " + " ".join(f"R({v})" for v in rows[i:i + 16]) + (" \\" if i + 16 < len(rows) else ""))
        iq1 = rows if name == "IQ1" else iq1
    steps(iq1)


if __name__ == "__main__":
    sys.exit(main())
