/* Drafts: the same tokens, logits, cells and routing records with and without, at every temperature, under penalties and a grammar,
 * with cancels, forks, cuts, knobs and other timelines in between; what is found; when they rest. */
#include "engine/engine.h"
#include "engine/grammar.h"
#include "engine/file/gguf.h"
#include "engine/run/session.h"
#include "tests/engine_util.h"
#include "tests/test.h"

#include <math.h>

enum { PROMPT = 40, REPLY = 150 };
static char err[Q_ERRLEN];
static eng_model *model;
static const char *kind = "ngram";     /* of drafts */

static uint64_t rng;
static int rnd(int n)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (int)((rng >> 33) % (uint64_t)n);
}

/* ---- what is found ---- */
static void finds_what_stood_behind(void)
{
    const int32_t a[] = { 1, 2, 3, 4, 9, 9, 5, 1, 2, 3, 7, 8, 1, 2, 3 };
    int32_t out[8];
    CHECK_INT(draft_find(a, 15, 8, out), 5);                   /* the latest of equals */
    CHECK(out[0] == 7 && out[1] == 8 && out[2] == 1 && out[4] == 3);
    CHECK_INT(draft_find(a, 15, 1, out), 1);
    CHECK_INT(draft_find(a, 10, 8, out), 7);
    CHECK(out[0] == 4 && out[6] == 3);
    CHECK_INT(draft_find(a, 12, 8, out), 0);                   /* 3 7 8 was never there */
    CHECK_INT(draft_find(a, 2, 8, out), 0);
    CHECK_INT(draft_find(a, 0, 8, out), 0);
    const int32_t same[] = { 6, 6, 6, 6, 6 };
    CHECK_INT(draft_find(same, 5, 8, out), 1);
    const int32_t longer[] = { 1, 2, 3, 4, 5, 0, 2, 3, 4, 7, 1, 2, 3, 4 };
    CHECK_INT(draft_find(longer, 14, 2, out), 2);              /* four in a row before three that are nearer */
    CHECK(out[0] == 5 && out[1] == 0);
}

static void rests_where_it_does_not_pay(void)
{
    draft_pays d = { 0 };
    CHECK_INT(draft_rows(&d), 0);                              /* what a plain step takes is not known */
    draft_plain(&d, .010);
    int rows = draft_rows(&d), tries = 0;
    CHECK(rows > 0);
    for (int i = 0; i < 20; i++) {
        draft_tried(&d, draft_rows(&d) > 0 ? draft_rows(&d) : 1, 3, .020);     /* four tokens in the time of two */
        if (!draft_rows(&d)) draft_plain(&d, .010);
    }
    CHECK(!d.all.resting && d.all.rests == 0 && d.all.gain > 1.9 && d.all.gain < 2.1);
    for (int i = 0; i < 2000; i++) {                           /* nothing is said that was drafted, and rows cost */
        if (draft_rows(&d)) {
            tries++;
            draft_tried(&d, draft_rows(&d), 0, .025);
        } else draft_plain(&d, .010);
    }
    CHECK_MSG(d.all.rests >= 4 && tries < 60, "%d tries in 2000 steps, %d rests", tries, (int)d.all.rests);
    for (int i = 0; i < 1200 && !draft_rows(&d); i++) draft_plain(&d, .010);
    CHECK(draft_rows(&d) > 0);                                 /* it is tried again */
    d = (draft_pays){ .plain = 1, .dear = true };
    CHECK_INT(draft_rows(&d), 1);
    draft_tried(&d, 1, 1, 1);
    CHECK_INT(draft_rows(&d), 3);
    draft_tried(&d, 3, 1, 1);
    CHECK_INT(draft_rows(&d), 2);
    draft_tried(&d, 2, 0, 1);
    CHECK_INT(draft_rows(&d), 1);
}

/* ---- the same text ---- */
typedef struct text { int32_t token[REPLY]; int n; float *last; q_buf records; int accepted; } text;

