/* tests/fuzz/config: what people and files hand in as settings: every knob's value, configurations as JSON,
 * config.ini, themes and carving recipes. What is refused changes nothing; what is taken reads back the same. */
#include "agent/room.h"
#include "engine/models.h"
#include "engine/run/config.h"
#include "tests/engine_util.h"
#include "tests/fuzz/fuzz.h"
#include "tests/tiny.h"
#include "tui/term/theme.h"

#include <sys/mman.h>

static bool one_sentence(const char *e) { return *e && !strchr(e, '\n') && strlen(e) < Q_ERRLEN && q_utf8_valid(e, strlen(e)); }

/* A file in memory that holds p, and its path. */
static int memory_file(const char *p, size_t n, char path[64])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n) {
        if (fd >= 0) close(fd);
        return -1;
    }
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

/* ---- values of knobs: the first byte chooses the knob ---- */
static eng_model *model;

static bool open_model(void)
{
    char *path = util_model("qwen3moe");
    eng_open_opts o = {.n_threads = 1};
    int rc = eng_model_open(path, &o, &model, err);
    unlink(path);
    free(path);
    return rc == Q_OK;
}
static void close_model(void) { eng_model_free(model); }

static const char *const VALUES[] = {"8", "2", "0.5", "1,2,3,4", "0:1,1:2", "0:5=2.0,1:3=-1e3", "yarn", "linear", "none", "default", "f32", "q8_0", "q4_0", "on", "off",
                                     "true", "auto", "1e15", "1e-12", "-0", "nan", "inf", "0x10", "END,\\n\\n,a\\,b", "  4 ", "4,", "Привет", "999999999999999999999",
                                     "1.5", "4096", "16", "0:0", "0:0=0", "x2", "х0.5", "0-1:4,2:3"};
enum { N_VALUES = sizeof VALUES / sizeof *VALUES };

/* Mostly a value that fits the row's type; now and then any. */
static const char *value_for(fuzz_rng *r, const q_knob *k)
{
    static const char *const fit[][5] = {
        [Q_KNOB_INT] = {"16", "64", "1", "4096", "0"}, [Q_KNOB_FLOAT] = {"0.5", "1", "1e-5", "10000", "2.75"},
        [Q_KNOB_BOOL] = {"on", "off", "true", "0", "1"}, [Q_KNOB_CHOICE] = {"auto", "off", "yarn", "f32", "linear"},
        [Q_KNOB_TEXT] = {"END,\\n\\n,a\\,b", "Привет", "none", "a", "\\\\"}, [Q_KNOB_INTS] = {"1", "2", "x2", "0-1:4,2:3", "3,1,2"},
        [Q_KNOB_PAIRS] = {"0:1,1:2", "none", "0:0", "1:3", "0:1,0:2"}, [Q_KNOB_PAIR_VALUES] = {"0:5=2.0,1:3=-1e3", "none", "0:0=0", "1:1=0.125", "0:1=-7"}};
    return fuzz_below(r, 5) ? fit[k->type][fuzz_below(r, 5)] : VALUES[fuzz_below(r, N_VALUES)];
}

static void knob_seed(fuzz_rng *r, q_buf *b)
{
    int n_knob;
    const q_knob *k = eng_knobs(&n_knob);
    uint32_t i = fuzz_below(r, (uint32_t)n_knob);
    q_buf_putc(b, (char)i);
    q_buf_puts(b, value_for(r, &k[i]));
}

/* c, written out as JSON (and, where one knob alone differs, as that knob's text) and read again, must be c. */
static int reads_back(const eng_config *c, const char *name)
{
    q_buf v = {0};
    int rc = 1;
    eng_config *by_text = eng_config_new(model), *by_json = eng_config_new(model);
    char *json = eng_config_json(c), *value = name ? q_strdup(eng_config_get(c, name, &v)) : NULL;
    if (eng_config_from_json(by_json, json, err)) rc = FUZZ_BROKEN("its JSON %s is refused: %s", json, err);
    else if (eng_config_hash_all(by_json) != eng_config_hash_all(c)) rc = FUZZ_BROKEN("%s read back is another configuration", json);
    else if (name && eng_config_set(by_text, name, value, err)) rc = FUZZ_BROKEN("%s does not take back its own \"%s\": %s", name, value, err);
    else if (name && eng_config_hash_all(by_text) != eng_config_hash_all(c)) rc = FUZZ_BROKEN("%s = \"%s\" read back is another configuration", name, value);
    const char *label = eng_config_label(c, &v);
    if (!q_utf8_valid(label, strlen(label))) rc = FUZZ_BROKEN("the label is not UTF-8: %s", json);
    free(json);
    free(value);
    q_buf_free(&v);
    eng_config_free(by_text);
    eng_config_free(by_json);
    return rc;
}

