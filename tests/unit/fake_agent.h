/* tests: the agent's whole interface over scripted values, so that screens can be drawn and keys pressed without a model.
 * What a person did is written into fake.said, one line an act. Linked instead of the real one: every agt_* is here. */
#ifndef QUORUM_FAKE_AGENT_H
#define QUORUM_FAKE_AGENT_H
#include "agent/agent.h"

#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fake {
    agt_status st;
    agt_turned turned;
    agt_routing rt;             /* arrays owned here */
    q_buf said;
    struct { char *key, *value; } set[32]; int n_set;
    char *settings[32];
    bool long_work;             /* busy without an answer */
    uint64_t spared;            /* what the energy map is told */
    tch_state teaching;         /* phase idle: nothing */
    int n_recurrent;            /* likewise */
    char kept[64];              /* the last place: its conversation and draft */
} fake;

static const agt_command fake_commands[] = {
    { .name = "set", .ru = "задать", .args = "NAME VALUE", .help = N_("Change a knob; alone: list them all"), .complete = AGT_COMPLETE_KNOB },
    { .name = "again", .ru = "снова", .args = "[NAME=VALUE…]", .help = N_("Answer again, with other settings if given"), .complete = AGT_COMPLETE_ASSIGN },
    { .name = "copy", .ru = "копия", .args = "", .help = N_("Copy the last answer"), .action = AGT_UI_COPY },
    { .name = "quit", .ru = "выход", .args = "", .help = N_("Leave"), .key = "Ctrl-D", .action = AGT_UI_QUIT } };
const agt_command *agt_commands(int *n) { *n = 4; return fake_commands; }

static const q_knob fake_knobs[] = {
    { "experts.k", "num_experts_per_tok", Q_KNOB_INTS, 1, 16, NULL, Q_EFFECT_ROUTING, N_("experts that speak for each token"), 0 },
    { "rope.theta", "rope_theta", Q_KNOB_FLOAT, 1, 1e9, NULL, Q_EFFECT_POSITION, N_("base of the rotations"), 1 },
    { "sampler.temperature", NULL, Q_KNOB_FLOAT, 0, 5, NULL, Q_EFFECT_SAMPLING, N_("0 takes the likeliest token"), 2 },
    { "kv.type", NULL, Q_KNOB_CHOICE, 0, 0, "f16,f32,q8_0", Q_EFFECT_ALLOCATION, N_("numbers in the cache"), 3 },
    { "experts.ban", NULL, Q_KNOB_PAIRS, 0, 0, NULL, Q_EFFECT_ROUTING, N_("experts that are never chosen: layer:expert,... or none"), 4 },
    { "norm.eps", "rms_norm_eps,layer_norm_rms_epsilon", Q_KNOB_FLOAT, 1e-12, 10, NULL, Q_EFFECT_FORWARD, N_("epsilon inside every RMS norm"), 5 },
    { "memory.min_score", NULL, Q_KNOB_FLOAT, 0, 1, NULL, Q_EFFECT_RETRIEVAL, N_("passages with a lower score are not fed"), 6 },
    { "model.layers", "num_hidden_layers", Q_KNOB_INT, 0, 0, NULL, Q_EFFECT_FIXED, "", 7 } };
