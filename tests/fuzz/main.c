/* tests/fuzz/main: the driver: mutates seeds, runs targets, reports. Single thread. A crash, a hang of 60 s or a
 * sanitizer's report names the target and the run. FUZZ_LONG=1: the long form; FUZZ_SEED, FUZZ_ONLY=target,
 * FUZZ_FROM=run narrow it. */
#include "tests/fuzz/fuzz.h"

#include <signal.h>
#include <unistd.h>

extern const fuzz_target fuzz_gguf, fuzz_model, fuzz_kinds, fuzz_text, fuzz_ids, fuzz_template, fuzz_stops,
    fuzz_knob, fuzz_json, fuzz_ini, fuzz_theme, fuzz_recipe, fuzz_brain, fuzz_verdict, fuzz_energy, fuzz_routes, fuzz_vocabulary, fuzz_pieces, fuzz_sentences, fuzz_e5s1, fuzz_adapter, fuzz_peft, fuzz_folder, fuzz_embed, fuzz_state, fuzz_eights, fuzz_fours, fuzz_latent, fuzz_hybrid,
    fuzz_archive, fuzz_note, fuzz_zip, fuzz_broken, fuzz_page, fuzz_office, fuzz_table, fuzz_mail, fuzz_names, fuzz_events, fuzz_mcp, fuzz_challenge, fuzz_back, fuzz_tokens, fuzz_chunk, fuzz_told, fuzz_gbnf, fuzz_schema, fuzz_jinja, fuzz_messages, fuzz_calls, fuzz_tools, fuzz_asked,
    fuzz_module, fuzz_scale, fuzz_example, fuzz_settings, fuzz_plan;
static const fuzz_target *const TARGETS[] = {&fuzz_gguf, &fuzz_model, &fuzz_kinds, &fuzz_text, &fuzz_ids, &fuzz_template, &fuzz_stops,
    &fuzz_knob, &fuzz_json, &fuzz_ini, &fuzz_theme, &fuzz_recipe, &fuzz_brain, &fuzz_verdict, &fuzz_energy, &fuzz_routes,
    &fuzz_vocabulary, &fuzz_pieces, &fuzz_sentences, &fuzz_e5s1, &fuzz_adapter, &fuzz_peft, &fuzz_folder, &fuzz_embed, &fuzz_state, &fuzz_eights, &fuzz_fours, &fuzz_latent, &fuzz_hybrid,
    &fuzz_archive, &fuzz_note, &fuzz_zip, &fuzz_broken, &fuzz_page, &fuzz_office, &fuzz_table, &fuzz_mail, &fuzz_names, &fuzz_events, &fuzz_mcp, &fuzz_challenge, &fuzz_back, &fuzz_tokens, &fuzz_chunk, &fuzz_told, &fuzz_gbnf, &fuzz_schema, &fuzz_jinja, &fuzz_messages, &fuzz_calls, &fuzz_tools, &fuzz_asked,
    &fuzz_module, &fuzz_scale, &fuzz_example, &fuzz_settings, &fuzz_plan};
enum { N_TARGETS = sizeof TARGETS / sizeof *TARGETS };

uint32_t fuzz_below(fuzz_rng *r, uint32_t n)
{
    r->s = r->s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((r->s >> 33) * n >> 31);
}

/* ---- what ran when it broke ---- */
static const char *volatile now_target = "";
static volatile int now_run;
static void report(void)
{
    char line[160];
    int n = snprintf(line, sizeof line, "not ok fuzz %s: run %d broke it (FUZZ_ONLY=%s FUZZ_FROM=%d repeats it)\n",
                     now_target, now_run, now_target, now_run);
    if (write(STDOUT_FILENO, line, (size_t)n) < 0) _exit(3);
}
static void on_signal(int sig)
{
    report();
    signal(sig, SIG_DFL);
    raise(sig);
}
void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));

/* ---- mutation ---- */
static void put_at(q_buf *b, size_t at, const void *p, size_t n)
{
    if (at + n <= b->len) memcpy(b->p + at, p, n);
}

static void insert(q_buf *b, size_t at, const char *p, size_t n)
{
    char *copy = q_alloc(n + 1);
    memcpy(copy, p, n);
    q_buf_add(b, copy, n);
    memmove(b->p + at + n, b->p + at, b->len - n - at);
    memcpy(b->p + at, copy, n);
    free(copy);
}