static int knob_run(const char *p, size_t n)
{
    int n_knob, rc;
    const q_knob *k = eng_knobs(&n_knob);
    const char *name = k[(n ? (unsigned char)*p : 0) % n_knob].name;
    char *value = q_strndup(n ? p + 1 : "", n ? n - 1 : 0);
    eng_config *c = eng_config_new(model);
    eng_config_set(c, "experts.k", "3", err);
    uint64_t before = eng_config_hash_all(c);
    err[0] = 0;
    if (eng_config_set(c, name, value, err) < 0) {
        rc = one_sentence(err) ? 0 : FUZZ_BROKEN("%s refused \"%s\" with \"%s\"", name, value, err);
        if (eng_config_hash_all(c) != before) rc = FUZZ_BROKEN("%s: a refused \"%s\" changed something", name, value);
    } else {
        eng_config_set(c, "experts.k", "default", err);          /* one knob alone differs now, or none */
        if (strcmp(name, "experts.k") == 0) eng_config_set(c, name, value, err);
        rc = reads_back(c, name);
        config_ker ck;
        config_ker_build(c, &ck);                                /* and the backend can be told */
        config_ker_free(&ck);
    }
    eng_config_free(c);
    free(value);
    return rc;
}
const fuzz_target fuzz_knob = {"knob", 4000, 40000, open_model, knob_seed, knob_run, close_model, 0};

/* ---- configurations as JSON ---- */
static void json_seed(fuzz_rng *r, q_buf *b)
{
    int n_knob;
    const q_knob *k = eng_knobs(&n_knob);
    q_buf_putc(b, '{');
    for (int i = (int)fuzz_below(r, 3); i >= 0; i--) {
        const q_knob *row;
        do row = &k[fuzz_below(r, (uint32_t)n_knob)]; while (row->effect == Q_EFFECT_FIXED);     /* those that can be set */
        q_buf_printf(b, fuzz_below(r, 4) ? "\"%s\":\"%s\"%s" : "\"%s\":%s%s", row->name, value_for(r, row), i ? "," : "}");
    }
}
static int json_run(const char *p, size_t n)
{
    char *text = q_strndup(p, n);
    eng_config *c = eng_config_new(model);
    uint64_t before = eng_config_hash_all(c);
    int rc;
    err[0] = 0;
    if (eng_config_from_json(c, text, err) < 0) {
        rc = one_sentence(err) ? 0 : FUZZ_BROKEN("refused with \"%s\"", err);
        if (eng_config_hash_all(c) != before) rc = FUZZ_BROKEN("a refused configuration changed something: %s", text);
    } else rc = reads_back(c, NULL);
    eng_config_free(c);
    free(text);
    return rc;
}
const fuzz_target fuzz_json = {"json", 2000, 20000, open_model, json_seed, json_run, close_model, 0};

/* ---- config.ini ---- */
static agt *room;

static bool open_room(void)
{
    agt_options o = {.db = ":memory:"};
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    return agt_open(&o, &room, err) == Q_OK;
}
static void close_room(void) { agt_close(room); }

static void ini_seed(fuzz_rng *r, q_buf *b)
{
    static const char *part[] = {"[set]\nexperts.k = 4\n", "[sampler]\ntemperature = 0.5 ; note\n", "[ui]\ntheme = light\npace = 12\nui.lang=ru\n", "# comment\n",
                                 "; another\n", "\xEF\xBB\xBF", "[memory]\nmin_score = .4\nmax_passages=5\n", "name\n", "a = \n", " continued\n", "[unclosed\n",
                                 "context.policy = recompute\r\n", "system = \"You are terse.\"\n", "temperature : 1\n"};
    for (int i = (int)fuzz_below(r, 6); i >= 0; i--) q_buf_puts(b, part[fuzz_below(r, sizeof part / sizeof *part)]);
}
static int ini_run(const char *p, size_t n)
{
    q_buf t = {0};
    strings notes = {0};
    q_buf_add(&t, p, n);
    settings_parse_ini(&room->settings, "config.ini", &t, &notes);
    strings *assign = &room->settings.ini;
    int rc = assign->n > 0;
    for (int i = 0; i < assign->n && rc >= 0; i++) {
        char *name = q_strndup(assign->v[i], strcspn(assign->v[i], "="));
        if (settings_find(&room->settings, name) < 0) rc = FUZZ_BROKEN("assigns %s, which is no knob", name);
        free(name);
    }
    for (int i = 0; i < notes.n && rc >= 0; i++)
        if (!*notes.v[i]) rc = FUZZ_BROKEN("an empty note");
    q_buf v = {0};
    for (int i = 0; i < agt_knob_count(room) && rc >= 0; i++)
        if (!agt_knob_value(room, agt_knob(room, i), &v)) rc = FUZZ_BROKEN("%s has no value", agt_knob(room, i)->name);
    q_buf_free(&v);
    strings_free(assign);
    strings_free(&notes);
    q_buf_free(&t);
    return rc;
}
const fuzz_target fuzz_ini = {"config.ini", 1500, 20000, open_room, ini_seed, ini_run, close_room, 0};

