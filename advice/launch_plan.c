/* advice/launch_plan: which type of the weights fits where, and what to say where none does. See launch.h.
 *
 * Servers of safetensors divide every matrix among tp GPUs; routers stand on each. A GPU that has fewer KV heads than one keeps a copy
 * (vLLM, model_executor/models/qwen3_moe.py: total_num_kv_heads < tp_size), and latent cells are kept whole on each. llama-server gives whole
 * layers to GPUs; routed experts of the first layers may stay in RAM (--n-cpu-moe). */
#include "advice/launch_plan.h"
#include "advice/room.h"

#include "base/say.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Estimates: what a server of safetensors keeps for activations, graphs and the driver on each GPU (vLLM and SGLang say it in their log at the
 * start); what llama-server and our own program take says room.h. */
enum { ROOM_TORCH_MIB = 2048, USERS_MOST = 1024, SHARE_PERCENT = 90 };
#define MIB(n) ((uint64_t)(n) << 20)

typedef struct look {                    /* what one look at a type goes by */
    const adv_launch_wish *w;
    const eng_known *known;
    const eng_variant *variant;
    const char *path;
    const adv_machine *m;
} look;

static uint64_t share(uint64_t bytes, uint64_t n) { return (bytes + n - 1) / n; }      /* of the one that has most */
static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t sum(const uint64_t part[ENG_ENERGY_PARTS])
{
    uint64_t n = 0;
    for (int i = 0; i < ENG_ENERGY_PARTS; i++) n += part[i];
    return n;
}

/* The tensors in this type; e gets the counts of the shape. Of a repository in MXFP4 experts alone are quantised: the rest has two bytes a number
 * there, where a GGUF has Q8_0 (openai/gpt-oss-120b: 65,248,815,744 bytes, github.com/alvarobartt/hf-mem/issues/60). */
static int weigh(const look *l, const launch_type *t, const char *type, bool gguf, eng_energy *e, uint64_t *bytes, char *err)
{
    bool counted = !t || t->bits == 0;
    int rc = l->path ? eng_energy_read(l->path, e, err) : eng_energy_like(l->known->arch, l->known->like, counted ? type : "BF16", 0, e, err);
    if (rc < 0) return rc;
    *bytes = sum(e->bytes);
    if (!gguf && strcmp(type, "MXFP4") == 0) *bytes = e->bytes[ENG_ENERGY_EXPERTS] + 2 * (sum(e->params) - e->params[ENG_ENERGY_EXPERTS]);
    if (counted) return Q_OK;
    uint64_t plain = e->params[ENG_ENERGY_EMBED] + e->params[ENG_ENERGY_ROUTER] + e->params[ENG_ENERGY_HEAD];
    *bytes = 2 * plain + (uint64_t)((double)(sum(e->params) - plain) * t->bits / 8);
    return Q_OK;
}

/* ---- servers of safetensors: everything on GPUs ---- */
static bool divides(const look *l, int tp)
{
    const eng_known *k = l->known;
    return k->n_head % tp == 0 && (k->n_kv % tp == 0 || tp % k->n_kv == 0) && (k->n_expert == 0 || k->n_expert % tp == 0);
}

static bool on_gpus(const look *l, const eng_energy *e, adv_launch *p)
{
    adv_launch_size *s = &p->size;
    for (int tp = 1; tp <= l->m->n_gpu; tp++) {
        if (!divides(l, tp)) continue;
        uint64_t has = UINT64_MAX, free = UINT64_MAX, router = 2 * e->params[ENG_ENERGY_ROUTER], copies = (uint64_t)(tp > l->known->n_kv ? tp / l->known->n_kv : 1);
        for (int i = 0; i < tp; i++) {
            has = least(has, l->m->gpu[i].bytes);
            free = least(free, l->m->gpu[i].free);
        }
        uint64_t percent = least(SHARE_PERCENT, has ? free * 100 / has : 0), budget = has / 100 * percent, room = MIB(ROOM_TORCH_MIB), n = (uint64_t)tp;
        uint64_t each = share(s->weights - router, n) + router + share(s->kv * copies, n) + share(s->state, n) + room;
        p->gpus = tp;
        s->each = each;
        s->has = has;
        s->room = room * n;
        if (budget <= room || each > budget) continue;
        s->share = (double)(launch_of(p) == SGLANG ? (budget - room) * 100 / has : percent) / 100;
        return true;
    }
    return false;
}