int agt_knob_count(const agt *a) { return 8; }
static const char *fake_help;            /* in place of rope.theta's */
const q_knob *agt_knob(const agt *a, int i)
{
    static q_knob other;
    if (i != 1 || !fake_help) return &fake_knobs[i];
    other = fake_knobs[i];
    other.help = fake_help;
    return &other;
}
const char *agt_knob_value(agt *a, const q_knob *k, q_buf *b)
{
    static const char *const v[] = { "12", "100000", "0.7", "f16", "4:3,4:9,27:0,27:11", "1e-05", "0.3", "30" };
    q_buf_clear(b);
    q_buf_puts(b, v[k->id]);
    return b->p;
}
bool agt_knob_range(agt *a, const q_knob *k, double *min, double *max)
{
    *min = k->min;
    *max = k->max;
    return k->max > k->min;
}
bool agt_knob_default(agt *a, const q_knob *k) { return k->id != 2 && k->id != 4; }
static struct { bool yes; agt_knob_turn t; } fake_turn[8];       /* by the knob's id */
const char *agt_knob_fixed(agt *a, const q_knob *k, q_buf *b) { return NULL; }
const char *agt_knob_own(agt *a, const q_knob *k, q_buf *b)
{
    agt_knob_value(a, k, b);
    if (k->id == 2 || k->id == 4) q_buf_clear(b), q_buf_puts(b, k->id == 2 ? "0.2" : "none");
    return b->p;
}
bool agt_knob_turned(agt *a, const q_knob *k, agt_knob_turn *out)
{
    *out = fake_turn[k->id].t;
    return fake_turn[k->id].yes;
}
char *agt_knob_cost(agt *a, const q_knob *k) { return q_strdup(k->id == 0 ? "99 MiB a token, 66 tok/s measured · F7 k 11: 98 MiB a token, 67 tok/s predicted" : ""); }
void agt_get_turned(agt *a, agt_turned *out) { *out = fake.turned; }
const char *agt_effect_word(enum q_effect e) { return e == Q_EFFECT_ROUTING ? "routing" : "sampling"; }

