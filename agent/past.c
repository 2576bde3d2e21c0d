/* agent/past: an answer of the branch with its positions as they were when they were made: see past.h. The running conversation's
 * cells stay as they are: what is evaluated again has a cache of its own, kept until the next question, another answer, another
 * conversation or another model. Engine thread. */
#include "agent/past.h"
#include "agent/talk.h"
#include "base/say.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MOST = 1024 };

/* ---- which answer ---- */
int answer_named(const char **text, int *number, char *err)
{
    const char *p = *text;
    char *end;
    *number = 0;
    while (is_blank(*p))
        p++;
    if (*p != '@')
        return Q_OK;
    long v = strtol(p + 1, &end, 10);
    if (end == p + 1 || (*end && !is_blank(*end)) || v == 0 || v > INT32_MAX || v < -INT32_MAX)
        return q_fail(err, Q_RANGE, _("@N names an answer of this conversation: from 1, or from its end with a minus"));
    *number = (int)v;
    *text = end + strspn(end, " \t");
    return Q_OK;
}

bool answer_token(const char *word, int n, int *at, int *rc, char *err)
{
    char *end;
    long v = strtol(word, &end, 10);
    if (end == word || *end)
        return false;
    if (v < -n || v > n)
        *rc = q_fail(err, Q_RANGE, _("this answer has %d tokens: 1 to %d, or -1 to -%d from its end; 0 is what stands before the first"), n, n, n);
    else
        *at = (int)(v < 0 ? n + v : v - 1);
    return true;
}

int answer_find(agt *a, int number, answer_at *out, char *err)
{
    const mem_messages *path = &a->chat.path;
    *out = (answer_at){ .off = -1 };
    for (int i = 0; i < path->n; i++)
        out->of += path->v[i].role == MEM_ASSISTANT;
    if (number < 0)
        number = -number > out->of ? out->of + 1 : out->of + 1 + number;
    for (int i = 0, nth = 0; i < path->n; i++) {
        const mem_message *m = &path->v[i];
        nth += m->role == MEM_ASSISTANT;
        if (m->role != MEM_ASSISTANT || (number ? nth != number : !m->has_trace))
            continue;
        out->m = m;
        out->number = nth;
        out->place = i;
    }
    if (!out->m && number && out->of)
        return q_fail(err, Q_RANGE, ngettext("this conversation has %d answer: @1", "this conversation has %d answers: @1 to @%d", (unsigned long)out->of), out->of, out->of);
    if (!out->m)
        return q_fail(err, Q_NOTFOUND, _("this conversation has no recorded routing yet: ask something first"));
    if (!out->m->has_trace)
        return q_fail(err, Q_NOTFOUND, _("no routing was recorded with this answer"));
    int rc = mem_trace_get(a->store, out->m->id, &out->t, err);
    if (rc == Q_OK && out->t->n == 0)
        rc = q_fail(err, Q_NOTFOUND, _("no routing was recorded with this answer"));
    if (rc != Q_OK)
        answer_done(out);
    return rc;
}

void answer_done(answer_at *o)
{
    mem_trace_free(o->t);
    o->t = NULL;
    o->s = NULL;
}

/* NULL: none that it names. */
static const char *made_by(agt *a, const answer_at *o, int i)
{
    char err[Q_ERRLEN];
    const char *json = NULL;
    for (int c = 0; c < o->m->n_config && !json; c++) {
        prov_config *one = prov_config_new(a->seat.who);
        if (prov_config_from_json(one, o->m->config[c].json, err) == Q_OK && prov_config_hash(one) == o->t->config[i])
            json = o->m->config[c].json;
        prov_config_free(one);
    }
    return json;
}

