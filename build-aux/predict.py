#!/usr/bin/env python3
"""Computed, not measured: tokens a second that published bandwidths and peaks allow for Qwen3-30B-A3B in Q4_K_M on GPUs.
Prints the table of docs/CUDA.md (tests/cuda/predict.test compares them).

Shapes: the model's config.json. Types: llama.cpp's mix of Q4_K_M (Q6_K for V and down in the first and the last eighth of
the layers and each third between, and for the head). Bytes a block: ggml. Bandwidths and int8 peaks (dense): data sheets."""
EMBD, LAYERS, HEADS, KV, DIM, EXPERTS, USED, FF, VOCAB = 2048, 48, 32, 4, 128, 128, 8, 768, 151936
Q4, Q6, F32 = 144 / 256, 210 / 256, 4
CARDS = [  # name, GB/s, int8 T operations/s, published llama.cpp tokens/s of others
    ("RTX 4090", 1008, 661, 271), ("RTX 5090", 1792, 838, 352), ("RTX PRO 6000 Blackwell", 1792, 1008, None), ("H100 SXM", 3350, 1979, None)]
LAUNCHES, LAUNCH_US, SHARE = 8, 2.0, .85     # a layer; each; of the bandwidth that streaming reads reach
PREFILL_SHARE = .05                          # of the int8 peak: what small tiles of many experts, sub-block scales and attention leave


def more_bits(i):
    return i < LAYERS // 8 or i >= 7 * LAYERS // 8 or (i - LAYERS // 8) % 3 == 2


def layer(i, k):
    """Bytes and parameters read for a token."""
    v = Q6 if more_bits(i) else Q4
    parts = [(EMBD * HEADS * DIM, Q4), (EMBD * KV * DIM, Q4), (EMBD * KV * DIM, v), (HEADS * DIM * EMBD, Q4), (EMBD * EXPERTS, F32),
             (k * 2 * EMBD * FF, Q4), (k * EMBD * FF, v)]
    return sum(n * b for n, b in parts), sum(n for n, _ in parts)


def token(k):
    rows = [layer(i, k) for i in range(LAYERS)]
    return sum(b for b, _ in rows) + EMBD * VOCAB * Q6, sum(p for _, p in rows) + EMBD * VOCAB


def main():
    size, params = token(USED)
    cell = LAYERS * KV * DIM * 2 * 2
    print(f"A token reads {size / 1e9:.2f} GB of weights ({params / 1e9:.2f} billion of them) and {cell / 1e3:.0f} kB for each cell of context in F16.\n")
    print("| GPU | GB/s | bytes alone | with launches | the same at 32k | k = 4 | llama.cpp, published | prefill, computed |")
    print("|---|---|---|---|---|---|---|---|")
    for name, bandwidth, peak, peer in CARDS:
        def rate(k, cells):
            return 1 / ((token(k)[0] + cells * cell) / (bandwidth * 1e9 * SHARE) + LAYERS * LAUNCHES * LAUNCH_US * 1e-6)
        prefill = peak * 1e12 * PREFILL_SHARE / (2 * (params - EMBD * VOCAB))
        print(f"| {name} | {bandwidth} | {bandwidth * 1e9 / size:.0f} | {rate(USED, 0):.0f} | {rate(USED, 32768):.0f} | {rate(4, 0):.0f} | {peer or '-'} | {prefill:.0f} |")


main()