static bool keep_record(void *user, const eng_trace_rec *r)
{
    q_buf *b = user;
    size_t cells = (size_t)r->n_layer * (size_t)r->max_k;
    const int32_t head[] = { r->token, r->pos, r->prompt, r->n_layer, r->max_k };
    q_buf_add(b, (const char *)head, sizeof head);
    q_buf_add(b, (const char *)&r->config, sizeof r->config);
    q_buf_add(b, (const char *)r->ids, sizeof *r->ids * cells);
    if (r->weights) {
        q_buf_add(b, (const char *)r->weights, sizeof *r->weights * cells);
        q_buf_add(b, (const char *)r->entropy, sizeof *r->entropy * (size_t)r->n_layer);
        for (int l = 0; l < r->n_layer; l++)                   /* none is no number: its bits say nothing */
            if (r->margin[l] == r->margin[l]) q_buf_add(b, (const char *)&r->margin[l], sizeof(float));
    }
    return true;
}

static void set(eng_config *c, const char *name, const char *value) { CHECK_MSG(eng_config_set(c, name, value, err) == 0, "%s", err); }

/* Something between two tokens that leaves the text as it is. */
static void disturb(eng_session *s, eng_config *c)
{
    eng_session *other = NULL;
    int n = eng_session_length(s), what = rnd(8);
    int32_t last = eng_session_tokens(s)[n - 1];
    if (what == 0) CHECK(eng_session_keep(s) != NULL);
    if (what == 1) {                                           /* stopped in the middle, or before */
        eng_session_cancel(s);
        CHECK_INT(eng_session_push(s, last, err), Q_CANCEL);
        eng_session_uncancel(s);
        CHECK_INT(eng_session_length(s), n);                   /* its logits may be gone: read again below */
    }
    if (what == 2) {                                           /* a branch shares the page and goes its own way */
        CHECK_INT(eng_session_fork(s, &other, err), 0);
        if (rnd(2)) CHECK_INT(eng_session_push(other, last, err), 0);
        eng_session_free(other);
    }
    if (what == 3) {                                           /* a token is taken back and said again */
        CHECK_INT(eng_session_cut(s, n - 1, err), 0);
        CHECK_INT(eng_session_push(s, last, err), 0);
    }
    if (what == 4) {                                           /* tried aside */
        eng_row row = { .session = s, .token = last, .want = ENG_WANT_LOGITS };
        eng_out *out = q_alloc(sizeof *out);
        CHECK_INT(eng_cache_step(eng_session_cache(s), &row, 1, false, out, err), 0);
        free(out);
    }
    if (what == 5) {                                           /* the same configuration again, and another that is left at once */
        eng_config *k1 = eng_config_copy(c);
        set(k1, eng_model_info(model)->n_expert ? "experts.k" : "norm.eps", eng_model_info(model)->n_expert ? "1" : "0.01");
        CHECK_INT(eng_session_config(s, k1, ENG_CONTINUE, err), 0);
        CHECK_INT(eng_session_config(s, c, ENG_CONTINUE, err), 0);
        eng_config_free(k1);
    }
    if (what == 6 || what == 1) {                              /* as a prompt that is read again */
        eng_tokens t = { 0 };
        for (int i = 0; i < n; i++) eng_tokens_add(&t, eng_session_tokens(s)[i]);
        CHECK_INT(eng_session_sync(s, t.id, t.n, ENG_CONTINUE, NULL, NULL, err), 0);
        eng_tokens_free(&t);
    }
    if (what == 7) {                                           /* drafts of another kind from here on, with some ahead still */
        static const char *const kinds[] = { "off", "ngram", "mtp" };
        const char *other_kind = kinds[rnd(3)];
        if (eng_config_set(c, "draft", other_kind, err) == 0) CHECK_INT(eng_session_config(s, c, ENG_CONTINUE, err), 0);
    }
}

/* Few letters, so that a model that knows nothing says what it said before; NULL: none. */
static const char *grammar;

