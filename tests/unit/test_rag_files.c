/* rag over a person's folders: names, headings and all words are findable; what was skipped, is gone or is in an old
 * character set; and that every number that is shown is true. */
#include "rag/rag.h"
#include "tests/test.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <iconv.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], err[Q_ERRLEN];
static const char data_file[] = "../shared/data/eval/xquad-ru-half.json";
#define OK(call) do { err[0] = 0; int rc_ = (call); CHECK_MSG(rc_ == Q_OK, "%d %s", rc_, err); } while (0)

static mem_store *open_new(void)
{
    mem_store *s = NULL;
    if (mem_open(":memory:", &s, err) != Q_OK) { printf("not ok open: %s\n", err); exit(1); }
    return s;
}

static void write_file(const char *name, const char *p, size_t n)
{
    char *path = q_printf("%s/%s", dir, name);
    OK(q_write_file_atomic(path, p, n, err));
    free(path);
}

static char *in_dir(const char *name)
{
    static char b[256];
    snprintf(b, sizeof b, "%s/%s", dir, name);
    return b;
}

static rag_result *ask(mem_store *s, const char *q)
{
    rag_config c = rag_config_default();
    rag_result *r = NULL;
    OK(rag_search(s, &c, q, NULL, &r, err));
    return r;
}

/* ---- what is findable ---- */
static void fed_first(mem_store *s, const char *q, const char *label)
{
    rag_result *r = ask(s, q);
    CHECK_MSG(r->n_fed >= 1 && strncmp(r->v[0].label, label, strlen(label)) == 0, "\"%s\": fed %d, best %s %.2f", q, r->n_fed,
              r->n ? r->v[0].label : "nothing", r->n ? r->v[0].score : 0);
    rag_result_free(r);
}

struct note { const char *name, *text; };

/* A folder of notes, taken in as a person would. */
static mem_store *folder_of(const char *name, const struct note *v, int n)
{
    mem_store *s = open_new();
    mkdir(in_dir(name), 0700);
    for (int i = 0; i < n; i++) {
        char *path = q_printf("%s/%s/%s", dir, name, v[i].name), *slash = strrchr(path, '/');
        *slash = 0;
        OK(q_mkdirs(path, err));
        *slash = '/';
        OK(q_write_file_atomic(path, v[i].text, strlen(v[i].text), err));
        free(path);
    }
    rag_progress p;
    OK(rag_add(s, in_dir(name), NULL, &p, err));
    CHECK_INT(p.added, n);
    return s;
}
#define FOLDER(name, notes) folder_of(name, notes, (int)(sizeof notes / sizeof *notes))

static void names_of_files_and_folders_are_searched(void)
{
    static const struct note notes[] = {
        {"Projects/Aurora/status.md", "Deadline moved to September. Budget 40k.\n"}, {"Projects/Borealis/status.md", "On hold until spring.\n"},
        {"People/Boris Velichko.md", "Phone: 555-0134. Prefers oolong tea. Birthday in May.\n"},
        {"People/Marta Lindqvist.md", "Phone: 555-0199. Prefers coffee.\n"}, {"People/Софья Крылова.md", "Телефон: 555-0177. Любит зелёный чай.\n"},
    };
    mem_store *s = FOLDER("vault", notes);
    fed_first(s, "What is Boris Velichko's phone?", "vault/People/Boris Velichko.md");
    fed_first(s, "Aurora deadline", "vault/Projects/Aurora/status.md");
    fed_first(s, "What is the status of Aurora?", "vault/Projects/Aurora/status.md");
    fed_first(s, "Крылова", "vault/People/Софья Крылова.md");
    mem_documents l;                                                        /* a file's new name is searched, the old one is not */
    char *was = q_strdup(in_dir("vault/People/Marta Lindqvist.md"));
    CHECK(rename(was, in_dir("vault/People/Greta Thorsen.md")) == 0);
    free(was);
    rag_progress p;
    OK(rag_add(s, in_dir("vault"), NULL, &p, err));
    CHECK_INT(p.gone, 0);
    CHECK_INT(p.renamed, 1);
    fed_first(s, "phone of Greta Thorsen", "vault/People/Greta Thorsen.md");
    rag_result *r = ask(s, "Lindqvist");
    CHECK_INT(r->n, 0);
    rag_result_free(r);
    OK(mem_document_list(s, &l, err));
    CHECK_INT(l.n, 5);
    mem_documents_free(&l);
    OK(mem_check(s, err));
    mem_close(s);
}

static void headings_without_text_are_passages(void)
{
    q_buf wide = {0};
    q_buf_puts(&wide, "# Section with a long heading");
    for (int i = 0; i < 30; i++) q_buf_puts(&wide, " very");
    q_buf_puts(&wide, " zebra\ntext below\n");
    const struct note notes[] = {{"only.md", "# Call the plumber about the boiler on Friday\n"},
        {"outline.md", "# Trip\n## Pack crampons\n### Ask Ingrid for maps\n## Buy tickets\n# Return\n"},
        {"middle.md", "# Sea\n## Book the ferry to Bergen\n## Shoes\nsocks\n"}, {"long.md", wide.p}};
    mem_store *s = FOLDER("headings", notes);
    fed_first(s, "plumber boiler", "headings/only.md");
    fed_first(s, "crampons", "headings/outline.md");
    fed_first(s, "maps of Ingrid", "headings/outline.md");
    fed_first(s, "tickets", "headings/outline.md");
    fed_first(s, "ferry Bergen", "headings/middle.md");
    fed_first(s, "zebra", "headings/long.md");
    rag_result *r = ask(s, "socks");
    if (r->n) CHECK_STR(r->v[0].label, "headings/middle.md § Shoes");       /* the heading before keeps its own passage */
    CHECK(r->n == 1 && strcmp(r->v[0].text, "socks") == 0);
    rag_result_free(r);
    rag_progress p;                                                         /* and the count tells the truth */
    OK(rag_add(s, in_dir("headings"), NULL, &p, err));
    CHECK_INT(p.unchanged, 4);
    CHECK_INT(p.chunks, 0);
    mem_close(s);
    q_buf_free(&wide);
}

struct bag { q_buf b; };
static bool into_bag(void *user, const mem_word *w)
{
    struct bag *g = user;
    if (!(w->flags & (MEM_WORD_EXACT | MEM_WORD_WHOLE))) q_buf_printf(&g->b, " %s ", w->word);
    return true;
}
struct missing { const struct bag *in; char word[80]; };
static bool look_for(void *user, const mem_word *w)
{
    struct missing *m = user;
    char padded[80];
    if (w->flags & (MEM_WORD_EXACT | MEM_WORD_WHOLE | MEM_WORD_NUMBER)) return true;      /* the numbers are those of lists */
    snprintf(padded, sizeof padded, " %.70s ", w->word);
    if (!m->in->b.p || !strstr(m->in->b.p, padded)) snprintf(m->word, sizeof m->word, "%.70s", w->word);
    return !*m->word;
}

