/* advice/pull_hub: a look at the hub, which brings nothing. See pull.h. Asked is the list of models, as huggingface_hub does
 * (hf_api.py, list_models: GET /api/models?limit=N); any answer below 500 shows that there is one. */
#include "advice/pull.h"
#include "advice/pull_ask.h"
#include "advice/pull_name.h"

#include <stdio.h>
#include <stdlib.h>

enum { BODY_MOST = 1 << 20, REDIRECTS = 3 };

static bool enough(void *user, const net_reply *so_far, const char *p, size_t n) { return false; }

/* Redirects included, none of which begins the time anew. */
static bool in_time(void *user) { return q_now_ns() < *(const int64_t *)user; }

static void ask_it(adv_hub *out)
{
    const int64_t t0 = q_now_ns();
    int64_t until = t0 + ADV_HUB_S * INT64_C(1000000000);
    char *url = q_printf("%s/api/models?limit=1", out->url), *host = net_host(out->url);
    net *n = net_new();
    net_reply r = { 0 };
    const net_request q = { .url = url, .redirects = REDIRECTS, .limit = { .body = BODY_MOST }, .data = enough, .go = in_time, .user = &until };
    int rc = net_run(n, &q, &r, out->why);
    if (rc == Q_CANCEL && r.status && in_time(&until)) rc = Q_OK;          /* its first bytes are all that is wanted */
    out->asked = true;
    out->status = r.status;
    out->ms = (int)((q_now_ns() - t0) / 1000000);
    out->answers = rc == Q_OK && r.status < 500;
    if (out->answers) *out->why = 0;
    else if (rc == Q_CANCEL) q_fail(out->why, Q_IO, _("%s did not answer within %d seconds: check the network, or name a mirror in QUORUM_HUB"), host, ADV_HUB_S);
    else if (rc == Q_OK) q_fail(out->why, Q_IO, _("%s answers with status %d: run this again later, or name a mirror in QUORUM_HUB"), host, r.status);
    net_free(n);
    free(host);
    free(url);
}

int adv_hub_look(bool ask, adv_hub *out, char *err)
{
    char *url;
    pull_hub h;
    *out = (adv_hub){ .from = "" };
    int rc = pull_hub_name(PULL_HF, &url, &out->from, err);
    if (rc < 0) return rc;
    snprintf(out->url, sizeof out->url, "%s", url);
    rc = pull_hub_open(&h, url, true, NULL, err);
    if (rc == Q_OK) {
        out->token = h.token != NULL;
        out->safe = pull_hub_told(&h, h.url);
        snprintf(out->no_token, sizeof out->no_token, "%s", h.no_token);
        if (ask) ask_it(out);
    }
    pull_hub_close(&h);
    return rc;
}