/* ---- servers of GGUF: GPUs, RAM, or both ---- */
static bool in_ram(const look *l, adv_launch *p)
{
    adv_launch_size *s = &p->size;
    s->room = ADV_ROOM_RAM;
    s->has = l->m->ram_free;
    s->each = s->weights + s->kv + s->state + s->room;
    p->gpus = 0;
    p->layers = l->m->n_gpu > 0 ? 0 : LAUNCH_UNSAID;
    return s->each <= s->has;
}

/* GPUs of one program: llama-server's are all, ours is one. */
static int gpus_of(const look *l, const adv_launch *p)
{
    return launch_of(p) == QUORUM && l->m->n_gpu > 1 ? 1 : l->m->n_gpu;
}

/* All of it on as few GPUs as do; a layer is not cut, so each further GPU may leave the bytes of one free. */
static bool whole(const look *l, const eng_energy *e, adv_launch *p)
{
    adv_launch_size *s = &p->size;
    uint64_t need = s->weights + s->kv + s->state, sum_has = 0, has = UINT64_MAX;
    for (int g = 1; g <= gpus_of(l, p); g++) {
        uint64_t bytes = l->m->gpu[g - 1].free;
        has = least(bytes, has);
        sum_has += bytes > ADV_ROOM_GPU ? bytes - ADV_ROOM_GPU : 0;
        uint64_t cut = (uint64_t)(g - 1) * (need / (uint64_t)p->n_layer);
        if (need + cut > sum_has) continue;
        p->gpus = g;
        p->layers = -1;
        s->has = has;
        s->room = ADV_ROOM_GPU * (uint64_t)g;
        s->each = (need + cut) / (uint64_t)g + ADV_ROOM_GPU;
        return true;
    }
    return false;
}

/* Experts of the first layers in RAM (routed models), or whole first layers (llama-server's dense ones). */
static bool split(const look *l, const eng_energy *e, adv_launch *p)
{
    adv_launch_size *s = &p->size;
    int g = gpus_of(l, p);
    uint64_t budget = 0, has = UINT64_MAX, experts = e->bytes[ENG_ENERGY_EXPERTS], rest = s->weights - experts + s->kv + s->state;
    for (int i = 0; i < g; i++) {
        uint64_t bytes = l->m->gpu[i].free;
        has = least(bytes, has);
        budget += bytes > ADV_ROOM_GPU ? bytes - ADV_ROOM_GPU : 0;
    }
    if (g == 0 || (!e->n_routed && launch_of(p) == QUORUM)) return false;
    uint64_t unit = e->n_routed ? experts / (uint64_t)e->n_routed : (s->weights + s->kv) / (uint64_t)p->n_layer;
    uint64_t fixed = e->n_routed ? rest : s->state, most = (uint64_t)(e->n_routed ? e->n_routed : p->n_layer);
    if (g > 1) fixed += unit * (uint64_t)(g - 1);
    if (fixed + unit > budget) return false;
    uint64_t there = (budget - fixed) / unit < most ? (budget - fixed) / unit : most;
    s->in_ram = e->n_routed ? experts - there * unit : s->weights - there * (s->weights / (uint64_t)p->n_layer);
    p->gpus = g;
    p->layers = e->n_routed ? -1 : (int)there;
    p->experts_cpu = e->n_routed ? p->n_layer - (int)there : 0;
    s->has = has;
    s->room = ADV_ROOM_GPU * (uint64_t)g;
    s->each = (fixed + there * unit) / (uint64_t)g + ADV_ROOM_GPU;
    return s->in_ram <= l->m->ram_free;
}

/* ---- one type ---- */
static bool mxfp4(const eng_known *k) { return k && strcmp(k->family, "gpt-oss") == 0; }

/* Bytes of a token's cells. Of llama.cpp's blocks of 32: 34 bytes of q8_0, 18 of q4_0 (ggml/src/ggml-common.h). */
static double token_cells(const eng_energy *e, const adv_launch_wish *w, const adv_launch *p)
{
    if (launch_of(p) == QUORUM) return eng_energy_kv_bytes(e, w->kv4 ? "q4_0" : w->kv8 ? "q8_0" : "f16");
    return (double)e->kv_numbers * (w->kv4 ? 18.0 / 32 : !w->kv8 ? 2 : p->server->gguf ? 34.0 / 32 : 1);
}

