/* tests/fuzz: embedders. Whatever a file says, it is refused with a sentence, or its vectors have length 1 and are the same
 * twice; numbers that are not finite are told. */
#include "engine/embed/embedder.h"
#include "tests/embed_fixture.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <sys/mman.h>

static void embed_seed(fuzz_rng *r, q_buf *out)
{
    tiny_embedder t = fuzz_below(r, 2) ? TINY_BERT : TINY_NOMIC;
    char err[Q_ERRLEN], *path;
    t.type = fuzz_below(r, 2) ? KER_Q8_0 : KER_F32;
    t.pool = 1 + (int)fuzz_below(r, 3);
    path = tiny_file(&t, err);
    if (!path || q_read_file(path, out, 1 << 24, err)) abort();
    unlink(path);
    free(path);
}

static int embed_check(eng_embedder *e)
{
    char err[Q_ERRLEN] = "";
    const char *text[2] = { "ab cd", "" };
    const size_t len[2] = { 5, 0 };
    int dim = eng_embedder_info_of(e)->dim, broken = 1;
    float *a = q_alloc(sizeof *a * (size_t)dim * 2), *b = q_alloc(sizeof *b * (size_t)dim * 2);
    int rc = eng_embed(e, ENG_EMBED_PASSAGE, text, len, 2, a, NULL, NULL, err);
    if (rc && !err[0]) broken = FUZZ_BROKEN("no sentence for %d", rc);
    for (int i = 0; i < 2 && !rc && broken > 0; i++) {
        double sum = 0;
        for (int d = 0; d < dim; d++) sum += (double)a[i * dim + d] * (double)a[i * dim + d];
        if (!(fabs(sum - 1) < 1e-4) && sum != 0) broken = FUZZ_BROKEN("a vector's length is %g", sqrt(sum));
    }
    if (!rc && (eng_embed(e, ENG_EMBED_PASSAGE, text, len, 2, b, NULL, NULL, err) || memcmp(a, b, sizeof *a * (size_t)dim * 2)))
        broken = FUZZ_BROKEN("other bytes the second time");
    free(a);
    free(b);
    return broken;
}

static int embed_run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "", path[64];
    int fd = memfd_create("embedder", 0), got = 0;
    if (fd < 0 || write(fd, p, n) != (ssize_t)n) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    eng_embedder *e = NULL;
    int rc = embed_open(path, 1, false, &e, err);
    if (rc && (e || !err[0])) got = FUZZ_BROKEN("refused with %d and \"%s\"", rc, err);
    else if (!rc) got = embed_check(e);
    eng_embedder_close(e);
    close(fd);
    return got;
}

const fuzz_target fuzz_embed = { .name = "embedder files", .short_runs = 200, .long_runs = 20000, .seed = embed_seed, .run = embed_run, .focus = 6000 };
