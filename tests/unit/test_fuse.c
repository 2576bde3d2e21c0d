/* rag by words and meaning: what lies near comes in and is explained, nothing that may not be found does, and what goes wrong with
 * the model leaves the search by words. The model is one of this file: a text's vector is the sum of its words', and a word of
 * one language and its translation have the same. */
#include "memory/memory.h"
#include "rag/rag.h"
#include "tests/memory_help.h"

#include <math.h>

enum { DIM = 256 };

/* ---- the model ---- */
struct model { rag_embedder e; int questions, fail_from; bool nan; double common, tongue; /* of each vector is the same, of each in the same letters; so many lengths of its own */ };

static const char *const same[][2] = {{"собака", "dog"}, {"собаку", "dog"}, {"гнала", "chased"}, {"зайца", "hare"}, {"лугу", "meadow"}, {"hound", "dog"}, {"pursued", "chased"},
                                      {"rabbit", "hare"}, {"pasture", "meadow"}};

static void add_word(const char *w, float *f)
{
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (strcmp(w, same[i][0]) == 0) w = same[i][1];
    uint64_t x = q_hash64(w, strlen(w), 11);
    for (int j = 0; j < DIM; j++) f[j] += q_mix64(x, (uint64_t)j) & 1 ? 1 : -1;
}

static bool each(void *user, const mem_word *w)
{
    static const char *const small[] = {"the", "a", "an", "on", "in", "who", "where", "кто", "где", "на", "по", "user", "assistant"};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        if (strcmp(w->word, small[i]) == 0) return true;
    if (!(w->flags & MEM_WORD_EXACT)) add_word(w->word, user);
    return true;
}

static int embed(void *user, bool question, const char *const *text, const size_t *len, int n, float *out, char *e)
{
    struct model *m = user;
    if (question && m->fail_from && ++m->questions >= m->fail_from) return q_fail(e, Q_IO, "the stand-in broke");
    m->questions += question && !m->fail_from;
    for (int i = 0; i < n; i++) {
        float *f = out + i * DIM;
        double length = 0;
        memset(f, 0, sizeof *f * DIM);
        mem_words(text[i], len[i], each, f);
        f[0] += .001f;                                  /* never all 0 */
        for (int j = 0; j < DIM; j++) length += (double)f[j] * (double)f[j];
        if (m->common + m->tongue > 0) {
            float own = (float)sqrt(length);
            bool ru = memchr(text[i], 0xD0, len[i]) || memchr(text[i], 0xD1, len[i]);
            for (int j = 0; j < DIM; j++) f[j] = f[j] / own + (float)(m->common / sqrt(DIM)) + (float)((j & 1) == ru ? m->tongue / sqrt(DIM / 2) : 0);
            length = 0;
            for (int j = 0; j < DIM; j++) length += (double)f[j] * (double)f[j];
        }
        for (int j = 0; j < DIM; j++) f[j] = question && m->nan ? NAN : (float)((double)f[j] / sqrt(length));
    }
    return Q_OK;
}

static struct model model(void) { return (struct model){.e = {.id = "stand-in", .dim = DIM, .embed = embed}}; }
static const rag_embedder *lend(struct model *m) { m->e.user = m; return &m->e; }

/* ---- the memory ---- */
static void put(mem_store *s, const char *name, const char *text)
{
    int64_t id;
    OK(rag_add_text(s, name, name, MEM_TRUST_OWN, text, strlen(text), &id, err));
}

static const char HARE[] = "The dog chased the hare on the meadow.";

static mem_store *filled(bool hare)
{
    static const char *const of[] = {"kettle", "violin", "harbour", "ledger", "glacier", "tulip", "engine", "lantern", "orchard", "parcel", "quartz", "saddle", "thimble", "umbrella",
                                     "velvet", "walnut", "yeast", "zinc", "anchor", "barley"};
    enum { N = sizeof of / sizeof *of };
    mem_store *s = NULL;
    OK(mem_open(":memory:", &s, err));
    if (!s) exit(1);
    if (hare) put(s, "hare", HARE);                     /* the oldest: the last that gets a vector */
    for (int i = 0; i < 2 * N; i++) {
        char *name = q_printf("n%d", i), *text = q_printf("About %s and %s beside %s.", of[i % N], of[(i * 7 + 3) % N], of[(i * 3 + 5) % N]);
        put(s, name, text);
        free(name);
        free(text);
    }
    return s;
}

