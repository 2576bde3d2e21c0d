/* agent/measure: the text that something is measured on, and the measuring's progress. Engine thread. */
#include "agent/talk.h"
#include "provider/provider.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_MOST = 16 << 20, ANSWER_MOST = 256 };

/* The branch as it was said, without thinking; last: its last answer alone. */
static void said(agt *a, bool last, q_buf *out)
{
    const mem_messages *m = &a->chat.path;
    for (int i = 0; i < m->n; i++) {
        bool answer = m->v[i].role == MEM_ASSISTANT;
        if (last && answer)
            q_buf_clear(out);
        if (!last || answer)
            q_buf_printf(out, "%s%s", out->len ? "\n\n" : "", m->v[i].text);
    }
}

int measure_text(agt *a, const char *from, q_buf *out, char *err)
{
    q_buf_puts(out, "");
    bool all = !from || strcmp(from, "conversation") == 0 || strcmp(from, "беседа") == 0 || strcmp(from, "беседе") == 0;
    bool last = from && (strcmp(from, "last") == 0 || strcmp(from, "last answer") == 0);
    if (all || last) {
        said(a, last, out);
        return out->len ? Q_OK : q_fail(err, Q_RANGE, _("this conversation has no text yet: \"on FILE\" at the end takes a file's"));
    }
    char *real = q_home_path(from);
    int rc = q_read_file(real, out, FILE_MOST, err);
    q_buf_puts(out, "");
    if (rc == Q_OK && !q_utf8_valid(out->p, out->len))
        rc = q_fail(err, Q_FORMAT, _("%s is not UTF-8 text: iconv turns other encodings into it"), real);
    free(real);
    return rc;
}

bool measure_on(const char *word, char *rest, char **on)
{
    if (strcmp(word, "on") != 0 && strcmp(word, "на") != 0)
        return false;
    *on = rest && *rest ? rest : NULL;   /* a file's name may have blanks */
    return true;
}

int measure_ids(agt *a, const mem_messages *path, int32_t **out, char *err)
{
    prompt p = { 0 };
    int64_t kept = a->chat.keep_from;    /* what is asked aside moves nothing of the conversation's own */
    pthread_mutex_lock(&a->shown.mu);
    char *was = a->shown.prompt ? q_strdup(a->shown.prompt) : NULL, *own;
    int dropped = a->shown.left.dropped;
    pthread_mutex_unlock(&a->shown.mu);
    *out = NULL;
    int rc = prompt_build(a, path, NULL, &p, err);
    if (rc == Q_OK) {
        prov_request r = prompt_request(&p);
        rc = prov_ids(a->seat.who, &r, out, err);
    }
    a->chat.keep_from = kept;
    pthread_mutex_lock(&a->shown.mu);
    own = a->shown.prompt;
    a->shown.prompt = was;
    a->shown.left.dropped = dropped;
    pthread_mutex_unlock(&a->shown.mu);
    free(own);
    prompt_free(&p);
    return rc;
}

int measure_most(agt *a)
{
    double most = prov_config_number(a->seat.cfg, "sampler.max_tokens");     /* NAN: it has no such knob */
    return most > 0 && most < ANSWER_MOST ? (int)most : ANSWER_MOST;
}

uint64_t measure_seed(agt *a)
{
    double own = prov_config_number(a->seat.cfg, "sampler.seed");
    return own > 0 ? (uint64_t)own : (uint64_t)q_wall_ms();
}

int measure_local(const char *name, char *err)
{
    return q_fail(err, Q_RANGE, _("%s runs on a server, and this looks into the model itself: /model takes one of this machine"), name);
}

int measure_file(agt *a, const char *name, const char *lacking, char **path, char *err)
{
    int rc = Q_OK;
    *path = NULL;
    if (name && *name) {
        char *real = q_home_path(name);
        rc = prov_find_model(real, path, err);
        free(real);
    } else {
        pthread_mutex_lock(&a->shown.mu);
        *path = a->shown.path ? q_strdup(a->shown.path) : NULL;
        pthread_mutex_unlock(&a->shown.mu);
        if (!*path)
            rc = q_fail(err, Q_NOTFOUND, "%s", lacking);
    }
    if (rc == Q_OK && **path == '@')
        rc = measure_local(*path, err);
    return rc;
}

struct eng_cache *measure_cache(agt *a, char *err)
{
    struct eng_cache *c = a->seat.who ? prov_cache(a->seat.who) : NULL;
    const char *path = a->seat.who ? prov_about(a->seat.who)->path : "";
    if (!c && *path == '@')
        measure_local(path, err);
    else if (!c)
        q_fail(err, Q_NOTFOUND, _("no model is loaded that could be compared: /model lists those at hand"));
    return c;
}

measuring measure_begin(agt *a, const char *what) { return (measuring){ a, what, q_now_ns() }; }

bool measure_go_on(void *user, int done, int total)
{
    const measuring *w = user;
    double left = done > 0 ? (double)(q_now_ns() - w->from_ns) / 1e9 * (total - done) / done : -1;
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(w->what), .done = done, .total = total, .rate = left };
    evq_push(&w->a->events, &e);
    return !desk_stopped(&w->a->desk, LANE_ENGINE);
}

void measure_end(measuring *w)
{
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(w->what) };
    evq_push(&w->a->events, &e);
}