enum how { WHOLE, SPLIT, RAM };
static int try_type(const look *l, const launch_type *t, const char *type, enum how how, adv_launch *p, bool *fits, char *err)
{
    eng_energy e;
    p->size = (adv_launch_size){.weights = 0};
    p->experts_cpu = 0;
    int rc = weigh(l, t, type, p->server->gguf, &e, &p->size.weights, err);
    if (rc < 0) return rc;
    double kv = token_cells(&e, l->w, p);
    snprintf(p->type, sizeof p->type, "%s", l->path ? e.type : type);
    p->n_layer = e.n_layer;
    p->size.kv = (uint64_t)(kv * p->context * p->users);
    p->size.state = e.state_bytes * (uint64_t)p->users * (launch_of(p) == SGLANG ? 2 : 1);
    *fits = !p->server->gguf ? on_gpus(l, &e, p) : how == WHOLE ? whole(l, &e, p) : how == SPLIT ? split(l, &e, p) : in_ram(l, p);
    return Q_OK;
}

static bool meant(const look *l, const adv_launch *p, const launch_type *t)
{
    return t->gguf == p->server->gguf && (l->w->type ? strcmp(l->w->type, t->name) == 0 : !t->told);
}

/* The largest type that is whole on GPUs; else, of GGUFs, Q4_K_M or the one that is wished for, with experts in RAM, then without a GPU. */
static int fit(const look *l, adv_launch *p, bool *fits, char *err)
{
    const char *only = l->path ? "" : mxfp4(l->known) ? "MXFP4" : NULL, *small = l->w->type ? l->w->type : "Q4_K_M";
    int rc = Q_OK;
    *fits = false;
    if (only) rc = try_type(l, NULL, only, WHOLE, p, fits, err);
    for (const launch_type *t = launch_types; !only && t->name && rc == Q_OK && !*fits; t++)
        if (meant(l, p, t)) rc = try_type(l, t, t->name, WHOLE, p, fits, err);
    for (enum how h = SPLIT; h <= RAM && p->server->gguf && rc == Q_OK && !*fits; h++) rc = try_type(l, NULL, only ? only : small, h, p, fits, err);
    return rc;
}

/* ---- what would fit ---- */
static bool would(const look *l, const adv_launch *p, const adv_launch_wish *w, const adv_machine *m, adv_launch *q)
{
    char err[Q_ERRLEN];
    look other = *l;
    bool fits;
    int servers, i = 0;
    const adv_launch_server *row = adv_launch_servers(&servers);
    while (strcmp(row[i].name, w->server) != 0) i++;
    other.w = w;
    other.m = m;
    *q = *p;
    q->server = &row[i];
    q->context = w->context;
    q->users = w->users;
    return fit(&other, q, &fits, err) == Q_OK && fits;
}

static void also(char *out, size_t size, const char *what)
{
    size_t n = strlen(out);
    snprintf(out + n, size - n, "%s%s", n ? _(", or ") : "", what);
}

static int refuse(const look *l, const adv_launch *p, char *err)
{
    char need[32], has[32], what[160], all[400] = "";
    adv_launch q;
    adv_launch_wish w = *l->w;
    adv_machine more = *l->m;
    w.context = p->context;
    w.users = p->users;
    for (int c = p->context / 2; c >= 1024 && !*all; c /= 2) {
        w.context = c;
        if (would(l, p, &w, l->m, &q)) snprintf(what, sizeof what, "--context %d", c), also(all, sizeof all, what);
    }
    w.context = p->context;
    for (w.users = p->users / 2; w.users >= 1; w.users /= 2)
        if (would(l, p, &w, l->m, &q)) {
            snprintf(what, sizeof what, "--users %d", w.users), also(all, sizeof all, what);
            break;
        }
    w.users = p->users;
    for (const launch_type *t = launch_types; t->name; t++) {
        w.type = t->name;
        if (t->gguf != p->server->gguf || mxfp4(l->known) || l->path || !would(l, p, &w, l->m, &q)) continue;
        snprintf(what, sizeof what, t->told ? _("--type %s --weights REPOSITORY") : "--type %s", t->name), also(all, sizeof all, what);
        break;
    }
    w.type = NULL;
    w.server = "llama-server";
    if (launch_of(p) != LLAMA && would(l, p, &w, l->m, &q)) also(all, sizeof all, _("llama-server instead"));
    w = *l->w;
    w.context = p->context;
    w.users = p->users;
    for (int g = l->m->n_gpu + 1; l->m->n_gpu > 0 && g <= ADV_GPUS && launch_of(p) != QUORUM; g++) {
        more.gpu[g - 1] = l->m->gpu[0];
        more.n_gpu = g;
        if (!would(l, p, &w, &more, &q)) continue;
        snprintf(what, sizeof what, _("%d such GPUs"), g), also(all, sizeof all, what);
        break;
    }
    return q_fail(err, Q_NOMEM, _("%s in %s needs %s and %s has %s: %s"), p->name, p->type,
                  q_bytes_words(p->size.weights + p->size.kv + p->size.state + p->size.room, need), l->m->title,
                  q_bytes_words(p->server->gguf || !l->m->n_gpu ? l->m->ram_free : l->m->gpu[0].free * (uint64_t)l->m->n_gpu, has),
                  *all ? all : _("take a smaller model: quorum advise --machine says which fits"));
}