#define SAY(...) q_buf_printf(&fake.said, __VA_ARGS__)
/* Live (test_screen --live): a question is answered with its own words, at once. */
static struct { agt_event e[64]; int n, at; bool on; } fake_queue;
static agt_message *fake_message(int64_t id, enum agt_role role, const char *text);
static void fake_post(agt_event e) { if (fake_queue.n < 64) fake_queue.e[fake_queue.n++] = e; }
void agt_submit(agt *a, const char *t)
{
    static int64_t id;
    SAY("submit %s\n", t);
    if (!fake_queue.on) return;
    while (strcmp(t, "hang") == 0) pause();          /* a front end that never comes back */
    char *echo = q_printf("You said **%s**.", t);
    fake_post((agt_event){ .kind = AGT_EV_SENT, .n_messages = 1, .message = fake_message(++id, AGT_USER, t) });
    agt_message *m = fake_message(++id, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    fake_post((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
    fake_post((agt_event){ .kind = AGT_EV_TOKEN, .text = q_strdup(echo) });
    fake_post((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = fake_message(id, AGT_ASSISTANT, echo) });
    free(echo);
}
void agt_stop(agt *a) { SAY("stop\n"); }
void agt_pause(agt *a, bool on) { SAY("pause %d\n", on); }
void agt_step(agt *a) { SAY("step\n"); }
void agt_nudge_k(agt *a, int d) { SAY("nudge %+d\n", d); }
void agt_toggle(agt *a) { SAY("toggle\n"); }
void agt_again(agt *a, int64_t m, const char *s) { SAY("again %lld %s\n", (long long)m, s); }
void agt_edit(agt *a, int64_t m, const char *t) { SAY("edit %lld %s\n", (long long)m, t); }
void agt_amend(agt *a, int64_t m, const char *t) { SAY("amend %lld %s\n", (long long)m, t); }
void agt_branch(agt *a, int64_t m, int d) { SAY("branch %lld %+d\n", (long long)m, d); }
void agt_open_at(agt *a, int64_t c, int64_t m) { SAY("open %lld at %lld\n", (long long)c, (long long)m); }
void agt_open_chat(agt *a, int64_t c) { SAY("open %lld\n", (long long)c); }
void agt_ask_chats(agt *a) {}
void agt_look_again(agt *a, int64_t m, int n) { SAY("look again %lld %d\n", (long long)m, n); }
void agt_look(agt *a, int64_t m, int n, int by, bool words) { SAY("look %lld %d %+d%s\n", (long long)m, n, by, words ? " words" : ""); }
void agt_ask_zoom(agt *a, int layer, int expert, bool all) { SAY("zoom %d %d%s\n", layer, expert, all ? " all" : ""); }
void agt_outside(agt *a, const char *kind, const char *path) { SAY("outside %s %s\n", kind, path); }
void agt_ask_retrieval(agt *a, int64_t m) { SAY("retrieval %lld\n", (long long)m); }
void agt_ask_wishes(agt *a) {}
void agt_pin(agt *a, const agt_passage *p, bool on) { SAY("%s %lld\n", on ? "pin" : "unpin", (long long)p->chunk); }
void agt_ban(agt *a, enum agt_of of, int64_t owner, bool on) { SAY("%s %s %lld\n", on ? "ban" : "unban", of == AGT_OF_CHAT ? "chat" : "document", (long long)owner); }
void agt_without(agt *a, int64_t m, const char *numbers) { SAY("without %lld %s\n", (long long)m, numbers); }
void agt_ask_source(agt *a, enum agt_of of, int64_t chunk) { SAY("source %lld\n", (long long)chunk); }
void agt_rename(agt *a, int64_t c, const char *t) {}
void agt_delete_chat(agt *a, int64_t c) { SAY("delete %lld\n", (long long)c); }
void agt_answer(agt *a, int64_t k, bool yes) { SAY("answer %lld %s\n", (long long)k, yes ? "yes" : "no"); }
void agt_approve(agt *a, int64_t id, enum agt_consent how, const char *words)
{
    static const char *const word[] = { [AGT_NO] = "no", [AGT_ONCE] = "once", [AGT_CHAT] = "chat", [AGT_FOLDER] = "folder" };
    SAY("approve %lld %s %s\n", (long long)id, word[how], words ? words : "");
}
bool agt_idle(agt *a) { return !fake.st.busy; }
void agt_keep_place(agt *a, int64_t c, int64_t s, const char *d) { if (*d) SAY("keep %s\n", d); snprintf(fake.kept, sizeof fake.kept, "%lld %s", (long long)c, d); }
void agt_show_routing(agt *a, int64_t m) { SAY("routing %lld\n", (long long)m); }
bool agt_busy(const agt *a) { return fake.st.busy || fake.long_work; }
bool agt_answering(agt *a) { return fake.st.busy; }
int agt_wake_fd(const agt *a) { return -1; }
bool agt_next(agt *a, agt_event *e)
{
    if (fake_queue.at == fake_queue.n) { fake_queue.at = fake_queue.n = 0; return false; }
    *e = fake_queue.e[fake_queue.at++];
    return true;
}
void agt_get_status(agt *a, agt_status *out) { *out = fake.st; }

void agt_setting_put(agt *a, const char *key, const char *value)
{
    int i = 0;
    while (i < fake.n_set && strcmp(fake.set[i].key, key) != 0) i++;
    if (i == fake.n_set) { fake.n_set++; fake.set[i].key = q_strdup(key); }
    free(fake.set[i].value);
    fake.set[i].value = q_strdup(value);
}
char *agt_setting_get(agt *a, const char *key)
{
    for (int i = 0; i < fake.n_set; i++) if (strcmp(fake.set[i].key, key) == 0) return q_strdup(fake.set[i].value);
    return NULL;
}

void agt_get_routing(agt *a, agt_routing *io)
{
    if (io->version == fake.rt.version || !fake.rt.cell) return;
    agt_routing_free(io);
    *io = fake.rt;
    size_t n = (size_t)(io->n_layer * io->n_expert), l = (size_t)io->n_layer, k = l * (size_t)io->k_max;
#define DUP(f, count) io->f = memcpy(q_alloc((count) * sizeof *io->f + 1), fake.rt.f, (count) * sizeof *io->f)
    DUP(cell, n); DUP(strange, l); DUP(entropy, l); DUP(margin, l); DUP(now, k); DUP(now_weight, k);
#undef DUP
}
char **agt_completions(agt *a, const char *line, size_t at, size_t *start, int *n)
{
    static const char *const words[] = { "/set", "/again", "/copy", "/quit", "experts.k", "rope.theta", "sampler.temperature", "kv.type" };
    size_t s = at;
    while (s > 0 && line[s - 1] != ' ') s--;
    char **out = q_alloc(sizeof *out * 8);
    *start = s;
    *n = 0;
    for (int i = 0; i < 8; i++)
        if ((s == 0) == (words[i][0] == '/') && strncmp(words[i], line + s, at - s) == 0) out[(*n)++] = q_strdup(words[i]);
    if (!*n) { free(out); return NULL; }
    return out;
}

/* Modules as the panel is told of them. */
static int fake_modules = 5;             /* -1: not looked yet */
void agt_get_modules(agt *a, agt_modules *out)
{
    static const agt_module of[] = {
        { "skeptic", "Skeptic", "ecb224cca257aa72", NULL, "+0.121 (0.050 to 0.190) nats a token, 60 tokens", 60, true, true, false, true },
        { "engineer", "Engineer", "e7ac475900000000", NULL, NULL, 55, false, false, false, true },
        { "летопись", "Летопись моего озера", "7a05c450150fbd1d", NULL, "experts.k default→8", 1210, true, false, true, false },
        { "torn", "torn", "", "/home/u/.config/quorum/modules/torn.md has no front matter: it begins with a line ---, then title: …, then ---; /module edit torn", NULL, 0, false, false, false, false },
        { "uncounted", "Uncounted", "0123456789abcdef", NULL, NULL, -1, true, false, true, false } };
    *out = (agt_modules){ .n = fake_modules, .tokens = 0 /* nothing was asked yet */, .budget = 1024 };
    if (fake_modules < 0) return;
    out->v = q_alloc(sizeof *out->v * (size_t)(fake_modules + 1));
    for (int i = 0; i < fake_modules; i++) {
        agt_module *m = &out->v[i];
        *m = of[i % 5];
        m->name = i < 5 ? q_strdup(m->name) : q_printf("%s%d", m->name, i);
        m->title = q_strdup(m->title);
        m->hash = q_strdup(m->hash);
        m->why = m->why ? q_strdup(m->why) : NULL;
        m->did = m->did ? q_strdup(m->did) : NULL;
    }
}
void agt_modules_free(agt_modules *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->v[i].name);
        free(l->v[i].title);
        free(l->v[i].hash);
        free(l->v[i].why);
        free(l->v[i].did);
    }
    free(l->v);
    *l = (agt_modules){ .n = 0 };
}
void agt_edited(agt *a, const char *path) { SAY("edited %s\n", path); }

/* SmolLM2 carved, as counted, at 10 GB/s. */
void agt_end_thinking(agt *a) { SAY("end thinking\n"); }
bool agt_get_teaching(agt *a, tch_state *out)
{
    *out = fake.teaching;
    return fake.teaching.phase != TCH_IDLE;
}
void agt_ask_energy(agt *a) { SAY("energy\n"); }
bool agt_get_energy(agt *a, agt_energy *out)
{
    static const struct { const char *label; uint64_t bytes, each; } part[LAB_COSTS_PARTS] = {
        { N_("embedding"), 360, 0 }, { N_("attention"), 16727040, 0 }, { N_("router"), 1033536, 0 }, { N_("experts"), 0, 1089536 },
        { N_("dense part"), 34836480, 0 }, { N_("head"), 30081024, 0 } };
    static const int k[] = { 1, 2, 4, 8, 12, 16 };
    *out = (agt_energy){ .name = "SmolLM2 carved", .type = "Q4_1", .n_expert = 16, .n_used = 12, .k = fake.st.k > 0 ? fake.st.k : 12,
                         .kv = { { "f16", 46080 }, { "f32", 92160 }, { "q8_0", 24480 }, { "q4_0", 12960 } }, .n_kv = 4, .flops_cell = 69120, .bandwidth = 1e10, .spared = fake.spared, .n_recurrent = fake.n_recurrent, .state_bytes = 210 << 10 };
    if (!fake.st.loaded) return false;
    for (int i = 0; i < LAB_COSTS_PARTS; i++) {
        out->part[i].label = part[i].label;
        out->part[i].bytes = part[i].bytes + part[i].each * (uint64_t)out->k;
    }
    for (int i = 0; i < 6; i++) {
        uint64_t bytes = 0, n = (uint64_t)k[i];
        for (int p = 0; p < LAB_COSTS_PARTS; p++) bytes += part[p].bytes + part[p].each * n;
        out->row[out->n_row++] = (lab_costs_row){ k[i], k[i] == 12, k[i] == fake.st.k, 111000000 + n * 1548288, bytes, 166000000 + n * 3096576, 1e10 / (double)bytes };
    }
    return true;
}

/* Qwen3-30B-A3B in Q4_K_M loaded on a machine of advice/machines.ini. */
static const char *fake_machine;         /* NULL: not measured yet */
void agt_ask_advice(agt *a, bool anew) { SAY("advice%s\n", anew ? " anew" : ""); }
bool agt_get_advice(agt *a, agt_advice *out)
{
    static const int ks[] = { 1, 8, 16 };
    char err[Q_ERRLEN];
    adv_machine m;
    const eng_known *row;
    const eng_variant *v;
    *out = (agt_advice){ .n = 0 };
    if (!fake_machine || adv_machine_find(fake_machine, &m, err) < 0 || adv_about_read(NULL, "", &m, out, err) < 0) return false;
    if (!fake.st.loaded || fake.st.model[0] == '@' || eng_catalog_find("30b-a3b", &row, &v, err) < 0) return true;
    snprintf(out->name, sizeof out->name, "Qwen3-30B-A3B-Q4_K_M.gguf");
    adv_wish w = { .type = "Q4_K_M" };
    if (adv_fit_known(row, &w, &m, &out->fit, err) < 0) return true;
    out->token = eng_energy_bytes(&out->fit.costs, 8);
    out->measured = fake.st.rate.decode;
    for (int i = 0; i < 3; i++) {
        adv_fit f;
        w.k = out->k[out->n_k++] = ks[i];
        if (adv_fit_known(row, &w, &m, &f, err) == Q_OK) out->decode[i] = f.decode;
        out->read[i] = eng_energy_bytes(&out->fit.costs, ks[i]);
    }
    return true;
}

static const char *fake_value(void *user, const char *knob, q_buf *b)
{
    static const char *const v[][2] = { { "experts.ban", "4:3,4:9,27:0" }, { "experts.pin", "4:5" }, { "attention.heads_off", "3:0,3:8" }, { "rope.theta", "100000" },
                                        { "rope.scaling", "yarn" }, { "rope.factor", "2" }, { "rope.original_context", "8192" }, { "context.length", "4096" } };
    q_buf_clear(b);
    q_buf_puts(b, "");
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) if (strcmp(v[i][0], knob) == 0) q_buf_puts(b, v[i][1]);
    if (strcmp(knob, "experts.k") == 0) for (int l = 0; l < 30; l++) q_buf_printf(b, "%s%d", l ? "," : "", l < 2 ? 0 : l < 20 ? 12 : 4);
    return b->p;
}
bool agt_layer_recurrent(agt *a, int layer) { return layer < fake.n_recurrent; }
char *agt_map(agt *a, int columns)
{
    q_buf b = {0};
    lab_map m = { fake.st.model, fake.st.label, 30, 9, 16, 2, 28, 8192, fake_value, fake_value, NULL, NULL, NULL, false };
    lab_map_text(&m, columns, &b);
    return q_buf_take(&b);
}

