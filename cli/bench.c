/* cli/bench: `quorum bench`: prefill and decode speed beside what memory allows. Measures one session on an
 * otherwise idle machine; prints one JSON object or a few lines. It never changes a setting of the machine. */
#include "base/say.h"
#include "cli/common.h"
#include "engine/adapter.h"
#include "engine/models.h"
#include "exam/exam.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_command cli_bench = { "bench", N_(
    "quorum bench -m F [-p 512] [-n 32] [-t THREADS] [-r REPEAT] [--set NAME=VALUE]... [--json]\n"
    "    prefill and decode speed, bytes read per token, memory bandwidth and the share of its roofline;\n"
    "    the best of REPEAT runs counts, and their range is shown\n"
    "quorum bench [-m F]... --sweep NAME=V,V,... [--sweep NAME=V,V,...] [-p 512] [-n 32] [-t THREADS] [-r ROUNDS] [--set NAME=VALUE]...\n"
    "             [--made-up] [--csv FILE] [--svg FILE] [--force] [--json]\n"
    "    speed over the values of one setting or of two: NAME is a knob (k, threads, kv.type, ...), \"context\" (tokens that are there already: 0,2k,8k,32k)\n"
    "    or \"model\", of several -m; all points in turn, ROUNDS times; a table, a plot, a picture. --csv -: CSV instead of the table\n"
    "    --made-up: contexts are filled with numbers, not read, which takes minutes where they are long\n"
    "quorum bench --like SHAPE [--layers N] --sweep type=T,T,... [as above]\n"
    "    the same over types of weights, on random weights in a known model's shape; the files are made and deleted again\n"
    "quorum bench memory [--xquad F] [--locomo F] [--hotpot QUESTIONS CORPUS] [--across QUESTIONS PASSAGES]\n"
    "                    [--mode lexical|hybrid|graph] [-m F] [--rerank MODEL|default] [--set memory.X=V] [--together] [--json]\n"
    "    how often a search finds what answers a question; --across: XQuAD files of two languages; hybrid: by meaning too, graph: by what is named too,\n"
    "    with the embedding model F or the fetched one; --rerank: a chat model judges what is found; --together: all in one memory\n"
    "quorum bench memory --scan N,DIM [--json]\n"
    "    one look through N vectors of DIM numbers on one core, beside what memory allows\n"
    "quorum bench memory --search N [--mode lexical|hybrid|graph] [-m F] [--json]\n"
    "    the median of whole searches of N made-up passages\n"
    "quorum bench embed [-m F] [-p 32] [-n 194] [-t THREADS] [-r REPEAT] [--json]\n"
    "    how fast an embedding model reads: -p passages of -n tokens, the best of REPEAT runs, and one question"
    "\n"
    "quorum bench reasoning [-m A]... [--against SETTINGS]... [--tasks LIST] [--level 1..5] [-n N] [--seed N] [--lang en|ru]\n"
    "                       [--base] [--shots N] [--think on|off] [--max-tokens N] [--streams N] [--set NAME=VALUE]... [--json]\n"
    "                       [--score] [--html FILE [--force]] [--vote 4,8,16] [--lm-eval TASKS]\n"
    "    N questions of each task, made from the seed, graded exactly; models (also @SERVER/MODEL), and the first one under other settings\n"
    "    (a brain, or k=4), compared in pairs; --base: by examples, for models that know no conversation;\n"
    "    --score: also how well the right answer is told from others, which shows smaller differences;\n"
    "    --vote: the majority of these experts.k beside that of samples at its own k for as many tokens; --lm-eval: lm_eval's tasks, through quorum serve\n"
    "quorum bench latency [-m F] [-p 32,256] [--users 1,2,4] [-n 32] [-r REPEAT] [--set NAME=VALUE]... [--json]\n"
    "    time to the first token and between tokens, percentiles, over lengths of prompts and numbers of users. A length counts the frame\n"
    "    that the model's template puts around a question, and a prompt is no shorter than that: -p 32 may read more, and says so"), cmd_bench };

typedef struct bench {
    double prefill, decode, layers;    /* tokens a second, the best; layers: decode without the head */
    exam_spread prefills, decodes;     /* of all runs */
    eng_cost cost;
    uint64_t added;                    /* of its bytes: adapters' */
    uint64_t cells;                    /* and beside them, of the context in the middle of what is made */
    double bandwidth, load_s;
    double madds, peak;                /* multiply-adds of one token's products with the layers' weights; of bytes, that the threads do a second. 0: not told */
    eng_fetched fetched, prompt;       /* experts of the last run's decode and prefill, where they are brought to a device or from the disk */
} bench;