static rag_result *asked(mem_store *s, rag_near *near, int mode, const char *question)
{
    rag_config c = rag_config_default();
    rag_result *r = NULL;
    c.mode = mode;
    OK(rag_search(s, &c, question, &(rag_scope){.budget = -1, .near = near}, &r, err));
    if (!r) exit(1);
    return r;
}

static const rag_passage *labelled(const rag_result *r, const char *label)
{
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->v[i].label, label) == 0) return &r->v[i];
    return NULL;
}

static double side_of(const rag_passage *p, const char *name)
{
    int n;
    const rag_side *s = rag_sides(&n);
    for (int i = 0; i < n; i++)
        if (strcmp(s[i].name, name) == 0) return p->side[i];
    CHECK_MSG(false, "no side %s", name);
    return 0;
}

static const char QUESTION[] = "Где собака гнала зайца по лугу?";

static void embed_all(mem_store *s, struct model *m) { OK(rag_embed_owed(s, lend(m), NULL, NULL, err)); }

/* ---- what it finds ---- */
static void meaning_alone_finds_and_is_explained(void)
{
    struct model m = model();
    mem_store *s = filled(true);
    embed_all(s, &m);
    rag_near *near = rag_near_new(s, lend(&m));
    rag_result *r = asked(s, near, RAG_LEXICAL, QUESTION);
    CHECK_INT(r->n, 0);
    rag_result_free(r);
    r = asked(s, near, RAG_AUTO, QUESTION);
    CHECK_INT(r->by, RAG_HYBRID);
    CHECK(!r->note);
    CHECK(r->n > 0 && strcmp(r->v[0].label, "hare") == 0 && r->v[0].fate == RAG_FED && r->v[0].bm25 == 0);
    CHECK(r->n_fed == 1);
    if (r->n) {
        CHECK(side_of(&r->v[0], "near") == 1 && side_of(&r->v[0], "words") == 0);
        q_buf b = {0};
        rag_why(r, &r->v[0], &b);
        CHECK_MSG(strstr(b.p, "similar in meaning 1.0") && strstr(b.p, ", or meaning "), "%s", b.p);
        q_buf_free(&b);
    }
    rag_result_free(r);
    r = asked(s, near, RAG_AUTO, "Где кузнец чинил подкову?");       /* nothing of it is there */
    CHECK_INT(r->by, RAG_HYBRID);
    CHECK_INT(r->n_fed, 0);
    rag_result_free(r);
    rag_near_free(near);
    mem_close(s);
}

static void numbers_shown_make_the_score(void)
{
    static const char *const q[] = {QUESTION, "Who pursued the rabbit?", "the hound and the kettle", "anchor beside barley"};
    struct model m = model();
    mem_store *s = filled(true);
    embed_all(s, &m);
    rag_near *near = rag_near_new(s, lend(&m));
    int met = 0;
    for (size_t i = 0; i < sizeof q / sizeof *q; i++) {
        rag_result *r = asked(s, near, RAG_HYBRID, q[i]);
        for (int k = 0; k < r->n; k++) {
            const double *g = r->v[k].signal;
            double words = g[0] * g[1];
            CHECK_MSG(fabs(r->v[k].score - (words + (1 - words) * g[2]) * g[3]) < 1e-8, "%s: %s", q[i], r->v[k].label);
            CHECK(k == 0 || r->v[k].match <= r->v[k - 1].match);
            met += g[2] > 0 && words > 0;
        }
        rag_result_free(r);
    }
    CHECK(met > 0);
    rag_near_free(near);
    mem_close(s);
}

