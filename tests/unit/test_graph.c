/* rag/graph: ranks are those of a dense power iteration; what lies two steps from what is asked is found, by a name that is said;
 * bounded whatever the store holds, and the same each time. */
#include "memory/memory.h"
#include "rag/graph.h"
#include "rag/rag.h"
#include "tests/memory_help.h"

#include <math.h>

static uint64_t seed = 362436069;
static unsigned dice(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

/* ---- against the definition ---- */
enum { DENSE = 40 };

/* rank = (1 - d) s + d M rank as a full matrix, from the seeds, as often. */
static void dense(const struct graph *g, double *rank)
{
    static double m[DENSE][DENSE], out[DENSE];
    double now[DENSE], sum = 0;
    memset(m, 0, sizeof m);
    memset(out, 0, sizeof out);
    for (int i = 0; i < g->n; i++) sum += g->seed[i];
    for (int e = 0; e < g->n_edge; e++) out[g->edge[e].a] += g->edge[e].w, out[g->edge[e].b] += g->edge[e].w;
    for (int e = 0; e < g->n_edge; e++) {
        m[g->edge[e].a][g->edge[e].b] += g->edge[e].w / out[g->edge[e].b];
        m[g->edge[e].b][g->edge[e].a] += g->edge[e].w / out[g->edge[e].a];
    }
    for (int j = 0; j < g->n; j++)
        for (int i = 0; i < g->n && !(out[j] > 0); i++) m[i][j] = g->seed[i] / sum;
    for (int i = 0; i < g->n; i++) rank[i] = g->seed[i] / sum;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < g->n; i++) {
            now[i] = .5 * g->seed[i] / sum;
            for (int j = 0; j < g->n; j++) now[i] += .5 * m[i][j] * rank[j];
        }
        memcpy(rank, now, sizeof *now * (size_t)g->n);
    }
}

static void ranks_are_those_of_the_definition(void)
{
    for (int round = 0; round < 50 && !test_bad; round++) {
        graph_edge edge[120];
        double s[DENSE], want[DENSE], rank[DENSE], sum = 0;
        struct graph g = {.n = 2 + (int)dice(DENSE - 1), .edge = edge, .seed = s};
        for (int i = 0; i < g.n; i++) s[i] = dice(3) ? 0 : dice(100) / 7.;
        s[dice((unsigned)g.n)] = 1;
        for (int i = (int)dice(120); i > 0; i--) {
            int a = (int)dice((unsigned)g.n), b = (int)dice((unsigned)g.n);
            if (a != b) edge[g.n_edge++] = (graph_edge){a, b, .25 + dice(1000) / 100.};
        }
        graph_rank(&g, rank);
        dense(&g, want);
        for (int i = 0; i < g.n; i++) {
            CHECK_MSG(fabs(rank[i] - want[i]) < 1e-12, "node %d of %d: %.15f, expected %.15f", i, g.n, rank[i], want[i]);
            sum += rank[i];
        }
        CHECK_MSG(fabs(sum - 1) < 1e-12, "%.15f", sum);
    }
}

static void without_seeds_nothing_ranks(void)
{
    graph_edge edge[] = {{0, 1, 1}};
    double s[2] = {0}, rank[2];
    graph_rank(&(struct graph){.n = 2, .edge = edge, .n_edge = 1, .seed = s}, rank);
    CHECK(rank[0] == 0 && rank[1] == 0);
}

/* ---- over a memory ---- */
static int64_t put(mem_store *s, const char *path, const char *const *text, int n)
{
    mem_chunk c[16];
    int64_t id;
    mem_document d = {.path = (char *)path, .title = (char *)path, .trust = MEM_TRUST_OWN};
    for (int i = 0; i < n; i++) c[i] = (mem_chunk){(size_t)i * 1000, strlen(text[i]), text[i], ""};
    OK(mem_document_put(s, &d, c, n, &id, err));
    return id;
}

