/* tests: servers of the Model Context Protocol by a script, linked instead of room mcp: what they say, when they are there and what becomes
 * of a call is written down, nothing is started and nothing depends on time. tests/agent/mcp.test tries the real ones. */
#ifndef FAKE_MCP_H
#define FAKE_MCP_H
#include "mcp/mcp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int fake_call(const char *what, const char *arguments, const mcp_hooks *, mcp_result *, char *err);
struct mcp_server {
    char name[40], where[256];
    bool enabled, started, ends;
};
struct mcp_set { mcp_server v[8]; int n; };

/* What a server is, by its name; of the next agent, and changed in between. Under mu. */
static struct fake_said {
    const char *name;
    const mcp_item *item[MCP_KINDS]; int n[MCP_KINDS];
    enum mcp_state state;                /* READY: it is there when it is started; STARTING: never; FAILED */
    const char *error, *line;
    fake_call *call, *read, *prompt;
} fake_said[8];
static pthread_mutex_t fake_mu = PTHREAD_MUTEX_INITIALIZER;
static atomic_int fake_starts, fake_calls;

static struct fake_said *fake_of(const mcp_server *s)
{
    for (int i = 0; i < 8; i++)
        if (fake_said[i].name && strcmp(fake_said[i].name, s->name) == 0)
            return &fake_said[i];
    return &fake_said[7];
}

mcp_set *mcp_set_new(void) { return q_alloc(sizeof(mcp_set)); }
void mcp_set_free(mcp_set *s) { free(s); }
void mcp_set_stop(mcp_set *s) {}
void mcp_set_authorise(mcp_set *set, const mcp_authorise *a) {}
void mcp_stop(mcp_server *s) {}
void mcp_end(mcp_server *s, bool off)
{
    pthread_mutex_lock(&fake_mu);
    s->ends = true;
    s->enabled &= !off;
    pthread_mutex_unlock(&fake_mu);
}
bool mcp_ending(mcp_server *s)
{
    pthread_mutex_lock(&fake_mu);
    bool yes = s->ends;
    pthread_mutex_unlock(&fake_mu);
    return yes;
}

int mcp_put(mcp_set *set, const char *name, const char *key, const char *value, char *err)
{
    mcp_server *s = mcp_find(set, name);
    if (strcmp(key, "key") == 0)
        return q_fail(err, Q_NOTFOUND, "a key does not stand in this file");
    if (!s) {
        s = &set->v[set->n++];
        *s = (mcp_server){ .enabled = true };
        snprintf(s->name, sizeof s->name, "%s", name);
    }
    if (strcmp(key, "command") == 0 || strcmp(key, "url") == 0)
        snprintf(s->where, sizeof s->where, "%s", value);
    return Q_OK;
}

int mcp_count(const mcp_set *s) { return s->n; }
mcp_server *mcp_at(const mcp_set *s, int i) { return (mcp_server *)(uintptr_t)&s->v[i]; }
mcp_server *mcp_find(const mcp_set *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->v[i].name, name) == 0)
            return mcp_at(s, i);
    return NULL;
}
const char *mcp_name(const mcp_server *s) { return s->name; }
char *mcp_where(const mcp_server *s) { return q_strdup(s->where); }
const char *mcp_ca(const mcp_server *s) { return NULL; }
bool mcp_http(const mcp_server *s) { return strncmp(s->where, "http", 4) == 0; }
bool mcp_enabled(const mcp_server *s) { return s->enabled; }
void mcp_enable(mcp_server *s, bool on)
{
    pthread_mutex_lock(&fake_mu);
    s->enabled = on;
    s->started &= on;
    s->ends = false;
    pthread_mutex_unlock(&fake_mu);
}

void mcp_status_of(mcp_server *s, mcp_status *out)
{
    pthread_mutex_lock(&fake_mu);
    const struct fake_said *f = fake_of(s);
    *out = (mcp_status){ .state = s->started ? f->state : MCP_OFF, .era = s->started ? MCP_ERA_2025 : MCP_ERA_UNKNOWN };
    if (s->started)
        snprintf(out->version, sizeof out->version, "2025-11-25");
    snprintf(out->error, sizeof out->error, "%s", f->error ? f->error : "");
    snprintf(out->line, sizeof out->line, "%s", f->line ? f->line : "");
    for (int k = 0; k < MCP_KINDS && s->started; k++)
        out->n[k] = f->n[k];
    pthread_mutex_unlock(&fake_mu);
}

char *mcp_stderr(mcp_server *s) { return q_strdup(fake_of(s)->line ? fake_of(s)->line : ""); }
char *mcp_instructions(mcp_server *s) { return q_strdup(""); }
char *mcp_remarks(mcp_server *s) { return q_strdup(""); }

