/* provider: takes turns, holds requests against what this one can do, and passes on to its kind. Any thread. */
#include "provider/kind.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void prov_init(prov *p, const prov_kind *kind)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&p->turn, &a);
    pthread_mutexattr_destroy(&a);
    p->kind = kind;
}

void prov_close(prov *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->turn);
    p->kind->close(p);
}

const prov_info *prov_about(const prov *p) { return &p->info; }

/* ---- turns ---- */
static void take_turn(prov *p)
{
    if (!(p->info.can & PROV_PARALLEL))
        pthread_mutex_lock(&p->turn);
}

static void give_turn(prov *p)
{
    if (!(p->info.can & PROV_PARALLEL))
        pthread_mutex_unlock(&p->turn);
}

/* A request asked from within another's hooks would wait for itself. */
static void begin(prov *p)
{
    take_turn(p);
    assert(!p->busy);
    if (!(p->info.can & PROV_PARALLEL))
        p->busy = true;
}

static void end(prov *p)
{
    if (!(p->info.can & PROV_PARALLEL))
        p->busy = false;
    give_turn(p);
}

struct eng_cache *prov_cache(prov *p) { return p->kind->cache ? p->kind->cache(p) : NULL; }
struct eng_session *prov_session(prov *p) { return p->kind->session ? p->kind->session(p) : NULL; }
bool prov_holds(prov *p, const int32_t *token, const int32_t *pos, int n) { return p->kind->holds && p->kind->holds(p, token, pos, n); }

/* ---- configurations ---- */
prov_config *prov_config_new(const prov *p) { return p->kind->config_new(p); }
prov_config *prov_config_copy(const prov_config *c) { return c->kind->config_copy(c); }

void prov_config_free(prov_config *c)
{
    if (c)
        c->kind->config_free(c);
}

int prov_config_set(prov_config *c, const char *name, const char *value, char *err) { return c->kind->config_set(c, name, value, err); }
const char *prov_config_get(const prov_config *c, const char *name, q_buf *buf) { return c->kind->config_get(c, name, buf); }
double prov_config_number(const prov_config *c, const char *name) { return c->kind->config_number(c, name); }
int prov_config_nudge_k(prov_config *c, int delta) { return c->kind->config_nudge_k(c, delta); }
bool prov_config_range(const prov_config *c, const char *name, double *min, double *max) { return c->kind->config_range(c, name, min, max); }
const char *prov_config_fixed(const prov_config *c, const char *name, q_buf *buf) { return c->kind->config_fixed ? c->kind->config_fixed(c, name, buf) : NULL; }
bool prov_config_is_default(const prov_config *c, const char *name) { return c->kind->config_is_default(c, name); }
int prov_config_k(const prov_config *c) { return c->kind->config_k(c); }
const char *prov_config_label(const prov_config *c, q_buf *buf) { return c->kind->config_label(c, buf); }
char *prov_config_json(const prov_config *c) { return c->kind->config_json(c); }
int prov_config_from_json(prov_config *c, const char *json, char *err) { return c->kind->config_from_json(c, json, err); }
uint64_t prov_config_hash(const prov_config *c) { return c->kind->config_hash(c, false); }
uint64_t prov_config_hash_all(const prov_config *c) { return c->kind->config_hash(c, true); }
enum q_effect prov_config_diff(const prov_config *a, const prov_config *b) { return a->kind->config_diff(a, b); }
prov_cost prov_config_cost(const prov_config *c) { return c->kind->config_cost(c); }
int prov_config_added(const prov_config *c, prov_cost *of, uint8_t *changed) { return c->kind->config_added ? c->kind->config_added(c, of, changed) : 0; }

int prov_set(prov *p, const prov_config *c, enum prov_policy policy, char *err)
{
    take_turn(p);
    int rc = p->busy && !(p->info.can & PROV_LIVE)
        ? q_fail(err, Q_RANGE, _("%s takes another configuration with the next question only"), p->info.name) : p->kind->set(p, c, policy, err);
    give_turn(p);
    return rc;
}

prov_config *prov_present(prov *p)
{
    take_turn(p);
    prov_config *c = p->kind->present(p);
    give_turn(p);
    return c;
}

