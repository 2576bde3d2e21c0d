/* agent/watch: routing on its way from the session to those who watch: the lab's windows and the trace that is stored. */
#include "agent/talk.h"

#include <stdlib.h>

void agt_get_routing(agt *a, agt_routing *io) { lab_watch_get(a->watch, io); }

static void show(agt *a, const job *j) { lab_watch_stored(a->watch, j->id); }
static const job_row job_show = { .name = "show", .lane = LANE_QUICK, .end = END_DROPPED, .run = show };

void agt_show_routing(agt *a, int64_t message)
{
    if (message)
        desk_post(&a->desk, &job_show, message, 0, NULL, NULL);
    else
        lab_watch_live(a->watch);
}

void watch_config(agt *a)
{
    const eng_info *info = eng_model_info(a->seat.model);
    eng_config *own = eng_config_new(a->seat.model);
    q_buf k = { 0 }, k_own = { 0 };
    char *json = eng_config_json(a->seat.cfg);
    lab_shape s = { info->n_layer, info->first_moe_layer, info->n_moe_layer, info->n_expert };
    lab_how h = { .model = info->id, .hash = eng_config_hash(a->seat.cfg), .k = eng_config_get(a->seat.cfg, "experts.k", &k),
                  .k_default = eng_config_get(own, "experts.k", &k_own), .k_max = eng_config_k(a->seat.cfg), .config = json };
    lab_watch_config(a->watch, &s, &h);
    free(json);
    q_buf_free(&k);
    q_buf_free(&k_own);
    eng_config_free(own);
}

typedef struct taking { agt *a; mem_trace *also; } taking;
static bool take(void *user, const eng_trace_rec *r)
{
    taking *t = user;
    lab_position p = { r->token, r->pos, r->config, r->prompt, r->n_layer, r->max_k, r->ids, r->weights, r->entropy, r->margin };
    lab_watch_add(t->a->watch, &p);
    if (t->also)
        mem_trace_add(t->also, r->token, r->pos, r->config, r->prompt, r->max_k, r->ids, r->weights, r->entropy, r->margin);
    return true;
}

void watch_feed(agt *a, mem_trace *also)
{
    taking t = { a, also };
    if (a->seat.session)
        eng_trace_read(a->seat.session, &a->seat.trace_cursor, take, &t);
}

static bool busy(void *user)
{
    agt *a = user;
    return desk_wanted(&a->desk);
}

bool watch_baseline(agt *a)
{
    if (!a->seat.model)
        return false;
    char *json = eng_config_json(a->seat.cfg);
    bool more = lab_baseline(a->watch, a->seat.model, json, busy, a);
    free(json);
    return more;
}