static void every_word_of_random_markdown_is_in_a_passage(void)
{
    static const char *const bits[] = {"# ", "## ", "###### ", "\n", "\n", "\n\n", "\n\n", "```", "~~~ ", "\n===\n", "\n---\n", "- ", "> ", "1. ", "    ",
                                       " *", "* ", "`", "\\", "_", ". ", "\t", "\r\n", "***\n", "---\n", ": ", " #\n", "- - "};
    uint64_t x[4] = {9, 8, 7, 6};
    for (int round = 0; round < (getenv("QUORUM_LONG") ? 20000 : 1000) && !test_bad; round++) {
        q_buf b = {0};
        q_buf_puts(&b, "");
        int words = 0;
        for (uint64_t k = q_random(x) % 300; k; k--) {
            if (q_random(x) % 3 == 0) q_buf_puts(&b, bits[q_random(x) % (sizeof bits / sizeof *bits)]);
            else q_buf_printf(&b, "%sw%dx%s", q_random(x) % 2 ? " " : "", words++, q_random(x) % 2 ? " " : "");
        }
        mem_chunk *c;
        int n = rag_chunk(b.p, b.len, true, &c);
        struct bag found = {0};
        for (int i = 0; i < n; i++) {
            mem_words(c[i].heading, strlen(c[i].heading), into_bag, &found);
            mem_words(c[i].text, c[i].n, into_bag, &found);
        }
        struct missing m = {.in = &found};
        mem_words(b.p, b.len, look_for, &m);
        CHECK_MSG(!*m.word, "round %d: %s is nowhere in\n%s", round, m.word, b.p);
        rag_chunks_free(c, n);
        q_buf_free(&found.b);
        q_buf_free(&b);
    }
}

static bool all_words(void *user, const mem_word *w)
{
    if (!(w->flags & MEM_WORD_EXACT)) q_buf_printf(user, "%s ", w->word);
    return true;
}

static void names_of_languages_are_words(void)
{
    static const struct note notes[] = {
        {"a.md", "# C style\n\nIn C we free what we allocate.\n"}, {"b.md", "# C++ style\n\nIn C++ we use RAII; headers end in hpp.\n"},
        {"c.md", "# C# style\n\nIn C# we use properties and async methods.\n"}, {"d.md", "# F# style\n\nIn F# we use pipes.\n"},
        {"e.md", "# .NET setup\n\nThe .NET runtime lies in /opt.\n"}, {"f.md", "# Go style\n\nIn Go we use gofmt.\n"},
        {"g.md", "# Nets\n\nA net for the tennis court.\n"},
    };
    static const struct { const char *q, *label; } t[] = {
        {"C#", "lang/c.md"}, {"What do my notes say about C#?", "lang/c.md"}, {"c# async", "lang/c.md"}, {"C++ style", "lang/b.md"},
        {"Which headers do we use in C++17?", "lang/b.md"}, {"C style", "lang/a.md"}, {"F♯", "lang/d.md"}, {".NET", "lang/e.md"},
        {"where is the .net runtime?", "lang/e.md"},
    };
    mem_store *s = FOLDER("lang", notes);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) fed_first(s, t[i].q, t[i].label);
    mem_close(s);
    static const struct { const char *text, *words; } w[] = {
        {"C++11 and g++.", "c++ 11 and g++ "}, {"x+y a#b ## +", "x y a b "}, {"J# C#-like", "j# c# like "}, {"see .NET", "see net .net "},
        {"end.Next ...what", "end end.next next what "}, {"~/.config", "config .config "}, {"Objective-C", "objective c "}, {"a.b.c++", "a a.b.c++ b c "},
    };
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) {
        q_buf b = {0};
        mem_words(w[i].text, strlen(w[i].text), all_words, &b);
        CHECK_STR(b.p, w[i].words);
        q_buf_free(&b);
    }
}

static void words_with_unseen_characters_are_found(void)
{
    static const struct note notes[] = {
        {"shy.md", "# Отчёт\n\nКоро\u00ADлевские пинг\u00ADвины живут в Антарк\u00ADтиде.\n"},
        {"zw.md", "# Plan\n\nThe extra\u200Bordinary plan of thermo\u200Cdynamics and photo\u2060syn\u200Dthe\uFEFFsis.\n"},
    };
    mem_store *s = FOLDER("unseen", notes);
    fed_first(s, "пингвины", "unseen/shy.md");
    fed_first(s, "Королевские пингвины", "unseen/shy.md");
    fed_first(s, "photosynthesis", "unseen/zw.md");
    fed_first(s, "thermodynamics", "unseen/zw.md");
    fed_first(s, "extraordinary plan", "unseen/zw.md");
    fed_first(s, "pho\u00ADtosynthesis", "unseen/zw.md");
    mem_close(s);
}

/* ---- numbers ---- */
/* What a line of /why shows as its score, and the product of the factors beside it; false: no score stands there. */
static bool product_of(const char *line, double *score, double *product, double *half)
{
    const char *p = strstr(line, "score ");
    if (!p) return false;
    char *end;
    const char *from = p + strlen("score ");
    *score = strtod(from, &end);
    const char *point = memchr(from, '.', (size_t)(end - from));
    *half = .5;
    for (const char *q = point ? point + 1 : end; q < end; q++) *half /= 10;
    *product = 1;
    if (strncmp(end, " = ", 3) != 0) return false;
    for (p = end + 3; *p && *p != ';';) {               /* "coverage .931 × evidence .824 × match .950" */
        p += strcspn(p, " ;");
        *product *= strtod(p, &end);
        p = end;
        if (strncmp(p, " × ", strlen(" × ")) == 0) p += strlen(" × ");
    }
    return true;
}

static mem_store *words_at_random(uint64_t x[4])
{
    static const char *const word[] = {"kestrel", "quarry", "sighting", "ледник", "карта", "harbour", "time", "water", "ibex", "the", "morning", "brass"};
    mem_store *s = open_new();
    for (int d = 0; d < 40; d++) {
        q_buf b = {0};
        q_buf_puts(&b, "# ");
        for (uint64_t k = 3 + q_random(x) % 30; k; k--) q_buf_printf(&b, "%s%s", word[q_random(x) % 12], q_random(x) % 7 ? " " : "\n\n# ");
        char *name = q_printf("%s-%d", word[q_random(x) % 12], d);
        int64_t id;
        OK(rag_add_text(s, name, name, MEM_TRUST_OWN, b.p, b.len, &id, err));
        free(name);
        q_buf_free(&b);
    }
    return s;
}

static void check_products(const char *text, int *n)
{
    char *copy = q_strdup(text), *save = NULL;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        double score, product, half;
        if (!product_of(line, &score, &product, &half)) continue;
        CHECK_MSG(fabs(score - product) <= half + 1e-9, "%s: %g is not %g", line, score, product);
        ++*n;
    }
    free(copy);
}