/* ---- themes ---- */
static q_buf themes[2];

static bool themes_ready(void)
{
    return q_read_file("themes/dark.ini", &themes[0], 1 << 20, err) == 0 && q_read_file("themes/light.ini", &themes[1], 1 << 20, err) == 0;
}
static void themes_done(void) { q_buf_free(&themes[0]); q_buf_free(&themes[1]); }

static void theme_seed(fuzz_rng *r, q_buf *b)
{
    const q_buf *t = &themes[fuzz_below(r, 2)];
    q_buf_add(b, t->p, t->len);
}
static bool colour(int c, int top) { return c >= -1 && c <= top; }

static int theme_run(const char *p, size_t n)
{
    char path[64];
    int fd = memory_file(p, n, path);
    if (fd < 0) return FUZZ_BROKEN("cannot write a file in memory");
    tui_theme t;
    err[0] = 0;
    int rc = tui_theme_load(path, &t, err);
    rc = rc == 0 ? 1 : *err && strlen(err) < Q_ERRLEN ? 0 : FUZZ_BROKEN("refused without a sentence");
    bool good = colour(t.paper, 0xFFFFFF) && colour(t.ink, 0xFFFFFF);
    for (int i = 0; i < S_N; i++)                          /* usable, whatever was refused */
        good = good && colour(t.rgb[i].fg, 0xFFFFFF) && colour(t.rgb[i].bg, 0xFFFFFF) && colour(t.ansi[i].fg, 15) && colour(t.ansi[i].bg, 15) &&
               t.mono[i].fg == -1 && t.mono[i].bg == -1 && (t.rgb[i].attr | t.ansi[i].attr | t.mono[i].attr) < 32;
    close(fd);
    return good ? rc : FUZZ_BROKEN("a colour that is none");
}
const fuzz_target fuzz_theme = {"theme", 1500, 20000, themes_ready, theme_seed, theme_run, themes_done, 0};

/* ---- carving recipes ---- */
static q_buf recipe_bytes;
static char carved[160];

static bool recipe_ready(void)
{
    if (!mkdtemp(dir)) return false;
    snprintf(source, sizeof source, "%s/source.gguf", dir);
    snprintf(recipe, sizeof recipe, "%s/recipe.gguf", dir);
    snprintf(carved, sizeof carved, "%s/out.gguf", dir);
    make_source(false);
    make_recipe(NULL);
    return q_read_file(recipe, &recipe_bytes, 1 << 24, err) == 0 && test_bad == 0 && test_failed == 0;
}
static void recipe_done(void)
{
    q_buf_free(&recipe_bytes);
    unlink(source);
    unlink(recipe);
    unlink(carved);
    rmdir(dir);
}
static void recipe_seed(fuzz_rng *r, q_buf *b) { q_buf_add(b, recipe_bytes.p, recipe_bytes.len); }

static int recipe_run(const char *p, size_t n)
{
    char path[64];
    int fd = memory_file(p, n, path);
    if (fd < 0) return FUZZ_BROKEN("cannot write a file in memory");
    unlink(carved);
    err[0] = 0;
    int rc = eng_carve(source, path, carved, true, NULL, NULL, err);
    close(fd);
    if (rc < 0) {
        if (access(carved, F_OK) == 0) return FUZZ_BROKEN("refused (%s), yet it wrote a file", err);
        return one_sentence(err) ? 0 : FUZZ_BROKEN("refused with \"%s\"", err);
    }
    gguf_file *f;
    if (gguf_open(carved, &f, err)) return FUZZ_BROKEN("it carved a file that cannot be read: %s", err);
    gguf_close(f);
    return 1;
}
const fuzz_target fuzz_recipe = {"recipe", 300, 10000, recipe_ready, recipe_seed, recipe_run, recipe_done, 1200};