/* ---- scripted values ---- */
static uint32_t fake_seed = 7;
static uint32_t fake_rand(void) { return fake_seed = fake_seed * 1664525u + 1013904223u, fake_seed >> 8; }

/* Routing of n_layer layers from `first` on, n experts, k of them now. */
static void fake_routing(int first, int n_layer, int n, int k)
{
    static uint64_t version;
    agt_routing *r = &fake.rt;
    agt_routing_free(r);
    fake_seed = 7;
    *r = (agt_routing){ .version = ++version, .n_layer = n_layer, .first_layer = first, .n_expert = n, .k = k, .k_max = n, .repeat = 0.81f,
                        .repeat_chance = (float)k / (float)n, .mean_entropy = 0.62f, .mean_margin = 0.04f, .learned = 256, .learn_need = 256, .n_tokens = 20 };
    r->cell = q_alloc(sizeof *r->cell * (size_t)(n_layer * n));
    r->strange = q_alloc(sizeof(float) * (size_t)n_layer);
    r->entropy = q_alloc(sizeof(float) * (size_t)n_layer);
    r->margin = q_alloc(sizeof(float) * (size_t)n_layer);
    r->now = q_alloc(sizeof *r->now * (size_t)(n_layer * n));
    r->now_weight = q_alloc(sizeof(float) * (size_t)(n_layer * n));
    for (int l = 0; l < n_layer; l++) {
        r->strange[l] = (float)(fake_rand() % 100) / 100.f;
        uint16_t *now = r->now + l * n;
        for (int i = 0; i < n; i++) now[i] = (uint16_t)i;
        for (int i = 0; i < n; i++) { int j = (int)(fake_rand() % (uint32_t)n); uint16_t t = now[i]; now[i] = now[j]; now[j] = t; }
        for (int i = 0; i < n; i++) {
            if (i < k) r->cell[l * n + now[i]].now = true; else now[i] = 0xFFFF;
            r->now_weight[l * n + i] = i < k ? 0.31f / (float)(i + 1) : NAN;
            uint32_t d = fake_rand() % 20;
            r->cell[l * n + i].dev = d == 0 ? 2 : d < 4 ? 1 : d == 4 ? -2 : d < 8 ? -1 : 0;
        }
    }
    r->odd[0] = (agt_odd){ first + n_layer - 3, 6, 6.f, 2 };
    r->odd[1] = (agt_odd){ first + 13, 4, 0.2f, -2 };
    r->odd[2] = (agt_odd){ first + 12, 7, 1.9f, 1 };
    r->n_odd = 3;
}