static void numbers_shown_are_the_product_of_those_beside_them(void)
{
    uint64_t x[4] = {4, 3, 2, 1};
    mem_store *s = words_at_random(x);
    static const char *const q[] = {"kestrel quarry sighting", "карта ледника", "brass harbour at morning time", "ibex", "water"};
    int n = 0;
    int64_t conv, msg;
    OK(mem_conversation_new(s, "c", &conv, err));
    for (size_t i = 0; i < sizeof q / sizeof *q; i++) {
        rag_result *r = ask(s, q[i]);
        q_buf b = {0};
        rag_explain(r, &b);
        int before = n;
        check_products(b.p, &n);
        CHECK_INT(n - before, r->n);
        OK(mem_message_add(s, conv, 0, MEM_USER, "q", 1, &msg, err));
        OK(rag_log(s, msg, r, err));
        mem_logs l;
        OK(mem_log_get(s, msg, &l, err));
        CHECK_INT(l.n, r->n);
        for (int k = 0; k < l.n && k < r->n; k++) {     /* the log says the very same, and its signals multiply to the score */
            q_buf fresh = {0}, kept = {0};
            rag_why(r, &r->v[k], &fresh);
            rag_log_why(&l.v[k], &kept);
            CHECK_STR(kept.p, fresh.p);
            CHECK_INT(rag_log_repeats(&l.v[k]), r->v[k].fate == RAG_REPEATS);
            const char *at = l.v[k].signals;
            char name[32];
            double v, product = 1;
            int signals = 0, all;
            rag_signals(&all);
            while (rag_signals_next(&at, name, &v))
                if (strncmp(name, RAG_BY, strlen(RAG_BY)) != 0) product *= v, signals++;
            CHECK_INT(signals, all - 1);                /* that of meaning is not there */
            CHECK(fabs(product - l.v[k].score) < 1e-8);
            q_buf_free(&fresh);
            q_buf_free(&kept);
        }
        mem_logs_free(&l);
        q_buf_free(&b);
        rag_result_free(r);
    }
    CHECK(n > 50);
    mem_close(s);
}

static char *nothing(mem_store *s, rag_config c, int budget, const char *q)
{
    rag_result *r;
    rag_scope scope = {.budget = budget};
    q_buf b = {0};
    OK(rag_search(s, &c, q, &scope, &r, err));
    CHECK_INT(r->n_fed, 0);
    rag_summary(r, &b);
    rag_result_free(r);
    return q_buf_take(&b);
}

static void why_nothing_was_fed_is_true_in_figures(void)
{
    mem_store *s = open_new();
    int64_t id;
    static const char text[] = "kestrel sighting above the quarry, on the second day of a long walk";
    OK(rag_add_text(s, "/k", "k", MEM_TRUST_OWN, text, sizeof text - 1, &id, err));
    rag_config c = rag_config_default();
    char *w = nothing(s, c, 5, "kestrel quarry sighting"), want[128], x[RAG_NUMBER];
    rag_result *r = ask(s, "kestrel quarry sighting");
    double best = r->n ? r->v[0].score : 0;
    rag_result_free(r);
    CHECK(best > .5);
    snprintf(want, sizeof want, "nothing fed: best %s takes 17 tok, room for 5", rag_number(best, 0, x));
    CHECK_STR(w, want);
    free(w);
    c.max_passages = 0;
    w = nothing(s, c, -1, "kestrel quarry sighting");
    snprintf(want, sizeof want, "nothing fed: best %s, but memory.max_passages is 0", rag_number(best, 0, x));
    CHECK_STR(w, want);
    free(w);
    c = rag_config_default();
    w = nothing(s, c, -1, "penguin");
    CHECK_STR(w, "nothing fed: nothing matched");
    free(w);
    /* a threshold just above the score: the two figures differ, and in the right order */
    for (double above = .2; above > 2e-8; above /= 7) {
        c.min_score = best + above;
        w = nothing(s, c, -1, "kestrel quarry sighting");
        double a = 0, b = 0;
        CHECK_INT(sscanf(w, "nothing fed: best %lf below %lf", &a, &b), 2);
        CHECK_MSG(a < b && fabs(a - best) < .0051, "%s (%.9g, %.9g)", w, best, c.min_score);
        free(w);
    }
    c.min_score = best;                                 /* and one that is met is met */
    OK(rag_search(s, &c, "kestrel quarry sighting", NULL, &r, err));
    CHECK_INT(r->n_fed, 1);
    rag_result_free(r);
    static const struct { double v, min; const char *shown; } t[] = {{.2996, .30, ".2996"}, {.304, .30, ".30"}, {.3, .3, ".30"}, {.305, .305, ".305"},
        {.30499, .305, ".30"}, {.72879, .3, ".73"}, {.996, .3, "1.0"}, {0, .3, ".00"}, {.2999999, .3, ".2999999"}, {.12, .3, ".12"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) CHECK_STR(rag_number(t[i].v, t[i].min, x), t[i].shown);
    mem_close(s);
}

struct seen { int n, notes; bool stop; };
static bool watch(void *user, const rag_progress *p)
{
    struct seen *s = user;
    s->n++;
    s->notes += p->note != NULL;
    return !s->stop;
}

static void folders_are_taken_once_and_safely(void)
{
    mem_store *s = open_new();
    static const char ru1251[] = "\xCF\xF0\xE8\xE2\xE5\xF2, \xFD\xF2\xEE \xF1\xF2\xE0\xF0\xFB\xE9 \xF2\xE5\xEA\xF1\xF2 \xE2 \xEA\xEE\xE4\xE8\xF0\xEE\xE2\xEA\xE5";
    mkdir(in_dir("notes"), 0700);
    mkdir(in_dir("notes/sub"), 0700);
    mkdir(in_dir("notes/.git"), 0700);
    mkdir(in_dir("outside"), 0700);
    write_file("notes/a.md", "# A\nalpha text\n", 15);
    write_file("notes/sub/b.txt", "beta text\n", 10);
    write_file("notes/.git/config", "hidden text\n", 12);
    write_file("notes/image.bin", "\x89PNG\0\0\1", 7);
    write_file("notes/bad.txt", "abc\xFF\xFE\xFDxyz", 9);
    write_file("notes/old.txt", ru1251, sizeof ru1251 - 1);
    write_file("notes/wide.txt", "\xFF\xFEg\0a\0m\0m\0a\0", 12);
    write_file("notes/empty.txt", "", 0);
    write_file("outside/secret.md", "outside text\n", 13);
    CHECK(symlink("..", in_dir("notes/loop")) == 0);
    CHECK(symlink("../outside/secret.md", in_dir("notes/leak.md")) == 0);
    CHECK(symlink("sub/b.txt", in_dir("notes/same.txt")) == 0);
    CHECK(symlink("nowhere", in_dir("notes/broken")) == 0);
    CHECK(mkfifo(in_dir("notes/fifo"), 0600) == 0);
    struct seen w = {0};
    rag_add_opts o = {.progress = watch, .user = &w};
    rag_progress p;
    OK(rag_add(s, in_dir("notes"), &o, &p, err));
    CHECK_INT(p.added, 4);
    CHECK_INT(p.skipped, 3);
    CHECK_INT(w.notes, 3);
    mem_documents l;
    OK(mem_document_list(s, &l, err));
    CHECK_INT(l.n, 4);
    if (l.n == 4) { CHECK_STR(l.v[0].title, "notes/a.md"); CHECK_STR(l.v[2].title, "notes/sub/b.txt"); }
    mem_documents_free(&l);
    static const char *const find[] = {"alpha", "beta", "gamma", "старого"};
    for (int i = 0; i < 4; i++) {
        mem_passages g;
        OK(mem_candidates(s, MEM_CHUNK, &find[i], 1, 0, 5, &g, err));
        CHECK_MSG(g.n == 1, "%s: %d", find[i], g.n);
        mem_passages_free(&g);
    }
    OK(rag_add(s, in_dir("notes"), NULL, &p, err));
    CHECK_INT(p.added, 0);
    CHECK(p.unchanged >= 4);
    write_file("notes/a.md", "# A\nomega text\n", 15);
    OK(rag_add(s, in_dir("notes"), NULL, &p, err));
    CHECK_INT(p.added, 1);
    const char *gone = "alpha";
    mem_passages g;
    OK(mem_candidates(s, MEM_CHUNK, &gone, 1, 0, 5, &g, err));
    CHECK_INT(g.n, 0);
    CHECK_INT(rag_add(s, in_dir("notes/image.bin"), NULL, &p, err), Q_FORMAT);
    CHECK(strstr(err, "not text"));
    CHECK_INT(rag_add(s, in_dir("missing"), NULL, &p, err), Q_NOTFOUND);
    CHECK(rag_add(s, in_dir("notes/fifo"), NULL, &p, err) != Q_OK);          /* and does not wait for a writer */
    w = (struct seen){.stop = true};
    write_file("notes/a.md", "# A\nthird\n", 10);
    CHECK_INT(rag_add(s, in_dir("notes"), &o, &p, err), Q_CANCEL);
    CHECK_INT(w.n, 1);
    OK(mem_check(s, err));
    mem_close(s);
}

static void what_was_skipped_is_said_once_with_counts(void)
{
    mem_store *s = open_new();
    mkdir(in_dir("skips"), 0700);
    for (int i = 0; i < 300; i++) {
        char name[64];
        snprintf(name, sizeof name, "skips/%d.bin", i);
        write_file(name, "\x89PNG\0\0\1", 7);
    }
    write_file("skips/empty.md", "", 0);
    write_file("skips/report.pdf", "%PDF-1.4 ...", 12);
    write_file("skips/odd\nname.docx", "PK\3\4....", 8);
    write_file("skips/good.md", "text\n", 5);
    rag_progress p;
    char *path = q_strdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);                          /* as if there were no pdftotext */
    OK(rag_add(s, in_dir("skips"), NULL, &p, err));
    setenv("PATH", path, 1);
    free(path);
    CHECK_INT(p.added, 1);
    CHECK_INT(p.skipped, 303);
    CHECK_INT(p.n_skip, 4);
    int n = 0, lines = 0;
    for (int i = 0; i < p.n_skip; i++) n += p.skip[i].n;
    CHECK_INT(n, p.skipped);
    q_buf b = {0};
    rag_skips_words(&p, &b);
    for (const char *c = b.p; *c; c++) lines += *c == '\n';
    CHECK_INT(lines, 4);
    CHECK_MSG(strstr(b.p, "0.bin: it is not text: convert it to text or Markdown first (and 299 more files)\n") && strstr(b.p, "report.pdf: it is a PDF") && strstr(b.p, "empty.md: it is empty"), "%s", b.p);
    q_buf_free(&b);
    mem_close(s);
}