static int64_t first_passage(mem_store *s, int64_t document)
{
    for (int64_t id = 1; id < 1000; id++) {
        mem_passage p;
        bool is = mem_passage_get(s, MEM_CHUNK, id, &p, err) == Q_OK && p.source == document;
        mem_passage_free(&p);
        if (is) return id;
    }
    return 0;
}

static int place(const struct graph_hits *h, enum mem_kind kind, int64_t id)
{
    for (int i = 0; i < h->n; i++)
        if (h->v[i].kind == kind && h->v[i].id == id) return i;
    return -1;
}

static void two_steps_lead_to_what_names_the_same(void)
{
    static const char *const trip[] = {"we go to Lofoten with Anna Berg in the summer"}, *const ferry[] = {"the boat over to Moskenes, for Lofoten, leaves at seven"},
                      *const cook[] = {"she was told that Berg keeps the stove in the shed", "our Anna Berg cooks"}, *const other[] = {"a heron stands in Hull"};
    mem_store *s;
    OK(mem_open(":memory:", &s, err));
    int64_t a = put(s, "/trip", trip, 1), b = put(s, "/boats", ferry, 1), c = put(s, "/cook", cook, 2), d = put(s, "/birds", other, 1);
    struct graph_seed from = {MEM_CHUNK, first_passage(s, a), 1};
    struct graph_hits h;
    OK(rag_graph_find(s, NULL, 0, &from, 1, true, &h, err));
    int boat = place(&h, MEM_CHUNK, first_passage(s, b)), cooks = place(&h, MEM_CHUNK, first_passage(s, c) + 1);
    CHECK_INT(place(&h, MEM_CHUNK, from.id), 0);
    CHECK_MSG(boat > 0 && cooks > 0, "boat %d, cooks %d", boat, cooks);
    CHECK(place(&h, MEM_CHUNK, first_passage(s, d)) < 0);
    CHECK(h.v[0].score == 1);
    if (boat > 0) CHECK_STR(h.v[boat].by, "nlofoten");
    if (cooks > 0) CHECK_STR(h.v[cooks].by, "nanna berg");
    rag_graph_hits_free(&h);
    /* from what the question names alone */
    struct graph_name name = {"nlofoten", 1};
    OK(rag_graph_find(s, &name, 1, NULL, 0, true, &h, err));
    CHECK(place(&h, MEM_CHUNK, first_passage(s, a)) >= 0 && place(&h, MEM_CHUNK, first_passage(s, b)) >= 0);
    rag_graph_hits_free(&h);
    /* a document that went is not in it */
    OK(mem_document_delete(s, b, err));
    OK(mem_tidy(s, NULL, NULL, err));
    OK(rag_graph_find(s, &name, 1, NULL, 0, true, &h, err));
    for (int i = 0; i < h.n; i++) CHECK(h.v[i].id != first_passage(s, a) + 1);
    rag_graph_hits_free(&h);
    mem_close(s);
}

struct named { q_buf b; };
static void take_name(void *user, int at, const char *name) { q_buf_printf(&((struct named *)user)->b, "%d %s;", at, name); }

static void a_last_name_is_the_whole_one_of_its_source(void)
{
    static const char *const one[] = {"they met Barack Obama there", "and Obama spoke", "so said Michelle Smith"}, *const two[] = {"then Obama wrote"};
    mem_store *s;
    OK(mem_open(":memory:", &s, err));
    int64_t a = first_passage(s, put(s, "/one", one, 3)), b = first_passage(s, put(s, "/two", two, 1)), id[] = {a, a + 1, b}, chat, m[2];
    struct named x = {{0}};
    OK(mem_names_in(s, MEM_CHUNK, id, 3, true, take_name, &x, err));
    CHECK_STR(x.b.p, "0 nbarack obama;1 nbarack obama;2 nobama;");
    q_buf_clear(&x.b);
    OK(mem_names_in(s, MEM_CHUNK, id, 3, false, take_name, &x, err));
    CHECK_STR(x.b.p, "0 nbarack obama;1 nobama;2 nobama;");
    q_buf_clear(&x.b);
    OK(mem_conversation_new(s, "t", &chat, err));
    OK(mem_message_add(s, chat, 0, MEM_USER, one[0], strlen(one[0]), &m[0], err));
    OK(mem_message_add(s, chat, m[0], MEM_USER, one[1], strlen(one[1]), &m[1], err));
    OK(mem_names_in(s, MEM_CHAT, m, 2, true, take_name, &x, err));
    CHECK_STR(x.b.p, "0 nbarack obama;1 nbarack obama;");
    q_buf_free(&x.b);
    mem_close(s);
}