/* ---- what it must not ---- */
static void what_is_gone_banned_or_of_this_talk_is_not_fed(void)
{
    struct model m = model();
    mem_store *s = filled(true);
    int64_t talk, id;
    mem_document d;
    OK(mem_conversation_new(s, "", &talk, err));
    OK(mem_message_add(s, talk, 0, MEM_ASSISTANT, HARE, strlen(HARE), &id, err));
    embed_all(s, &m);
    rag_near *near = rag_near_new(s, lend(&m));
    OK(mem_document_by_path(s, "hare", &d, err));
    rag_config c = rag_config_default();
    rag_result *r;
    OK(mem_ban_put(s, MEM_CHUNK, d.id, true, err));
    OK(rag_search(s, &c, QUESTION, &(rag_scope){.budget = -1, .near = near, .conversation = talk}, &r, err));
    const rag_passage *p = labelled(r, "hare");
    CHECK_INT(r->by, RAG_HYBRID);
    CHECK_INT(r->n_fed, 0);
    CHECK(!p || p->fate != RAG_FED);
    for (int i = 0; i < r->n; i++) CHECK(r->v[i].kind == MEM_CHUNK);
    rag_result_free(r);
    OK(mem_ban_put(s, MEM_CHUNK, d.id, false, err));
    OK(mem_documents_gone(s, &d.id, 1, err));
    OK(rag_search(s, &c, QUESTION, &(rag_scope){.budget = -1, .near = near, .conversation = talk}, &r, err));
    CHECK(!labelled(r, "hare"));
    CHECK_INT(r->n_fed, 0);
    rag_result_free(r);
    mem_document_free(&d);
    rag_near_free(near);
    mem_close(s);
}

/* The mean of what was said has this talk in it, the nearest has not: what is farther than the nearest is not nearer for that. */
static void a_talk_about_it_alone_turns_no_order_round(void)
{
    static const char *const said[] = {"The dog chased the hare.", "The dog drank from a bucket yesterday evening.", "The meadow belongs to my neighbour's cousin, who sells cheese and honey."};
    struct model m = model();
    mem_store *s = filled(false);
    int64_t here, other, id;
    OK(mem_conversation_new(s, "", &here, err));
    OK(mem_conversation_new(s, "", &other, err));
    for (int i = 0; i < 12; i++) OK(mem_message_add(s, here, 0, MEM_USER, HARE, strlen(HARE), &id, err));
    for (int i = 0; i < 3; i++) OK(mem_message_add(s, other, 0, MEM_USER, said[i], strlen(said[i]), &id, err));
    embed_all(s, &m);
    rag_near *near = rag_near_new(s, lend(&m));
    rag_config c = rag_config_default();
    c.mode = RAG_HYBRID;
    rag_result *r = NULL;
    OK(rag_search(s, &c, "Where on the meadow was the dog when it chased the hare?", &(rag_scope){.budget = -1, .near = near, .conversation = here}, &r, err));
    int chats = 0;
    for (int i = 0; r && i < r->n; i++) {
        double x = side_of(&r->v[i], "near");
        chats += r->v[i].kind == MEM_CHAT;
        CHECK_MSG(x >= 0 && x <= 1, "%s: %g", r->v[i].text, x);
    }
    CHECK_MSG(r && chats == 3 && strcmp(r->v[0].text, said[0]) == 0, "%d, %s", chats, r && r->n ? r->v[0].text : "-");
    rag_result_free(r);
    rag_near_free(near);
    mem_close(s);
}

/* The same words of a model stand behind a person's. */
static void a_models_words_stand_behind_a_persons(void)
{
    struct model m = model();
    mem_store *s = filled(true);
    int64_t talk, id;
    OK(mem_conversation_new(s, "", &talk, err));
    OK(mem_message_add(s, talk, 0, MEM_ASSISTANT, HARE, strlen(HARE), &id, err));
    embed_all(s, &m);
    rag_near *near = rag_near_new(s, lend(&m));
    rag_result *r = asked(s, near, RAG_HYBRID, QUESTION);
    int own = -1, model_said = -1;
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->v[i].text, HARE) == 0) *(r->v[i].trust == MEM_TRUST_MODEL ? &model_said : &own) = i;
    CHECK_MSG(own == 0 && model_said > own, "own %d, of the model %d", own, model_said);
    CHECK(own < 0 || r->v[own].fate == RAG_FED);
    rag_result_free(r);
    rag_near_free(near);
    mem_close(s);
}

