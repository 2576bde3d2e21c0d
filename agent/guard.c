/* agent/guard: what is known of experts that the model cannot do without (lab/guard.c): learnt while nothing is asked of the
 * engine's lane, said by /guard, and before an expert is banned. Engine thread, but for page_guard: front end's.
 * It refuses nothing. */
#include "agent/front.h"
#include "agent/talk.h"
#include "base/say.h"

#include <math.h>
#include <stdlib.h>

static void publish(agt *a)
{
    pthread_mutex_lock(&a->shown.mu);
    a->shown.about.guard = a->seat.guard.known;
    pthread_mutex_unlock(&a->shown.mu);
    lab_watch_guard(a->watch, &a->seat.guard.known);
}

void guard_loaded(agt *a)
{
    a->seat.guard = (seat_guard){ .failed = false };
    lab_guard_read(a->store, prov_about(a->seat.who)->id, &a->seat.guard.known);
    publish(a);
}

/* ---- learning ---- */
static bool go_on(void *user, int done, int total) { return !desk_wanted(&((agt *)user)->desk); }

static void say_found(agt *a)
{
    const lab_guard *g = &a->seat.guard.known;
    q_buf b = { 0 };
    int n = 0;
    for (int i = 0; i < g->tried; i++)
        if (g->row[i].rise >= LAB_GUARD_BREAKS && n++ < 8)
            q_buf_printf(&b, "%sL%de%d", b.len ? ", " : "", g->row[i].layer, g->row[i].expert);
    if (n)
        note(&a->events, AGT_WARN, ngettext("%d expert breaks the model when it is missing: %s%s; /guard has the numbers",
                                            "%d experts break the model when one is missing: %s%s; /guard has the numbers", (unsigned long)n), n, b.p, n > 8 ? ", …" : "");
    else
        note(&a->events, AGT_INFO, _("none of the %d experts that were left out breaks the model when it is missing"), g->every ? g->all : g->n);
    q_buf_free(&b);
}

bool guard_idle(agt *a)
{
    seat_guard *s = &a->seat.guard;
    struct eng_cache *beside = a->seat.who ? prov_cache(a->seat.who) : NULL;
    if (!beside || s->failed || !prov_about(a->seat.who)->n_moe_layer)
        return false;
    char err[Q_ERRLEN] = "";
    bool all = lab_guard_whole(&s->known);
    int rc = all ? Q_OK : lab_guard_look(beside, &(lab_guard_terms){ .store = a->store, .work = s->asked ? 0 : LAB_GUARD_QUICK, .go_on = go_on, .user = a }, &s->known, err);
    if (!all)
        publish(a);
    if (rc == Q_CANCEL)
        return true;
    s->failed = rc < 0 && s->asked;
    if (s->failed)
        note(&a->events, AGT_WARN, _("experts could not be looked at: %s"), err);
    else if (rc == Q_OK && s->asked && !s->said) {
        s->said = true;
        say_found(a);
    }
    return false;
}

static void wanted(agt *a, const job *j)
{
    if (a->seat.who && !a->seat.guard.asked) {
        a->seat.guard.asked = true;
        a->seat.guard.failed = false;
    }
}
const job_row job_guard = { .name = "guard", .lane = LANE_ENGINE, .end = END_DROPPED, .run = wanted };

/* ---- said ---- */
void page_guard(agt *a)
{
    q_buf b = { 0 }, data = { 0 };
    pthread_mutex_lock(&a->shown.mu);
    lab_guard g = a->shown.about.guard;
    bool loaded = a->shown.st.loaded, routed = a->shown.st.n_expert > 0;
    char *server = a->shown.path && *a->shown.path == '@' ? q_strdup(a->shown.path) : NULL, err[Q_ERRLEN];
    pthread_mutex_unlock(&a->shown.mu);
    if (!loaded)
        q_buf_puts(&b, _("No model is loaded, so there are no experts to look at.\n"));
    else if (server) {
        measure_local(server, err);
        q_buf_say(&b, "%s\n", err);
    } else if (!routed)
        q_buf_puts(&b, _("A dense model: it has no experts that could be missing.\n"));
    else {
        lab_guard_say(&g, &b);
        lab_guard_json(&g, &data);
        if (!lab_guard_whole(&g))
            q_buf_puts(&b, _("It is looked at while nothing is asked; /guard again shows how far it is.\n"));
        desk_post(&a->desk, &job_guard, 0, 0, NULL, NULL);
    }
    free(server);
    note_page(&a->events, "/guard", q_buf_take(&b), data.len ? q_buf_take(&data) : NULL);
}

static bool among(const int64_t *v, int n, int64_t x)
{
    for (int i = 0; i < n; i++)
        if (v[i] == x)
            return true;
    return false;
}

void guard_say(agt *a, const prov_config *was, const prov_config *c)
{
    const lab_guard *g = &a->seat.guard.known;
    q_buf x = { 0 }, y = { 0 }, unknown = { 0 };
    int n_old = 0, n_new, untried = 0;
    int64_t *old = was ? sync_pairs(prov_config_get(was, "experts.ban", &x), &n_old) : NULL, *new = sync_pairs(prov_config_get(c, "experts.ban", &y), &n_new);
    for (int i = 0; i < n_new; i++) {
        int layer = (int)(new[i] >> 32), expert = (int)(new[i] & 0x7fffffff);
        double rise = 0;
        enum lab_guarded is = among(old, n_old, new[i]) ? LAB_HARMLESS : lab_guard_of(g, layer, expert, &rise);
        if (is == LAB_BREAKS && isinf(rise))
            note(&a->events, AGT_WARN, _("L%de%d breaks the model: without it what is computed are no numbers any more; F9 takes the ban back"), layer, expert);
        else if (is == LAB_BREAKS)
            note(&a->events, AGT_WARN, _("L%de%d breaks the model: without it the loss of a token rose by %.2f nats, perplexity x%.3g; F9 takes the ban back"),
                 layer, expert, rise, exp(rise));
        else if (is == LAB_UNTRIED && untried++ < 4)
            q_buf_printf(&unknown, "%sL%de%d", unknown.len ? ", " : "", layer, expert);
    }
    if (untried)
        note(&a->events, AGT_INFO, _("not looked at yet, so nothing is known of what its absence does: %s%s (/guard)"), unknown.p, untried > 4 ? ", …" : "");
    free(old);
    free(new);
    q_buf_free(&x);
    q_buf_free(&y);
    q_buf_free(&unknown);
}
