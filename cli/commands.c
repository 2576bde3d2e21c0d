/* cli/commands: the table of subcommands; help and usage messages come from it. Constant data. */
#include "cli/cli.h"

static const cli_command table[] = {
    { "eval", N_("quorum eval logits -m F --tokens 1,2,3 --out FILE.f32 [--routing FILE.json] [--force-routing FILE.json]\n"
                 "                   [--split N] [--set NAME=VALUE]...\n"
                 "    logits of all positions as [tokens][vocabulary] float32; the prompt is evaluated in pieces of N;\n"
                 "    --routing writes {\"ids\":[layer][token][slot],\"weights\":...}, --force-routing runs such a file's ids\n"
                 "quorum eval ppl -m F -f TEXT [--ctx 512] [--split N] [--set NAME=VALUE]... [--json]\n"
                 "    perplexity over windows of that many tokens, the second half of each scored"), cmd_eval },
    { "bench", N_("quorum bench -m F [-p 512] [-n 32] [-t THREADS] [-r REPEAT] [--set NAME=VALUE]... [--json]\n"
                  "    prefill and decode speed, bytes read per token, memory bandwidth and the share of its roofline;\n"
                  "    the best of REPEAT runs counts"), cmd_bench },
    { "model", N_("quorum model info FILE|NAME [--json]     what a model is, and whether it fits here\n"
                  "quorum model list [--json]               models found in the usual places and in QUORUM_MODELS\n"
                  "quorum model fetch                       fetches and carves the default model\n"
                  "quorum model carve IN OUT --recipe R [--force]\n"
                  "quorum model synth --arch qwen3moe --layers N --like 30b-a3b --type Q4_K_M [--seed N] OUT"), cmd_model },
    { "memory", N_("quorum memory add PATH... [--db FILE]        takes text and Markdown files, or folders of them, into memory\n"
                   "quorum memory search TEXT [--json] [-n N]    the passages that would be fed, and why\n"
                   "quorum memory list\n"
                   "quorum memory delete ID                      with all index entries; the bytes are overwritten"), cmd_memory },
};

const cli_command *cli_commands(int *n)
{
    *n = (int)(sizeof table / sizeof *table);
    return table;
}
