/* mcp/known: what is known of a server, and who uses its wire. Any thread; the lock is held for as long as it takes to copy. */
#include "mcp/server.h"

#include "mcp/list.h"

#include <stdlib.h>
#include <string.h>

/* ---- who uses it ---- */
int server_use(mcp_server *s, char *err)
{
    pthread_mutex_lock(&s->line.mu);
    bool ok = s->state == MCP_READY && s->wire && !s->line.broken;
    s->users += ok;
    pthread_mutex_unlock(&s->line.mu);
    return ok ? Q_OK : q_fail(err, Q_IO, _("%s has just been ended: ask again"), s->s.name);
}

void server_done(mcp_server *s)
{
    pthread_mutex_lock(&s->line.mu);
    s->users--;
    pthread_cond_broadcast(&s->line.news);
    pthread_mutex_unlock(&s->line.mu);
}

void server_error(mcp_server *s, const char *why)
{
    pthread_mutex_lock(&s->line.mu);
    if (why != s->error)
        q_fail(s->error, Q_ERR, "%s", why);
    pthread_mutex_unlock(&s->line.mu);
}

/* ---- what is shown ---- */
void mcp_status_of(mcp_server *s, mcp_status *out)
{
    char *log = mcp_stderr(s), *at = log + strlen(log);
    *out = (mcp_status){ .state = MCP_OFF };
    while (at > log && strchr("\r\n \t", at[-1]))
        *--at = 0;
    while (at > log && at[-1] != '\n')
        at--;
    line_plain(out->line, sizeof out->line, at);
    free(log);
    pthread_mutex_lock(&s->line.mu);
    bool broke = s->state == MCP_READY && s->line.broken;
    out->state = broke ? MCP_FAILED : s->state;
    out->era = s->era;
    memcpy(out->version, s->version, sizeof out->version);
    memcpy(out->title, s->title, sizeof out->title);
    memcpy(out->release, s->release, sizeof out->release);
    memcpy(out->error, broke ? s->line.why : *s->error ? s->error : s->line.fault, sizeof out->error);
    out->pid = s->wire && s->wire->kind->pid ? s->wire->kind->pid(s->wire) : 0;
    for (int k = 0; k < MCP_KINDS; k++) {
        out->n[k] = s->list[k].n;
        if (s->has[k] && ((s->line.stale >> k & 1) || (s->fresh[k] >= 0 && q_now_ns() >= s->fresh[k])))
            out->stale |= 1u << k;
    }
    out->faults = s->line.faults;
    out->calls = s->calls;
    out->failed = s->failed;
    pthread_mutex_unlock(&s->line.mu);
}

char *mcp_stderr(mcp_server *s)
{
    pthread_mutex_lock(&s->line.mu);
    char *log = s->wire && s->wire->kind->log ? s->wire->kind->log(s->wire) : q_strdup(s->log ? s->log : "");
    pthread_mutex_unlock(&s->line.mu);
    return log;
}

char *mcp_instructions(mcp_server *s)
{
    pthread_mutex_lock(&s->line.mu);
    char *out = q_strdup(s->instructions ? s->instructions : "");
    pthread_mutex_unlock(&s->line.mu);
    return out;
}

char *mcp_remarks(mcp_server *s)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    pthread_mutex_lock(&s->line.mu);
    for (int k = 0; k < MCP_KINDS; k++)
        if (s->remarks[k])
            q_buf_puts(&b, s->remarks[k]);
    pthread_mutex_unlock(&s->line.mu);
    return q_buf_take(&b);
}

void mcp_items(mcp_server *s, enum mcp_kind kind, mcp_list *out)
{
    pthread_mutex_lock(&s->line.mu);
    list_copy(&s->list[kind], out);
    pthread_mutex_unlock(&s->line.mu);
}