void mcp_start(mcp_server *s)
{
    pthread_mutex_lock(&fake_mu);
    fake_starts += s->enabled && !s->started;
    s->started |= s->enabled;
    pthread_mutex_unlock(&fake_mu);
}

int mcp_ready(mcp_server *s, int ms, const mcp_hooks *h, char *err)
{
    mcp_start(s);
    pthread_mutex_lock(&fake_mu);
    const struct fake_said *f = fake_of(s);
    int rc = !s->started ? q_fail(err, Q_ERR, "it is off") : f->state == MCP_READY ? Q_OK : f->state == MCP_STARTING ? q_fail(err, Q_RANGE, "it is starting") : q_fail(err, Q_IO, "%s", f->error);
    pthread_mutex_unlock(&fake_mu);
    return rc;
}

void mcp_restart(mcp_server *s)
{
    pthread_mutex_lock(&fake_mu);
    s->ends = false;
    pthread_mutex_unlock(&fake_mu);
    mcp_start(s);
}
int mcp_refresh(mcp_server *s, const mcp_hooks *h, char *err) { return Q_OK; }

void mcp_items(mcp_server *s, enum mcp_kind k, mcp_list *out)
{
    pthread_mutex_lock(&fake_mu);
    const struct fake_said *f = fake_of(s);
    int n = s->started && f->state == MCP_READY ? f->n[k] : 0;
    *out = (mcp_list){ q_alloc(sizeof *out->v * (size_t)(n + 1)), n };
    for (int i = 0; i < n; i++) {
        const mcp_item *x = &f->item[k][i];
        mcp_item *y = &out->v[i];
        *y = *x;
        y->name = q_strdup(x->name);
        y->uri = x->uri ? q_strdup(x->uri) : NULL;
        y->title = q_strdup(x->title ? x->title : "");
        y->help = q_strdup(x->help ? x->help : "");
        y->schema = q_strdup(x->schema ? x->schema : "{\"type\":\"object\"}");
        y->gives = NULL;
        y->type = q_strdup("");
        y->arg = q_alloc(sizeof *y->arg * (size_t)(x->n_arg + 1));
        for (int p = 0; p < x->n_arg; p++)
            y->arg[p] = (mcp_arg){ q_strdup(x->arg[p].name), q_strdup(""), x->arg[p].required };
        char *all = q_printf("%s\n%s\n%s\n%d", y->name, y->help, y->schema, y->read_only);
        q_sha256(all, strlen(all), y->sha256);
        free(all);
    }
    pthread_mutex_unlock(&fake_mu);
}

void mcp_list_free(mcp_list *l)
{
    for (int i = 0; i < l->n; i++) {
        mcp_item *x = &l->v[i];
        for (int p = 0; p < x->n_arg; p++) {
            free(x->arg[p].name);
            free(x->arg[p].help);
        }
        free(x->arg);
        free(x->name);
        free(x->uri);
        free(x->title);
        free(x->help);
        free(x->schema);
        free(x->type);
    }
    free(l->v);
    *l = (mcp_list){ 0 };
}

void mcp_result_free(mcp_result *r)
{
    q_buf_free(&r->text);
    q_buf_free(&r->blob);
    free(r->structured);
    for (int i = 0; i < r->n_link; i++) {
        free(r->link[i].uri);
        free(r->link[i].name);
        free(r->link[i].type);
    }
    free(r->link);
    for (int i = 0; i < r->n_part; i++)
        free(r->part[i].text);
    free(r->part);
    free(r->type);
    *r = (mcp_result){ .is_error = false };
}

static int fake_ask(fake_call *f, const char *what, const char *arguments, const mcp_hooks *h, mcp_result *out, char *err)
{
    fake_calls++;
    return f ? f(what, arguments, h, out, err) : q_fail(err, Q_ERR, "it knows nothing of that");
}
int mcp_call(mcp_server *s, const char *tool, const char *arguments, const mcp_hooks *h, mcp_result *out, char *err) { return fake_ask(fake_of(s)->call, tool, arguments, h, out, err); }
int mcp_read(mcp_server *s, const char *uri, const mcp_hooks *h, mcp_result *out, char *err) { return fake_ask(fake_of(s)->read, uri, "", h, out, err); }
int mcp_prompt(mcp_server *s, const char *prompt, const char *arguments, const mcp_hooks *h, mcp_result *out, char *err) { return fake_ask(fake_of(s)->prompt, prompt, arguments ? arguments : "", h, out, err); }

#endif
