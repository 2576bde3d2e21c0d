/* tests: finding models where other programs keep them, and taking one by part of its name. */
#include "engine/engine.h"
#include "engine/model/find.h"
#include "engine/models.h"
#include "engine/run/model.h"
#include "tests/rewrite.h"
#include "tests/tiny.h"

#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/quorum-test-XXXXXX";

static char *at(const char *name)
{
    static char path[4][512];
    static int i;
    char *p = path[i++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", home, name);
    return p;
}

static void put_file(const char *name, const void *p, size_t n)
{
    char *path = at(name), *slash = strrchr(path, '/');
    *slash = 0;
    CHECK_INT(q_mkdirs(path, err), Q_OK);
    *slash = '/';
    CHECK_MSG(q_write_file_atomic(path, p, n, err) == Q_OK, "%s", err);
}

static void put_model(const char *name, uint64_t seed)
{
    put_file(name, "", 0);
    CHECK_INT(eng_synth("qwen3moe", "smoke", "Q4_0", 1, seed, at(name), NULL, NULL, err), Q_OK);
}

static const eng_found *named(const eng_found *list, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0) return &list[i];
    return NULL;
}

static void the_usual_places(void)
{
    put_model(".lmstudio/models/somebody/Smoke-GGUF/Smoke-A-Q4_0.gguf", 1);
    put_model(".cache/llama.cpp/smoke-b.gguf", 2);
    put_model(".cache/huggingface/hub/models--x--y/blobs/0123", 3);
    put_file(".cache/huggingface/hub/models--x--y/snapshots/abc/.keep", "", 0);
    CHECK_INT(symlink("../../blobs/0123", at(".cache/huggingface/hub/models--x--y/snapshots/abc/smoke-c.gguf")), 0);
    put_model(".ollama/models/blobs/sha256-4444", 4);
    static const char manifest[] =
        "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.template\",\"digest\":\"sha256:5\"},"
        "{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:4444\"}]}";
    put_file(".ollama/models/manifests/a.host/library/smoke/d", manifest, sizeof manifest - 1);
    put_file(".ollama/models/manifests/a.host/library/broken/x", "{\"layers\":[{\"mediaType\":", 24);
    put_model("mine/deep/er/smoke-e.gguf", 5);
    put_file("mine/notes.txt", "GGUF", 4);
    put_file("mine/broken.gguf", "GGUF\3\0\0\0", 8);
    CHECK_INT(symlink(".", at("mine/loop")), 0);
    CHECK_INT(symlink("deep/er/smoke-e.gguf", at("mine/same-again.gguf")), 0);
    make_recipe("00");                          /* a recipe is a GGUF, but nothing to talk with */
    setenv("QUORUM_MODELS", at("mine"), 1);

    eng_found *list = NULL;
    int n = 0;
    CHECK_INT(eng_find(&list, &n, err), Q_OK);
    const eng_found *a = named(list, n, "Smoke-A-Q4_0"), *b = named(list, n, "smoke-b"), *c = named(list, n, "smoke-c"),
                    *d = named(list, n, "smoke:d"), *bad = named(list, n, "broken");
    CHECK(a && strcmp(a->place, "LM Studio") == 0 && strcmp(a->arch, "qwen3moe") == 0 && strcmp(a->quant, "Q4_0") == 0);
    CHECK(a && a->n_expert == 16 && a->n_expert_used == 4 && a->params > 4000000 && a->fits && !a->problem);
    CHECK(b && strcmp(b->place, "llama.cpp") == 0);
    CHECK(c && strcmp(c->place, "Hugging Face") == 0);
    CHECK(d && strcmp(d->place, "Ollama") == 0 && strstr(d->path, "blobs/sha256-4444"));
    CHECK(bad && bad->problem && !bad->fits);
    CHECK(list && n && list[n - 1].problem);    /* what cannot run comes last */
    int e = 0;
    for (int i = 0; i < n; i++) e += strcmp(list[i].name, "smoke-e") == 0 || strcmp(list[i].name, "same-again") == 0;
    CHECK_INT(e, 1);
    CHECK_INT(n, 6);
    eng_found_free(list, n);
}

