/* Every knob of the engine at both ends of its range and just outside, alone and in pairs within one effect class, on two
 * tiny models: what is outside is refused and changes nothing; what is inside evaluates, samples and ends. All pairs of all
 * knobs with QUORUM_LONG=1. Nothing here looks at a clock. */
#include "engine/engine.h"
#include "engine/text.h"
#include "tests/engine_util.h"
#include "tests/test.h"

#include <unistd.h>

static char err[Q_ERRLEN];
static eng_model *m;
static int settings, refused, unfit;

static eng_model *model_of(const char *name)
{
    char *path = util_model(name);
    int rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    remove(path);
    free(path);
    return rc ? NULL : m;
}

/* Values of a row: the first `n_in` are allowed, the rest are not. */
typedef struct values { char *v[24]; int n, n_in; } values;

static void add(values *a, char *text) { a->v[a->n++] = text; }

static void numbers(values *a, const q_knob *k, double lo, double hi)
{
    bool whole = k->type != Q_KNOB_FLOAT;
    add(a, q_printf("%.17g", lo));
    add(a, q_printf("%.17g", hi));
    if (whole && hi - lo > 1) {
        add(a, q_printf("%.17g", lo + 1));
        add(a, q_printf("%.17g", hi - 1));
    }
    a->n_in = a->n;
    add(a, q_printf("%.17g", whole ? lo - 1 : nextafter(lo, -HUGE_VAL)));
    /* one above 2^53 is no double: as a person would write it */
    add(a, hi == 0x1p53 ? q_strdup("9007199254740993") : q_printf("%.17g", whole ? hi + 1 : nextafter(hi, HUGE_VAL)));
    if (whole)
        add(a, q_printf("%.17g", lo + 0.5));
    static const char *const never[] = { "nan", "inf", "-inf", "1e400", "", "x", "1 2", "0x" };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        add(a, q_strdup(never[i]));
}

static void grid(values *a, const q_knob *k, int first, int last, int items)
{
    bool valued = k->type == Q_KNOB_PAIR_VALUES;
    add(a, q_strdup("none"));
    if (items > 0 && valued) {
        add(a, q_printf("%d:0=%.17g", first, k->min));
        add(a, q_printf("%d:%d=%.17g,%d:0=%.17g", last, items - 1, k->max, first, k->min));
    } else if (items > 0) {
        add(a, q_printf("%d:0", first));
        add(a, q_printf("%d:%d,%d:0", last, items - 1, first));
    }
    a->n_in = a->n;
    add(a, q_printf(valued ? "%d:%d=1" : "%d:%d", first, items));
    add(a, q_printf(valued ? "%d:0=1" : "%d:0", last + 1));
    add(a, q_printf(valued ? "-1:0=1" : "-1:0"));
    add(a, q_printf(valued ? "%d:-1=1" : "%d:-1", first));
    add(a, q_printf(valued ? "%d:0=%.17g" : "%d:0=%g", first, nextafter(k->max, HUGE_VAL)));
    add(a, q_strdup("0"));
    add(a, q_strdup("0:"));
}

