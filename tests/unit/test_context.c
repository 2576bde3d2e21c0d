/* What a context takes is what is announced: cells of 4096 tokens are written, in every type, and the process has grown by what
 * eng_energy_kv_bytes says of the shape, within 2%. Large pages are turned off for the process, so that nothing beside it counts. */
#include "engine/models.h"
#include "kernels/kernels.h"
#include "tests/test.h"

#include <sys/prctl.h>
#include <unistd.h>

enum { PAGES = 64, LAYERS = 6, HEADS = 4 };
static const struct { const char *name; int width, heads, kv_rank, rope; } shapes[] = { { "128 numbers a head", 128, HEADS, 0, 0 }, { "80 numbers a head", 80, HEADS, 0, 0 }, { "latent cells", 576, 1, 512, 64 } };

static double resident(void)
{
    long all = 0, here = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%ld %ld", &all, &here) == 2);
    if (f) fclose(f);
    return (double)here * (double)sysconf(_SC_PAGESIZE);
}

static ker_dev *device(int s)
{
    char err[Q_ERRLEN];
    ker_layer layer[LAYERS];
    for (int i = 0; i < LAYERS; i++) layer[i] = (ker_layer){ .mixer = shapes[s].kv_rank ? KER_MIX_MLA : KER_MIX_GQA, .n_ff = 64 };
    ker_model m = { .n_layer = LAYERS, .n_embd = 64, .n_head = HEADS, .n_kv_head = shapes[s].heads, .head_dim = shapes[s].width, .rope_dim = shapes[s].rope ? shapes[s].rope : shapes[s].width,
                    .n_vocab = 64, .layer = layer };
    if (shapes[s].kv_rank) m.latent = (ker_latent){ .kv_rank = shapes[s].kv_rank, .rope = shapes[s].rope, .nope = 128, .v = 128 };
    ker_dev *d = NULL;
    int rc = ker_cpu()->open(&m, 1, NULL, &d, err);
    CHECK_MSG(rc == Q_OK, "%s: %s", shapes[s].name, err);
    return rc ? NULL : d;
}

static void cells_take_what_is_announced(int s, int t)
{
    char err[Q_ERRLEN];
    ker_dev *d = device(s);
    ker_kv *kv = NULL;
    const eng_energy e = { .n_layer = LAYERS, .kv_heads = shapes[s].heads, .kv_width = shapes[s].width, .kv_rank = shapes[s].kv_rank };
    double said = eng_energy_kv_bytes(&e, eng_kv_type(t)) * PAGES * KER_PAGE;
    if (!d) return;
    CHECK_INT(ker_cpu()->kv_page_bytes(d, (enum ker_kv_type)t) * PAGES, said);
    CHECK_INT(ker_cpu()->kv_new(d, (enum ker_kv_type)t, PAGES, &kv, err), Q_OK);
    ker_model m = { .n_layer = LAYERS, .n_kv_head = shapes[s].heads, .head_dim = shapes[s].width, .latent.kv_rank = shapes[s].kv_rank };
    size_t page = (size_t)ker_cells_bytes(&m, (enum ker_kv_type)t, KER_PAGE);
    uint8_t *cells = q_alloc(page);
    memset(cells, 0x11, page);                     /* a number in every type */
    double before = resident(), grown;
    for (int i = 0; i < PAGES && kv; i++) CHECK_INT(ker_cpu()->kv_load(kv, i, KER_PAGE, cells), Q_OK);
    grown = resident() - before;
    CHECK_MSG(fabs(grown / said - 1) < .02, "%s, %s: grown by %.0f bytes, announced were %.0f", shapes[s].name, eng_kv_type(t), grown, said);
    free(cells);
    ker_cpu()->kv_free(kv);
    ker_cpu()->close(d);
}

static void a_context_fits_what_was_announced(void)
{
    for (int s = 0; s < (int)(sizeof shapes / sizeof *shapes); s++)
        for (int t = 0; eng_kv_type(t); t++) cells_take_what_is_announced(s, t);
}

int main(void)
{
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0) RUN(a_context_fits_what_was_announced);
    else SKIP("a_context_fits_what_was_announced", "large pages cannot be turned off here");
    return TEST_END();
}