/* ---- emptied, or not to be read any more ---- */
static int passages_of(mem_store *s, const char *title)
{
    mem_documents l;
    int n = -1;
    OK(mem_document_list(s, &l, err));
    for (int i = 0; i < l.n; i++)
        if (strcmp(l.v[i].title, title) == 0) n = l.v[i].n_chunks;
    mem_documents_free(&l);
    return n;
}

/* What a person took out of a file is not fed any more; a file that cannot be read now leaves what it said, and that is said. */
static void an_emptied_file_says_nothing(void)
{
    mem_store *s = open_new();
    rag_progress p;
    q_buf b = {0};
    mkdir(in_dir("hollow"), 0700);
    write_file("hollow/code.md", "The vault code is 9931.", 23);
    write_file("hollow/tern.md", "The tern is back.", 17);
    write_file("hollow/blank.md", " \n\t\n", 4);
    write_file("hollow/mark.md", "\xEF\xBB\xBF\n", 4);
    OK(rag_add(s, in_dir("hollow"), NULL, &p, err));
    CHECK(p.added == 2 && p.skipped == 2);                   /* no document that holds nothing */
    write_file("hollow/code.md", "", 0);
    write_file("hollow/tern.md", "\0\1\2\0", 4);
    OK(rag_add(s, in_dir("hollow"), NULL, &p, err));
    CHECK_MSG(p.added == 1 && p.chunks == 0 && p.skipped == 3, "%d added, %d passages, %d skipped", p.added, p.chunks, p.skipped);
    rag_skips_words(&p, &b);
    CHECK_MSG(strstr(b.p, "tern.md: it is not text: convert it to text or Markdown first; what it said before is kept and still fed\n"), "%s", b.p);
    CHECK_INT(passages_of(s, "hollow/code.md"), 0);
    CHECK_INT(passages_of(s, "hollow/tern.md"), 1);
    write_file("hollow/code.md", "The vault code is 9931.", 23);
    write_file("hollow/tern.md", "The tern is back.", 17);
    OK(rag_add(s, in_dir("hollow"), NULL, &p, err));
    CHECK(p.added == 1 && p.unchanged == 1);
    CHECK_INT(passages_of(s, "hollow/code.md"), 1);
    OK(mem_check(s, err));
    q_buf_free(&b);
    mem_close(s);
}

/* ---- gone ---- */
static void gone_is(mem_store *s, const char *title, bool gone)
{
    mem_documents l;
    bool seen = false;
    OK(mem_document_list(s, &l, err));
    for (int i = 0; i < l.n; i++)
        if (strcmp(l.v[i].title, title) == 0) {
            seen = true;
            CHECK_MSG((l.v[i].gone_ms != 0) == gone, "%s is %sgone", title, gone ? "not " : "");
        }
    CHECK_MSG(seen, "%s is not listed", title);
    mem_documents_free(&l);
}

static void add_again(mem_store *s, const char *name, int added, int gone, int back)
{
    rag_progress p;
    OK(rag_add(s, in_dir(name), NULL, &p, err));
    CHECK_MSG(p.added == added && p.gone == gone && p.back == back, "added %d, gone %d, back %d; expected %d %d %d", p.added, p.gone, p.back, added, gone, back);
}

