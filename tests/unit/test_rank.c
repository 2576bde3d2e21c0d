/* rag: a word that is in over a tenth of the passages is added up only among those that hold a rarer one; the first ten and
 * their numbers are those of the full sum. The full sum is made here, from the texts themselves. */
#include "rag/rag.h"
#include "tests/test.h"

#include <math.h>

static char err[Q_ERRLEN];
#define OK(call) do { err[0] = 0; int rc_ = (call); CHECK_MSG(rc_ == Q_OK, "%d %s", rc_, err); } while (0)

static uint64_t seed = 362436069;
static unsigned dice(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

/* Words of no language: each its own stem, none of them of a list. */
enum { WORDS = 60, DOCS = 500, FIRST = 10 };
static char word[WORDS][12];
static int tf[DOCS][WORDS], length[DOCS];

static void make_words(void)
{
    for (int i = 0; i < WORDS; i++) snprintf(word[i], sizeof word[i], "q%dzx", 1000 + i);
}

/* The first of them are common, the last are rare: word i stands in about a DOCS/(i+1)-th. */
static mem_store *filled(int documents)
{
    mem_store *s;
    OK(mem_open(":memory:", &s, err));
    memset(tf, 0, sizeof tf);
    for (int d = 0; d < documents; d++) {
        q_buf b = {0};
        q_buf_puts(&b, "");
        for (int i = 0; i < WORDS; i++)
            for (unsigned k = dice((unsigned)(i + 1)) == 0 ? 1 + dice(4) : 0; k > 0; k--) q_buf_printf(&b, "%s ", word[i]), tf[d][i]++;
        length[d] = 0;
        for (int i = 0; i < WORDS; i++) length[d] += tf[d][i];
        mem_chunk c = {0, b.len, b.p, (char *)""};
        char path[32];
        snprintf(path, sizeof path, "/%d", d);
        mem_document m = {.path = path, .title = path, .name = (char *)""};
        int64_t id;
        OK(mem_document_put(s, &m, &c, 1, &id, err));
        q_buf_free(&b);
    }
    return s;
}

static int down(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void full_sum(const int *ask, int n, int documents, double *sum)
{
    double mean = 0;
    for (int d = 0; d < documents; d++) mean += (double)length[d] / documents;
    for (int d = 0; d < documents; d++) sum[d] = 0;
    for (int i = 0; i < n; i++) {
        int with = 0;
        for (int d = 0; d < documents; d++) with += tf[d][ask[i]] > 0;
        double idf = log(1 + (documents - with + .5) / (with + .5));
        for (int d = 0; d < documents; d++) {
            double f = tf[d][ask[i]];
            if (f > 0) sum[d] += idf * f * 2.2 / (f + 1.2 * (.5 + .5 * length[d] / mean));
        }
    }
    qsort(sum, (size_t)documents, sizeof *sum, down);
}

static void the_first_ten_are_those_of_the_full_sum(void)
{
    int common = 0, mixed = 0;
    make_words();
    for (int documents = DOCS; documents >= 5; documents /= 10) {
        mem_store *s = filled(documents);
        for (int round = 0; round < 60 && !test_bad; round++) {
            int ask[6], n = 1 + (int)dice(6), rare = 0;
            q_buf q = {0};
            for (int i = 0; i < n; i++) {
                ask[i] = (int)dice(round % 3 ? WORDS : 9);
                bool had = false;
                for (int k = 0; k < i; k++) had |= ask[k] == ask[i];
                if (had) { i--, n--; continue; }
                rare += ask[i] > 9;
                q_buf_printf(&q, "%s ", word[ask[i]]);
            }
            common += rare == 0;
            mixed += rare > 0 && rare < n;
            double sum[DOCS];
            full_sum(ask, n, documents, sum);
            rag_config c = rag_config_default();
            rag_result *r;
            OK(rag_search(s, &c, q.p, NULL, &r, err));
            for (int i = 0; i < FIRST && i < documents; i++) {
                double got = i < r->n ? r->v[i].bm25 : 0;
                CHECK_MSG(fabs(got - sum[i]) < 1e-9, "%d documents, \"%s\": place %d has %.9f, the full sum %.9f", documents, q.p, i + 1, got, sum[i]);
            }
            rag_result_free(r);
            q_buf_free(&q);
        }
        mem_close(s);
    }
    printf("# %d questions of common words alone, %d of both\n", common, mixed);
    CHECK(common > 20 && mixed > 20);
}

int main(void)
{
    RUN(the_first_ten_are_those_of_the_full_sum);
    return TEST_END();
}