/* ---- held already ---- */
static int can(agt *a, const answer_at *o, char *err)
{
    if (!a->seat.who)
        return q_fail(err, Q_NOTFOUND, _("no model is loaded: /model lists those at hand"));
    if (*prov_about(a->seat.who)->path == '@')
        return measure_local(prov_about(a->seat.who)->name, err);
    if (!prov_session(a->seat.who) || !prov_cache(a->seat.who))
        return q_fail(err, Q_RANGE, _("%s cannot evaluate a position again"), prov_about(a->seat.who)->name);
    if (o->m->model_id != prov_about(a->seat.who)->id)
        return q_fail(err, Q_RANGE, _("this answer is another model's, %s: /model loads it, or /again answers with this one"), o->m->model);
    for (int i = 0; i < o->t->n; i++)
        if (o->t->pos[i] != o->t->pos[0] + i || o->t->pos[0] < 1)
            return q_fail(err, Q_FORMAT, _("the stored routing of message %lld cannot be read"), (long long)o->m->id);
    return Q_OK;
}

/* ---- which context ---- */
/* Where cells are looked for: those before the answer's token `need` in the context of the part that has token `token`. */
typedef struct place {
    int part;                            /* of was->turn, after which it is; -1: what the answer began with */
    int begin, end;                      /* the part's tokens */
    int need;
    int by;                              /* an older record, where each change evaluated the context anew: the token whose configuration made every cell; -1 */
} place;

static place place_of_token(const answer_at *o, const origin *was, int token, int need, int at)
{
    place p = { .part = -1, .end = o->t->n, .need = need, .by = -1 };
    for (int i = 0; i < was->n_turn && was->turn[i].at <= token; i++)
        p.part = i;
    if (p.part >= 0)
        p.begin = was->turn[p.part].at;
    if (p.part + 1 < was->n_turn && was->turn[p.part + 1].at < o->t->n)
        p.end = was->turn[p.part + 1].at;
    bool several = false;
    for (int i = 1; i < o->t->n; i++)
        several |= o->t->config[i] != o->t->config[0];
    if (was->recompute && several && !was->n_turn)
        p.by = at < 0 ? 0 : at;
    return p;
}

/* What came after token `at`: it was chosen in the context of the one that came. */
static place place_after(const answer_at *o, const origin *was, int at)
{
    return place_of_token(o, was, at + 1 < o->t->n ? at + 1 : o->t->n - 1, at < 0 ? -1 : at, at);
}

char *answer_made_by(agt *a, const answer_at *o, int i)
{
    origin was;
    origin_read(o->t->made, &was);
    place p = place_after(o, &was, i);
    const struct origin_turn *t = p.part >= 0 ? &was.turn[p.part] : NULL;
    bool anew = t && i < p.begin && p.begin < o->t->n;       /* its cell is not the one that is on record */
    const char *json = anew && t->n_run ? t->run[t->n_run - 1].json : made_by(a, o, anew ? p.begin : i < 0 ? 0 : i);
    char *text = json ? q_strdup(json) : prov_config_json(a->seat.cfg);
    origin_free(&was);
    return text;
}

/* Were the cells before what is needed made by what made them then? */
static bool same_cells(agt *a, const answer_at *o, const origin *was, const place *p)
{
    prov_mix *now = q_alloc(sizeof *now * RUNS_MOST);
    const origin_run *by = p->part < 0 ? was->run : was->turn[p->part].run;
    int n_by = p->part < 0 ? was->n_run : was->turn[p->part].n_run;
    int n = prov_runs(a->seat.who, now, RUNS_MOST), need = o->t->pos[0] + p->need, whose = was->n + p->begin, pos = 0, run = 0, left = n_by ? by[0].n : 0;
    bool same = n < RUNS_MOST && (n_by || p->by >= 0);
    for (int i = 0; i < n && same; i++)
        for (int k = 0; k < now[i].cells && pos < need && same; k++, pos++) {
            while (left == 0 && run + 1 < n_by)
                left = by[++run].n;
            uint64_t want = p->by >= 0 ? o->t->config[p->by] : pos < whose ? by[run].hash : o->t->config[pos - was->n];
            same = now[i].config == want;
            left -= left > 0;
        }
    free(now);
    return same && pos == need;
}