prov_load prov_pool_numbers(prov *p) { return p->kind->load ? p->kind->load(p) : (prov_load){ 0 }; }

/* ---- requests ---- */
static int lacks(const prov *p, unsigned can, char *err)
{
    static const struct { unsigned can; const char *what; } row[] = {
        { PROV_RAW, N_("%s only answers in a conversation: leave --base out") },
        { PROV_N, N_("%s gives one answer at a time: ask again for another") },
        { PROV_TOOLS, N_("%s takes no tools") },
        { PROV_BEGIN, N_("%s does not go on from a given beginning: /again answers anew") },
        { PROV_GRAMMAR, N_("%s cannot be held to a grammar: run the model here for that") },
        { PROV_LOGPROBS, N_("%s does not tell how likely a text is") },
        { PROV_EMBED, N_("%s does not make vectors of texts") },
        { PROV_PER_REQUEST, N_("%s takes one question's own settings, limit, alternatives, echo or token ids with no request: run the model here for that") },
        { PROV_STATE, N_("%s does not give away what it has evaluated, so nothing of it can be saved") } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (can & row[i].can & ~p->info.can)
            return q_fail(err, Q_RANGE, _(row[i].what), p->info.name);
    return Q_OK;
}

static int check(const prov *p, const prov_request *r, char *err)
{
    if (r->top < 0 || r->top > PROV_TOP)
        return q_fail(err, Q_RANGE, _("%d alternatives to a token cannot be had: ask for 0 to %d"), r->top, PROV_TOP);
    if (r->max_tokens < PROV_NOTHING)
        return q_fail(err, Q_RANGE, _("an answer of %d tokens cannot be had: ask for 1 or more"), r->max_tokens);
    if (r->echo && !r->raw && !r->ids)
        return q_fail(err, Q_RANGE, _("only a bare text can be echoed, not a conversation"));
    bool own = r->config || r->max_tokens || r->top || r->echo || r->anew || r->ids;
    return lacks(p, (own ? PROV_PER_REQUEST : 0) | (r->raw ? PROV_RAW : 0) | (r->n > 1 ? PROV_N : 0) | (r->n_tool > 0 ? PROV_TOOLS : 0) |
                    (r->n_begin ? PROV_BEGIN : 0) | (r->grammar ? PROV_GRAMMAR : 0), err);
}

int prov_ask(prov *p, const prov_request *r, const prov_hooks *h, prov_result *out, char *err)
{
    static const prov_hooks none;
    int n = r->n > 1 ? r->n : 1;
    for (int i = 0; i < n; i++)
        out[i] = (prov_result){ .finish = PROV_FAILED };
    int rc = check(p, r, err);
    if (rc < 0)
        return rc;
    begin(p);
    rc = p->kind->ask(p, r, h ? h : &none, out, err);
    end(p);
    return rc;
}

void prov_cancel(prov *p, bool on) { p->kind->cancel(p, on); }

int prov_renew(prov *p, const prov_hooks *h, char *err)
{
    static const prov_hooks none;
    begin(p);
    int rc = p->kind->renew ? p->kind->renew(p, h ? h : &none, err) : Q_OK;
    end(p);
    return rc;
}

void prov_forget(prov *p)
{
    begin(p);
    if (p->kind->forget)
        p->kind->forget(p);
    end(p);
}

/* ---- what is evaluated, in a file ---- */
uint64_t prov_state_bytes(prov *p, size_t n_note)
{
    if (!(p->info.can & PROV_STATE))
        return 0;
    take_turn(p);
    uint64_t n = p->kind->state_bytes(p, n_note);
    give_turn(p);
    return n;
}

int prov_state_save(prov *p, const char *path, const char *note, size_t n_note, prov_go *go, void *user, char *err)
{
    int rc = lacks(p, PROV_STATE, err);
    if (rc < 0)
        return rc;
    begin(p);
    rc = p->kind->state_save(p, path, note, n_note, go, user, err);
    end(p);
    return rc;
}

int prov_state_load(prov *p, const char *path, prov_go *go, void *user, char *err)
{
    int rc = lacks(p, PROV_STATE, err);
    if (rc < 0)
        return rc;
    begin(p);
    rc = p->kind->state_load(p, path, go, user, err);
    end(p);
    return rc;
}

/* ---- numbers ---- */
prov_room prov_context(prov *p)
{
    take_turn(p);
    prov_room r = p->kind->context(p);
    give_turn(p);
    return r;
}

int prov_runs(prov *p, prov_mix *out, int max)
{
    take_turn(p);
    int n = p->kind->runs && max > 0 ? p->kind->runs(p, out, max) : 0;
    give_turn(p);
    return n;
}

int prov_mixture(prov *p, prov_mix *out, int max)
{
    take_turn(p);
    int n = p->kind->mixture ? p->kind->mixture(p, out, max) : 0;
    give_turn(p);
    return n;
}

int prov_count(const prov *p, const char *text, size_t n) { return p->kind->count(p, text, n); }

void prov_spell(const prov *p, int32_t token, q_buf *out)
{
    if (p->kind->spell)
        p->kind->spell(p, token, out);
}

int prov_count_request(const prov *p, const prov_request *r, char *err)
{
    int rc = check(p, r, err);
    return rc < 0 ? rc : p->kind->count_request(p, r, err);
}

int prov_ids(const prov *p, const prov_request *r, int32_t **out, char *err)
{
    int rc = check(p, r, err);
    *out = NULL;
    if (rc == Q_OK && !p->kind->ids)
        rc = q_fail(err, Q_RANGE, _("%s does not say how a prompt is cut into tokens: a model in this process does"), p->info.name);
    return rc < 0 ? rc : p->kind->ids(p, r, out, err);
}

int prov_show(const prov *p, const prov_request *r, q_buf *out, char *err)
{
    static const char *const role[] = { [PROV_SYSTEM] = "system", [PROV_USER] = "user", [PROV_ASSISTANT] = "assistant", [PROV_TOOL] = "tool" };
    int rc = check(p, r, err);
    q_buf_puts(out, "");
    if (rc < 0 || p->kind->show)
        return rc < 0 ? rc : p->kind->show(p, r, out, err);
    if (r->raw)
        q_buf_add(out, r->raw, r->n_raw);
    for (int i = 0; i < r->n_message && !r->raw; i++) {
        q_buf_printf(out, "[%s]\n", role[r->message[i].role]);
        q_buf_add(out, r->message[i].text, r->message[i].n);
        q_buf_putc(out, '\n');
    }
    if (r->n_begin && !r->raw)
        q_buf_printf(out, "[%s]\n", role[PROV_ASSISTANT]);
    q_buf_add(out, r->begin, r->n_begin);
    return Q_OK;
}

int prov_score(prov *p, const prov_request *before, const char *text, size_t n, void (*each)(void *user, const prov_piece *),
               void *user, char *err)
{
    int rc = lacks(p, PROV_LOGPROBS, err);
    if (rc == Q_OK && before)
        rc = check(p, before, err);
    if (rc < 0)
        return rc;
    begin(p);
    rc = p->kind->score(p, before, text, n, each, user, err);
    end(p);
    return rc;
}

int prov_judge(prov *p, const prov_request *r, int n_request, const char *const *text, int n, double *share, prov_go *go, void *user, char *err)
{
    int rc = lacks(p, PROV_LOGPROBS, err);
    for (int i = 0; i < n_request * n; i++)
        share[i] = (double)NAN;
    if (rc == Q_OK && !p->kind->judge)
        rc = q_fail(err, Q_RANGE, _("%s does not tell how likely a text is"), p->info.name);
    for (int i = 0; i < n_request && rc == Q_OK; i++)
        rc = check(p, &r[i], err);
    if (rc < 0)
        return rc;
    begin(p);
    rc = p->kind->judge(p, r, n_request, text, n, share, go, user, err);
    end(p);
    return rc;
}

int prov_embed(prov *p, const char *text, size_t n, float *out, char *err)
{
    int rc = lacks(p, PROV_EMBED, err);
    if (rc < 0)
        return rc;
    begin(p);
    rc = p->kind->embed(p, text, n, out, err);
    end(p);
    return rc;
}