/* ---- what is asked for ---- */
static bool plain(const char *s)
{
    if (!s) return true;
    uint32_t cp;
    for (size_t i = 0, n = strlen(s); i < n; i += (size_t)q_utf8_next(s + i, n - i, &cp))
        if (q_utf8_next(s + i, n - i, &cp) < 1 || cp == 0xFFFD || q_char_kind(cp) != Q_CHAR_FINE) return false;      /* also C1, and what turns a line around */
    return *s && *s != '-' && strlen(s) < 256;
}

static bool host_ok(const char *h)
{
    return strlen(h) < 128 && *h && h[strspn(h, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-")] == 0 && *h != '-';
}

static int asked(const look *l, adv_launch *p, char *err)
{
    const adv_launch_wish *w = l->w;
    enum launch_server s = launch_of(p);
    int most = l->variant ? l->variant->context : l->known ? l->known->n_ctx : 0;
    if (!plain(w->weights) || !plain(w->key_file) || !plain(l->path))
        return q_fail(err, Q_RANGE, _("a name in a script has up to 255 bytes, no line break, no character that controls or turns a line, and no dash at its beginning: give the file another name"));
    if (!host_ok(p->host)) return q_fail(err, Q_RANGE, _("--host wants an address, as 127.0.0.1 or 0.0.0.0"));
    if (p->users < 1 || p->users > USERS_MOST) return q_fail(err, Q_RANGE, _("--users wants a number from 1 to %d"), USERS_MOST);
    if (most && p->context > most)
        return q_fail(err, Q_RANGE, _("%s was published for %d tokens: take --context %d or less"), p->name, most, most);
    if (!p->server->gguf && l->path)
        return q_fail(err, Q_RANGE, _("%s reads the hub's weights, not a GGUF file: name a published model, or take llama-server or quorum"), p->server->title);
    if (!p->server->gguf && l->m->n_gpu == 0)
        return q_fail(err, Q_RANGE, _("%s wants a GPU and %s has none: take llama-server or quorum"), p->server->title, l->m->title);
    if (w->kv4 && w->kv8) return q_fail(err, Q_RANGE, _("--kv-half and --kv-quarter do not go together: leave one out"));
    if (w->kv4 && !p->server->gguf) return q_fail(err, Q_RANGE, _("%s has no cells of half a byte: take --kv-half, or llama-server or quorum"), p->server->title);
    if (mxfp4(l->known) && w->type && strcmp(w->type, "MXFP4") != 0)
        return q_fail(err, Q_RANGE, _("%s is published with experts in MXFP4, whatever a label says: leave --type out"), l->known->title);
    bool known = !w->type || mxfp4(l->known);
    for (const launch_type *t = launch_types; t->name; t++) {
        if (!w->type || strcmp(t->name, w->type) != 0 || t->gguf != p->server->gguf) continue;
        known = true;
        if (t->told && !w->weights)
            return q_fail(err, Q_RANGE, _("%s is not made while loading: name a repository or folder of such weights with --weights"), t->name);
    }
    if (!known) return q_fail(err, Q_RANGE, p->server->gguf ? _("%s: there is no type \"%s\": Q8_0, Q6_K, Q5_K_M or Q4_K_M") : _("%s: there is no type \"%s\": BF16, FP8, AWQ or GPTQ"), p->server->title, w->type);
    if (!p->server->gguf && w->weights && !w->type)
        return q_fail(err, Q_RANGE, _("say with --type what the weights at %s are: BF16, FP8, AWQ or GPTQ"), w->weights);
    if (p->open && s >= LLAMA && !w->key_file)
        return q_fail(err, Q_RANGE, _("others reach %s: give --key-file, a file of mode 0600 whose first line is the key, or leave --host out"), p->host);
    return Q_OK;
}

/* Letters, digits and dashes of a name. */
static void section_of(const char *name, char *out, size_t size)
{
    size_t n = 0;
    for (const char *p = name; *p && n + 1 < size && n < 32; p++)
        if (isalnum((unsigned char)*p) || *p == '-' || *p == '.') out[n++] = (char)tolower((unsigned char)*p);
    snprintf(out + n, size - n, "%s", n ? "" : "model");
}

/* What the server is given as its model. */
static void model_of(const look *l, adv_launch *p)
{
    const adv_launch_wish *w = l->w;
    const eng_variant *v = l->variant;
    p->from_hub = launch_of(p) == LLAMA && !l->path && !w->weights;
    if (w->weights || l->path) snprintf(p->model, sizeof p->model, "%s", w->weights ? w->weights : l->path);
    else if (p->from_hub) snprintf(p->model, sizeof p->model, "%s:%s", v->gguf, p->type);
    else if (launch_of(p) == QUORUM) snprintf(p->model, sizeof p->model, "%s-%s", v->name, p->type);
    else snprintf(p->model, sizeof p->model, "%s", v->repo);
}

/* Of a whole row: what bears its title, else the first that is no base. */
static const eng_variant *usual(const eng_known *k)
{
    const eng_variant *best = k->variant;
    for (int i = k->n_variant - 1; i >= 0; i--)
        if (strcmp(k->variant[i].kind, "base") != 0) best = &k->variant[i];
    for (int i = 0; i < k->n_variant; i++)
        if (strcmp(k->variant[i].name, k->title) == 0) best = &k->variant[i];
    return best;
}

/* Our own program is started for what it computes alone. */
static int computed(const look *l, const adv_launch *p, char *err)
{
    eng_energy e = {.n_layer = 0};
    if (launch_of(p) != QUORUM) return Q_OK;
    int rc = l->path ? eng_energy_read(l->path, &e, err) : Q_OK;
    const char *name = l->path ? e.arch : l->known->arch;
    if (rc < 0 || eng_runs(name)) return rc;
    return q_fail(err, Q_RANGE, _("quorum does not compute the architecture of %s (%s): start vllm, sglang or llama-server for it, and name that server in config.ini"), p->name, name);
}

int adv_launch_plan(const adv_launch_wish *w, const eng_known *known, const eng_variant *variant, const char *path, const adv_machine *m, adv_launch *out, char *err)
{
    const look l = {w, path ? NULL : known, path ? NULL : variant ? variant : usual(known), path, m};
    int n, at = 0;
    const adv_launch_server *row = adv_launch_servers(&n);
    while (at < n && strcmp(row[at].name, w->server) != 0) at++;
    if (at == n) return q_fail(err, Q_NOTFOUND, _("there is no server \"%s\": vllm, sglang, llama-server or quorum"), w->server);
    const char *base = path && strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    *out = (adv_launch){.server = &row[at], .known = l.known, .variant = l.variant, .wish = w, .host = w->host ? w->host : "127.0.0.1",
                        .context = w->context ? w->context : 8192, .users = w->users ? w->users : 1, .port = w->port ? w->port : row[at].port, .threads = m->cores};
    snprintf(out->name, sizeof out->name, "%s", path ? base : l.variant->name);
    snprintf(out->machine, sizeof out->machine, "%s", m->title);
    section_of(out->name, out->section, sizeof out->section);
    out->open = strncmp(out->host, "127.", 4) != 0 && strcmp(out->host, "localhost") != 0 && strcmp(out->host, "::1") != 0;
    int most = l.variant ? l.variant->context : 0;
    if (!w->context && most && most < out->context) out->context = most;
    int rc = asked(&l, out, err);
    bool fits = false;
    if (rc == Q_OK) rc = computed(&l, out, err);
    if (rc == Q_OK) rc = fit(&l, out, &fits, err);
    if (rc == Q_OK && !fits) rc = refuse(&l, out, err);
    if (rc != Q_OK) return rc;
    model_of(&l, out);
    if (out->from_hub && out->model[0] == ':')
        return q_fail(err, Q_NOTFOUND, _("no repository of GGUFs is known for %s: make one with llama.cpp's convert_hf_to_gguf.py and name it with --weights"), out->name);
    launch_flags(out);
    return Q_OK;
}