static void fake_model(void)
{
    agt_status *s = &fake.st;
    memset(s, 0, sizeof *s);
    strcpy(s->model, "SmolLM2 carved");
    s->label[0] = 0;
    strcpy(s->languages, "en");
    s->loaded = s->chat_template = s->carved = true;
    s->k = 12;
    s->n_expert = 16;
    s->params_active = 128000000;
    s->params_total = 135000000;
    s->bytes_per_token = 110000000;
    s->ctx_used = 812;
    s->ctx_size = 8192;
    s->rate.decode = 120;
    s->mix.n = 2;
    strcpy(s->mix.of[0].label, "k 12");
    s->mix.of[0].cells = 640;
    strcpy(s->mix.of[1].label, "k 4");
    s->mix.of[1].cells = 172;
}

static agt_message *fake_message(int64_t id, enum agt_role role, const char *text)
{
    agt_message *m = q_alloc(sizeof *m);
    m->id = id;
    m->parent = id - 1;
    m->role = role;
    m->state = AGT_DONE;
    m->text = q_strdup(text);
    m->created_ms = 45660000 + id * 60000;     /* 12:41 UTC */
    m->differs_at = -1;
    m->sibling = m->n_siblings = 1;
    if (role == AGT_ASSISTANT) m->label = q_strdup("standard · k 12");
    return m;
}