static int fed(mem_store *s, const char *q)
{
    rag_result *r = ask(s, q);
    int n = r->n_fed;
    rag_result_free(r);
    return n;
}

static void rename_in(const char *from, const char *to)
{
    char *a = q_strdup(in_dir(from));
    CHECK(rename(a, in_dir(to)) == 0);
    free(a);
}

/* A file added by its own path and moved: adding that path again says so, and it is not fed beside the one that is there. */
static void a_file_of_its_own_that_is_gone_is_not_fed(void)
{
    static const struct note notes[] = {{"other.md", "Groceries: rye and dill.\n"}};
    mem_store *s = FOLDER("own", notes);
    write_file("own-a.md", "The attic key of Thornby is in the blue jar.\n", 45);
    rag_progress p = {0};
    OK(rag_add(s, in_dir("own-a.md"), NULL, &p, err));
    CHECK_INT(fed(s, "attic key of Thornby"), 1);
    rename_in("own-a.md", "own-b.md");
    CHECK_INT(rag_add(s, in_dir("own-a.md"), NULL, &p, err), Q_NOTFOUND);
    CHECK_MSG(strstr(err, "not fed any more") != NULL, "%s", err);
    CHECK_INT(p.gone, 1);
    CHECK_INT(fed(s, "attic key of Thornby"), 0);
    OK(rag_add(s, in_dir("own-b.md"), NULL, &p, err));
    CHECK_INT(fed(s, "attic key of Thornby"), 1);
    CHECK_INT(rag_add(s, in_dir("own-a.md"), NULL, &p, err), Q_NOTFOUND);
    CHECK_INT(p.gone, 0);                               /* said once */
    CHECK_INT(rag_add(s, in_dir("never-there.md"), NULL, &p, err), Q_NOTFOUND);
    CHECK_MSG(strstr(err, "not fed any more") == NULL, "%s", err);
    CHECK_INT(rag_add(s, in_dir("no-folder/own-b.md"), NULL, &p, err), Q_NOTFOUND);
    CHECK_INT(fed(s, "attic key of Thornby"), 1);
    mem_close(s);
}

/* A folder that was added by its own path and is missing: nothing is marked, and the sentence says what is kept and how to
 * go on; to add the folder it was in marks its documents. */
static void a_missing_folder_says_what_is_kept(void)
{
    static const struct note notes[] = {{"sub/a.md", "The ladder of Thornby hangs in the barn.\n"}, {"sub/b.md", "Groceries: rye and dill.\n"}};
    mem_store *s = FOLDER("lostdir", notes);
    rag_progress p = {0};
    rename_in("lostdir/sub", "lostdir-elsewhere");
    write_file("lostdir/stays.md", "A note that stays.\n", 19);
    CHECK_INT(rag_add(s, in_dir("lostdir/sub"), NULL, &p, err), Q_NOTFOUND);
    CHECK_MSG(strstr(err, "2 documents below it are kept and fed") != NULL, "%s", err);
    char *slashed = q_printf("%s/", in_dir("lostdir/sub"));
    CHECK_INT(rag_add(s, slashed, NULL, &p, err), Q_NOTFOUND);
    CHECK_MSG(strstr(err, "2 documents below it are kept and fed") != NULL, "%s", err);
    free(slashed);
    CHECK_INT(p.gone, 0);
    CHECK_INT(fed(s, "ladder of Thornby"), 1);
    OK(rag_add(s, in_dir("lostdir"), NULL, &p, err));
    CHECK_INT(p.gone, 2);
    CHECK_INT(fed(s, "ladder of Thornby"), 0);
    CHECK_INT(rag_add(s, in_dir("lostdir/sub"), NULL, &p, err), Q_NOTFOUND);
    CHECK_MSG(strstr(err, "kept and fed") == NULL, "%s", err);
    mem_close(s);
}

static int64_t document_of(mem_store *s, const char *name)
{
    mem_document d = {0};
    char why[Q_ERRLEN], *real = realpath(dir, NULL), *path = q_printf("%s/%s", real, name);
    int64_t id = mem_document_by_path(s, path, &d, why) == Q_OK ? d.id : 0;
    mem_document_free(&d);
    free(real);
    free(path);
    return id;
}

/* Another name is no other document: what a person pinned and banned holds. What is no renaming is none. */
static void a_file_with_another_name_is_the_same_document(void)
{
    static const struct note notes[] = {{"owl.md", "The owl box of Thornby hangs in the elm.\n"}, {"twin.md", "Twice the same.\n"}, {"table.csv", "name,age\nAnna,40\n"}};
    mem_store *s = FOLDER("renamed", notes);
    rag_progress p;
    int64_t talk, owl = document_of(s, "renamed/owl.md"), twin = document_of(s, "renamed/twin.md");
    rag_result *r = ask(s, "owl box of Thornby");
    CHECK(owl && twin && r->n_fed == 1);
    mem_pin pin = {.kind = MEM_CHUNK, .ref = r->v[0].id, .n = -1};
    mem_pins pins;
    mem_bans bans;
    rag_result_free(r);
    OK(mem_conversation_new(s, "t", &talk, err));
    OK(mem_pin_put(s, talk, &pin, err));
    OK(mem_ban_put(s, MEM_CHUNK, twin, true, err));
    mkdir(in_dir("renamed/birds"), 0700);
    rename_in("renamed/owl.md", "renamed/birds/tawny.md");
    rename_in("renamed/twin.md", "renamed/one.md");
    OK(rag_add(s, in_dir("renamed"), NULL, &p, err));
    CHECK(p.renamed == 2 && p.added == 0 && p.gone == 0 && p.back == 0 && fed(s, "where is the tawny?") == 1);
    CHECK(document_of(s, "renamed/birds/tawny.md") == owl && document_of(s, "renamed/owl.md") == 0);
    OK(mem_pin_list(s, talk, &pins, err));
    CHECK_MSG(pins.n == 1 && strcmp(pins.v[0].title, "renamed/birds/tawny.md") == 0, "%d pins", pins.n);
    mem_pins_free(&pins);
    OK(mem_ban_list(s, &bans, err));
    CHECK(bans.n == 1 && bans.v[0].source == twin);
    mem_bans_free(&bans);
    OK(mem_check(s, err));
    OK(rag_add(s, in_dir("renamed"), NULL, &p, err));
    CHECK(p.renamed == 0 && p.unchanged == 3);
    write_file("renamed/two.md", "Twice the same.\n", 16);            /* a copy: the first is there still */
    rename_in("renamed/table.csv", "renamed/table.txt");               /* it is read in another way now */
    OK(rag_add(s, in_dir("renamed"), NULL, &p, err));
    CHECK_MSG(p.renamed == 0 && p.added == 2 && p.gone == 1, "renamed %d, added %d, gone %d", p.renamed, p.added, p.gone);
    mem_close(s);
}