static void names_in_any_letters(void)
{
    static const struct { const char *text; enum mem_entity_kind kind; const char *want; } rows[] = {
        {"the lofoten", MEM_ENTITY_NAME, "nlofoten"}, {"Barack  obama", MEM_ENTITY_NAME, "nbarack obama"}, {"на Байкале", MEM_ENTITY_NAME, "nна байкал"},
        {"байкалом", MEM_ENTITY_NAME, "nбайкал"}, {"Foo_Bar", MEM_ENTITY_IDENTIFIER, "ifoo_bar"}, {"C#", MEM_ENTITY_IDENTIFIER, "ic#"},
        {"solar panels", MEM_ENTITY_PHRASE, "psolar panel"}, {"1998-05-03", MEM_ENTITY_DATE, "d1998-05-03"}, {"Me@Example.org", MEM_ENTITY_ADDRESS, "ame@example.org"}};
    char name[MEM_NAME_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK(mem_name_of(rows[i].text, strlen(rows[i].text), rows[i].kind, name));
        CHECK_STR(name, rows[i].want);
    }
    CHECK(!mem_name_of("", 0, MEM_ENTITY_NAME, name));
    CHECK(!mem_name_of("...", 3, MEM_ENTITY_NAME, name));
}

/* Many passages that name much: the graph stays within its bounds, a name that all have leads nowhere, and twice gives the same. */
static void bounded_and_the_same_each_time(void)
{
    enum { DOCS = 3000 };
    mem_store *s;
    OK(mem_open(":memory:", &s, err));
    mem_bulk *bulk = mem_bulk_new(s, NULL, NULL);
    for (int i = 0; i < DOCS; i++) {
        char path[32];
        q_buf b = {0};
        q_buf_puts(&b, "so we saw Everywhere");
        for (int k = 0; k < 8; k++) q_buf_printf(&b, " and N%c%c%cov", 'a' + dice(10), 'a' + dice(10), 'a' + dice(10));
        snprintf(path, sizeof path, "/d%d", i);
        mem_document d = {.path = path, .title = path, .trust = MEM_TRUST_OWN};
        mem_chunk c = {0, b.len, b.p, ""};
        OK(mem_bulk_put(bulk, &d, &c, 1, err));
        q_buf_free(&b);
    }
    OK(mem_bulk_flush(bulk, err));
    mem_bulk_free(bulk);
    struct graph_seed from[30];
    for (int i = 0; i < 30; i++) from[i] = (struct graph_seed){MEM_CHUNK, 1 + (int)dice(DOCS), 1 + dice(5)};
    struct graph_hits h, again;
    OK(rag_graph_find(s, NULL, 0, from, 30, true, &h, err));
    OK(rag_graph_find(s, NULL, 0, from, 30, true, &again, err));
    CHECK_MSG(h.passages <= GRAPH_PASSAGES && h.n > 30 && h.n <= GRAPH_HITS, "%d passages, %d hits", h.passages, h.n);
    CHECK_INT(h.n, again.n);
    for (int i = 0; i < h.n && i < again.n; i++) {
        CHECK(h.v[i].id == again.v[i].id && h.v[i].score == again.v[i].score && strcmp(h.v[i].by, again.v[i].by) == 0);
        CHECK(h.v[i].score > 0 && h.v[i].score <= 1 && (i == 0 || h.v[i].score <= h.v[i - 1].score));
    }
    rag_graph_hits_free(&h);
    rag_graph_hits_free(&again);
    struct graph_name hub = {"neverywhere", 1};
    OK(rag_graph_find(s, &hub, 1, NULL, 0, true, &h, err));
    CHECK_MSG(h.n == 0, "%d", h.n);
    rag_graph_hits_free(&h);
    mem_close(s);
}