static values values_of(const eng_config *c, const q_knob *k)
{
    const eng_info *o = eng_model_info(m);
    values a = { .n = 0 };
    double lo = k->min, hi = k->max;
    if (k->effect == Q_EFFECT_FIXED) {
        q_buf b = { 0 };
        double x = atof(eng_config_get(c, k->name, &b));
        add(&a, q_printf("%.17g", x));
        a.n_in = a.n;
        add(&a, q_printf("%.17g", x + 1));
        add(&a, q_printf("%.17g", x - 1));
        q_buf_free(&b);
        return a;
    }
    switch (k->type) {
    case Q_KNOB_INT: case Q_KNOB_FLOAT: case Q_KNOB_INTS:
        if (eng_config_range(c, k->name, &lo, &hi))
            numbers(&a, k, lo, hi);
        break;
    case Q_KNOB_CHOICE:
        for (const char *p = k->choices; *p;) {
            size_t w = strcspn(p, ",");
            if (strncmp(p, "longrope", w) != 0 && strncmp(p, "mtp", w) != 0)       /* these models hold no factors and no head for them */
                add(&a, q_strndup(p, w));
            p += w + (p[w] == ',');
        }
        a.n_in = a.n;
        if (strstr(k->choices, "longrope"))
            add(&a, q_strdup("longrope"));
        if (strstr(k->choices, "mtp"))
            add(&a, q_strdup("mtp"));
        add(&a, q_strdup("nonsense"));
        add(&a, q_strdup(""));
        break;
    case Q_KNOB_PAIRS: case Q_KNOB_PAIR_VALUES: {
        bool heads = strstr(k->name, "heads") != NULL;
        if (heads || o->n_expert > 0)
            grid(&a, k, heads ? 0 : o->first_moe_layer, o->n_layer - 1, heads ? o->n_head : o->n_expert);
        break;
    }
    case Q_KNOB_TEXT:
        if (strcmp(k->name, "sampler.grammar") == 0) {     /* a file; or what the knob holds of one: its path, a line break, its text */
            add(&a, q_strdup("off"));
            add(&a, q_strdup("/somewhere/any.gbnf\nroot ::= .*"));
            add(&a, q_strdup("\ntrue"));
            a.n_in = a.n;
            add(&a, q_strdup("/nonesuch/file"));
            add(&a, q_strdup("x\nroot ::= other"));
            add(&a, q_strdup("\xff"));
            break;
        }
        if (strcmp(k->name, "lora.scale") == 0) {          /* nothing is loaded (tests/unit/test_lora.c has adapters) */
            add(&a, q_strdup("none"));
            add(&a, q_strdup("0"));
            a.n_in = a.n;
            add(&a, q_strdup("style=1"));
            add(&a, q_strdup("1"));
            add(&a, q_strdup("\xff"));
            break;
        }
        add(&a, q_strdup("none"));
        add(&a, q_strdup("a,\\n,\\,"));
        add(&a, q_printf("%0*d", (int)k->max, 0));
        a.n_in = a.n;
        add(&a, q_printf("%0*d", (int)k->max + 1, 0));
        add(&a, q_strdup("\xff"));
        break;
    case Q_KNOB_BOOL: break;
    }
    return a;
}

static void values_free(values *a)
{
    for (int i = 0; i < a->n; i++)
        free(a->v[i]);
}

/* A few tokens read and a few chosen under c. A setting may be too much for the numbers or the memory: then it is said. */
static void use(const eng_config *given, const char *what)
{
    eng_config *c = eng_config_copy(given);
    eng_session *s = NULL;
    double lo, hi;
    q_buf b = { 0 };
    if (atof(eng_config_get(c, "context.length", &b)) > 4096)        /* that it can be had is another test's; this one's is that it ends */
        CHECK(eng_config_set(c, "context.length", "4096", err) == 0);
    if (atof(eng_config_get(c, "threads", &b)) > 8)
        CHECK(eng_config_set(c, "threads", "8", err) == 0);
    int rc = eng_session_new(m, c, &s, err);
    if (!rc)
        rc = eng_session_sync(s, (int32_t[]){ 1, 20, 300, 4, 5 }, 5, ENG_CONTINUE, NULL, NULL, err);
    eng_sampler *p = eng_sampler_new(m);
    eng_sampler_reset(p, c);
    eng_sampler_accept(p, 1);
    for (int i = 0; i < 3 && !rc; i++) {
        eng_choice k = eng_sample(p, c, eng_session_logits(s));
        CHECK_MSG(k.token >= 0 && k.token < eng_model_info(m)->n_vocab && isfinite(k.logprob) && isfinite(k.p), "%s: token %d, logprob %g, p %g", what, k.token, (double)k.logprob, (double)k.p);
        eng_sampler_accept(p, k.token);
        CHECK(eng_stop_scan(c, "00000 a", 7) <= 7);
        rc = eng_session_push(s, k.token, err);
    }
    CHECK_MSG(rc == 0 || (rc == Q_FORMAT && strstr(err, "not a number")), "%s: %d %s", what, rc, rc ? err : "");
    unfit += rc != 0;
    settings++;
    eng_sampler_free(p);
    eng_session_free(s);
    char *json = eng_config_json(given);                               /* and it can be written down and read again */
    eng_config *back = eng_config_new(m);
    CHECK_MSG(eng_config_from_json(back, json, err) == 0 && eng_config_hash_all(back) == eng_config_hash_all(given), "%s: %s", what, json);
    eng_config *own = eng_config_new(m);                               /* a label says what differs, and nothing else */
    CHECK_MSG((*eng_config_label(given, &b) == 0) == (eng_config_hash(given) == eng_config_hash(own)), "%s: \"%s\"", what, b.p);
    eng_config_free(own);
    (void)lo, (void)hi;
    free(json);
    q_buf_free(&b);
    eng_config_free(back);
    eng_config_free(c);
}