/* memory.fusion ranks: a side is (1 + 60) / (place + 60), whatever the scores; what is as good shares its place, and what has no such side is
 * on no such list. */
static int better(const rag_result *by_scores, const char *side, double than)
{
    int n = 0;
    for (int i = 0; i < by_scores->n; i++) n += side_of(&by_scores->v[i], side) > than;
    return n;
}

static void places_alone_make_an_order_too(void)
{
    static const char *const sides[] = {"words", "near"};
    struct model m = model();
    mem_store *s = filled(true);
    embed_all(s, &m);
    rag_near *near = rag_near_new(s, lend(&m));
    rag_config c = rag_config_default();
    rag_scope scope = {.budget = -1, .near = near};
    static const char q[] = "Where is the dog with kettle, violin and harbour?";
    rag_result *by_scores, *r;
    c.mode = RAG_HYBRID;
    OK(rag_search(s, &c, q, &scope, &by_scores, err));
    OK(rag_config_set(&c, "memory.fusion", "ranks", err));
    OK(rag_search(s, &c, q, &scope, &r, err));
    int seen[2] = {0, 0};
    for (int i = 0; i < r->n; i++) {
        const rag_passage *p = &r->v[i], *before = labelled(by_scores, p->label);
        for (int k = 0; k < 2 && before; k++) {
            double was = side_of(before, sides[k]), is = side_of(p, sides[k]);
            int places = better(by_scores, sides[k], was);
            if (was <= 0) CHECK_MSG(is <= 0, "%s: %s %g", p->label, sides[k], is);
            else CHECK_MSG(fabs(is - 61. / (60 + places + 1)) < .0006 || places > 8, "%s: %s %g, but it is the %d", p->label, sides[k], is, places + 1);
            seen[k] += was > 0 && places <= 8;
        }
        if (i) CHECK(p->match <= r->v[i - 1].match);
    }
    CHECK_MSG(seen[0] > 3 && seen[1] > 3, "%d, %d", seen[0], seen[1]);
    q_buf b = {0};
    rag_explain(r, &b);
    CHECK_MSG(strstr(b.p, "ordered by places among words and among meanings, 61 / (60 + place): memory.fusion\n") != NULL, "%s", b.p);
    q_buf_clear(&b);
    rag_explain(by_scores, &b);
    CHECK(!strstr(b.p, "ordered by places"));
    char *json = rag_explain_json(r, q), *other = rag_explain_json(by_scores, q);
    CHECK(strstr(json, "\"fusion\":\"ranks\"") && strstr(other, "\"fusion\":\"scores\""));
    free(json);
    free(other);
    q_buf_free(&b);
    rag_result_free(r);
    rag_result_free(by_scores);
    rag_near_free(near);
    mem_close(s);
}

/* Models put unrelated texts at 0 of one another, at .5, at .9: the threshold means the same of each, and nobody tells which it is. */
static void the_threshold_means_the_same_of_every_model(void)
{
    static const double common[] = {0, 1, 1.8, 3, 5};
    double meaning[5] = {0}, other[5] = {0};
    for (int i = 0; i < 5; i++) {
        struct model m = model();
        m.common = common[i];
        mem_store *s = filled(true);
        embed_all(s, &m);
        rag_near *near = rag_near_new(s, lend(&m));
        rag_result *r = asked(s, near, RAG_HYBRID, QUESTION);
        const rag_passage *p = labelled(r, "hare");
        CHECK_MSG(p && p->fate == RAG_FED, "common %g", common[i]);
        CHECK_INT(r->n_fed, 1);
        if (p) meaning[i] = p->signal[2];
        for (int k = 0; k < r->n; k++)
            if (&r->v[k] != p) other[i] = fmax(other[i], r->v[k].signal[2]);
        rag_result_free(r);
        r = asked(s, near, RAG_HYBRID, "Где взять билеты на вечерний концерт?");      /* nothing of it is there */
        CHECK_MSG(r->n_fed == 0, "common %g: %s is fed", common[i], r->v[0].label);
        rag_result_free(r);
        rag_near_free(near);
        mem_close(s);
        printf("# unrelated texts at %.2f: the right passage's meaning %.3f, the best other's %.3f\n", common[i] * common[i] / (1 + common[i] * common[i]), meaning[i], other[i]);
    }
    for (int i = 0; i < 5; i++) CHECK_MSG(meaning[i] > .9 && other[i] < .3, "%g, %g", meaning[i], other[i]);
}