static void mutate(fuzz_rng *r, q_buf *b, size_t focus)
{
    static const uint64_t odd[] = {0, 1, 2, 7, 8, 9, 255, 256, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000,
                                   0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFF8, 0x3FFFFFFFFFFFFFFF};
    int changes = 1 + (int)fuzz_below(r, fuzz_below(r, 3) ? 3 : 12);
    for (int c = 0; c < changes; c++) {
        size_t span = focus && focus < b->len && fuzz_below(r, 10) ? focus : b->len;
        if (span == 0) { q_buf_putc(b, (char)fuzz_below(r, 256)); continue; }
        size_t at = fuzz_below(r, (uint32_t)span), len = 1 + fuzz_below(r, fuzz_below(r, 4) ? 8 : 300);
        uint64_t v = odd[fuzz_below(r, sizeof odd / sizeof *odd)];
        switch (fuzz_below(r, 10)) {
        case 0: b->p[at] ^= (char)(1 << fuzz_below(r, 8)); break;
        case 1: b->p[at] = (char)fuzz_below(r, 256); break;
        case 2: put_at(b, at, &v, 4); break;
        case 3: put_at(b, at, &v, 8); break;
        case 4: { uint64_t w = fuzz_below(r, 64); put_at(b, at, &w, fuzz_below(r, 2) ? 4 : 8); break; }
        case 5: if (at + len <= b->len) { memmove(b->p + at, b->p + at + len, b->len - at - len); b->len -= len; } break;
        case 6: if (at + len <= b->len) insert(b, fuzz_below(r, (uint32_t)b->len + 1), b->p + at, len); break;
        case 7: { char junk[8]; for (int i = 0; i < 8; i++) junk[i] = (char)fuzz_below(r, 256); insert(b, at, junk, 1 + fuzz_below(r, 8)); break; }
        case 8: if (fuzz_below(r, 4) == 0) b->len = at; break;
        default: b->p[at] = (char)(b->p[at] + (int)fuzz_below(r, 5) - 2); break;
        }
    }
}

static int run_target(const fuzz_target *t, uint64_t seed, bool longer, int from)
{
    if (t->ready && !t->ready()) { printf("skip fuzz %s: its data is absent\n", t->name); return 0; }
    int runs = longer ? t->long_runs : t->short_runs, accepted = 0, broken = 0;
    int64_t start = q_now_ns();
    now_target = t->name;
    for (int i = from; i < from + runs && !broken; i++) {
        now_run = i;
        alarm(60);
        fuzz_rng r = {q_mix64(q_hash64(t->name, strlen(t->name), seed), (uint64_t)i)};
        q_buf b = {0};
        t->seed(&r, &b);
        if (i % 50 && t->focus != FUZZ_MADE) mutate(&r, &b, t->focus);              /* now and then an input is left whole */
        char *exact = malloc(b.len ? b.len : 1);           /* exactly as long as the input: a read past it is seen */
        if (b.len) memcpy(exact, b.p, b.len);
        int rc = t->run(exact, b.len);
        if (rc < 0) { report(); broken = 1; }
        accepted += rc > 0;
        free(exact);
        q_buf_free(&b);
    }
    alarm(0);
    if (t->done) t->done();
    if (broken) return 1;
    printf("# %s: %d runs, %d accepted, %.1f s\n", t->name, runs, accepted, (double)(q_now_ns() - start) / 1e9);
    if (accepted == 0 || (accepted == runs && runs > 100 && t->focus)) {
        printf("not ok fuzz %s: %d of %d inputs accepted: the seeds or the mutations are no good\n", t->name, accepted, runs);
        return 1;
    }
    printf("ok fuzz %s\n", t->name);
    fflush(stdout);
    return 0;
}

int main(void)
{
    const char *seed = getenv("FUZZ_SEED"), *only = getenv("FUZZ_ONLY"), *from = getenv("FUZZ_FROM");
    bool longer = getenv("FUZZ_LONG") != NULL;
    int bad = 0;
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
    if (__sanitizer_set_death_callback) { __sanitizer_set_death_callback(report); signal(SIGALRM, on_signal); }
    else for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], on_signal);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < N_TARGETS; i++)
        if (!only || strcmp(only, TARGETS[i]->name) == 0)
            bad |= run_target(TARGETS[i], seed ? strtoull(seed, NULL, 10) : 1, longer, from ? atoi(from) : 0);
    return bad;
}
