/* rag on real questions (../shared/data/eval, skipped where absent): XQuAD in Russian and HotpotQA in English. How often
 * the paragraph that answers is fed, and how often a question about the world is fed the manual. RAG_ALL=1 asks all. */
#include "rag/rag.h"
#include "tests/test.h"

#include <cjson/cJSON.h>

static char err[Q_ERRLEN];
static const char ru_file[] = "../shared/data/eval/xquad-ru-half.json", en_file[] = "../shared/data/eval/hotpotqa_train.json";

static cJSON *load(const char *path)
{
    q_buf b = {0};
    cJSON *j = q_read_file(path, &b, 64 << 20, err) == Q_OK ? cJSON_ParseWithLength(b.p, b.len) : NULL;
    q_buf_free(&b);
    return j;
}

static mem_store *open_new(void)
{
    mem_store *s;
    if (mem_open(":memory:", &s, err) != Q_OK) { printf("not ok open: %s\n", err); exit(1); }
    return s;
}

static const char *str(const cJSON *o, const char *k)
{
    const char *v = cJSON_GetStringValue(cJSON_GetObjectItem(o, k));
    return v ? v : "";
}

struct score { int n, first, fed, any; };       /* asked; right one first; right one fed; anything fed */

/* The right passage is of document `want` (or of any document in a NULL-ended list). */
static void ask(mem_store *s, const char *q, const int64_t *want, struct score *x)
{
    rag_config c = rag_config_default();
    c.budget = 4000;
    rag_result *r;
    int rc = rag_search(s, &c, q, NULL, &r, err);
    CHECK_MSG(rc == Q_OK, "%s", err);
    if (rc != Q_OK) return;
    bool first = false, fed = false;
    for (int i = 0; i < r->n; i++)
        for (const int64_t *w = want; *w; w++)
            if (r->v[i].source == *w) {
                first |= i == 0;
                fed |= r->v[i].fate == RAG_FED;
            }
    x->n++;
    x->first += first;
    x->fed += fed;
    x->any += r->n_fed > 0;
    if (getenv("V") && r->n_fed && *want == 0) printf("# %.2f %s -> %s\n", r->v[0].score, q, r->v[0].label);
    if (getenv("V") && *want && !first) printf("# missed %.2f %s -> %s\n", r->n ? r->v[0].score : 0, q, r->n ? r->v[0].label : "");
    rag_result_free(r);
}

static int64_t add(mem_store *s, const char *name, const char *text)
{
    int64_t id = 0;
    CHECK(rag_add_text(s, name, name, MEM_TRUST_OWN, text, strlen(text), &id, err) == Q_OK);
    return id;
}

static void russian_paragraphs_are_found(void)
{
    cJSON *j = load(ru_file);
    mem_store *s = open_new(), *manual = open_new();
    CHECK(rag_manual(manual, err) == Q_OK);
    struct score own = {0}, other = {0};
    const int64_t none[] = {0};
    const cJSON *a, *p, *q;
    int n = 0, step = getenv("RAG_ALL") ? 1 : 5;
    cJSON_ArrayForEach(a, cJSON_GetObjectItem(j, "data"))
        cJSON_ArrayForEach(p, cJSON_GetObjectItem(a, "paragraphs")) {
            char name[32];
            snprintf(name, sizeof name, "p%d", n++);
            add(s, name, str(p, "context"));
        }
    n = 0;
    int asked = 0;
    cJSON_ArrayForEach(a, cJSON_GetObjectItem(j, "data"))
        cJSON_ArrayForEach(p, cJSON_GetObjectItem(a, "paragraphs")) {
            int64_t want[] = {++n, 0};          /* ids count from 1 in a new store */
            cJSON_ArrayForEach(q, cJSON_GetObjectItem(p, "qas")) {
                if (asked++ % step) continue;
                ask(s, str(q, "question"), want, &own);
                ask(manual, str(q, "question"), none, &other);
            }
        }
    printf("# XQuAD-ru: %d questions, right paragraph first %.1f%%, fed %.1f%%; fed the manual %.1f%%\n", own.n,
           100.0 * own.first / own.n, 100.0 * own.fed / own.n, 100.0 * other.any / other.n);
    CHECK(own.n > 50);
    CHECK(own.first * 100 >= own.n * 85);
    CHECK(own.fed * 100 >= own.n * 77);
    CHECK(other.any * 100 <= other.n * 2);
    mem_close(s);
    mem_close(manual);
    cJSON_Delete(j);
}

static void english_passages_are_found(void)
{
    cJSON *j = load(en_file);
    mem_store *s = open_new(), *manual = open_new();
    CHECK(rag_manual(manual, err) == Q_OK);
    struct score own = {0}, other = {0};
    const int64_t none[] = {0};
    const cJSON *e, *c, *f;
    cJSON_ArrayForEach(e, j)
        cJSON_ArrayForEach(c, cJSON_GetObjectItem(e, "context")) {
            q_buf t = {0};
            q_buf_printf(&t, "%s. ", cJSON_GetStringValue(cJSON_GetArrayItem(c, 0)));
            cJSON_ArrayForEach(f, cJSON_GetArrayItem(c, 1)) q_buf_puts(&t, cJSON_GetStringValue(f));
            add(s, cJSON_GetStringValue(cJSON_GetArrayItem(c, 0)), t.p);
            q_buf_free(&t);
        }
    cJSON_ArrayForEach(e, j) {
        int64_t want[16] = {0};
        int k = 0;
        cJSON_ArrayForEach(f, cJSON_GetObjectItem(e, "supporting_facts")) {
            mem_document d;
            if (k < 15 && mem_document_by_path(s, cJSON_GetStringValue(cJSON_GetArrayItem(f, 0)), &d, err) == Q_OK) want[k++] = d.id;
            mem_document_free(&d);
        }
        ask(s, str(e, "question"), want, &own);
        ask(manual, str(e, "question"), none, &other);
    }
    printf("# HotpotQA: %d questions, a right passage first %.0f%%, fed %.0f%%; fed the manual %.1f%%\n", own.n,
           100.0 * own.first / own.n, 100.0 * own.fed / own.n, 100.0 * other.any / other.n);
    CHECK(own.n == 100);
    CHECK(own.first >= 78);
    CHECK(own.fed >= 85);
    CHECK(other.any <= 2);
    mem_close(s);
    mem_close(manual);
    cJSON_Delete(j);
}

int main(void)
{
    FILE *f = fopen(ru_file, "re");
    if (f) { fclose(f); RUN(russian_paragraphs_are_found); } else SKIP("russian_paragraphs_are_found", "no ../shared/data/eval");
    f = fopen(en_file, "re");
    if (f) { fclose(f); RUN(english_passages_are_found); } else SKIP("english_passages_are_found", "no ../shared/data/eval");
    return TEST_END();
}