/* A model puts texts of one language together. A note in another one than the question is short of that where most of the memory is in the
 * question's; where all is in the note's, all is as far and nothing is missing. */
static void what_the_letters_cost_is_given_back(void)
{
    static const char *const q[] = {"Where was the hare on the meadow chased by a dog?", "Где собака гнала зайца по лугу?"};
    double short_of[2][2], meaning[2] = {0};
    for (int own = 0; own < 2; own++) {             /* the memory is in Latin letters, in Cyrillic ones */
        struct model m = model();
        m.tongue = 1;
        mem_store *s = NULL;
        OK(mem_open(":memory:", &s, err));
        for (int i = 0; i < 40; i++) {
            char *name = q_printf("n%d", i), *text = q_printf(own ? "Слово%d рядом с вещь%d и место%d." : "Word%d stands beside thing%d and place%d.", i, i * 7, i * 3);
            put(s, name, text);
            free(name);
            free(text);
        }
        put(s, "hare", own ? HARE : "Собака гнала зайца по лугу.");      /* in the other letters than all the rest */
        embed_all(s, &m);
        rag_near *near = rag_near_new(s, lend(&m));
        for (int ru = 0; ru < 2; ru++) {
            rag_near_hits h;
            OK(rag_near_ask(near, q[ru], 0, true, NULL, NULL, 0, &h, err));
            short_of[own][ru] = h.foreign[MEM_CHUNK][ru];
            rag_near_hits_free(&h);
        }
        rag_result *r = asked(s, near, RAG_HYBRID, q[own]);
        const rag_passage *p = labelled(r, "hare");
        meaning[own] = p ? p->signal[2] : 0;
        CHECK(p && p->fate == RAG_FED && p->rank == 1);
        rag_result_free(r);
        rag_near_free(near);
        mem_close(s);
    }
    CHECK_MSG(short_of[0][0] > .05 && short_of[1][1] > .05, "%g, %g", short_of[0][0], short_of[1][1]);
    CHECK_MSG(short_of[0][1] < .2 * short_of[0][0] && short_of[1][0] < .2 * short_of[1][1], "%g, %g", short_of[0][1], short_of[1][0]);
    CHECK_MSG(meaning[0] >= .3 && meaning[1] >= .3, "%g, %g", meaning[0], meaning[1]);
    printf("# short of %.3f and %.3f; meaning %.2f and %.2f\n", short_of[0][0], short_of[1][1], meaning[0], meaning[1]);
}

/* ---- when it is asked ---- */
struct half { int left; };
static bool one_batch(void *user) { return ((struct half *)user)->left-- > 0; }

