/* cli/foreign: options of llama.cpp's programs that who comes from them types here, and what there is instead. A table of names, looked at where a subcommand
 * met an option that it does not know; nothing is done by it. Names as in llama.cpp's common/arg.cpp and tools/llama-bench. */
#include "base/say.h"
#include "cli/common.h"

#include <string.h>

enum { BENCH = 1, CHAT = 2, SERVE = 4, EVAL = 8, ADVISE = 16, ALL = BENCH | CHAT | SERVE | EVAL };
typedef struct row { const char *names; int of; const char *is, *here; } row;      /* is: what it is called here; NULL: `here` follows "here", N_() */

static const row rows[] = {
    /* where a model lies and computes */
    { "-ngl --n-gpu-layers", ALL, NULL, N_("--gpu-layers N says how many layers' experts lie on the GPU; without it as many as fit do") },
    { "-ncmoe --n-cpu-moe", ALL, NULL, N_("--gpu-layers N says how many layers' experts lie on the GPU; the processor computes the others'") },
    { "-cmoe --cpu-moe", ALL, NULL, N_("--gpu-layers 0 leaves all routed experts to the processor") },
    { "-ot --override-tensor", ALL, NULL, N_("--gpu-layers N and --gpu-budget GIB say what lies on the GPU: whole layers' experts, not tensors by name") },
    { "-dev -mg --main-gpu", ALL, "--device cpu|cuda|cuda:N|auto", NULL },
    { "-sm --split-mode -ts --tensor-split", ALL, NULL, N_("one GPU and the processor share a model: --device cuda:N, --gpu-layers N") },
    { "-nkvo --no-kv-offload", ALL, NULL, N_("K and V lie where attention is computed: on the GPU, or with --device cpu in memory") },
    { "--list-devices", ALL, "quorum doctor --gpu", NULL },
    { "-mmp --mmap --no-mmap -dio --direct-io", ALL, NULL, N_("a file is always mapped; --weights-ram GIB reads experts from the disk instead, past the system's cache") },
    { "--mlock", ALL, NULL, N_("weights stay in memory as long as the system has room; nothing locks them there") },
    { "--numa -C --cpu-mask -Cr --cpu-range --cpu-strict --prio --poll", ALL, NULL, N_("processors are chosen before the command, by taskset or numactl: as many threads as those allow are started") },
    { "-hf -hfr --hf-repo -hff --hf-file -mu --model-url", ALL, NULL, N_("quorum model pull OWNER/NAME brings a model, and -m opens it") },
    { "--lora-scaled", ALL, "--lora FILE=SCALE", NULL },
    { "-mm --mmproj", ALL, NULL, N_("models read text alone") },
    /* how it computes */
    { "-fa --flash-attn", ALL, NULL, N_("attention is always computed so: leave it out") },
    { "-ctk --cache-type-k -ctv --cache-type-v", BENCH, NULL, N_("--set kv.type=q8_0 says it for K and V alike, and --sweep kv.type=f16,q8_0,q4_0 compares") },
    { "-ctk --cache-type-k -ctv --cache-type-v", ALL, NULL, N_("--set kv.type=q8_0 says it for K and V alike: f16, f32, q8_0 or q4_0") },
    { "-b --batch-size -ub --ubatch-size", ALL, NULL, N_("the engine itself chooses the pieces in which a prompt is read: leave it out") },
    { "-tb --threads-batch", ALL, NULL, N_("prompts and answers have the same threads: --set threads=N") },
    { "-t --threads", CHAT | SERVE, "--set threads=N", NULL },
    { "-d --n-depth", BENCH, NULL, N_("--sweep context=0,8192 --made-up measures behind contexts of these lengths") },
    { "-c --ctx-size", ADVISE, "--context N", NULL },
    { "-c --ctx-size", EVAL, "--ctx N", NULL },
    { "-c --ctx-size", BENCH, NULL, N_("a context is as long as what is measured; --sweep context=0,8192 --made-up measures behind longer ones") },
    { "-c --ctx-size", ALL, "--set context.length=N", NULL },
    { "--rope-scaling --rope-scale --rope-freq-base --rope-freq-scale --yarn-orig-ctx --yarn-ext-factor", ALL, "--set rope.scaling=yarn, rope.factor=X, rope.original_context=N, rope.theta=X", NULL },
    { "--override-kv", ALL, NULL, N_("--set experts.k=N says how many experts run; /set in the shell lists what else can be set") },
    { "--no-warmup", BENCH, NULL, N_("each run begins with one that is not measured, always") },
    { "--no-warmup", ALL, NULL, N_("nothing is warmed up: leave it out") },
    /* llama-bench */
    { "-o --output -oe --output-err", BENCH, NULL, N_("there is --json, and with --sweep also --csv FILE (-: standard output) and --svg FILE") },
    { "-pg", BENCH, NULL, N_("-p N and -n N are measured one after the other, in one run") },
    { "--progress -v --verbose --delay", BENCH, NULL, N_("how far it is stands on standard error by itself: leave it out") },
    /* llama-cli */
    { "-n --predict --n-predict", CHAT | SERVE, "--set sampler.max_tokens=N", NULL },
    { "--temp --temperature", CHAT | SERVE, "--set sampler.temperature=X", NULL },
    { "--top-k", CHAT | SERVE, "--set sampler.top_k=N", NULL },
    { "--top-p", CHAT | SERVE, "--set sampler.top_p=X", NULL },
    { "--min-p", CHAT | SERVE, "--set sampler.min_p=X", NULL },
    { "-s --seed", CHAT | SERVE, "--set sampler.seed=N", NULL },
    { "--repeat-penalty --repeat-last-n --presence-penalty --frequency-penalty", CHAT | SERVE, "--set sampler.repeat_penalty=X, sampler.repeat_last_n=N, sampler.presence_penalty=X, sampler.frequency_penalty=X", NULL },
    { "-sys --system-prompt -sysf --system-prompt-file", CHAT, "--set chat.system=TEXT", NULL },
    { "-f --file -bf --binary-file", CHAT, NULL, N_("a text is piped in: quorum -p QUESTION < FILE") },
    { "-cnv --conversation -i --interactive -if --interactive-first", CHAT, NULL, N_("without -p a conversation begins: leave it out") },
    { "-no-cnv --no-conversation", CHAT, NULL, N_("--base lets a text go on without a template") },
    { "-st --single-turn", CHAT, NULL, N_("-p TEXT is answered once, and ends") },
    { "--verbose-prompt", CHAT, "--show-prompt", NULL },
    { "--grammar-file", CHAT, "--grammar FILE", NULL },
    { "-j -jf --json-schema-file", CHAT, "--json-schema FILE", NULL },
    { "--jinja --chat-template --chat-template-file", CHAT | SERVE, NULL, N_("a model's own template is used, always; quorum template shows what it makes of a conversation") },
    { "--reasoning-budget", CHAT | SERVE, NULL, N_("--set think.limit=N closes a thought after so many tokens, and think=off has none") },
    { "-rea --reasoning --reasoning-format", CHAT | SERVE, "--set think=on|off", NULL },
    { "-md --model-draft --draft --draft-max --spec-type", ALL, NULL, N_("--set draft=ngram tries tokens ahead without a second model, and draft=mtp with the file's own head") },
    { "-co --color --simple-io -e --escape --no-display-prompt --log-disable -v --verbose", CHAT, NULL, N_("nothing is logged, and standard output carries the answer alone: leave it out") },
    /* llama-server */
    { "--host --port", SERVE, "--listen ADDRESS:PORT", NULL },
    { "-np --parallel", SERVE, "--streams N", NULL },
    { "--api-key --api-key-file", SERVE, NULL, N_("--key-file FILE takes a file of mode 0600 whose first line is the key") },
    { "-cb --cont-batching --metrics --slots --embedding --embeddings -a --alias", SERVE, NULL, N_("answers are made together, /metrics and /v1/models are there, and --embedder F brings /v1/embeddings: leave it out") },
};