/* ---- in a search ---- */
static const rag_passage *found(const rag_result *r, const char *text)
{
    for (int i = 0; r && i < r->n; i++)
        if (strstr(r->v[i].text, text)) return &r->v[i];
    return NULL;
}

static void a_search_goes_on_by_names(void)
{
    static const char *const cabin[] = {"so then Anna Berg has a cabin at Moskenes"}, *const pier[] = {"at Moskenes they mend nets on pier four"},
                      *const other[] = {"the heron of Hull stands on a pole"};
    mem_store *s;
    rag_config c = rag_config_default();
    rag_result *r = NULL;
    q_buf b = {0};
    OK(mem_open(":memory:", &s, err));
    put(s, "/cabin", cabin, 1);
    int64_t p = put(s, "/pier", pier, 1);
    put(s, "/birds", other, 1);
    const char *question = "where is the cabin of anna berg?";
    c.mode = RAG_LEXICAL;
    OK(rag_search(s, &c, question, NULL, &r, err));
    CHECK(found(r, "cabin") && !found(r, "nets") && r->by == RAG_LEXICAL && !found(r, "cabin")->through);
    rag_result_free(r);
    c.mode = RAG_GRAPH;
    OK(rag_search(s, &c, question, NULL, &r, err));
    const rag_passage *nets = found(r, "nets"), *first = found(r, "cabin");
    CHECK(r->by == RAG_GRAPH && first && nets && first->rank == 1 && !found(r, "heron"));
    if (nets && first) {
        CHECK_STR(nets->through, "Moskenes");
        CHECK_STR(first->through, "Anna Berg");
        CHECK(nets->fate == RAG_BELOW);                 /* what nobody asked for is not fed for its names alone */
        rag_why(r, nets, &b);
        CHECK_MSG(strstr(b.p, "by Moskenes → /pier") && strstr(b.p, "named together"), "%s", b.p);
    }
    rag_result_free(r);
    OK(mem_document_delete(s, p, err));                 /* gone at once, though its rows are still there */
    OK(rag_search(s, &c, question, NULL, &r, err));
    CHECK(found(r, "cabin") && !found(r, "nets"));
    rag_result_free(r);
    q_buf_free(&b);
    mem_close(s);
}

/* Names of a question in small letters, the longest first; none that so many have that it says nothing. */
static void a_question_in_small_letters(void)
{
    static const char *const one[] = {"they met Barack Obama at the Barents Sea"};
    mem_store *s;
    struct graph_name name[8];
    char *room;
    int n;
    OK(mem_open(":memory:", &s, err));
    put(s, "/one", one, 1);
    OK(rag_graph_question(s, "what did barack obama do at the barents sea, or in hull?", true, name, 8, &n, &room, err));
    CHECK_INT(n, 2);
    if (n == 2) {
        CHECK_STR(name[0].name, "nbarack obama");
        CHECK_STR(name[1].name, "nbarent sea");
    }
    free(room);
    OK(rag_graph_question(s, "", true, name, 8, &n, &room, err));
    CHECK_INT(n, 0);
    free(room);
    mem_close(s);
}

int main(void)
{
    if (!memory_begin("graph")) return 1;
    RUN(ranks_are_those_of_the_definition);
    RUN(without_seeds_nothing_ranks);
    RUN(two_steps_lead_to_what_names_the_same);
    RUN(a_last_name_is_the_whole_one_of_its_source);
    RUN(names_in_any_letters);
    RUN(a_search_goes_on_by_names);
    RUN(a_question_in_small_letters);
    RUN(bounded_and_the_same_each_time);
    return memory_end();
}