static void alone(const q_knob *k)
{
    eng_config *c = eng_config_new(m);
    values a = values_of(c, k);
    for (int i = 0; i < a.n; i++) {
        char *what = q_printf("%s=%.40s", k->name, a.v[i]);
        uint64_t before = eng_config_hash_all(c);
        int rc = eng_config_set(c, k->name, a.v[i], err);
        if (i < a.n_in) {
            CHECK_MSG(rc == 0, "%s: %s", what, rc ? err : "");
            use(c, what);
            CHECK(eng_config_set(c, k->name, "default", err) == 0 && eng_config_is_default(c, k->name));
        } else {
            CHECK_MSG(rc < 0 && *err && !strchr(err, '\n'), "%s was taken", what);
            CHECK_MSG(eng_config_hash_all(c) == before, "%s changed something", what);
            refused++;
        }
        free(what);
    }
    values_free(&a);
    eng_config_free(c);
}

static void pair(const q_knob *k, const q_knob *l)
{
    eng_config *c = eng_config_new(m);
    values a = values_of(c, k), b = values_of(c, l);
    for (int i = 0; i < a.n_in; i++)
        for (int j = 0; j < b.n_in; j++) {
            char *what = q_printf("%s=%.30s %s=%.30s", k->name, a.v[i], l->name, b.v[j]);
            CHECK(eng_config_set(c, k->name, "default", err) == 0 && eng_config_set(c, l->name, "default", err) == 0);
            CHECK_MSG(eng_config_set(c, k->name, a.v[i], err) == 0 && eng_config_set(c, l->name, b.v[j], err) == 0, "%s: %s", what, err);
            use(c, what);
            free(what);
        }
    values_free(&a);
    values_free(&b);
    eng_config_free(c);
}

static void sweep(const char *name)
{
    int n;
    const q_knob *k = eng_knobs(&n);
    bool all = getenv("QUORUM_LONG") != NULL;
    settings = refused = unfit = 0;
    if (!model_of(name))
        return;
    for (int i = 0; i < n; i++)
        alone(&k[i]);
    int single = settings;
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            if (k[i].effect != Q_EFFECT_FIXED && k[j].effect != Q_EFFECT_FIXED && (all || k[i].effect == k[j].effect))
                pair(&k[i], &k[j]);
    printf("# %s: %d settings alone, %d in pairs, %d refused, %d too much for the numbers\n", name, single, settings - single, refused, unfit);
    CHECK(single > 60 && settings > 4 * single && refused > 150);
    eng_model_free(m);
}

static void ends_of_every_knob_with_experts(void) { sweep("qwen3moe"); }
static void ends_of_every_knob_with_shared_experts(void) { sweep("glm4moe"); }

int main(void)
{
    RUN(ends_of_every_knob_with_experts);
    RUN(ends_of_every_knob_with_shared_experts);
    return TEST_END();
}
