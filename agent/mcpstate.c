/* agent/mcpstate: the servers of config.ini as this room holds them, from its opening to its end. See mcphub.h. */
#include "agent/room.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */
void hub_open(agt *a)
{
    mcphub *h = &a->toolbox.hub;
    pthread_mutex_init(&h->mu, NULL);
    h->n = mcp_count(a->settings.mcps);
    h->v = q_alloc(sizeof *h->v * (size_t)(h->n + 1));
    for (int i = 0; i < h->n; i++) {
        mcp_server *s = mcp_at(a->settings.mcps, i);
        char *key = agree_key(mcp_name(s)), *text = settings_get(&a->settings, key);
        h->v[i] = (hub_server){ .is = s, .agreed = agree_read(text) };
        h->v[i].said = h->v[i].agreed ? HUB_ALWAYS : HUB_UNASKED;
        free(key);
        free(text);
    }
}

void hub_close(agt *a)
{
    mcphub *h = &a->toolbox.hub;
    if (!h->v)
        return;
    tool_lent_free(h->lent);
    for (int i = 0; i < h->n; i++) {
        cJSON_Delete(h->v[i].agreed);
        free(h->v[i].left);
    }
    free(h->v);
    pthread_mutex_destroy(&h->mu);
}

hub_server *hub_find(agt *a, const char *name)
{
    mcphub *h = &a->toolbox.hub;
    for (int i = 0; i < h->n; i++)
        if (strcmp(mcp_name(h->v[i].is), name) == 0)
            return &h->v[i];
    return NULL;
}

bool hub_ends(agt *a, const char *server)
{
    hub_server *s = hub_find(a, server);
    return s && mcp_ending(s->is);
}

const tool_row *hub_rows(agt *a, int *n) { return tool_lent_rows(a->toolbox.hub.lent, n); }

/* ---- starting ---- */
bool hub_wanted(agt *a)
{
    q_buf b = { 0 };
    pthread_mutex_lock(&a->shown.mu);
    bool mute = a->shown.full_name && !a->shown.about.calls;
    pthread_mutex_unlock(&a->shown.mu);
    bool yes = a->toolbox.hub.n && !a->base && !mute && strcmp(settings_value(&a->settings, "agent.tools", &b), "off") != 0;
    q_buf_free(&b);
    return yes;
}

bool hub_refused(agt *a, hub_server *s)
{
    pthread_mutex_lock(&a->toolbox.hub.mu);
    bool no = s->said == HUB_NO;
    pthread_mutex_unlock(&a->toolbox.hub.mu);
    return no || !mcp_enabled(s->is);
}

void hub_start(agt *a)
{
    mcphub *h = &a->toolbox.hub;
    for (int i = 0; i < h->n && hub_wanted(a); i++)
        if (!hub_refused(a, &h->v[i]))
            mcp_start(h->v[i].is);
}
