/* tests: the list of published models, and the types that a quantiser gives to each tensor of one.
 * expected: bytes of tensors as llama-quantize --dry-run of llama.cpp b11434 counts them (tests/models/quant_sizes.py makes the table).
 *   build/tests/test_catalog hollow SHAPE FILE   writes a file of that shape without weights, for programs that look at shapes. */
#include "base/base.h"
#include "engine/make/catalog.h"
#include "engine/make/mix.h"
#include "engine/make/synth.h"
#include "tests/test.h"

#include <ctype.h>

static char err[Q_ERRLEN];

static uint64_t tensor_bytes(const char *like, const char *type)
{
    eng_energy e;
    if (eng_energy_like(NULL, like, type, 0, &e, err) != Q_OK) return 0;
    uint64_t n = 0;
    for (int p = 0; p < ENG_ENERGY_PARTS; p++) n += e.bytes[p];
    return n;
}

static void test_every_row_is_whole(void)
{
    const eng_known *k;
    int n;
    CHECK_MSG(eng_catalog(&k, &n, err) == Q_OK, "%s", err);
    CHECK(n > 20);
    for (int i = 0; i < n; i++) {
        CHECK_MSG(strncmp(k[i].source, "https://", 8) == 0, "%s", k[i].like);
        CHECK_MSG(strlen(k[i].date) == 10 && isdigit((unsigned char)*k[i].date), "%s", k[i].like);
        CHECK_MSG(strlen(k[i].released) == 7 && k[i].released[4] == '-', "%s", k[i].like);
        CHECK_MSG(i == 0 || k[i - 1].params_b <= k[i].params_b, "%s", k[i].like);
        CHECK_MSG(k[i].active_b > 0 && k[i].active_b <= k[i].params_b, "%s", k[i].like);
        CHECK_MSG((k[i].n_expert > 0) == (k[i].active_b < .99 * k[i].params_b), "%s", k[i].like);
        for (int j = 0; j < k[i].n_variant; j++) {
            const eng_variant *v = &k[i].variant[j];
            CHECK_MSG(strncmp(v->source, "https://", 8) == 0 && strchr(v->repo, '/') && strlen(v->date) == 10, "%s", v->name);
            CHECK_MSG(strcmp(v->opened, "yes") == 0 || strcmp(v->opened, "partly") == 0 || strcmp(v->opened, "no") == 0, "%s", v->name);
            CHECK_MSG(v->context >= 4096 && v->context <= 1 << 20, "%s", v->name);
        }
    }
}

/* What this engine does not compute says who does, with address and date, by the names of quorum launch; what it computes says nothing of the
 * kind, and is not written by synth. */
static void test_what_runs_elsewhere_says_where(void)
{
    static const char *const servers[] = {"vllm", "sglang", "llama-server"};
    static const char row[] = "[apertus-70b]\nfamily = f\nreleased = 2025-09\ntitle = T\nsource = https://x\ndate = 2026-11-28\n%s[apertus-70b/A]\nkind = base\nrepo = a/b\n"
                              "licence = L\ncontext = 4096\nsource = https://x\ndate = 2026-11-28\n%s";
    static const struct { const char *line, *says; } bad[] = {
        {"", "apertus-70b lacks its elsewhere"}, {"elsewhere = vllm\n", "elsewhere = vllm is not understood"}, {"elsewhere = vllm https://x 2026-11-28\n", NULL},
    }, opened[] = {{"", "A lacks its opened"}, {"opened = maybe\n", "opened = maybe is not understood"}, {"opened = no\n", NULL}, {"opened = yes\n", NULL}};
    const eng_known *k;
    catalog c;
    int n, others = 0;
    CHECK_INT(eng_catalog(&k, &n, err), Q_OK);
    for (int i = 0; i < n; i++) {
        CHECK_MSG(eng_runs(k[i].arch) == (k[i].n_elsewhere == 0), "%s", k[i].like);
        others += k[i].n_elsewhere > 0;
        for (int j = 0; j < k[i].n_elsewhere; j++) {
            const eng_elsewhere *e = &k[i].elsewhere[j];
            bool named = false;
            for (int s = 0; s < 3; s++) named |= strcmp(e->server, servers[s]) == 0;
            CHECK_MSG(named && strncmp(e->source, "https://", 8) == 0 && strlen(e->date) == 10, "%s %s", k[i].like, e->server);
        }
        if (k[i].n_elsewhere)
            CHECK_MSG(eng_synth(NULL, k[i].like, "Q4_K_M", 1, 1, "/nonexistent/x.gguf", NULL, NULL, err) == Q_RANGE && strstr(err, "does not compute apertus"), "%s", err);
    }
    CHECK(others > 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *text = q_printf(row, bad[i].line, "opened = no\n");
        CHECK_INT(catalog_read(text, "x.ini", &c, err), bad[i].says ? Q_FORMAT : Q_OK);
        if (bad[i].says) CHECK_MSG(strstr(err, bad[i].says), "%s", err);
        else catalog_free(&c);
        free(text);
    }
    for (size_t i = 0; i < sizeof opened / sizeof *opened; i++) {
        char *text = q_printf(row, "elsewhere = vllm https://x 2026-11-28\n", opened[i].line);
        CHECK_INT(catalog_read(text, "x.ini", &c, err), opened[i].says ? Q_FORMAT : Q_OK);
        if (opened[i].says) CHECK_MSG(strstr(err, opened[i].says), "%s", err);
        else catalog_free(&c);
        free(text);
    }
    CHECK_INT(catalog_read("[8b]\nelsewhere = vllm https://x 2026-11-28\n", "x.ini", &c, err), Q_FORMAT);
}

