/* tests of models on servers: how one is opened at a server of the test's own (tests/play_server.h), and chunks that such servers send. */
#ifndef REMOTE_HELP_H
#define REMOTE_HELP_H

#include "provider/provider.h"
#include "tests/play_server.h"
#include "tests/test.h"

#define CHUNK(delta) "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}]}"
#define END(reason) "{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}]}"
#define USAGE "{\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":21,\"completion_tokens\":4,\"total_tokens\":25,\"prompt_tokens_details\":{\"cached_tokens\":16}}}"
#define EVENTS(...) (const char *const[]){ __VA_ARGS__, NULL }

/* more: NAME=VALUE of its section, a line each. */
__attribute__((unused)) static prov_servers *servers_at(const play *p, const char *more)
{
    char err[Q_ERRLEN];
    prov_servers *s = prov_servers_new();
    CHECK_MSG(prov_servers_put(s, "box", "url", p->url, err) == Q_OK, "%s", err);
    char *lines = q_strdup(more), *rest = NULL;
    for (char *l = strtok_r(lines, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest)) {
        char *eq = strchr(l, '=');
        *eq = 0;
        CHECK_MSG(prov_servers_put(s, "box", l, eq + 1, err) == Q_OK, "%s: %s", l, err);
    }
    free(lines);
    return s;
}

__attribute__((unused)) static prov *open_at(const play *p, const char *what, const char *more)
{
    char err[Q_ERRLEN];
    prov *out = NULL;
    prov_servers *s = servers_at(p, more);
    int rc = prov_open(what, &(prov_opts){ .servers = s }, &out, err);
    CHECK_MSG(rc == Q_OK, "%s", err);
    prov_servers_free(s);                /* they outlive the opening only */
    return out;
}

#endif