typedef struct reading { const eng_model *m; bench *b; } reading;

/* The best so far. */
static double measure(void *user)
{
    const reading *r = user;
    double best = cli_bench_reads(r->m);
    r->b->bandwidth = best > r->b->bandwidth ? best : r->b->bandwidth;
    return r->b->bandwidth;
}

static double peak(void *user)
{
    const reading *r = user;
    double now = ker_cpu_peak(eng_model_threads(r->m), .1);
    r->b->peak = now > r->b->peak ? now : r->b->peak;
    return r->b->peak;
}

static eng_fetched since(eng_fetched now, eng_fetched then)
{
    return (eng_fetched){ now.asked - then.asked, now.fetched - then.fetched, now.bytes - then.bytes, now.wait_ns - then.wait_ns };
}

typedef struct { exam_forecast of; int repeat; } reading_ahead;

/* A prompt is read three times in a run: for weights and threads to be there, measured, and behind it the head left out. */
static void foretell(void *user, int done, int total)
{
    reading_ahead *ahead = user;
    int minutes = (int)(exam_foretell(&ahead->of, done) / 60 + .5);
    if (minutes > 0)
        q_say(stderr, ngettext("quorum: to read %d tokens, three times a run (-r %d), takes %d minute or more; a smaller -p or -r takes less, and --sweep context=N --made-up reads none\n",
                               "quorum: to read %d tokens, three times a run (-r %d), takes %d minutes or more; a smaller -p or -r takes less, and --sweep context=N --made-up reads none\n",
                               (unsigned long)minutes), total, ahead->repeat, minutes);
}

static int run(eng_model *m, const eng_config *c, int n_prompt, int n_decode, int repeat, bench *b, char *err)
{
    int32_t *tokens = q_alloc(sizeof *tokens * (size_t)(n_prompt + n_decode + 1));
    exam_any_ids(tokens, n_prompt + n_decode + 1, eng_model_info(m)->n_vocab, 0);
    double *prefill = q_alloc(sizeof *prefill * (size_t)repeat), *decode = q_alloc(sizeof *decode * (size_t)repeat);
    int rc = 0;
    reading_ahead ahead = { .of = { .since = q_now_ns(), .sum = { 3.0 * repeat * n_prompt, 3.0 * repeat * n_prompt * n_prompt } }, .repeat = repeat };
    for (int r = 0; r < repeat && !rc; r++) {
        eng_session *s = NULL;
        eng_fetched start_of = { 0 };
        rc = eng_session_new(m, c, &s, err);
        /* Not measured, as other benchmarks do: weights into memory, threads up. From the second token on, so that
         * no cell of it serves the measured run. */
        if (!rc)
            rc = eng_session_sync(s, tokens + 1, n_prompt, ENG_CONTINUE, r ? NULL : foretell, &ahead, err);
        if (!rc)
            rc = eng_session_push(s, tokens[0], err);
        if (!rc)
            rc = eng_session_sync(s, NULL, 0, ENG_CONTINUE, NULL, NULL, err);
        if (!rc) {
            eng_session_speed_reset(s);
            start_of = eng_cache_fetched(eng_session_cache(s));
            rc = eng_session_sync(s, tokens, n_prompt, ENG_CONTINUE, NULL, NULL, err);
        }
        eng_fetched before = rc ? (eng_fetched){ 0 } : eng_cache_fetched(eng_session_cache(s));
        for (int i = 0; i < n_decode && !rc; i++)
            rc = eng_session_push(s, tokens[n_prompt + i], err);
        if (!rc) {
            eng_fetched f = eng_cache_fetched(eng_session_cache(s));
            b->fetched = since(f, before);
            b->prompt = since(before, start_of);
        }
        eng_speed v = rc ? (eng_speed){ 0 } : eng_session_speed(s);
        if (!rc)                       /* the same positions again, without the head */
            rc = eng_session_sync(s, tokens, n_prompt, ENG_CONTINUE, NULL, NULL, err);
        int64_t start = q_now_ns();
        for (int i = 0; i < n_decode && !rc; i++)
            rc = eng_session_push_headless(s, tokens[n_prompt + i], err);
        double headless = (double)(q_now_ns() - start) / 1e9;
        if (!rc) {                     /* the best of the repetitions: the machine's noise only ever slows down */
            double p = v.prefill_tokens / v.prefill_s, d = v.decode_tokens / v.decode_s, l = n_decode / headless;
            b->prefill = p > b->prefill ? p : b->prefill;
            b->decode = d > b->decode ? d : b->decode;
            b->layers = l > b->layers ? l : b->layers;
            prefill[r] = p, decode[r] = d;
        }
        eng_session_free(s);
        if (!rc)                       /* in turn with the runs, so that both see the same neighbours */
            if (!strcmp(eng_model_device(m), "cpu")) measure(&(reading){ m, b }), peak(&(reading){ m, b });      /* of memory that a GPU does not read */
    }
    if (!rc) b->prefills = exam_spread_of(prefill, repeat), b->decodes = exam_spread_of(decode, repeat);
    free(prefill);
    free(decode);
    free(tokens);
    return rc;
}