static void files_that_are_gone_are_not_fed(void)
{
    static const struct note notes[] = {{"a.md", "The meeting room code is 4417.\n"}, {"b.md", "Groceries: rye and dill.\n"}, {"sub/c.md", "Spare kayak paddle in the shed.\n"}};
    mem_store *s = FOLDER("gone", notes);
    CHECK_INT(fed(s, "meeting room code"), 1);
    rename_in("gone/a.md", "gone/renamed.md");
    add_again(s, "gone", 0, 0, 0);
    gone_is(s, "gone/renamed.md", false);
    CHECK_INT(fed(s, "meeting room code"), 1);
    rename_in("gone/renamed.md", "elsewhere.md");
    add_again(s, "gone", 0, 1, 0);
    CHECK_INT(fed(s, "meeting room code"), 0);
    add_again(s, "gone", 0, 0, 0);                      /* what is gone is said once */
    rename_in("elsewhere.md", "gone/a.md");             /* and comes back as it was */
    add_again(s, "gone", 0, 0, 0);
    gone_is(s, "gone/a.md", false);
    CHECK_INT(fed(s, "meeting room code"), 1);
    rename_in("gone/sub", "kept-elsewhere");            /* a folder that is gone from a folder that is there */
    add_again(s, "gone", 0, 1, 0);
    CHECK_INT(fed(s, "kayak paddle"), 0);
    write_file("gone/b.md", "", 0);                     /* a file that is there is not gone, taken or not */
    rag_progress p;
    OK(rag_add(s, in_dir("gone"), NULL, &p, err));
    CHECK_INT(p.gone, 0);
    gone_is(s, "gone/b.md", false);
    rag_add_opts stop = {.progress = watch, .user = &(struct seen){.stop = true}};
    CHECK(unlink(in_dir("gone/b.md")) == 0);
    CHECK_INT(rag_add(s, in_dir("gone"), &stop, &p, err), Q_CANCEL);   /* a walk that did not end knows nothing */
    CHECK_INT(p.gone, 0);
    OK(mem_check(s, err));
    mem_close(s);
}

/* The document as if it had been taken from another disk. */
static void on_disk(mem_store *s, const char *title, int64_t device)
{
    mem_documents l;
    OK(mem_document_list(s, &l, err));
    for (int i = 0; i < l.n; i++)
        if (strcmp(l.v[i].title, title) == 0) OK(mem_documents_seen(s, &(mem_seen){l.v[i].id, l.v[i].mtime_ms, device ? device : l.v[i].device + 1}, 1, err));
    mem_documents_free(&l);
}

static void a_missing_disk_marks_nothing(void)
{
    static const struct note notes[] = {{"here.md", "Spare keys in the drawer.\n"}, {"usb/away.md", "The alpine hut opens in June.\n"},
                                        {"usb/deep/far.md", "Crampons need sharpening.\n"}, {"card/photo.md", "Heron at dawn.\n"}};
    mem_store *s = FOLDER("disks", notes);
    rag_progress p;
    q_buf b = {0};
    /* the place where a disk was is empty: nothing below it is gone */
    rename_in("disks/usb", "usb-elsewhere");
    mkdir(in_dir("disks/usb"), 0700);
    OK(rag_add(s, in_dir("disks"), NULL, &p, err));
    CHECK_INT(p.gone, 0);
    rag_skips_words(&p, &b);
    CHECK_MSG(strstr(b.p, "not found, but kept: its folder is empty now; is its disk there? (and 1 more file)"), "%s", b.p);
    CHECK_INT(fed(s, "when does the alpine hut open"), 1);
    /* another disk lies there now */
    write_file("disks/usb/other.md", "Nothing of the kind.\n", 21);
    on_disk(s, "disks/usb/away.md", 0);
    on_disk(s, "disks/usb/deep/far.md", 0);
    q_buf_clear(&b);
    OK(rag_add(s, in_dir("disks"), NULL, &p, err));
    CHECK_INT(p.gone, 0);
    rag_skips_words(&p, &b);
    CHECK_MSG(strstr(b.p, "not found, but kept: its folder lies on another disk now (and 1 more file)"), "%s", b.p);
    /* the same disk under another number, as files that are there show: what is missing from it is gone */
    rename_in("usb-elsewhere/away.md", "disks/usb/away.md");
    OK(rag_add(s, in_dir("disks"), NULL, &p, err));
    CHECK_INT(p.gone, 1);
    gone_is(s, "disks/usb/deep/far.md", true);
    gone_is(s, "disks/usb/away.md", false);
    /* the whole folder is empty, or is not there */
    rename_in("disks", "disks-elsewhere");
    mkdir(in_dir("disks"), 0700);
    CHECK_INT(rag_add(s, in_dir("disks"), NULL, &p, err), Q_NOTFOUND);
    CHECK_MSG(strstr(err, "no files") && strstr(err, "kept"), "%s", err);
    CHECK(rmdir(in_dir("disks")) == 0);
    CHECK_INT(rag_add(s, in_dir("disks"), NULL, &p, err), Q_NOTFOUND);
    gone_is(s, "disks/here.md", false);
    CHECK_INT(fed(s, "spare keys drawer"), 1);
    q_buf_free(&b);
    mem_close(s);
}

/* Root may read everything: become nobody for the time of an /add. Returns whether a closed folder is closed then. */
static bool be(bool nobody)
{
    if (getuid() != 0) return true;
    return seteuid(nobody ? 65534 : 0) == 0;
}

static bool closing_works(void)
{
    CHECK(chmod(dir, 0755) == 0);
    CHECK(mkdir(in_dir("closed"), 0) == 0);
    bool works = be(true);
    DIR *open = opendir(dir), *closed = opendir(in_dir("closed"));
    works = works && open && !closed;
    be(false);
    if (open) closedir(open);
    if (closed) closedir(closed);
    return works;
}

static void a_folder_that_cannot_be_read_marks_nothing(void)
{
    static const struct note notes[] = {{"here.md", "Spare keys in the drawer.\n"}, {"private/diary.md", "Saw an otter by the weir.\n"},
                                        {"private/deep/d.md", "Bought a brass sextant.\n"}};
    mem_store *s = FOLDER("shut", notes);
    CHECK(chmod(in_dir("shut"), 0755) == 0 && chmod(in_dir("shut/here.md"), 0644) == 0 && chmod(in_dir("shut/private"), 0) == 0);
    rag_progress p;
    CHECK(be(true));
    int rc = rag_add(s, in_dir("shut"), NULL, &p, err);
    CHECK(be(false));
    CHECK_INT(rc, Q_OK);
    CHECK_INT(p.gone, 0);
    q_buf b = {0};
    rag_skips_words(&p, &b);
    CHECK_MSG(strstr(b.p, "private: Permission denied") && strstr(b.p, "not found, but kept: its folder could not be read (and 1 more file)"), "%s", b.p);
    CHECK_INT(fed(s, "otter weir"), 1);
    CHECK(chmod(in_dir("shut/private"), 0700) == 0);
    add_again(s, "shut", 0, 0, 0);
    q_buf_free(&b);
    mem_close(s);
}