static void say(const eng_config *given, bool drafts, bool disturbed, text *out)
{
    eng_config *c = eng_config_copy(given);
    eng_session *s = NULL;
    eng_cache *k = NULL;
    set(c, "draft", drafts ? kind : "off");
    CHECK_INT(eng_cache_new(model, c, 2, &k, err), 0);
    CHECK_MSG(eng_cache_session(k, c, &s, err) == 0, "%s", err);
    eng_sampler *sampler = eng_sampler_new(model);
    eng_sampler_reset(sampler, c);
    eng_grammar *g = NULL;
    if (grammar) {
        CHECK_MSG(eng_grammar_new(&(eng_grammar_source){ .kind = ENG_GRAMMAR_GBNF, .text = grammar, .n = strlen(grammar) }, &g, err) == 0, "%s", err);
        eng_sampler_grammar(sampler, g);
    }
    int32_t prompt[PROMPT];
    for (int i = 0; i < PROMPT; i++) prompt[i] = 30 + i % 11;
    CHECK_INT(eng_session_sync(s, prompt, PROMPT, ENG_CONTINUE, NULL, NULL, err), 0);
    *out = (text){ .n = 0 };
    for (; out->n < REPLY; out->n++) {
        int32_t token = eng_sample(sampler, c, eng_session_logits(s)).token;
        if (token < 0) break;
        out->token[out->n] = token;
        eng_sampler_accept(sampler, token);
        s->drafts.plain = 1e6;                                 /* as if a plain step were dear: drafts never rest */
        CHECK_MSG(eng_session_push(s, token, err) == 0, "%s", err);
        if (disturbed && rnd(3) == 0) disturb(s, c);
    }
    size_t bytes = sizeof(float) * (size_t)eng_model_info(model)->n_vocab;
    out->last = memcpy(q_alloc(bytes), eng_session_logits(s), bytes);
    uint64_t cursor = 0;
    if (!disturbed) CHECK_INT((int64_t)eng_trace_read(s, &cursor, keep_record, &out->records), 0);
    out->accepted = (int)eng_session_drafts(s).accepted;
    CHECK_INT(session_cells(s), eng_session_length(s));
    int states;
    uint64_t each;
    eng_cache_states(k, &states, &each);
    CHECK_MSG(disturbed || states <= 3 + (drafts ? DRAFT_STATES : 0), "%d states are held: the line's, two borders, what is ahead", states);
    CHECK_INT((int64_t)eng_session_drafts(s).rests, 0);
    for (int i = 0; i < session_cells(s); i++) CHECK(session_cell_config(s, i) == eng_config_hash(c));
    eng_sampler_free(sampler);
    eng_session_free(s);
    eng_cache_free(k);
    eng_config_free(c);
}

static void text_free(text *t)
{
    free(t->last);
    q_buf_free(&t->records);
}

static int same_text(const eng_config *c, bool disturbed, const char *what)
{
    text plain, drafted;
    say(c, false, false, &plain);
    say(c, true, disturbed, &drafted);
    CHECK_MSG(plain.n == drafted.n && !memcmp(plain.token, drafted.token, sizeof(int32_t) * (size_t)plain.n), "%s: other tokens", what);
    CHECK_MSG(!memcmp(plain.last, drafted.last, sizeof(float) * (size_t)eng_model_info(model)->n_vocab), "%s: other logits", what);
    if (!disturbed)
        CHECK_MSG(plain.records.len == drafted.records.len && !memcmp(plain.records.p, drafted.records.p, plain.records.len), "%s: other routing records", what);
    int accepted = drafted.accepted;
    CHECK_INT(plain.accepted, 0);
    text_free(&plain);
    text_free(&drafted);
    return accepted;
}