static uint64_t added(const eng_model *m, const eng_config *c)
{
    int n = eng_model_info(m)->n_layer + 1;
    eng_added *of = q_alloc(sizeof *of * (size_t)n);
    uint64_t bytes = 0;
    for (int i = 0, acting = eng_config_added(c, of, NULL); acting && i < n; i++) bytes += of[i].bytes;
    free(of);
    return bytes;
}

/* Nothing is printed for a bound that was not found: what decode itself reads is never above it. */
static void report_json(const bench *b, int n_prompt, int n_decode, const eng_model *m, const char *own_k, const char *cells)
{
    uint64_t bytes = b->cost.bytes_layers + b->cost.bytes_head;
    eng_ondisk o;
    bool disk = eng_model_ondisk(m, &o);
    q_say(stdout, "{\"device\":\"%.*s\",\"prefill\":{\"tokens\":%d,\"tokens_per_s\":%.3f,\"least\":%.3f,\"median\":%.3f},\"decode\":{\"tokens\":%d,\"tokens_per_s\":%.3f,"
           "\"least\":%.3f,\"median\":%.3f},\"runs\":%d,\"experts_k\":\"%s\",\"kv_type\":\"%s\",\"bytes_per_token\":%llu,\"cell_bytes_per_token\":%llu,",
          (int)strcspn(eng_model_device(m), " "), eng_model_device(m), n_prompt, b->prefill, b->prefills.low, b->prefills.median, n_decode, b->decode, b->decodes.low,
          b->decodes.median, b->decodes.n, own_k, cells, (unsigned long long)bytes, (unsigned long long)b->cells);
    if (b->added)
        q_say(stdout, "\"adapter_bytes_per_token\":%llu,", (unsigned long long)b->added);
    if (b->madds > 0 && b->peak > 0)
        q_say(stdout, "\"prefill_madds_per_s\":%.0f,\"integer_peak_madds_per_s\":%.0f,", b->prefill * b->madds, b->peak);
    if (b->bandwidth > 0)
        q_say(stdout, "\"read_bandwidth\":%.0f,\"roofline_tokens_per_s\":%.3f,", b->bandwidth, b->bandwidth / (double)(bytes + b->cells));
    if (b->fetched.asked)
        q_say(stdout, "\"experts\":{\"ran\":%llu,\"brought\":%llu,\"bytes\":%llu,\"wait_s\":%.6f},", (unsigned long long)b->fetched.asked,
              (unsigned long long)b->fetched.fetched, (unsigned long long)b->fetched.bytes, (double)b->fetched.wait_ns / 1e9);
    if (disk)
        q_say(stdout, "\"ondisk\":{\"resident\":%llu,\"slots\":%llu,\"experts\":%llu,\"direct\":%s,\"prefill_brought\":%llu,\"prefill_bytes\":%llu,\"prefill_wait_s\":%.6f,"
              "\"guessed\":%llu,\"guessed_right\":%llu},", (unsigned long long)o.rest, (unsigned long long)o.slots, (unsigned long long)o.experts, o.direct ? "true" : "false",
              (unsigned long long)b->prompt.fetched, (unsigned long long)b->prompt.bytes, (double)b->prompt.wait_ns / 1e9, (unsigned long long)o.guessed, (unsigned long long)o.right);
    q_say(stdout, "\"layers_tokens_per_s\":%.3f,\"layers_bytes_per_token\":%llu,", b->layers, (unsigned long long)b->cost.bytes_layers);
    q_say(stdout, "\"load_s\":%.3f}\n", b->load_s);
}