static __attribute__((unused)) agt_retrieval *fake_retrieval(void)
{
    agt_retrieval *r = q_alloc(sizeof *r);
    r->n = 3;
    r->p = q_alloc(sizeof *r->p * 3);
    static const struct { const char *s, *h; double v; } row[] = { { "notes/optics.md", "Rayleigh", .91 }, { "Chat of 3 May", "light", .64 }, { "notes/цвет.md", "Закат и рассвет, часть вторая", .41 } };
    for (int i = 0; i < 3; i++) {
        r->p[i] = (agt_passage){ .chunk = i, .number = i < 2 ? i + 1 : 0, .source = q_strdup(row[i].s), .heading = q_strdup(row[i].h),
                                 .text = q_strdup("Rayleigh scattering grows as the fourth power of frequency."), .score = row[i].v, .tokens = 155,
                                 .why = q_strdup(i < 2 ? "fed; sky: idf 4.1; blue: idf 3.0; rank 1" : "not fed: no room for it (155 tok, room for 90); rank 3"),
                                 .signals = q_strdup("coverage=0.950 evidence=0.950"), .of = i == 1 ? AGT_OF_CHAT : AGT_OF_DOCUMENT, .owner = 40 + i, .n = -1,
                                 .fate = i < 2 ? AGT_FED : AGT_LIMIT, .terms = q_strdup("sky 4.1×1.00, blue 3.0×.90"), .n_factor = 3,
                                 .factor = { { "coverage", floor(row[i].v / .984 * 1000 + .5) / 1000 }, { "evidence", .984 }, { "match", 1 } } };
        snprintf(r->p[i].shown, sizeof r->p[i].shown, ".%02d", (int)(row[i].v * 100 + .5));
    }
    r->fed = 2;
    r->fed_tokens = 310;
    r->cut_limit = 1;
    r->cut_score = 2;
    r->best = .91;
    r->min_score = .30;
    return r;
}
#endif