static void the_same_bytes(void)
{
    static const struct { const char *name, *temperature, *knob, *value; } ways[] = {
        { "T 0", "0", "sampler.top_k", "0" }, { "T 0.8", "0.8", "sampler.top_k", "2" }, { "T 0.3", "0.3", "sampler.top_p", "0.5" },
        { "penalties", "0.5", "sampler.repeat_penalty", "1.05" }, { "min_p", "0.8", "sampler.min_p", "0.4" }, { "k 2", "0.2", "experts.k", "2" },
        { "q8_0", "0.4", "kv.type", "q8_0" }, { "no grammar", "0.4", "sampler.top_k", "4" },
    };
    static const char *const grammars[] = { "root ::= [ab]+", "root ::= (\"abc\" | \"abd\" | \"\\n\")+" };
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        int accepted = 0;
        for (int seed = 1; seed <= 5; seed++) {
            eng_config *c = eng_config_new(model);
            char number[16], *what = q_printf("%s, seed %d", ways[w].name, seed);
            snprintf(number, sizeof number, "%d", seed);
            set(c, "context.length", "256");
            set(c, "sampler.seed", number);
            set(c, "sampler.temperature", ways[w].temperature);
            if (eng_model_info(model)->n_expert || strcmp(ways[w].knob, "experts.k") != 0) set(c, ways[w].knob, ways[w].value);
            rng = (uint64_t)seed * 77 + w;
            grammar = w == sizeof ways / sizeof *ways - 1 ? NULL : *kind == 'm' ? "root ::= \"!\"{400}" : grammars[seed % 2];
            accepted += same_text(c, false, what);
            if (seed % 2) accepted += same_text(c, true, what);
            free(what);
            eng_config_free(c);
            if (*ways[w].temperature == '0' && !ways[w].temperature[1] && seed == 2) break;    /* nothing is drawn */
        }
        CHECK_MSG(accepted > 50 || !grammar, "%s: %d tokens of drafts were said: nothing is proved", ways[w].name, accepted);
    }
}

/* ---- the head of a file ---- */

/* A head whose projection is nothing foretells token 0, "!", whatever was said: so that under a grammar what it foretells is said. */
static void silence(const char *path)
{
    gguf_file *f = NULL;
    CHECK_MSG(gguf_open(path, &f, err) == 0, "%s", err);
    const gguf_tensor *t = gguf_tensor_find(f, "blk.3.nextn.eh_proj.weight");
    FILE *to = fopen(path, "r+b");
    CHECK(t && to);
    char *zero = q_alloc(t->bytes);
    CHECK(fseek(to, (long)t->offset, SEEK_SET) == 0 && fwrite(zero, 1, t->bytes, to) == t->bytes && fclose(to) == 0);
    free(zero);
    gguf_close(f);
}

/* What the head says of a text, whole and in pieces that begin and end between its batches, is what numpy says (ref.py's foretold). */
static void foretells_as_the_reference(void)
{
    static const char *const models[] = { "qwen3next", "qwen35", "glm4moe-full", "deepseek2", "deepseek2-lite" };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char *path = util_model(models[i]), *dir = q_printf("tests/golden/engine/%s", models[i]);
        eng_model *m = NULL;
        CHECK_MSG(eng_model_open(path, NULL, &m, err) == 0, "%s", err);
        remove(path);
        cJSON *cases = util_json(dir, q_strdup("cases.json")), *tokens = cJSON_GetObjectItem(cases, "tokens"), *at = cJSON_GetObjectItem(cases, "next");
        q_buf want = { 0 };
        char *file = q_printf("%s/next.f32", dir);
        int n = cJSON_GetArraySize(tokens), n_vocab = eng_model_info(m)->n_vocab, rows = cJSON_GetArraySize(at);
        CHECK(q_read_file(file, &want, 1 << 24, err) == 0 && want.len == sizeof(float) * (size_t)(rows * n_vocab) && rows > 2);
        for (int piece = 1; piece <= 70; piece = piece == 1 ? 7 : piece == 7 ? 70 : 71)
            for (int r = 0; r < rows; r++) {
                int row = cJSON_GetArrayItem(at, r)->valueint;                 /* of token `row` and the one behind it */
                eng_config *c = eng_config_new(m);
                eng_session *s = NULL;
                set(c, "draft", "mtp");
                set(c, "kv.type", "f32");
                CHECK_MSG(eng_session_new(m, c, &s, err) == 0, "%s", err);
                session_set_chunk(s, piece);
                int32_t id[128];
                for (int t = 0; t < n; t++) id[t] = cJSON_GetArrayItem(tokens, t)->valueint;
                CHECK_INT(eng_session_sync(s, id, row + 1, ENG_CONTINUE, NULL, NULL, err), 0);
                const float *got = next_logits(s->next, id[row + 1], s->logits_of), *of = (const float *)(const void *)want.p + (size_t)r * (size_t)n_vocab;
                double off = 0, most = 0;
                CHECK(got != NULL);
                for (int v = 0; got && v < n_vocab; v++) {
                    off = fmax(off, fabs((double)got[v] - (double)of[v]));
                    most = fmax(most, fabs((double)of[v]));
                }
                CHECK_MSG(most > 0 && off <= 5e-3 * most, "%s, row %d in pieces of %d: off by %g of %g", models[i], row, piece, off, most);
                eng_session_free(s);
                eng_config_free(c);
            }
        cJSON_Delete(cases);
        q_buf_free(&want);
        free(file);
        free(dir);
        free(path);
        eng_model_free(m);
    }
}