static void report(const bench *b, int n_prompt, int n_decode, const eng_model *m, const char *own_k, const char *cells)
{
    uint64_t inner = b->cost.bytes_layers + b->cells, bytes = inner + b->cost.bytes_head;
    double roof = b->bandwidth / (double)bytes, layers = b->bandwidth / (double)inner;
    char w1[32], w2[32], w3[32];
    bool disk = eng_model_ondisk(m, &(eng_ondisk){ 0 });
    const eng_info *info = eng_model_info(m);
    bool cpu = !strcmp(eng_model_device(m), "cpu");
    if (cpu)
        q_say(stdout, _("%s (%s, %s), %d threads, %s, loaded in %.2f s\n"), info->name, info->arch, info->quant, eng_model_threads(m), ker_cpu_features(), b->load_s);
    else
        q_say(stdout, _("%s (%s, %s), %s, loaded in %.2f s\n"), info->name, info->arch, info->quant, eng_model_device(m), b->load_s);
    if (info->n_expert) q_say(stdout, _("%s of %d experts a token, kv.type %s\n"), own_k, info->n_expert, cells);
    else q_say(stdout, _("kv.type %s\n"), cells);
    if (b->madds > 0 && b->peak > 0)
        q_say(stdout, _("prefill  %9.2f tokens/s   (%d tokens)   %.0f GMAC/s of products, %.0f%% of the integer peak, %.0f\n"), b->prefill, n_prompt,
              b->prefill * b->madds / 1e9, 100 * b->prefill * b->madds / b->peak, b->peak / 1e9);
    else
        q_say(stdout, _("prefill  %9.2f tokens/s   (%d tokens)\n"), b->prefill, n_prompt);
    if (b->added)
        q_say(stdout, _("adapters %s of what a token reads, at most\n"), q_bytes_words(b->added, w1));
    if (disk && b->fetched.asked)
        q_say(stdout, _("experts  %8.1f%% of those that a token asks for lay in memory; %s a token were read, %.2f ms a token waited for\n"),
              100 - 100.0 * (double)b->fetched.fetched / (double)b->fetched.asked, q_bytes_words(b->fetched.bytes / (uint64_t)n_decode, w3), (double)b->fetched.wait_ns / 1e6 / n_decode);
    else if (b->fetched.asked)
        q_say(stdout, _("experts  %8.1f%% of those that a token asks for lay on the GPU; %s a token were brought\n"),
              100 - 100.0 * (double)b->fetched.fetched / (double)b->fetched.asked, q_bytes_words(b->fetched.bytes / (uint64_t)n_decode, w3));
    if (b->decodes.n > 1)
        q_say(stdout, _("the best of %d runs; least and median: prefill %.2f and %.2f, decode %.2f and %.2f\n"), b->decodes.n, b->prefills.low, b->prefills.median,
              b->decodes.low, b->decodes.median);
    if (!(b->bandwidth > 0)) {
        q_say(stdout, _("decode   %9.2f tokens/s   (%d tokens)   %s a token\n"), b->decode, n_decode, q_bytes_words(bytes, w1));
        q_say(stdout, _("  layers %9.2f tokens/s   without the head: %s a token\n"), b->layers, q_bytes_words(inner, w2));
        if (cpu) q_say(stdout, _("read bandwidth: decode read faster than any measurement of it; measure again on a quieter machine\n"));
        return;
    }
    q_say(stdout, _("decode   %9.2f tokens/s   (%d tokens)   %s a token, roofline %.2f tokens/s, %.0f%% of it\n"), b->decode, n_decode,
          q_bytes_words(bytes, w1), roof, 100 * b->decode / roof);
    q_say(stdout, _("  layers %9.2f tokens/s   without the head: %s a token, roofline %.2f tokens/s, %.0f%% of it\n"), b->layers,
          q_bytes_words(inner, w2), layers, 100 * b->layers / layers);
    q_say(stdout, _("read bandwidth %s/s; of a token's bytes %s are K and V of the context and states of recurrent layers\n"), q_bytes_words((uint64_t)b->bandwidth, w3), q_bytes_words(b->cells, w1));
}