static bool held(agt *a, const answer_at *o, const origin *was, const place *p)
{
    if (a->seat.holds != a->chat.id || !prov_holds(a->seat.who, o->t->token, o->t->pos, o->t->n))
        return false;
    if (!was->there)                     /* of the last one it is taken for granted */
        return o->place == a->chat.path.n - 1;
    return was->n == o->t->pos[0] && was->n_run && same_cells(a, o, was, p);
}

static bool again_of(const agt *a, const answer_at *o, const place *p)
{
    const seat_again *g = &a->seat.again;
    return g->past && g->message == o->m->id && g->part == p->part && (p->by < 0 || g->config == o->t->config[p->by]);
}

static bool near(agt *a, answer_at *o, const origin *was, const place *p)
{
    if (held(a, o, was, p))
        o->s = prov_session(a->seat.who);
    else if (again_of(a, o, p) && lab_past_left(a->seat.again.past) == 0) {
        o->s = lab_past_session(a->seat.again.past);
        o->off = lab_past_off(a->seat.again.past);
    }
    return o->s != NULL;
}

int answer_near(agt *a, answer_at *o, int at, char *err)
{
    origin was;
    int rc = can(a, o, err);
    if (rc != Q_OK)
        return rc;
    origin_read(o->t->made, &was);
    place p = place_after(o, &was, at);
    bool there = near(a, o, &was, &p);
    origin_free(&was);
    return there ? Q_OK : q_fail(err, Q_RANGE, _("the context does not hold this answer as it was made"));
}

/* ---- its prompt again ---- */
static int gone(char *err)
{
    return q_fail(err, Q_RANGE, _("the prompt that this answer was made from cannot be made again: a passage, a title or the model's frame is another now; /again answers anew, then this can be asked"));
}

/* What the store's log says was fed, for answers of which nothing else is known. */
static int logged(agt *a, const answer_at *o, origin *was, char *err)
{
    mem_logs log = { 0 };
    int rc = mem_log_get(a->store, o->m->id, &log, err);
    was->fed = q_alloc(sizeof *was->fed * (size_t)(log.n + 1));
    for (int k = 1; k <= log.n && rc == Q_OK; k++)
        for (int i = 0; i < log.n; i++)
            if (log.v[i].number == k)
                was->fed[was->n_fed++] = (rag_fed){ (enum mem_kind)log.v[i].kind, log.v[i].ref, 0, -1 };
    mem_logs_free(&log);
    return rc;
}

static int place_of(const mem_messages *path, int64_t id)
{
    for (int i = 0; i < path->n; i++)
        if (path->v[i].id == id)
            return i;
    return id ? -1 : 0;
}

/* p has begin, think and base. Returns how many, ids malloc'ed. */
static int ids_of(agt *a, const answer_at *o, const origin *was, const rag_result *fed, prompt *p, int32_t **ids, char *err)
{
    const mem_messages path = { a->chat.path.v, o->place };
    int from = was->there ? place_of(&path, was->from) : 0, n = 0;
    q_buf system = { 0 };
    const char *said = was->there ? was->system : settings_value(&a->settings, "chat.system", &system);
    *ids = NULL;
    while (from >= 0 && from < path.n && (n = prompt_again(a, &path, from, was->compaction, said, was->there ? was->prefix : "", fed, p, err)) >= 0 && !was->there && n != o->t->pos[0])
        from++;                          /* how much of the branch was left out is not known */
    q_buf_free(&system);
    if (n < 0)
        return n;
    if (from < 0 || from >= path.n || n != o->t->pos[0])
        return gone(err);
    prov_request r = prompt_request(p);
    n = prov_ids(a->seat.who, &r, ids, err);
    if (n >= 0 && (n != o->t->pos[0] || (was->there && origin_hash(*ids, n) != was->ids))) {
        free(*ids);
        *ids = NULL;
        return gone(err);
    }
    return n;
}