/* The head turned on between two tokens, where n-grams have computed ahead or nothing has: it says the same after them. */
static void turned_on_in_the_middle(void)
{
    char *path = util_model("qwen35");
    CHECK_MSG(eng_model_open(path, NULL, &model, err) == 0, "%s", err);
    remove(path);
    free(path);
    size_t bytes = sizeof(float) * (size_t)eng_model_info(model)->n_vocab;
    float *said[2] = { NULL, NULL };
    for (int with = 0; with < 2; with++) {
        eng_config *c = eng_config_new(model);
        eng_session *s = NULL;
        int32_t prompt[PROMPT];
        for (int i = 0; i < PROMPT; i++) prompt[i] = 30 + i % 11;
        set(c, "draft", with ? "ngram" : "off");
        CHECK_MSG(eng_session_new(model, c, &s, err) == 0, "%s", err);
        CHECK_INT(eng_session_sync(s, prompt, PROMPT, ENG_CONTINUE, NULL, NULL, err), 0);
        s->drafts.plain = 1e6;
        CHECK_INT(eng_session_push(s, 30 + PROMPT % 11, err), 0);
        CHECK(with ? s->ahead.n > 0 : s->ahead.n == 0);
        set(c, "draft", "mtp");
        CHECK_INT(eng_session_config(s, c, ENG_CONTINUE, err), 0);
        CHECK_INT(s->ahead.n, 0);
        s->drafts.plain = 0;                                   /* a plain step */
        CHECK_INT(eng_session_push(s, 30 + (PROMPT + 1) % 11, err), 0);
        const float *got = next_logits(s->next, 30, s->logits_of);
        CHECK(got != NULL);
        if (got) said[with] = memcpy(q_alloc(bytes), got, bytes);
        eng_session_free(s);
        eng_config_free(c);
    }
    CHECK(said[0] && said[1] && memcmp(said[0], said[1], bytes) == 0);
    free(said[0]);
    free(said[1]);
    eng_model_free(model);
    model = NULL;
}

