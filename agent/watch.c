/* agent/watch: routing on its way from who answers to those who watch: the lab's windows. */
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
    const prov_info *info = prov_about(a->seat.who);
    prov_config *own = prov_config_new(a->seat.who);
    q_buf k = { 0 }, k_own = { 0 };
    char *json = prov_config_json(a->seat.cfg);
    lab_shape s = { info->n_layer, info->first_moe_layer, info->n_moe_layer, info->n_expert };
    lab_how h = { .model = info->id, .hash = prov_config_hash(a->seat.cfg), .k = prov_config_get(a->seat.cfg, "experts.k", &k),
                  .k_default = prov_config_get(own, "experts.k", &k_own), .k_max = prov_config_k(a->seat.cfg), .config = json };
    lab_watch_config(a->watch, &s, &h);
    free(json);
    q_buf_free(&k);
    q_buf_free(&k_own);
    prov_config_free(own);
}

void watch_position(agt *a, const prov_position *p)
{
    lab_position at = { p->token, p->pos, p->config, p->prompt, p->n_layer, p->max_k, p->ids, p->weights, p->entropy, p->margin };
    lab_watch_add(a->watch, &at);
}

static bool busy(void *user)
{
    agt *a = user;
    return desk_wanted(&a->desk);
}

bool watch_baseline(agt *a)
{
    struct eng_cache *beside = a->seat.who ? prov_cache(a->seat.who) : NULL;
    if (!beside)
        return false;
    char *json = prov_config_json(a->seat.cfg);
    bool more = lab_baseline(a->watch, beside, json, busy, a);
    free(json);
    return more;
}