static int prompt_ids(agt *a, const answer_at *o, origin *was, int32_t **ids, char *err)
{
    const mem_message *m = o->m;
    const mem_message_config *c = m->n_config ? &m->config[0] : NULL;
    prov_config *cfg = prov_config_new(a->seat.who);
    rag_result *fed = NULL;
    q_buf think = { 0 };
    char *begin = c && c->at > 0 && (size_t)c->at <= strlen(m->text) ? q_strndup(m->text, (size_t)c->at) : NULL;
    prompt p = { .begin = begin, .base = was->there ? was->base : a->base };
    int rc = o->place < 1 || !c ? gone(err) : prov_config_from_json(cfg, c->json, err);
    if (rc == Q_OK && !was->there)
        rc = logged(a, o, was, err);
    if (rc == Q_OK) {
        p.think = prov_config_get(cfg, "think", &think);
        rc = rag_again(a->store, was->fed, was->n_fed, &fed, err);
    }
    if (rc == Q_OK)
        rc = ids_of(a, o, was, fed, &p, ids, err);
    prompt_free(&p);
    rag_result_free(fed);
    prov_config_free(cfg);
    q_buf_free(&think);
    free(begin);
    return rc;
}

/* ---- evaluated again ---- */
void past_drop(agt *a)
{
    lab_past_free(a->seat.again.past);
    a->seat.again = (seat_again){ .past = NULL };
}

/* What made which cells, and the text to the end of the part. */
static int plan(agt *a, const answer_at *o, const origin *was, const place *p, const int32_t *prompt_, char *err)
{
    const mem_trace *t = o->t;
    const struct origin_turn *turn = p->part < 0 ? NULL : &was->turn[p->part];
    const origin_run *by = turn ? turn->run : was->run;
    int n = t->pos[0] + p->end, n_by = turn ? turn->n_run : was->n_run, rc = Q_OK, n_run = 0, first_token = p->by >= 0 ? p->by : p->begin < t->n ? p->begin : t->n - 1;
    lab_past_run *run = q_alloc(sizeof *run * (size_t)(n_by + t->n + 2));
    int32_t *token = q_alloc(sizeof *token * (size_t)n);
    memcpy(token, prompt_, sizeof *token * (size_t)t->pos[0]);
    memcpy(token + t->pos[0], t->token, sizeof *token * (size_t)p->end);
    const char *first = made_by(a, o, first_token);
    if (p->by >= 0)
        run[n_run++] = (lab_past_run){ n, first };
    for (int i = 0; i < n_by && p->by < 0; i++)
        run[n_run++] = (lab_past_run){ by[i].n, by[i].json };
    if (p->by < 0 && !n_by)
        run[n_run++] = (lab_past_run){ t->pos[0] + p->begin, first };
    for (int i = p->begin; i < p->end && p->by < 0; i++) {
        bool on = i > p->begin && t->config[i] == t->config[i - 1];
        const char *json = on ? run[n_run - 1].config : made_by(a, o, i);
        if (!json) {
            rc = q_fail(err, Q_RANGE, _("what token %d was made by is not known any more: /again answers anew, then this can be asked"), i + 1);
            break;
        }
        if (on)
            run[n_run - 1].n++;
        else
            run[n_run++] = (lab_past_run){ 1, json };
    }
    if (rc == Q_OK && !first)
        rc = q_fail(err, Q_RANGE, _("what token %d was made by is not known any more: /again answers anew, then this can be asked"), first_token + 1);
    lab_past_of of = { token, n, t->pos[0], run, n_run, p->begin };
    if (rc == Q_OK)
        rc = lab_past_new(prov_cache(a->seat.who), &of, &a->seat.again.past, err);
    if (rc == Q_OK) {
        a->seat.again.message = o->m->id;
        a->seat.again.config = t->config[first_token];
        a->seat.again.part = p->part;
    }
    free(run);
    free(token);
    return rc;
}