/* Is arg, up to a "=", one of the names? */
static bool among(const char *names, const char *arg)
{
    size_t n = strcspn(arg, "=");
    for (const char *at = names; *at; ) {
        size_t one = strcspn(at, " ");
        if (one == n && strncmp(at, arg, n) == 0) return true;
        at += one + strspn(at + one, " ");
    }
    return false;
}

char *cli_foreign(const cli_command *as, const char *arg)
{
    static const struct { const char *name; int of; } who[] = { { "bench", BENCH }, { "chat", CHAT }, { "serve", SERVE }, { "eval", EVAL }, { "compare", EVAL }, { "sweep", EVAL }, { "advise", ADVISE } };
    int of = 0;
    for (size_t i = 0; i < sizeof who / sizeof *who; i++)
        if (strcmp(who[i].name, as->name) == 0) of = who[i].of;
    for (size_t i = 0; of && i < sizeof rows / sizeof *rows; i++)
        if (rows[i].of & of && among(rows[i].names, arg))
            return q_printf(rows[i].is ? _("%.*s is an option of llama.cpp; here it is %s") : _("%.*s is an option of llama.cpp; here %s"), (int)strcspn(arg, "="), arg,
                            rows[i].is ? rows[i].is : _(rows[i].here));
    return NULL;
}
