/* cli/commands: the table of subcommands; help and usage messages come from it. Constant data. */
#include "cli/cli.h"

static const cli_command table[] = {
    { "chat", N_("quorum [-m FILE|NAME] [--db FILE] [--set NAME=VALUE]... [--base] [--repl | -p TEXT [--json]]\n"
                 "    talk with the model: full screen, --repl in a line editor, -p one question\n"
                 "    -m        a GGUF file, or a part of a known model's name; without it the default model\n"
                 "    --db      the file that keeps conversations and memory (:memory: keeps nothing)\n"
                 "    --set     a knob: experts.k=4, sampler.temperature=0, memory.on=off ... (/set in the shell lists them)\n"
                 "    --base    no template: the text continues\n"
                 "    -p TEXT   standard output carries the answer alone; what is piped in is attached as text. The question is kept as\n"
                 "              a new conversation; earlier conversations are not searched (memory.chats=off) unless --set says so\n"
                 "    --json    one event a line, each with \"v\":1 and \"event\":\n"
                 "              retrieval  fed, tokens, best, min_score, passages [n, source, heading, score, tokens, fed, why]\n"
                 "              prefill    done, total, tokens_per_s\n"
                 "              token      index, id, text, thinking, logprob\n"
                 "              knob       name, value, after_token, note\n"
                 "              done       state, finish, text, thinking, tokens, thinking_tokens, prompt_tokens, prefill_s, decode_s,\n"
                 "                         tokens_per_s, configuration, chat, message\n"
                 "              error      text"), cmd_chat },
    { "eval", N_("quorum eval logits -m F --tokens 1,2,3 --out FILE.f32 [--routing FILE.json] [--force-routing FILE.json]\n"
                 "                   [--split N] [--set NAME=VALUE]...\n"
                 "    logits of all positions as [tokens][vocabulary] float32; the prompt is evaluated in pieces of N;\n"
                 "    --routing writes {\"ids\":[layer][token][slot],\"weights\":...}, --force-routing runs such a file's ids\n"
                 "quorum eval ppl -m F -f TEXT [--ctx 512] [--split N] [--set NAME=VALUE]... [--json]\n"
                 "    perplexity over windows of that many tokens, the second half of each scored"), cmd_eval },
    { "tokenize", N_("quorum tokenize -m F [--json] [--special] < TEXT\n"
                     "    the ids of standard input; a file with a vocabulary and no tensors is enough; --json: {\"ids\":[...]};\n"
                     "    --special: control tokens written in the text (<|im_end|>) become those tokens"), cmd_tokenize },
    { "detokenize", N_("quorum detokenize -m F < IDS\n"
                       "    the bytes of ids separated by spaces, newlines or commas, or of what tokenize --json wrote;\n"
                       "    control tokens are written by name"), cmd_detokenize },
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