static void say_cost(agt *a, int tokens)
{
    pthread_mutex_lock(&a->shown.mu);
    double rate = a->shown.read_rate;
    pthread_mutex_unlock(&a->shown.mu);
    q_buf b = { 0 };
    q_buf_say(&b, ngettext("the context does not hold this answer as it was made: %d token is evaluated again first", "the context does not hold this answer as it was made: %d tokens are evaluated again first",
                           (unsigned long)tokens), tokens);
    if (rate > 0 && tokens / rate >= 2)
        q_buf_say(&b, _(", about %.0f s"), tokens / rate);
    note(&a->events, AGT_INFO, "%s", b.p);
    q_buf_free(&b);
}

static int read_again(agt *a, answer_at *o, const origin *was, const char *what, char *err)
{
    int left = lab_past_left(a->seat.again.past);
    if (left)
        say_cost(a, left);
    o->read += left;
    measuring work = measure_begin(a, what);
    int rc = lab_past_read(a->seat.again.past, o->t, &(lab_terms){ .go_on = measure_go_on, .user = &work }, err);
    measure_end(&work);
    if (o->off < 0)
        o->off = lab_past_off(a->seat.again.past);
    if (rc == Q_OK && o->off >= 0 && (!was->there || !was->n_run))
        rc = q_fail(err, Q_RANGE, _("how the text before this answer was read was not written down with it, and read anew its routing comes out otherwise from token %d on: /again answers anew, then this can be asked"),
                    o->off + 1);
    if (rc != Q_OK && rc != Q_CANCEL)
        past_drop(a);
    return rc;
}

static int hold(agt *a, answer_at *o, origin *was, const place *p, const char *what, char *err)
{
    int32_t *ids = NULL;
    int rc = Q_OK;
    o->s = NULL;
    if (near(a, o, was, p))
        return Q_OK;
    if (!again_of(a, o, p)) {
        past_drop(a);
        rc = prompt_ids(a, o, was, &ids, err);
        if (rc >= 0)
            rc = plan(a, o, was, p, ids, err);
    }
    if (rc == Q_OK)
        rc = read_again(a, o, was, what, err);
    if (rc == Q_OK)
        o->s = lab_past_session(a->seat.again.past);
    free(ids);
    return rc;
}

int answer_hold(agt *a, answer_at *o, int at, const char *what, char *err)
{
    origin was;
    int rc = can(a, o, err);
    if (rc != Q_OK)
        return rc;
    origin_read(o->t->made, &was);
    place p = place_after(o, &was, at);
    rc = hold(a, o, &was, &p, what, err);
    origin_free(&was);
    return rc;
}

int answer_hold_part(agt *a, answer_at *o, int from, int *to, const char *what, char *err)
{
    origin was;
    int rc = can(a, o, err);
    if (rc != Q_OK)
        return rc;
    origin_read(o->t->made, &was);
    place p = place_of_token(o, &was, from, from, o->t->n - 1);
    *to = p.end;
    if (p.part < 0 && p.end == o->t->n)
        p.need = o->t->n - 1;            /* all of it is one part */
    rc = hold(a, o, &was, &p, what, err);
    origin_free(&was);
    return rc;
}

int answer_cost(agt *a, const answer_at *o)
{
    char err[Q_ERRLEN];
    bool there = can(a, o, err) == Q_OK && o->place > 0;
    return !there ? 0 : a->seat.again.past && a->seat.again.message == o->m->id ? lab_past_left(a->seat.again.past) : o->t->pos[0] + o->t->n;
}

void answer_said(const answer_at *o, int at, q_buf *out, struct cJSON *json)
{
    bool other = o->off >= 0 && at >= o->off - 1;
    if (o->read)
        q_buf_say(out, ngettext("%d token was evaluated again for this; until the next question further ones about this answer cost nothing\n",
                                "%d tokens were evaluated again for this; until the next question further ones about this answer cost nothing\n", (unsigned long)o->read), o->read);
    if (other)
        q_buf_say(out, _("not to the bit as it was made: from token %d on its routing came out otherwise than it is recorded (another device or another build)\n"), o->off + 1);
    cJSON_AddNumberToObject(json, "answer", o->number);
    cJSON_AddNumberToObject(json, "evaluated_again", o->read);
    cJSON_AddBoolToObject(json, "as_recorded", !other);
}