/* ---- old character sets ---- */
static const struct { const char *sets, *text; } old_texts[] = {
    {"CP1252 ISO-8859-15 CP850 MACINTOSH", "Le café de la gare était fermé; à côté, une pâtisserie où l'on servait des crêpes très légères."},
    {"CP1252 CP850", "Die Prüfung kostet Gebühren: größere Beträge müssen bis März überwiesen sein."},
    {"CP1252 MACINTOSH", "El año pasado la niña aprendió inglés y música; ¿qué más querrá mañana?"},
    {"CP1252", "A reunião é amanhã de manhã; não te esqueças das chaves do portão e do pão."},
    {"CP1252", "La città è più bella di sera, perché le luci si riflettono nell'acqua; così disse lunedì."},
    {"CP1252 CP850", "Båten går från bryggan klockan sju; glöm inte att köpa smör, bröd och färska ägg."},
    {"CP1252", "Færgen sejler på søndag; køb rugbrød, smør og røde æbler på vejen hjem."},
    {"CP1252", "Það er kalt á fjöllum í dag og áin er full af ís; við förum þangað á morgun."},
    {"CP1252", "De coöperatie heeft twee ideeën; de reünie is in januari, zei Daniël."},
    {"CP1250 ISO-8859-2 CP852", "Zażółć gęślą jaźń: w piątek po południu płacę za mieszkanie i kupuję chleb, śledzie oraz masło."},
    {"CP1250 ISO-8859-2 CP852", "Příliš žluťoučký kůň úpěl ďábelské ódy; v pondělí přijde učitelka a děti půjdou ven."},
    {"CP1250 ISO-8859-2", "Kľúče od chaty sú u suseda; vo štvrtok večer prídeme a prinesieme čerstvý chlieb."},
    {"CP1250 ISO-8859-2", "Az öreg őrök a kőfalnál ülnek; hétfőn gyűlést tartanak, és tűzifát hoznak."},
    {"CP1250 ISO-8859-2", "Întâlnirea este sâmbătă la patru; să nu uiţi să cumperi pâine şi brânză."},
    {"CP1250", "Ključevi su kod susjeda; u četvrtak ćemo doći i donijeti svježi kruh i još nešto žita."},
    {"CP1252 CP1250", "It’s a “quoted” word – and that’s all there is… don’t ask."},
    {"CP1254", "Çarşamba günü öğleden sonra İzmir'e gidiyoruz; ağabeyim ışıkları söndürmeyi unutmuş."},
    {"CP1257", "Šiandien šalta, bet rytoj važiuosime į mišką; nepamiršk žąsų, ąžuolų ir šiltų drabužių."},
    {"CP1257", "Rīt no rīta brauksim uz jūru; neaizmirsti maizi, ķiršus un siltās drēbes bērniem."},
    {"CP1251 KOI8-R CP866 ISO-8859-5 MAC-CYRILLIC", "Ключ от почтового ящика лежит у соседки, а счёт за электричество нужно оплатить до пятницы."},
    {"CP1251 KOI8-U", "Завтра їдемо до Києва; не забудь взяти ключі, хліб та теплий одяг для дітей."},
    {"CP1251", "Ключовете са при съседката; в петък вечерта ще донесем хляб, сирене и ябълки."},
    {"CP1253 ISO-8859-7", "Το κλειδί είναι στη γειτόνισσα· την Παρασκευή το βράδυ θα φέρουμε ψωμί και τυρί."},
    {"CP1255", "המפתח נמצא אצל השכנה; ביום שישי נביא לחם, גבינה ותפוחים."},
    {"CP1256", "المفتاح عند الجارة، وفي يوم الجمعة سنحضر الخبز والجبن والتفاح من السوق."},
};

static bool to_set(const char *set, const char *text, q_buf *out)
{
    iconv_t cd = iconv_open(set, "UTF-8");
    if (cd == (iconv_t)-1) return false;
    char *in = (char *)text, part[1024], *o = part;
    size_t n = strlen(text), room = sizeof part;
    bool ok = iconv(cd, &in, &n, &o, &room) != (size_t)-1;
    iconv_close(cd);
    q_buf_clear(out);
    q_buf_add(out, part, (size_t)(o - part));
    return ok;
}

/* What memory holds of a file with these bytes; NULL: it was refused. Ids count on in one store. */
static char *kept(mem_store *s, const char *bytes, size_t n)
{
    write_file("old.txt", bytes, n);
    rag_progress p;
    int rc = rag_add(s, in_dir("old.txt"), NULL, &p, err);
    if (rc != Q_OK) {
        CHECK_INT(rc, Q_FORMAT);
        CHECK_MSG(strstr(err, "iconv -f"), "%s", err);
        return NULL;
    }
    mem_document d;
    char *path = realpath(in_dir("old.txt"), NULL);
    OK(mem_document_by_path(s, path, &d, err));
    free(path);
    static const char *const words[] = {"old"};         /* of its name */
    mem_passages g;
    OK(mem_candidates(s, MEM_CHUNK, words, 1, 0, 5, &g, err));
    CHECK_INT(g.n, 1);
    char *text = g.n ? q_strdup(g.v[0].text) : q_strdup("");
    mem_passages_free(&g);
    mem_document_free(&d);
    return text;
}

