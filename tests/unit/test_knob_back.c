/* Every knob of the engine that acts on hidden states, on two tiny models: set, evaluated, unset, evaluated gives the first
 * bytes again; changed in the middle of a generation it gives what a timeline that was built so, token by token, gives, and a
 * position knob what all tokens under it give. Each value does something. Bytes are compared, no clock is looked at. */
#include "engine/engine.h"
#include "tests/adapter_help.h"
#include "tests/test.h"

enum { PROMPT = 24, BEFORE = 5, AFTER = 6 };
typedef struct turn { const char *name, *value, *with; } turn;         /* with: what is set on both sides, "NAME VALUE NAME VALUE" */
static const turn turns[] = {
    { "experts.k", "1", NULL }, { "experts.k", "x2", NULL }, { "experts.k", "1:2,2:5", NULL }, { "experts.min_p", "1", NULL }, { "experts.ban", "1:0,1:1,2:3,2:4", NULL },
    { "experts.pin", "1:5,2:7", NULL }, { "experts.bias", "1:4=3,2:6=-2", NULL }, { "experts.temperature", "0.25", NULL }, { "attention.heads_off", "0:1,2:3", NULL },
    { "lora.scale", "0.7", NULL }, { "norm.eps", "0.1", NULL }, { "rope.theta", "500", NULL }, { "kv.type", "q8_0", NULL }, { "kv.type", "q4_0", NULL }, { "kv.type", "f32", NULL }, { "ffn.width", "50%", NULL }, { "ffn.width", "7", NULL }, { "ffn.width", "0:24,1-2:3", NULL },
    { "ffn.width", "50%:magnitude", NULL }, { "ffn.width", "1-2:3:magnitude", NULL },
    { "rope.scaling", "linear", "rope.factor 4" }, { "rope.scaling", "yarn", "rope.factor 4 rope.original_context 64" }, { "rope.factor", "3", "rope.scaling linear" },
    { "rope.factor", "8", "rope.scaling yarn rope.original_context 64" }, { "rope.original_context", "16", "rope.scaling yarn rope.factor 4" },
    { "rope.yarn_range", "exact", "rope.scaling yarn rope.factor 4 rope.original_context 64" } };
static char err[Q_ERRLEN];
static eng_model *m;
static int n_vocab;

static int32_t token(int i) { return (int32_t)((i * 7919 + 13) % n_vocab); }

static eng_config *config(const turn *t, bool turned)
{
    eng_config *c = eng_config_new(m);
    char with[64], *save = NULL;
    CHECK(eng_config_set(c, "context.length", "128", err) == 0);
    snprintf(with, sizeof with, "%s", t->with ? t->with : "");
    for (char *name = strtok_r(with, " ", &save); name; name = strtok_r(NULL, " ", &save))
        CHECK_MSG(eng_config_set(c, name, strtok_r(NULL, " ", &save), err) == 0, "%s", err);
    if (turned)
        CHECK_MSG(eng_config_set(c, t->name, t->value, err) == 0, "%s=%s: %s", t->name, t->value, err);
    return c;
}

static eng_session *session(const eng_config *c)
{
    eng_session *s = NULL;
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0, "%s", err);
    return s;
}

static void read_prompt(eng_session *s)
{
    int32_t t[PROMPT];
    for (int i = 0; i < PROMPT; i++)
        t[i] = token(i);
    CHECK(eng_session_sync(s, t, PROMPT, ENG_CONTINUE, NULL, NULL, err) == 0);
}

static void push(eng_session *s, int from, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_MSG(eng_session_push(s, token(PROMPT + from + i), err) == 0, "%s", err);
}

/* The logits as they are now. */
static float *taken(eng_session *s)
{
    const float *l = eng_session_logits(s);
    float *copy = q_alloc(sizeof *copy * (size_t)n_vocab);
    CHECK(l != NULL);
    if (l)
        memcpy(copy, l, sizeof *copy * (size_t)n_vocab);
    return copy;
}

static bool same(const float *a, const float *b) { return memcmp(a, b, sizeof *a * (size_t)n_vocab) == 0; }

