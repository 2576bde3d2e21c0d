/* Experts that are read when they are chosen (engine/run/ondisk.h): the same bytes as with all weights in memory, whatever the room, the
 * order in which slots are given up and the time that reads take; what happens when a read fails, is slow or meets another file. */
#include "engine/run/ondisk.h"
#include "tests/golden.h"
#include "tests/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

static const double GIB = 1024.0 * 1024 * 1024;
static char err[Q_ERRLEN];

static const uint64_t LEAST = UINT64_MAX;

static void weights_ram(uint64_t bytes)
{
    double gib = bytes == LEAST ? -1 : (double)bytes / GIB;
    CHECK_INT(eng_device_choose(&(eng_place){ .what = "cpu", .gpu_layers = -1, .weights_gib = gib }, err), 0);
}

/* bytes 0: no bound. */
static eng_model *open_within(const char *path, uint64_t bytes)
{
    eng_model *m = NULL;
    weights_ram(bytes);
    int rc = eng_model_open(path, NULL, &m, err);
    weights_ram(0);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    return m;
}

/* A budget of so many of 16 parts of what lies between the least and all; the least where a tiny model's slots take more than all of it. */
static uint64_t budget_of(const char *path, int sixteenths)
{
    eng_model *m = open_within(path, 0);
    ondisk_plan p;
    uint64_t all = 0;
    bool some = m && ondisk_plan_make(m, ONDISK_LEAST, &p, NULL);
    for (int i = 0; some && i < gguf_n_tensors(m->file); i++) all += gguf_tensor_at(m->file, i)->bytes;
    eng_model_free(m);
    return !some || !sixteenths || p.least + 1 >= all ? LEAST : p.least + 1 + (all - p.least - 2) * (uint64_t)sixteenths / 16;
}

static int slow(void *user, const read_job *j)
{
    struct timespec t = { 0, (long)(q_mix64((uint64_t)(uintptr_t)user, j->at) % 300000) };
    nanosleep(&t, NULL);
    return Q_OK;
}

static bool same(const golden_result *a, const golden_result *b)
{
    size_t cells = (size_t)a->n * (size_t)a->n_layer * (size_t)a->max_k;
    return a->max_k == b->max_k && memcmp(a->logits, b->logits, sizeof(float) * (size_t)a->n * (size_t)a->n_vocab) == 0
        && (!cells || (memcmp(a->ids, b->ids, sizeof *a->ids * cells) == 0 && memcmp(a->weights, b->weights, sizeof *a->weights * cells) == 0));
}

/* ---- the same bytes ---- */
static const char *arch_now;

static void golden_folder(const char *dir, const char *path)
{
    static const struct { int room, split; const char *threads; uint64_t lot; bool slow, guess; } way[] = {
        { 0, 0, "2", 0, false, true }, { 0, 1, "1", 7, true, false }, { 4, 7, "3", 0, true, true }, { 8, 1, "2", 99, false, true }, { 15, 0, "2", 0, false, true },
    };
    eng_model *plain = open_within(path, 0);
    golden_set g;
    if (!plain) return;
    CHECK_INT(golden_open(dir, &g, err), 0);
    for (size_t w = 0; w < sizeof way / sizeof *way; w++) {
        eng_model *m = open_within(path, budget_of(path, way[w].room));
        eng_ondisk before, after;
        CHECK(m && eng_model_ondisk(m, &before));
        if (!m) break;
        ondisk_by_lot(m->on.ondisk, way[w].lot);
        ondisk_guessing(m->on.ondisk, way[w].guess);
        if (way[w].slow) reader_tap(ondisk_reader(m->on.ondisk), slow, (void *)(uintptr_t)(w + 1));
        for (int i = 0; i < g.n_case; i++) {
            golden_result want, got;
            CHECK_INT(golden_run_with(&g, plain, i, 0, NULL, &want, err), 0);
            int rc = golden_run_with(&g, m, i, way[w].split, way[w].threads, &got, err);
            CHECK_MSG(rc == 0, "%s", rc ? err : "");
            CHECK_MSG(!rc && same(&want, &got), "%s %s, room %d, in pieces of %d", dir, g.name[i], way[w].room, way[w].split);
            golden_result_free(&want);
            golden_result_free(&got);
        }
        eng_model_ondisk(m, &after);
        CHECK(after.asked > 0 && after.brought > 0 && after.bytes > 0 && after.brought >= after.guessed && after.guessed >= after.right);
        CHECK(way[w].guess || after.guessed == 0);
        eng_model_free(m);
    }
    golden_close(&g);
    eng_model_free(plain);
}

static void routed_goldens_are_the_same_bytes(void)
{
    char *dir = q_printf("tests/golden/engine/%s", arch_now), *path = util_model(arch_now);
    golden_folder(dir, path);
    remove(path);
    free(dir);
    free(path);
}

int main(void)
{
    static const char *const routed[] = { "qwen3moe", "olmoe", "mixtral", "granitemoe", "gpt-oss", "glm4moe", "glm4moe-full", "deepseek2", "deepseek2-lite", "qwen3next" };
    for (size_t i = 0; i < sizeof routed / sizeof *routed; i++) {
        arch_now = routed[i];
        printf("# %s\n", arch_now);
        RUN(routed_goldens_are_the_same_bytes);
    }
    return TEST_END();
}