static void the_mode_says_when_meaning_is_asked(void)
{
    struct model m = model();
    mem_store *s = filled(true);
    rag_near *near = rag_near_new(s, lend(&m));
    rag_result *r = asked(s, near, RAG_AUTO, QUESTION);            /* no vectors yet */
    CHECK_INT(r->by, RAG_LEXICAL);
    CHECK(!r->note && m.questions == 0);
    rag_result_free(r);
    struct half h = {1};                                           /* 16 of 41 */
    CHECK_INT(rag_embed_owed(s, lend(&m), &(rag_embed_opts){.go = one_batch, .user = &h}, NULL, err), Q_CANCEL);
    r = asked(s, near, RAG_AUTO, QUESTION);
    CHECK_INT(r->by, RAG_LEXICAL);
    CHECK_INT(m.questions, 0);
    rag_result_free(r);
    h.left = 1;                                                    /* 32 of 41: the hare is not among them */
    CHECK_INT(rag_embed_owed(s, lend(&m), &(rag_embed_opts){.go = one_batch, .user = &h}, NULL, err), Q_CANCEL);
    r = asked(s, near, RAG_AUTO, "Where is the meadow of the hare?");
    CHECK_INT(r->by, RAG_HYBRID);
    CHECK_INT(m.questions, 1);
    CHECK_MSG(r->n && strcmp(r->v[0].label, "hare") == 0 && r->v[0].fate == RAG_FED, "%s", r->n ? r->v[0].label : "nothing");    /* by words, as before */
    CHECK(r->n && side_of(&r->v[0], "near") == 0 && r->v[0].signal[2] == 0);
    rag_result_free(r);
    embed_all(s, &m);
    r = asked(s, near, RAG_LEXICAL, QUESTION);
    CHECK(r->by == RAG_LEXICAL && m.questions == 1);
    rag_result_free(r);
    r = asked(s, near, RAG_OFF, QUESTION);
    q_buf b = {0};
    CHECK(r->off && !r->searched && m.questions == 1);
    CHECK_STR(rag_summary(r, &b), "not searched: memory.mode is off");
    rag_result_free(r);
    r = asked(s, NULL, RAG_HYBRID, "kettle");
    CHECK(r->by == RAG_LEXICAL && r->n > 0 && r->note && strstr(r->note, "no embedding model"));
    rag_explain(r, &b);
    CHECK(r->note && strstr(b.p, r->note));
    rag_result_free(r);
    r = asked(s, NULL, RAG_AUTO, "kettle");
    CHECK(r->by == RAG_LEXICAL && !r->note);
    rag_result_free(r);
    q_buf_free(&b);
    rag_near_free(near);
    mem_close(s);
}

/* Its place in the search is made of words and nearness, its score of other numbers too: people see the score. */
static void what_is_fed_is_numbered_by_its_score(void)
{
    struct model m = model();
    mem_store *s = filled(true);
    put(s, "loud", "Собака лаяла на дворе весь вечер. Соседи вызвали участкового, а он развёл руками и ушёл.");
    put(s, "field", "По лугу шла дорога. Зайца там не видели давно.");
    embed_all(s, &m);
    rag_near *near = rag_near_new(s, lend(&m));
    rag_config c = rag_config_default();
    rag_result *r;
    int turned = 0;
    c.min_score = 0, c.max_passages = 20, c.budget = 100000;
    OK(rag_search(s, &c, QUESTION, &(rag_scope){.budget = -1, .near = near}, &r, err));
    CHECK_MSG(r->n_fed > 3, "%d", r->n_fed);
    for (int i = 0; i < r->n; i++)
        for (int j = 0; j < i; j++) {
            const rag_passage *x = &r->v[j], *y = &r->v[i];
            if (!x->number || !y->number) continue;
            CHECK_MSG((x->number < y->number) == (x->score >= y->score), "[%d] %.3f, [%d] %.3f", x->number, x->score, y->number, y->score);
            turned += x->number > y->number;
        }
    CHECK_MSG(turned > 0, "nothing here is numbered otherwise than it was found");
    int *order = rag_shown(r);
    for (int i = 0; i < r->n_fed; i++) CHECK_INT(r->v[order[i]].number, i + 1);
    free(order);
    rag_result_free(r);
    rag_near_free(near);
    mem_close(s);
}

static void a_follow_up_takes_its_question_along(void)
{
    struct model m = model();
    mem_store *s = filled(true);
    embed_all(s, &m);
    rag_near *near = rag_near_new(s, lend(&m));
    rag_config c = rag_config_default();
    rag_result *r;
    OK(rag_search(s, &c, "А почему она это?", &(rag_scope){.budget = -1, .near = near, .before = QUESTION}, &r, err));
    CHECK(r->n > 0 && strcmp(r->v[0].label, "hare") == 0);
    rag_result_free(r);
    rag_near_free(near);
    mem_close(s);
}

/* ---- what goes wrong ---- */
static void check_as_words(mem_store *s, rag_near *near, const char *question, const char *says)
{
    rag_result *words = asked(s, NULL, RAG_LEXICAL, question), *r = asked(s, near, RAG_HYBRID, question);
    CHECK_INT(r->by, RAG_LEXICAL);
    CHECK_MSG(r->note && strstr(r->note, says), "%s", r->note ? r->note : "no note");
    CHECK_INT(r->n, words->n);
    for (int i = 0; i < r->n && i < words->n; i++) CHECK(r->v[i].id == words->v[i].id && r->v[i].score == words->v[i].score && r->v[i].fate == words->v[i].fate);
    rag_result_free(words);
    rag_result_free(r);
}