/* What the names say of a size. */
static void test_counts_are_those_of_the_names(void)
{
    static const struct { const char *like; double all, active; } want[] = {
        {"0.6b", .6, .6}, {"1.7b", 1.72, 1.72}, {"4b", 4.02, 4.02}, {"8b", 8.19, 8.19}, {"14b", 14.77, 14.77}, {"32b", 32.76, 32.76}, {"30b-a3b", 30.53, 3.35},
        {"235b-a22b", 235.1, 22.2}, {"llama-70b", 70.55, 70.55}, {"apertus-70b", 70.6, 70.6}, {"qwen2.5-72b", 72.7, 72.7}, {"next-80b", 79.7, 3.9}, {"3.6-35b-a3b", 34.66, 3.45},
        {"3.5-0.8b", .752, .752}, {"3.5-2b", 1.88, 1.88}, {"3.5-4b", 4.21, 4.21}, {"3.5-9b", 8.95, 8.95}, {"3.5-122b-a10b", 122.1, 10}, {"3.5-397b-a17b", 396.3, 17.3}, {"gpt-oss-20b", 20.9, 4.2}, {"gpt-oss-120b", 116.8, 5.7}, {"glm-4.5-air", 106.9, 13.3},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const eng_known *k = NULL;
        const eng_variant *v;
        CHECK_MSG(eng_catalog_find(want[i].like, &k, &v, err) == Q_OK, "%s", err);
        if (!k) continue;
        CHECK_MSG(fabs(k->params_b - want[i].all) < .01 * want[i].all, "%s: %.3f", k->like, k->params_b);
        CHECK_MSG(fabs(k->active_b - want[i].active) < .03 * want[i].active, "%s: %.3f", k->like, k->active_b);
    }
}

static void test_sizes_are_those_of_published_files(void)
{
    const eng_known *k;
    int n, checked = 0;
    CHECK_INT(eng_catalog(&k, &n, err), Q_OK);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k[i].n_published; j++, checked++) {
            const eng_published *p = &k[i].published[j];
            double ours = (double)tensor_bytes(k[i].like, p->type) + 6e6 /* names, vocabulary */, theirs = (double)p->bytes;
            CHECK_MSG(fabs(ours / theirs - 1) < .01, "%s %s: %.0f of %.0f", k[i].like, p->type, ours, theirs);
        }
    CHECK(checked >= 30);
}

static void test_sizes_are_llama_quantizes(void)
{
    static const struct { const char *like, *type; double mib; } expected[] = {
#include "tests/golden/quant_sizes.inc"
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        double ours = (double)tensor_bytes(expected[i].like, expected[i].type) / (1 << 20);
        CHECK_MSG(fabs(ours / expected[i].mib - 1) < .001, "%s %s: %.2f of %.2f MiB", expected[i].like, expected[i].type, ours, expected[i].mib);
    }
}