/* Where there was no memory for the head's cells it is not asked for at each token, and it comes when there is some. */
static void asks_again_later(void)
{
    char *path = util_model("glm4moe-full");
    CHECK_MSG(eng_model_open(path, NULL, &model, err) == 0, "%s", err);
    remove(path);
    free(path);
    eng_config *c = eng_config_new(model);
    eng_session *s = NULL;
    int32_t prompt[4] = { 30, 31, 32, 33 };
    set(c, "draft", "mtp");
    CHECK_INT(next_page(model), 64 * 2 * 2 * eng_model_info(model)->n_kv_head * eng_model_info(model)->head_dim);
    CHECK_INT(next_fits(model, 1 << 12, err), 0);
    CHECK_INT(next_fits(model, 1 << 30, err), Q_NOMEM);
    CHECK_MSG(strstr(err, "set context.length lower"), "%s", err);
    CHECK_MSG(eng_session_new(model, c, &s, err) == 0, "%s", err);
    s->next_rest = 20;
    CHECK_INT(eng_session_sync(s, prompt, 4, ENG_CONTINUE, NULL, NULL, err), 0);
    CHECK(!s->next && s->next_rest < 20 && s->next_rest > 0);
    for (int i = 0; i < 20; i++) CHECK_INT(eng_session_push(s, 34 + i, err), 0);
    CHECK(s->next != NULL);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(model);
    model = NULL;
}

/* States that drafts needed are counted, and given back where none come any more. */
static void gives_states_back(void)
{
    char *path = util_model("qwen35");
    CHECK_MSG(eng_model_open(path, NULL, &model, err) == 0, "%s", err);
    remove(path);
    free(path);
    eng_config *c = eng_config_new(model);
    eng_session *s = NULL;
    int32_t prompt[PROMPT];
    int count;
    uint64_t each, most = 0;
    for (int i = 0; i < PROMPT; i++) prompt[i] = 30 + i % 11;
    set(c, "draft", "ngram");
    set(c, "context.length", "1024");
    CHECK_MSG(eng_session_new(model, c, &s, err) == 0, "%s", err);
    CHECK_INT(eng_session_sync(s, prompt, PROMPT, ENG_CONTINUE, NULL, NULL, err), 0);
    for (int i = 0; i < 40; i++) {
        s->drafts.plain = 1e6;
        CHECK_INT(eng_session_push(s, 30 + (PROMPT + i) % 11, err), 0);
        uint64_t bytes = eng_cache_states(eng_session_cache(s), &count, &each);
        most = bytes > most ? bytes : most;
    }
    CHECK_MSG(most >= 4 * each, "%llu states of %llu bytes", (unsigned long long)(most / each), (unsigned long long)each);
    set(c, "draft", "off");
    CHECK_INT(eng_session_config(s, c, ENG_CONTINUE, err), 0);
    for (int i = 0; i < 300; i++) CHECK_INT(eng_session_push(s, 30 + i % 17, err), 0);
    uint64_t now = eng_cache_states(eng_session_cache(s), &count, &each);
    CHECK_MSG(now <= (uint64_t)(count + 2) * each, "%llu states for %d places", (unsigned long long)(now / each), count);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(model);
    model = NULL;
}

int main(void)
{
    RUN(finds_what_stood_behind);
    RUN(rests_where_it_does_not_pay);
    static const char *const models[] = { "qwen3moe", "glm4moe", "deepseek2", "qwen3next", "qwen35" };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char *path = util_model(models[i]);
        CHECK_MSG(eng_model_open(path, NULL, &model, err) == 0, "%s", err);
        remove(path);
        free(path);
        if (!model) continue;
        RUN(the_same_bytes);
        eng_config *c = eng_config_new(model);
        CHECK(eng_model_info(model)->n_expert == 0 || strncmp(models[i], "qwen3moe", 8) != 0 || eng_config_set(c, "draft", "mtp", err) == Q_RANGE);
        eng_config_free(c);
        eng_model_free(model);
        model = NULL;
    }
    RUN(foretells_as_the_reference);
    RUN(turned_on_in_the_middle);
    RUN(asks_again_later);
    RUN(gives_states_back);
    kind = "mtp";
    for (size_t i = 3; i < sizeof models / sizeof *models; i++) {
        char *path = util_model(models[i]);
        silence(path);
        CHECK_MSG(eng_model_open(path, NULL, &model, err) == 0, "%s", err);
        remove(path);
        free(path);
        if (!model) continue;
        RUN(the_same_bytes);
        eng_model_free(model);
        model = NULL;
    }
    return TEST_END();
}