static void a_model_that_fails_leaves_the_words(void)
{
    struct model m = model();
    mem_store *s = filled(true);
    embed_all(s, &m);
    rag_near *near = rag_near_new(s, lend(&m));
    m.fail_from = 2;                                               /* well once, then never again */
    rag_result *r = asked(s, near, RAG_HYBRID, "Who chased the hare?");
    CHECK(r->by == RAG_HYBRID && !r->note);
    rag_result_free(r);
    check_as_words(s, near, "Who chased the hare?", "the stand-in broke");
    check_as_words(s, near, "kettle and violin", "the stand-in broke");
    m = model();
    m.nan = true;
    check_as_words(s, near, "Who chased the hare?", "numbers that are none");
    rag_near_free(near);
    mem_close(s);
}

static void another_models_vectors_are_not_asked(void)
{
    struct model m = model(), other = model();
    mem_store *s = filled(true);
    embed_all(s, &m);
    other.e.id = "another";
    rag_near *near = rag_near_new(s, lend(&other));
    rag_result *r = asked(s, near, RAG_AUTO, QUESTION);
    CHECK(r->by == RAG_LEXICAL && other.questions == 0 && r->n == 0);
    rag_result_free(r);
    rag_near_free(near);
    other.e.id = m.e.id;                                           /* the name of the first, with other numbers a vector */
    other.e.dim = DIM / 2;
    near = rag_near_new(s, lend(&other));
    r = asked(s, near, RAG_AUTO, "the kettle");
    CHECK_MSG(r->by == RAG_LEXICAL && r->note && r->n > 0 && other.questions == 0, "%d %s %d %d", r->by, r->note ? r->note : "-", r->n, other.questions);
    rag_result_free(r);
    rag_near_free(near);
    mem_close(s);
}

static void the_knob_takes_its_words(void)
{
    rag_config c = rag_config_default();
    q_buf b = {0};
    CHECK_STR(rag_config_get(&c, "memory.mode", &b), "auto");
    static const char *const words[] = {"off", "lexical", "hybrid", "graph", "auto"};
    for (int i = 0; i < 5; i++) {
        OK(rag_config_set(&c, "memory.mode", words[i], err));
        CHECK_STR(rag_config_get(&c, "memory.mode", &b), words[i]);
    }
    static const char *const no[] = {"", "auto,off", "hybri", "hybrids", "0", "Auto"};
    for (int i = 0; i < 6; i++) CHECK_INT(rag_config_set(&c, "memory.mode", no[i], err), Q_RANGE);
    CHECK_INT(c.mode, RAG_AUTO);
    OK(rag_config_set(&c, "memory.near.documents", "0", err));
    OK(rag_config_set(&c, "memory.near.chats", "default", err));
    CHECK(c.near_documents == 0 && c.near_chats == .4);
    CHECK_INT(rag_config_set(&c, "memory.near.chats", "1.5", err), Q_RANGE);
    q_buf_free(&b);
}

int main(void)
{
    RUN(meaning_alone_finds_and_is_explained);
    RUN(numbers_shown_make_the_score);
    RUN(what_is_gone_banned_or_of_this_talk_is_not_fed);
    RUN(a_talk_about_it_alone_turns_no_order_round);
    RUN(a_models_words_stand_behind_a_persons);
    RUN(the_threshold_means_the_same_of_every_model);
    RUN(what_the_letters_cost_is_given_back);
    RUN(places_alone_make_an_order_too);
    RUN(the_mode_says_when_meaning_is_asked);
    RUN(what_is_fed_is_numbered_by_its_score);
    RUN(a_follow_up_takes_its_question_along);
    RUN(a_model_that_fails_leaves_the_words);
    RUN(another_models_vectors_are_not_asked);
    RUN(the_knob_takes_its_words);
    return TEST_END();
}