static void by_part_of_the_name(void)
{
    char *path = NULL;
    CHECK_MSG(eng_find_model("A-q4", &path, err) == Q_OK, "%s", err);
    CHECK(path && strstr(path, ".lmstudio/"));
    free(path);
    CHECK_INT(eng_find_model("smoke-", &path, err), Q_RANGE);
    CHECK(!path && strstr(err, "smoke-b") && strstr(err, "smoke-c"));
    CHECK_INT(eng_find_model("smoke:d", &path, err), Q_OK);
    free(path);
    CHECK_INT(eng_find_model("mistral", &path, err), Q_NOTFOUND);
    CHECK(strstr(err, "QUORUM_MODELS") != NULL);
    CHECK_INT(eng_find_model(at("mine/broken.gguf"), &path, err), Q_OK);        /* a path is taken as it is */
    free(path);
    CHECK_INT(eng_find_model(at("mine/none.gguf"), &path, err), Q_NOTFOUND);
    CHECK_INT(eng_find_model(NULL, &path, err), Q_NOTFOUND);
    CHECK(strstr(err, "quorum model fetch") != NULL);
    char *own = eng_default_model();
    put_model(own + strlen(home) + 1, 9);
    free(own);
    CHECK_INT(eng_find_model(NULL, &path, err), Q_OK);
    free(path);
}

/* A place that is too large hides no other, and is named. */
static void a_large_folder_hides_no_other(void)
{
    enum { MOST = 50 };
    char name[64], *path = NULL;
    for (int i = 0; i < 2 * MOST; i++) {
        snprintf(name, sizeof name, "large/%03d.txt", i);
        put_file(name, "", 0);
    }
    setenv("QUORUM_MODELS", at("large"), 1);
    eng_found *list = NULL;
    int n = 0;
    CHECK_INT(find_models(MOST, false, &list, &n, err), Q_OK);
    CHECK_MSG(strstr(err, "large holds more than 50 files and folders"), "%s", err);
    CHECK(named(list, n, "Smoke-A-Q4_0") && named(list, n, "smoke-c") && named(list, n, "smoke:d"));
    eng_found_free(list, n);
    CHECK_INT(find_models(3 * MOST, false, &list, &n, err), Q_OK);
    CHECK_STR(err, "");
    eng_found_free(list, n);
    CHECK_INT(find_models(2, false, &list, &n, err), Q_OK);     /* each has its own: also what stands deeper, and Ollama's */
    CHECK(*err != 0);
    eng_found_free(list, n);
    CHECK_INT(eng_find_model("Smoke-A", &path, err), Q_OK);
    free(path);
    setenv("QUORUM_MODELS", at("mine"), 1);
}

static void description(void)
{
    q_buf out = {0};
    CHECK_INT(eng_describe(at("mine/deep/er/smoke-e.gguf"), false, &out, err), Q_OK);
    CHECK(out.p && strstr(out.p, "16 a layer, 4 used per token") && strstr(out.p, "runs here     yes"));
    q_buf_clear(&out);
    CHECK_INT(eng_describe(at("mine/deep/er/smoke-e.gguf"), true, &out, err), Q_OK);
    CHECK(out.p && strstr(out.p, "\"experts_used\":\t4"));
    q_buf_clear(&out);
    CHECK_INT(eng_describe(at("mine/broken.gguf"), false, &out, err), Q_FORMAT);

    /* Words of a file never drive the terminal. */
    gguf_writer *w = gguf_writer_new();
    gguf_put_str(w, "general.architecture", "evil\033[2Jarch");
    gguf_put_str(w, "general.name", "a\nb\r\033]0;title\007\xc2\x9bm\xff");
    CHECK_INT(gguf_write(w, at("mine/evil.gguf"), NULL, NULL, err), Q_OK);
    gguf_writer_free(w);
    for (int json = 0; json < 2; json++) {
        q_buf_clear(&out);
        CHECK_INT(eng_describe(at("mine/evil.gguf"), json, &out, err), Q_OK);
        CHECK(q_utf8_valid(out.p, out.len) && !strchr(out.p, 27) && !strchr(out.p, 7) && !strchr(out.p, '\r') && !strstr(out.p, "\xc2\x9b"));
    }
    q_buf_free(&out);
}

/* A kind of layer that is not computed is told where models are listed, not only when one is opened. */
static void crooked(gguf_writer *w) { gguf_put_str(w, "qwen3moe.rope.scaling.type", "crooked"); }
static void short_window(gguf_writer *w) { gguf_put_u32(w, "qwen3moe.attention.sliding_window", 16); }
static void long_window(gguf_writer *w) { gguf_put_u32(w, "qwen3moe.attention.sliding_window", 1u << 31); }

