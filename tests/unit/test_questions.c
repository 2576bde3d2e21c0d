/* rag on questions as people ask them, 80 about a person's own notes and 80 about the world in each language
 * (tests/golden/questions, written before they were first asked: then 73 and 71 of 80 were fed the right note, none of the
 * others anything; what was missing in the list of everyday words, common verbs and adjectives, was added after that): of the first the note is fed, of the second
 * nothing is. All notes of both languages and the manual are in the memory that is asked. V=1 names those that went wrong.
 * By meaning too where an embedding model is there (QUORUM_EMBEDDER names it, else the fetched one); its vectors take half a minute, so
 * that is for QUORUM_LONG=1. */
#include "engine/embed.h"
#include "engine/models.h"
#include "rag/rag.h"
#include "tests/test.h"

#include <unistd.h>

static char err[Q_ERRLEN];
#define OK(call) do { err[0] = 0; int rc_ = (call); CHECK_MSG(rc_ == Q_OK, "%d %s", rc_, err); } while (0)

static void load(const char *name, q_buf *b)
{
    char path[64];
    snprintf(path, sizeof path, "tests/golden/questions/%s.txt", name);
    OK(q_read_file(path, b, 1 << 20, err));
    q_buf_putc(b, 0);
}

/* Takes the next line off *at, its end cut; NULL: none is left. */
static char *line(char **at)
{
    char *p = *at, *end = p ? strchr(p, '\n') : NULL;
    if (!p || !*p) return NULL;
    if (end) *end = 0;
    *at = end ? end + 1 : NULL;
    return p;
}

static void put_note(mem_store *s, const char *name, q_buf *text)
{
    int64_t id;
    if (!name || !text->len) return;
    char *title = q_printf("notes/%s", name);
    OK(rag_add_text(s, title, title, MEM_TRUST_OWN, text->p, text->len, &id, err));
    free(title);
    q_buf_clear(text);
}

static void put_notes(mem_store *s, const char *name)
{
    q_buf b = {0}, text = {0};
    load(name, &b);
    const char *note = NULL;
    for (char *at = b.p, *p; (p = line(&at)) != NULL;) {
        if (strncmp(p, "? ", 2) == 0) continue;
        if (strncmp(p, "= ", 2) == 0) {
            put_note(s, note, &text);
            note = p + 2;
        } else {
            q_buf_printf(&text, "%s\n", p);
        }
    }
    put_note(s, note, &text);
    q_buf_free(&text);
    q_buf_free(&b);
}

static mem_store *memory(void)
{
    mem_store *s = NULL;
    if (mem_open(":memory:", &s, err) != Q_OK) { printf("not ok open: %s\n", err); exit(1); }
    OK(rag_manual(s, err));
    put_notes(s, "notes.en");
    put_notes(s, "notes.ru");
    return s;
}

static bool feeds(mem_store *s, rag_near *near, const char *question, const char *note, rag_result **out)
{
    rag_config c = rag_config_default();
    rag_scope scope = {.budget = -1, .near = near};
    char *label = note ? q_printf("notes/%s", note) : NULL;
    bool fed = false;
    OK(rag_search(s, &c, question, &scope, out, err));
    CHECK(!near || !(*out)->searched || (*out)->by == RAG_HYBRID);
    for (int i = 0; i < (*out)->n; i++)
        fed |= (*out)->v[i].fate == RAG_FED && (!label || strncmp((*out)->v[i].label, label, strlen(label)) == 0);
    if (getenv("V") && fed != (note != NULL)) {
        q_buf why = {0};
        rag_explain(*out, &why);
        printf("# %s\n%.700s\n", question, why.p);
        q_buf_free(&why);
    }
    free(label);
    return fed;
}

static void real(mem_store *s, rag_near *near, const char *name, const char *of)
{
    q_buf b = {0};
    int n = 0, right = 0;
    const char *note = NULL;
    load(name, &b);
    for (char *at = b.p, *p; (p = line(&at)) != NULL;) {
        if (strncmp(p, "= ", 2) == 0) note = p + 2;
        if (strncmp(p, "? ", 2) != 0) continue;
        rag_result *r;
        right += feeds(s, near, p + 2, note, &r);
        n++;
        rag_result_free(r);
    }
    printf("# %s: of %d questions about notes %d are fed the right one\n", of, n, right);
    CHECK_INT(n, 80);
    CHECK_MSG(right >= 72, "%d", right);
    q_buf_free(&b);
}

static void everyday(mem_store *s, rag_near *near, const char *name, const char *of)
{
    q_buf b = {0};
    int n = 0, fed = 0;
    double best = 0;
    load(name, &b);
    for (char *at = b.p, *p; (p = line(&at)) != NULL; n++) {
        rag_result *r;
        fed += feeds(s, near, p, NULL, &r);
        for (int i = 0; i < r->n; i++) best = r->v[i].score > best ? r->v[i].score : best;
        rag_result_free(r);
    }
    printf("# %s: of %d everyday questions %d are fed something; the best score is %.2f\n", of, n, fed, best);
    CHECK_INT(n, 80);
    CHECK_INT(fed, 0);
    q_buf_free(&b);
}

typedef void list(mem_store *, rag_near *, const char *name, const char *of);

static void by_words(list *fn, const char *name, const char *of)
{
    mem_store *s = memory();
    fn(s, NULL, name, of);
    mem_close(s);
}

static void english_notes_are_fed(void) { by_words(real, "notes.en", "English"); }
static void russian_notes_are_fed(void) { by_words(real, "notes.ru", "Russian"); }
static void english_everyday_questions_are_fed_nothing(void) { by_words(everyday, "everyday.en", "English"); }
static void russian_everyday_questions_are_fed_nothing(void) { by_words(everyday, "everyday.ru", "Russian"); }

/* ---- by meaning too ---- */
static int embed(void *user, bool question, const char *const *text, const size_t *len, int n, float *out, char *e)
{
    return eng_embed(user, question ? ENG_EMBED_QUERY : ENG_EMBED_PASSAGE, text, len, n, out, NULL, NULL, e);
}

static eng_embedder *model;

static void the_same_by_meaning(void)
{
    const eng_embedder_info *i = eng_embedder_info_of(model);
    rag_embedder e = {.id = i->id, .dim = i->dim, .embed = embed, .user = model};
    mem_store *s = memory();
    OK(rag_embed_owed(s, &e, NULL, NULL, err));
    rag_near *near = rag_near_new(s, &e);
    real(s, near, "notes.en", "English, by meaning too");
    real(s, near, "notes.ru", "Russian, by meaning too");
    everyday(s, near, "everyday.en", "English, by meaning too");
    everyday(s, near, "everyday.ru", "Russian, by meaning too");
    rag_near_free(near);
    mem_close(s);
}

static void where_there_is_a_model(void)
{
    const char *named = getenv("QUORUM_EMBEDDER");
    char *path = named ? q_strdup(named) : eng_default_embedder();
    if (!getenv("QUORUM_LONG")) printf("skip the_same_by_meaning: its vectors take half a minute: QUORUM_LONG=1\n");
    else if (!path || access(path, R_OK) != 0) printf("skip the_same_by_meaning: no embedding model\n");
    else {
        OK(eng_embedder_open(path, 0, &model, err));
        if (model) RUN(the_same_by_meaning);
        eng_embedder_close(model);
    }
    free(path);
}

int main(void)
{
    RUN(english_notes_are_fed);
    RUN(russian_notes_are_fed);
    RUN(english_everyday_questions_are_fed_nothing);
    RUN(russian_everyday_questions_are_fed_nothing);
    where_there_is_a_model();
    return TEST_END();
}