#define OF_A_SWEEP N_("--like, --layers, --csv, --svg, --made-up and --force go with --sweep: --sweep k=1,2,4,8, or --like 30b-a3b --sweep type=Q4_K_M,Q8_0")
static const cli_takes takes[] = {
    { "--like", OF_A_SWEEP }, { "--layers", OF_A_SWEEP }, { "--csv", OF_A_SWEEP }, { "--svg", OF_A_SWEEP }, { "--force", OF_A_SWEEP }, { "--made-up", OF_A_SWEEP },
    { "-m", N_("-m takes a file or a part of a model's name") }, { "-p", N_("-p takes a number of tokens of a prompt, 1 to 1048576") },
    { "-n", N_("-n takes a number of tokens to be made, 1 to 1048576") }, { "-r", N_("-r takes how often each is measured, 1 to 1000") },
    { "-t", N_("-t takes a number of threads, 1 to 1024; --sweep threads=1,2,4 compares several") },
};

int cmd_bench(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "memory") == 0)
        return cli_bench_memory(&cli_bench, argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "reasoning") == 0)
        return cli_bench_reasoning(&cli_bench, argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "latency") == 0)
        return cli_bench_latency(&cli_bench, argc - 1, argv + 1);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--sweep", 7) == 0)
            return cli_bench_sweep(&cli_bench, argc, argv);
    if (argc > 1 && strcmp(argv[1], "embed") == 0)
        return cli_bench_embed(&cli_bench, argc - 1, argv + 1);
    const char *model = NULL;
    int n_prompt = 512, n_decode = 32, threads = 0, repeat = 1;
    bool json = false;
    cli_sets sets = { .n = 0 };
    char err[Q_ERRLEN];
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) model = v;
        else if ((v = cli_opt(argc, argv, &i, "-p"))) good = cli_int(v, 1, 1 << 20, &n_prompt);
        else if ((v = cli_opt(argc, argv, &i, "-n"))) good = cli_int(v, 1, 1 << 20, &n_decode);
        else if ((v = cli_opt(argc, argv, &i, "-t"))) good = cli_int(v, 1, 1024, &threads);
        else if ((v = cli_opt(argc, argv, &i, "-r"))) good = cli_int(v, 1, 1000, &repeat);
        else if ((v = cli_opt(argc, argv, &i, "--set"))) {
            good = sets.n < CLI_MAX_SETS;
            if (good)
                sets.item[sets.n++] = v;
        } else if (strcmp(argv[i], "--json") == 0) json = true;
        else good = false;
        if (!good)
            return cli_wrong(&cli_bench, "bench", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    eng_model *m = NULL;
    eng_config *c = NULL;
    bench b = { 0 };
    eng_energy of = { 0 };
    int rc = cli_open(model, &sets, threads, &m, &c, err);
    if (rc)
        return cli_fail(err);
    rc = eng_energy_read(eng_model_info(m)->path, &of, err);
    if (!rc)
        rc = cli_room(c, &sets, n_prompt + n_decode + 1, err);
    if (!rc)
        rc = run(m, c, n_prompt, n_decode, repeat, &b, err);
    if (!rc) {
        b.cost = eng_model_cost(m, c);
        b.added = added(m, c);
        b.load_s = eng_model_info(m)->load_s;
        b.cells = cli_bench_cells(c, &of, n_prompt + n_decode / 2);
        double inner = (double)(b.cost.bytes_layers + b.cells), decode = b.decode * (inner + (double)b.cost.bytes_head), layers = b.layers * inner;
        b.madds = cli_bench_products(m, c, &of);
        if (b.madds > 0) b.peak = ker_roofline(b.prefill * b.madds, 6, peak, &(reading){ m, &b });
        if (!strcmp(eng_model_device(m), "cpu")) b.bandwidth = ker_roofline(decode > layers ? decode : layers, 6, measure, &(reading){ m, &b });
        q_buf k = { 0 }, kv = { 0 };
        const char *own_k = eng_model_info(m)->n_expert ? eng_config_get(c, "experts.k", &k) : "0", *cells = eng_config_get(c, "kv.type", &kv);
        (json ? report_json : report)(&b, n_prompt, n_decode, m, own_k, cells);
        q_buf_free(&k);
        q_buf_free(&kv);
    }
    eng_config_free(c);
    eng_model_free(m);
    return rc ? cli_fail(err) : 0;
}
