/* engine/make/shapes: see shapes.h. Constant data. */
#include "engine/make/shapes.h"

#include <string.h>

static const float granite_3b[] = { 0.015625f, 12, 0.22f, 6 };

static const shape shapes[] = {
    {"30b-a3b", "qwen3moe", "Qwen3-30B-A3B shapes", "30B-A3B", 48, 2048, 32, 4, 128, 6144, 128, 8, 768, 151936, 40960, false, {0}},
    {"235b-a22b", "qwen3moe", "Qwen3-235B-A22B shapes", "235B-A22B", 94, 4096, 64, 4, 128, 12288, 128, 8, 1536, 151936, 40960, false, {0}},
    {"0.6b", "qwen3", "Qwen3-0.6B shapes", "0.6B", 28, 1024, 16, 8, 128, 3072, 0, 0, 0, 151936, 40960, true, {0}},
    {"8b", "qwen3", "Qwen3-8B shapes", "8B", 36, 4096, 32, 8, 128, 12288, 0, 0, 0, 151936, 40960, false, {0}},
    {"smoke", "qwen3moe", "smoke test", "8M", 2, 256, 4, 2, 64, 512, 16, 4, 256, 4096, 4096, false, {0}},
    /* openai/gpt-oss-20b and -120b, google/gemma-3-4b-it, Qwen/Qwen2.5-0.5B, allenai/OLMoE-1B-7B-0924, mistralai/Mixtral-8x7B-v0.1,
     * ibm-granite/granite-3.1-3b-a800m-base, config.json */
    {"gpt-oss-20b", "gpt-oss", "gpt-oss-20b shapes", "20B", 24, 2880, 64, 8, 64, 2880, 32, 4, 2880, 201088, 131072, false,
     {.has = SYN_PLAIN | SYN_BIAS | SYN_OSS, .window = 128, .theta = 150000, .eps = 1e-5f, .yarn_factor = 32, .original = 4096}},
    {"gpt-oss-120b", "gpt-oss", "gpt-oss-120b shapes", "120B", 36, 2880, 64, 8, 64, 2880, 128, 4, 2880, 201088, 131072, false,
     {.has = SYN_PLAIN | SYN_BIAS | SYN_OSS, .window = 128, .theta = 150000, .eps = 1e-5f, .yarn_factor = 32, .original = 4096}},
    {"gemma3-4b", "gemma3", "Gemma 3 4B shapes", "4B", 34, 2560, 8, 4, 256, 10240, 0, 0, 0, 262208, 131072, true, {.has = SYN_POST, .window = 1024}},
    {"qwen2.5-0.5b", "qwen2", "Qwen2.5-0.5B shapes", "0.5B", 24, 896, 14, 2, 64, 4864, 0, 0, 0, 151936, 32768, true, {.has = SYN_PLAIN | SYN_BIAS}},
    {"olmoe-1b-7b", "olmoe", "OLMoE-1B-7B shapes", "1B-7B", 16, 2048, 16, 16, 128, 1024, 64, 8, 1024, 50304, 4096, false, {.has = SYN_WHOLE, .theta = 10000, .eps = 1e-5f}},
    {"mixtral-8x7b", "llama", "Mixtral-8x7B shapes", "8x7B", 32, 4096, 32, 8, 128, 14336, 8, 2, 14336, 32000, 32768, false, {.has = SYN_PLAIN, .eps = 1e-5f}},
    {"granite-3b-a800m", "granitemoe", "Granite-3.1-3B-A800M shapes", "3B-A800M", 32, 1536, 24, 8, 64, 512, 40, 8, 512, 49155, 131072, true,
     {.has = SYN_PLAIN, .theta = 5e6f, .granite = granite_3b}},
    {"smoke-oss", "gpt-oss", "smoke test of gpt-oss", "8M", 4, 256, 4, 2, 64, 256, 16, 4, 256, 4096, 4096, false,
     {.has = SYN_PLAIN | SYN_BIAS | SYN_OSS, .window = 128, .theta = 150000, .eps = 1e-5f, .yarn_factor = 4, .original = 1024}},
    /* Qwen/Qwen3.6-35B-A3B and Qwen/Qwen3-Next-80B-A3B-Instruct, config.json */
    {"3.6-35b-a3b", "qwen35moe", "Qwen3.6-35B-A3B shapes", "35B-A3B", 40, 2048, 16, 2, 256, 0, 256, 8, 512, 248320, 262144, false,
     {.shared = 1, .theta = 1e7f, .delta = {.n_key = 16, .n_value = 32, .key_dim = 128, .value_dim = 128, .conv = 4, .tiled = true}, .rope_dim = 64, .sections = true}},
    {"next-80b", "qwen3next", "Qwen3-Next-80B-A3B shapes", "80B-A3B", 48, 2048, 16, 2, 256, 5120, 512, 10, 512, 151936, 262144, false,
     {.shared = 1, .theta = 1e7f, .delta = {.n_key = 16, .n_value = 32, .key_dim = 128, .value_dim = 128, .conv = 4, .paired = true}, .rope_dim = 64}},
    {"smoke-delta", "qwen35moe", "smoke test of recurrent layers", "8M", 4, 256, 4, 2, 64, 0, 16, 4, 256, 4096, 65536, false,
     {.shared = 1, .delta = {.n_key = 2, .n_value = 4, .key_dim = 64, .value_dim = 64, .conv = 4, .tiled = true}, .rope_dim = 32, .sections = true}},
    /* deepseek-ai/DeepSeek-V2-Lite and zai-org/GLM-4.7-Flash, config.json */
    {"v2-lite", "deepseek2", "DeepSeek-V2-Lite shapes", "16B-A2.4B", 27, 2048, 16, 1, 576, 10944, 64, 6, 1408, 102400, 163840, false,
     {.leading = 1, .shared = 2, .latent = {.kv_rank = 512, .nope = 128, .rope = 64, .v = 128}, .theta = 10000, .yarn_factor = 40, .yarn_log = .0707f, .original = 4096}},
    {"glm-4.7-flash", "deepseek2", "GLM-4.7-Flash shapes", "30B-A3B", 47, 2048, 20, 1, 576, 10240, 64, 4, 1536, 154880, 202752, false,
     {.leading = 1, .shared = 1, .latent = {.q_rank = 768, .kv_rank = 512, .nope = 192, .rope = 64, .v = 256}, .sigmoid = true, .renorm = true, .weights_scale = 1.8f,
      .eps = 1e-5f}},
    {"smoke-mla", "deepseek2", "smoke test of latent attention", "8M", 3, 256, 4, 1, 96, 512, 16, 4, 256, 4096, 4096, false,
     {.leading = 1, .shared = 1, .latent = {.q_rank = 64, .kv_rank = 64, .nope = 64, .rope = 32, .v = 64}, .sigmoid = true, .renorm = true}},
    {"1.7b", "qwen3", "Qwen3-1.7B shapes", "1.7B", 28, 2048, 16, 8, 128, 6144, 0, 0, 0, 151936, 40960, true, {0}},
    {"4b", "qwen3", "Qwen3-4B shapes", "4B", 36, 2560, 32, 8, 128, 9728, 0, 0, 0, 151936, 40960, true, {0}},
    {"14b", "qwen3", "Qwen3-14B shapes", "14B", 40, 5120, 40, 8, 128, 17408, 0, 0, 0, 151936, 40960, false, {0}},
    {"32b", "qwen3", "Qwen3-32B shapes", "32B", 64, 5120, 64, 8, 128, 25600, 0, 0, 0, 151936, 40960, false, {0}},
    /* meta-llama/Llama-3.1-70B, Qwen/Qwen2.5-72B, zai-org/GLM-4.5-Air (its MTP layer left out), config.json */
    {"llama-70b", "llama", "Llama-3.1-70B shapes", "70B", 80, 8192, 64, 8, 128, 28672, 0, 0, 0, 128256, 131072, false, {.has = SYN_PLAIN, .theta = 500000, .eps = 1e-5f}},
    {"qwen2.5-72b", "qwen2", "Qwen2.5-72B shapes", "72B", 80, 8192, 64, 8, 128, 29568, 0, 0, 0, 152064, 131072, false, {.has = SYN_PLAIN | SYN_BIAS, .eps = 1e-5f}},
    {"glm-4.5-air", "glm4moe", "GLM-4.5-Air shapes", "106B-A12B", 46, 4096, 96, 8, 128, 10944, 128, 8, 1408, 151552, 131072, false,
     {.leading = 1, .shared = 1, .has = SYN_PLAIN | SYN_BIAS, .sigmoid = true, .renorm = true, .eps = 1e-5f, .rope_dim = 64}},
    /* swiss-ai/Apertus-70B-2509: github.com/swiss-ai/pretrain-code, pretraining/submit_apertus_70b.sh; 131072 words: transformers, ApertusConfig */
    {"apertus-70b", "apertus", "Apertus-70B shapes", "70B", 80, 8192, 64, 8, 128, 43008, 0, 0, 0, 131072, 65536, false, {.has = SYN_UNGATED, .theta = 12e6f, .eps = 1e-5f}},
    /* Qwen/Qwen3.5-27B, -122B-A10B and -397B-A17B, config.json (text_config) */
    {"3.5-27b", "qwen35", "Qwen3.5-27B shapes", "27B", 64, 5120, 24, 4, 256, 17408, 0, 0, 0, 248320, 262144, false,
     {.theta = 1e7f, .delta = {.n_key = 16, .n_value = 48, .key_dim = 128, .value_dim = 128, .conv = 4, .tiled = true}, .rope_dim = 64, .sections = true}},
    /* Qwen/Qwen3.5-0.8B, -2B, -4B and -9B: engine/make/catalog.ini says where each was found */
    {"3.5-0.8b", "qwen35", "Qwen3.5-0.8B shapes", "0.8B", 24, 1024, 8, 2, 256, 3584, 0, 0, 0, 248320, 262144, true,
     {.theta = 1e7f, .delta = {.n_key = 16, .n_value = 16, .key_dim = 128, .value_dim = 128, .conv = 4, .tiled = true}, .rope_dim = 64, .sections = true}},
    {"3.5-2b", "qwen35", "Qwen3.5-2B shapes", "2B", 24, 2048, 8, 2, 256, 6144, 0, 0, 0, 248320, 262144, true,
     {.theta = 1e7f, .delta = {.n_key = 16, .n_value = 16, .key_dim = 128, .value_dim = 128, .conv = 4, .tiled = true}, .rope_dim = 64, .sections = true}},
    {"3.5-4b", "qwen35", "Qwen3.5-4B shapes", "4B", 32, 2560, 16, 4, 256, 9216, 0, 0, 0, 248320, 262144, true,
     {.theta = 1e7f, .delta = {.n_key = 16, .n_value = 32, .key_dim = 128, .value_dim = 128, .conv = 4, .tiled = true}, .rope_dim = 64, .sections = true}},
    {"3.5-9b", "qwen35", "Qwen3.5-9B shapes", "9B", 32, 4096, 16, 4, 256, 12288, 0, 0, 0, 248320, 262144, false,
     {.theta = 1e7f, .delta = {.n_key = 16, .n_value = 32, .key_dim = 128, .value_dim = 128, .conv = 4, .tiled = true}, .rope_dim = 64, .sections = true}},
    {"3.5-122b-a10b", "qwen35moe", "Qwen3.5-122B-A10B shapes", "122B-A10B", 48, 3072, 32, 2, 256, 0, 256, 8, 1024, 248320, 262144, false,
     {.shared = 1, .theta = 1e7f, .delta = {.n_key = 16, .n_value = 64, .key_dim = 128, .value_dim = 128, .conv = 4, .tiled = true}, .rope_dim = 64, .sections = true}},
    {"3.5-397b-a17b", "qwen35moe", "Qwen3.5-397B-A17B shapes", "397B-A17B", 60, 4096, 32, 2, 256, 0, 512, 10, 1024, 248320, 262144, false,
     {.shared = 1, .theta = 1e7f, .delta = {.n_key = 16, .n_value = 64, .key_dim = 128, .value_dim = 128, .conv = 4, .tiled = true}, .rope_dim = 64, .sections = true}},
};

const shape *shape_at(int i) { return i >= 0 && (size_t)i < sizeof shapes / sizeof *shapes ? &shapes[i] : NULL; }

const shape *shape_named(const char *arch, const char *like)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].like, like) == 0 && (!arch || strcmp(shapes[i].arch, arch) == 0)) return &shapes[i];
    return NULL;
}

bool shape_recurrent(const shape *s, int layer) { return s->more.delta.n_key > 0 && (layer + 1) % EVERY; }