static void there_and_back(const turn *t)
{
    eng_config *own = config(t, false), *c = config(t, true);
    eng_session *s = session(own);
    read_prompt(s);
    push(s, 0, BEFORE);
    float *first = taken(s);
    CHECK_MSG(eng_session_config(s, c, ENG_RECOMPUTE, err) == 0, "%s", err);
    read_prompt(s);
    push(s, 0, BEFORE);
    float *turned = taken(s);
    CHECK_MSG(!same(first, turned), "%s=%s does nothing", t->name, t->value);
    CHECK(eng_config_set(c, t->name, "default", err) == 0);
    CHECK(eng_session_config(s, c, ENG_RECOMPUTE, err) == 0);
    read_prompt(s);
    push(s, 0, BEFORE);
    float *back = taken(s);
    CHECK_MSG(same(first, back), "%s=%s and back gives other bytes", t->name, t->value);
    eng_session *fresh = session(c);     /* and nothing is left in the cache */
    read_prompt(fresh);
    push(fresh, 0, BEFORE);
    float *anew = taken(fresh);
    CHECK_MSG(same(first, anew), "%s=%s: another timeline gives other bytes", t->name, t->value);
    eng_session_free(fresh);
    eng_session_free(s);
    free(first);
    free(turned);
    free(back);
    free(anew);
    eng_config_free(own);
    eng_config_free(c);
}

static void in_mid_generation(const turn *t)
{
    eng_config *own = config(t, false), *c = config(t, true);
    bool anew = eng_config_diff(own, c) >= Q_EFFECT_POSITION;
    eng_session *s = session(own), *built = session(anew ? c : own);
    read_prompt(s);                      /* the prompt in one batch, the change between two tokens */
    push(s, 0, BEFORE);
    CHECK_MSG(eng_session_config(s, c, ENG_CONTINUE, err) == 0, "%s", err);
    push(s, BEFORE, AFTER);
    for (int i = 0; i < PROMPT; i++)     /* token by token; a position or the cells' format: all of it under c */
        CHECK(eng_session_push(built, token(i), err) == 0);
    push(built, 0, BEFORE);
    if (!anew)
        CHECK(eng_session_config(built, c, ENG_CONTINUE, err) == 0);
    push(built, BEFORE, AFTER);
    float *a = taken(s), *b = taken(built);
    CHECK_MSG(same(a, b), "%s=%s changed in mid-generation gives other bytes", t->name, t->value);
    eng_session *all = session(c);
    read_prompt(all);
    push(all, 0, BEFORE + AFTER);
    float *x = taken(all);
    CHECK_MSG(anew == same(a, x), "%s=%s: %s", t->name, t->value, anew ? "not as if it had always held" : "earlier cells were evaluated anew under continue");
    eng_session_free(s);
    eng_session_free(built);
    eng_session_free(all);
    free(a);
    free(b);
    free(x);
    eng_config_free(own);
    eng_config_free(c);
}

static void walk(const char *name)
{
    char *path = util_model(name);
    int rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    remove(path);
    free(path);
    if (rc)
        return;
    n_vocab = eng_model_info(m)->n_vocab;
    eng_low low = help_low(m, KER_W_Q, 1, 4, .5f);         /* lora.scale acts on something; its own value is 1 */
    eng_adapter *style = NULL;
    CHECK_MSG(eng_adapter_make(m, "style", &low, 1, "", &style, err) == 0 && eng_model_adapter_add(m, style, "style", err) == 0, "%s", err);
    help_low_free(&low, 1);
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        there_and_back(&turns[i]);
        in_mid_generation(&turns[i]);
    }
    eng_model_free(m);
}

static void back_with_experts(void) { walk("qwen3moe"); }
static void back_with_shared_experts(void) { walk("glm4moe"); }

/* Every row that acts on hidden states stands above. */
static void no_knob_is_forgotten(void)
{
    int n;
    const q_knob *k = eng_knobs(&n);
    for (int i = 0; i < n; i++) {
        bool acts = k[i].effect == Q_EFFECT_ROUTING || k[i].effect == Q_EFFECT_FORWARD || k[i].effect == Q_EFFECT_POSITION || strcmp(k[i].name, "kv.type") == 0;
        bool there = false;
        for (size_t j = 0; j < sizeof turns / sizeof *turns; j++)
            there |= strcmp(turns[j].name, k[i].name) == 0;
        CHECK_MSG(there || !acts, "%s is not tried here", k[i].name);
    }
}

int main(void)
{
    RUN(back_with_experts);
    RUN(back_with_shared_experts);
    RUN(no_knob_is_forgotten);
    return TEST_END();
}