static void kinds_of_layers(void)
{
    static const struct { void (*more)(gguf_writer *); bool runs; } files[] = {{crooked, false}, {short_window, true}, {long_window, true}};
    gguf_file *from = NULL;
    CHECK_INT(gguf_open(at("mine/deep/er/smoke-e.gguf"), &from, err), Q_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        rewrite r = {.from = from, .type = -1, .more = files[i].more};
        CHECK_INT(rewrite_model(&r, at("mine/window.gguf"), err), Q_OK);
        eng_model *m = NULL;
        CHECK_INT(eng_model_open(at("mine/window.gguf"), NULL, &m, err), files[i].runs ? Q_OK : Q_FORMAT);
        CHECK_MSG(files[i].runs || strstr(err, "\"crooked\" is not known"), "%s", err);
        eng_model_free(m);
        eng_found *list = NULL;
        int n = 0;
        CHECK_INT(eng_find(&list, &n, err), Q_OK);
        const eng_found *f = named(list, n, "window");
        CHECK(f && !f->problem == files[i].runs);
        CHECK_MSG(files[i].runs || (f && f->problem && strstr(f->problem, "\"crooked\" is not known")), "%s", f && f->problem ? f->problem : "");
        eng_found_free(list, n);
    }
    gguf_close(from);
}

static void list_of(gguf_writer *w, enum gguf_vtype item, const void *data, uint64_t count, size_t bytes)
{
    gguf_put_u32(w, "qwen3moe.attention.sliding_window", 16);
    gguf_put_kv(w, "qwen3moe.attention.sliding_window_pattern", &(gguf_kv){.type = GGUF_ARR, .item = item, .count = count, .data = data, .bytes = bytes});
}
static void none_said(gguf_writer *w) { gguf_put_u32(w, "qwen3moe.attention.sliding_window", 16); }
static void every_second(gguf_writer *w) { none_said(w); gguf_put_u32(w, "qwen3moe.attention.sliding_window_pattern", 2); }
static void every_one(gguf_writer *w) { none_said(w); gguf_put_u32(w, "qwen3moe.attention.sliding_window_pattern", 1); }
static void of_numbers(gguf_writer *w) { list_of(w, GGUF_U32, (const uint32_t[]){0, 1}, 2, 8); }
static void of_truths(gguf_writer *w) { list_of(w, GGUF_BOOL, (const uint8_t[]){0, 1}, 2, 2); }
static void too_short(gguf_writer *w) { list_of(w, GGUF_BOOL, (const uint8_t[]){1}, 1, 1); }

/* Which layers see a window: as the file says, of each layer or of every so manyth. */
static void windows_by_layer(void)
{
    static const struct { void (*more)(gguf_writer *); int window[2]; bool runs; } files[] = {
        {none_said, {16, 16}, true}, {every_second, {16, 0}, true}, {every_one, {0, 0}, true},
        {of_numbers, {0, 16}, true}, {of_truths, {0, 16}, true}, {too_short, {0, 0}, false},
    };
    gguf_file *from = NULL;
    CHECK_INT(eng_synth("qwen3moe", "smoke", "Q8_0", 2, 1, at("mine/two.gguf"), NULL, NULL, err), Q_OK);
    CHECK_INT(gguf_open(at("mine/two.gguf"), &from, err), Q_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        rewrite r = {.from = from, .type = -1, .more = files[i].more};
        CHECK_INT(rewrite_model(&r, at("mine/layers.gguf"), err), Q_OK);
        eng_model *m = NULL;
        CHECK_INT(eng_model_open(at("mine/layers.gguf"), NULL, &m, err), files[i].runs ? Q_OK : Q_FORMAT);
        for (int l = 0; m && l < 2; l++) CHECK_MSG(m->layers[l].window == files[i].window[l], "file %d, layer %d: %d", (int)i, l, m->layers[l].window);
        if (!m) CHECK_MSG(strstr(err, "sliding_window_pattern says nothing of layer 1"), "%s", err);
        eng_model_free(m);
    }
    gguf_close(from);
}

int main(void)
{
    if (!mkdtemp(home)) return 1;
    setenv("HOME", home, 1);
    static const char *const unset[] = {"XDG_CACHE_HOME", "XDG_DATA_HOME", "LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS"};
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) unsetenv(unset[i]);
    snprintf(recipe, sizeof recipe, "%s/mine", home);
    q_mkdirs(recipe, err);
    snprintf(recipe, sizeof recipe, "%s/mine/recipe.gguf", home);
    RUN(the_usual_places);
    RUN(by_part_of_the_name);
    RUN(a_large_folder_hides_no_other);
    RUN(description);
    RUN(kinds_of_layers);
    RUN(windows_by_layer);
    char *rm = q_printf("rm -rf '%s'", home);
    if (system(rm) != 0) printf("# %s is left\n", home);
    free(rm);
    return TEST_END();
}