static void test_finds_by_parts_of_names(void)
{
    const eng_known *k;
    const eng_variant *v;
    CHECK_INT(eng_catalog_find("qwen3-30B-a3b", &k, &v, err), Q_OK);
    CHECK(k && strcmp(k->like, "30b-a3b") == 0 && v && strcmp(v->kind, "hybrid") == 0);      /* the row's title is a model's name too */
    CHECK_INT(eng_catalog_find("30b-a3b", &k, &v, err), Q_OK);
    CHECK(k && !v);
    CHECK_INT(eng_catalog_find("Thinking-2507", &k, &v, err), Q_RANGE);
    CHECK(strstr(err, "Qwen3-235B-A22B-Thinking-2507"));
    CHECK_INT(eng_catalog_find("qwen/qwen3-30b-a3b-base", &k, &v, err), Q_OK);
    CHECK(v && strcmp(v->kind, "base") == 0);
    CHECK_INT(eng_catalog_find("Coder", &k, &v, err), Q_OK);
    CHECK(v && strcmp(v->name, "Qwen3-Coder-30B-A3B-Instruct") == 0);
    CHECK_INT(eng_catalog_find("nothing such", &k, &v, err), Q_NOTFOUND);
    CHECK(!k && strstr(err, "30b-a3b"));
    CHECK_INT(eng_catalog_find("", &k, &v, err), Q_NOTFOUND);
}

static void test_refuses_what_lacks_a_source(void)
{
    catalog c;
    static const char whole[] = "[8b]\nfamily = q\ntitle = T\nreleased = 2026-01\nsource = https://x\ndate = 2026-01-01\n[8b/T]\nkind = base\nrepo = a/T\nlicence = MIT\ncontext = 4096\nsource = https://y\ndate = 2026-01-01\nopened = yes\n";
    CHECK_MSG(catalog_read(whole, "x.ini", &c, err) == Q_OK, "%s", err);
    CHECK_INT(c.n, 1);
    catalog_free(&c);
    static const struct { const char *without, *says; } lines[] = {
        {"source = https://x\n", "8b lacks its source"}, {"source = https://y\n", "T lacks its source"}, {"opened = yes\n", "T lacks its opened"}, {"licence = MIT\n", "T lacks its licence"},
        {"date = 2026-01-01\n", "8b lacks its date"}, {"context = 4096\n", "T lacks its context"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *at = strstr(whole, lines[i].without);
        char *less = q_printf("%.*s%s", (int)(at - whole), whole, at + strlen(lines[i].without));
        CHECK_INT(catalog_read(less, "x.ini", &c, err), Q_FORMAT);
        CHECK_MSG(strstr(err, lines[i].says), "%s", err);
        free(less);
    }
    CHECK_INT(catalog_read("[nine]\nfamily = q\n", "x.ini", &c, err), Q_FORMAT);
    CHECK_INT(catalog_read("[8b]\ncolour = red\n", "x.ini", &c, err), Q_FORMAT);
    CHECK(strstr(err, "colour = red"));
    CHECK_INT(catalog_read("[8b]\nreleased = 2147483648\n", "x.ini", &c, err), Q_FORMAT);
    CHECK_MSG(strstr(err, "released = 2147483648 is not understood"), "%s", err);
    CHECK_INT(catalog_read("[8b]\nno sense at all\n", "x.ini", &c, err), Q_FORMAT);
    CHECK_MSG(strstr(err, "line 2"), "%s", err);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "hollow") == 0) {
        int rc = synth_hollow(argv[2], "F16", argv[3], err);
        if (rc) fprintf(stderr, "%s\n", err);
        return rc != Q_OK;
    }
    RUN(test_every_row_is_whole);
    RUN(test_what_runs_elsewhere_says_where);
    RUN(test_counts_are_those_of_the_names);
    RUN(test_sizes_are_those_of_published_files);
    RUN(test_sizes_are_llama_quantizes);
    RUN(test_finds_by_parts_of_names);
    RUN(test_refuses_what_lacks_a_source);
    return TEST_END();
}