static void old_texts_are_read_right_or_refused(void)
{
    mem_store *s = open_new();
    q_buf b = {0};
    int n = 0, missing = 0;
    for (size_t i = 0; i < sizeof old_texts / sizeof *old_texts; i++) {
        char *sets = q_strdup(old_texts[i].sets), *save = NULL;
        for (char *set = strtok_r(sets, " ", &save); set; set = strtok_r(NULL, " ", &save)) {
            if (!to_set(set, old_texts[i].text, &b)) { missing++; continue; }   /* a C library without this set */
            char *got = kept(s, b.p, b.len);
            CHECK_MSG(got && strcmp(got, old_texts[i].text) == 0, "%s: %s\n read as %s", set, old_texts[i].text, got ? got : "nothing");
            free(got);
            n++;
            /* of its beginnings none is read wrong */
            for (int k = 8; k < 40; k += 3) {
                char *start = q_strndup(old_texts[i].text, q_utf8_whole(old_texts[i].text, (size_t)k));
                size_t len = strlen(start);
                while (len && start[len - 1] == ' ') start[--len] = 0;
                if (to_set(set, start, &b) && !q_utf8_valid(b.p, b.len) && (got = kept(s, b.p, b.len)) != NULL) {
                    CHECK_MSG(strcmp(got, start) == 0, "%s: %s\n read as %s", set, start, got);
                    free(got);
                }
                free(start);
            }
        }
        free(sets);
    }
    CHECK(n + missing >= 40);
    printf("# %d texts in single-byte sets read right\n", n);
    /* sets of several bytes, another maker's, and bytes at random are refused, not guessed */
    static const struct { const char *set, *text; } other[] = {
        {"SHIFT_JIS", "鍵は隣の人に預けてあります。金曜日の夜にパンとチーズを持って行きます。"}, {"EUC-JP", "鍵は隣の人に預けてあります。金曜日の夜に行きます。"},
        {"GBK", "钥匙在邻居那里，星期五晚上我们会带面包和奶酪来。"}, {"BIG5", "鑰匙在鄰居那裡，星期五晚上我們會帶麵包來。"},
        {"EUC-KR", "열쇠는 이웃집에 있습니다. 금요일 저녁에 빵과 치즈를 가져가겠습니다."}, {"TIS-620", "กุญแจอยู่กับเพื่อนบ้าน เย็นวันศุกร์เราจะนำขนมปังมา"},
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        if (!to_set(other[i].set, other[i].text, &b)) continue;
        char *got = kept(s, b.p, b.len);
        CHECK_MSG(!got, "%s read as %s", other[i].set, got);
        free(got);
    }
    uint64_t x[4] = {5, 5, 5, 5};
    for (int i = 0; i < 200; i++) {
        q_buf_clear(&b);
        for (int k = 0; k < 60; k++) q_buf_putc(&b, (char)(q_random(x) % 3 ? 128 + q_random(x) % 128 : 'a' + q_random(x) % 26));
        char *got = kept(s, b.p, b.len);
        CHECK_MSG(!got, "random bytes read as %s", got);
        free(got);
    }
    q_buf_free(&b);
    mem_close(s);
}

/* Beginnings of real paragraphs in the four sets that Russian was written in. */
static void russian_pieces_are_read_right(void)
{
    static const char *const sets[] = {"CP1251", "KOI8-R", "CP866", "ISO-8859-5"};
    mem_store *s = open_new();
    q_buf file = {0}, b = {0};
    OK(q_read_file(data_file, &file, 64 << 20, err));
    cJSON *j = cJSON_ParseWithLength(file.p, file.len);
    const cJSON *a, *p;
    int n = 0, right = 0;
    cJSON_ArrayForEach(a, cJSON_GetObjectItem(j, "data"))
        cJSON_ArrayForEach(p, cJSON_GetObjectItem(a, "paragraphs")) {
            const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(p, "context"));
            char *piece = q_strndup(text, q_utf8_whole(text, 240));
            while (*piece && strchr(" .,", piece[strlen(piece) - 1])) piece[strlen(piece) - 1] = 0;
            for (int i = 0; i < 4 && n < 240; i++) {
                if (!to_set(sets[i], piece, &b)) continue;          /* a sign that this set lacks */
                char *got = kept(s, b.p, b.len);
                right += got && strcmp(got, piece) == 0;
                n++;
                free(got);
            }
            free(piece);
        }
    printf("# %d of %d pieces of XQuAD-ru in four sets\n", right, n);
    CHECK_INT(n, 240);
    CHECK_INT(right, n);
    cJSON_Delete(j);
    q_buf_free(&file);
    q_buf_free(&b);
    mem_close(s);
}

/* Only a disk of this machine is looked at: what lies over a network, or on somebody's program, may never answer. */
static void only_disks_that_answer_are_looked_at(void)
{
    static const char mounts[] = "22 27 0:21 / /proc rw - proc proc rw\n27 1 254:0 / / rw - ext4 /dev/vda rw\n"
                                 "30 27 0:40 / /mnt/far rw,relatime shared:3 - nfs4 box:/x rw\n31 27 0:41 / /mnt/my\\040share rw - cifs //b/x rw\n"
                                 "32 30 8:1 / /mnt/far/stick rw - vfat /dev/sda1 rw\n33 27 0:42 / /home/a/ssh rw - fuse.sshfs a:/ rw\n"
                                 "34 27 0:43 / /net rw - autofs auto rw\n35 27 0:44 / /tmp rw - tmpfs tmpfs rw\n36 35 0:45 / /tmp rw - nfs box:/t rw\n"
                                 "37 27 0:46 / /pool rw - btrfs /dev/sdb rw\na line that means nothing\n";
    static const struct { const char *path; bool answers; } v[] = {
        {"/home/a/notes.md", true}, {"/mnt/far/notes.md", false}, {"/mnt/farther/notes.md", true}, {"/mnt/far", false},
        {"/mnt/my share/a.md", false}, {"/mnt/my\\040share/a.md", true}, {"/mnt/far/stick/a.md", true}, {"/home/a/ssh/a.md", false},
        {"/net/b/a.md", false}, {"/tmp/a.md", false}, {"/pool/a.md", true}, {"/proc/1", false}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        CHECK_MSG(rag_disk_answers(mounts, v[i].path) == v[i].answers, "%s", v[i].path);
    CHECK(!rag_disk_answers("", "/a") && !rag_disk_answers("27 1 254:0 / /", "/a") && !rag_disk_answers("\n\n - ", "/a"));
    CHECK_INT(rag_file_there("manual:en"), RAG_NOT_LOOKED);
    CHECK_INT(rag_file_there(""), RAG_NOT_LOOKED);
    CHECK_INT(rag_file_there("/proc/nothing"), RAG_NOT_LOOKED);
}

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/quorum-rag-XXXXXX");
    if (!mkdtemp(dir)) return 1;
    RUN(names_of_files_and_folders_are_searched);
    RUN(headings_without_text_are_passages);
    RUN(every_word_of_random_markdown_is_in_a_passage);
    RUN(names_of_languages_are_words);
    RUN(words_with_unseen_characters_are_found);
    RUN(numbers_shown_are_the_product_of_those_beside_them);
    RUN(why_nothing_was_fed_is_true_in_figures);
    RUN(folders_are_taken_once_and_safely);
    RUN(what_was_skipped_is_said_once_with_counts);
    RUN(an_emptied_file_says_nothing);
    RUN(a_file_of_its_own_that_is_gone_is_not_fed);
    RUN(a_missing_folder_says_what_is_kept);
    RUN(only_disks_that_answer_are_looked_at);
    RUN(a_file_with_another_name_is_the_same_document);
    RUN(files_that_are_gone_are_not_fed);
    RUN(a_missing_disk_marks_nothing);
    if (!closing_works()) SKIP("a_folder_that_cannot_be_read_marks_nothing", "no second user to be");
    else RUN(a_folder_that_cannot_be_read_marks_nothing);
    RUN(old_texts_are_read_right_or_refused);
    if (access(data_file, R_OK) != 0) SKIP("russian_pieces_are_read_right", "no ../shared/data/eval");
    else RUN(russian_pieces_are_read_right);
    char *rm = q_printf("rm -rf '%s'", dir);
    int rc = system(rm);
    free(rm);
    return rc ? 1 : TEST_END();
}
