/* agent/trace: /trace save: the routing of the last answer as CSV, its configurations as JSON beside it. Engine's lane: the
 * model that made the answer spells its tokens. */
#include "base/say.h"
#include "agent/errands.h"
#include "provider/provider.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void number(q_buf *b, double v)
{
    if (isfinite(v))
        q_buf_printf(b, "%.6g", v);
}

/* A token's bytes between quotes, on one line and without anything that steers a terminal. */
static void text_column(q_buf *b, const char *s, size_t n)
{
    q_buf seen = { 0 };
    q_say_visible(&seen, s, n);
    q_buf_putc(b, '"');
    for (const char *p = seen.p; p && *p; p++) {
        if (*p == '"')
            q_buf_putc(b, '"');
        q_buf_putc(b, *p);
    }
    q_buf_putc(b, '"');
    q_buf_free(&seen);
}

/* One row a token and routed layer. index counts the reply's tokens from 1; prompt tokens have 0 and no weights. who: made
 * the answer; NULL: is not here to spell its tokens. */
static void trace_csv(const mem_trace *t, const prov *who, q_buf *b)
{
    int k = t->max_k;
    q_buf spelt = { 0 };
    q_buf_puts(b, "index,token,position,prompt,config,layer,k,entropy,margin");
    for (int s = 0; s < k; s++)
        q_buf_printf(b, ",expert_%d", s);
    for (int s = 0; s < k; s++)
        q_buf_printf(b, ",weight_%d", s);
    q_buf_puts(b, ",text\n");
    int index = 0;
    for (int i = 0; i < t->n; i++) {
        index += !t->prompt[i];
        q_buf_clear(&spelt);
        if (who)
            prov_spell(who, t->token[i], &spelt);
        for (int l = 0; l < t->n_layer; l++) {
            size_t row = (size_t)i * (size_t)t->n_layer + (size_t)l;
            const uint16_t *id = t->ids + row * (size_t)k;
            const float *w = t->weights + row * (size_t)k;
            int n = 0;
            for (int s = 0; s < k; s++)
                n += id[s] != 0xFFFF;
            if (!n)
                continue;
            q_buf_printf(b, "%d,%d,%d,%d,%016llx,%d,%d,", t->prompt[i] ? 0 : index, t->token[i], t->pos[i], t->prompt[i], (unsigned long long)t->config[i], l, n);
            if (!t->prompt[i])
                number(b, t->entropy[row]);
            q_buf_putc(b, ',');
            if (!t->prompt[i])
                number(b, t->margin[row]);
            for (int s = 0; s < k; s++) {
                q_buf_putc(b, ',');
                if (id[s] != 0xFFFF)
                    q_buf_printf(b, "%d", id[s]);
            }
            for (int s = 0; s < k; s++) {
                q_buf_putc(b, ',');
                if (id[s] != 0xFFFF && !t->prompt[i])
                    number(b, w[s]);
            }
            q_buf_putc(b, ',');
            if (spelt.len)
                text_column(b, spelt.p, spelt.len);
            q_buf_putc(b, '\n');
        }
    }
    q_buf_free(&spelt);
}

static void json_text(q_buf *b, const char *s)
{
    q_buf raw = { 0 };
    q_buf_putc(&raw, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            q_buf_printf(&raw, "\\%c", c);
        else if (c < 0x20)
            q_buf_printf(&raw, "\\u%04x", c);
        else
            q_buf_putc(&raw, *s);
    }
    q_buf_putc(&raw, '"');
    q_json_safe(b, raw.p, raw.len);
    q_buf_free(&raw);
}

/* Beside the CSV: who made it, and each configuration with the reply token from which it holds. */
static void trace_json(const mem_message *m, const mem_trace *t, const prov *who, q_buf *b)
{
    q_buf_puts(b, "{\"v\":1,\"model\":");
    json_text(b, m->model);
    q_buf_printf(b, ",\"model_id\":\"%016llx\",", (unsigned long long)m->model_id);
    if (who)
        q_buf_printf(b, "\"experts\":%d,", prov_about(who)->n_expert);
    q_buf_printf(b, "\"message\":%lld,\"tokens\":%d,\"configurations\":[", (long long)m->id, t->n);
    for (int i = 0; i < m->n_config; i++) {
        q_buf_printf(b, "%s{\"after_token\":%d,\"hash\":\"%016llx\",\"label\":", i ? "," : "", m->config[i].from, (unsigned long long)m->config[i].hash);
        json_text(b, m->config[i].label);
        q_buf_printf(b, ",\"set\":%s}", *m->config[i].json ? m->config[i].json : "{}");
    }
    q_buf_puts(b, "],\"text\":");
    json_text(b, m->text);
    q_buf_puts(b, "}\n");
}

/* Nothing that exists is written over unasked; said 1: it was. */
static bool taken(agt *a, const char *file, int64_t said)
{
    char *real = q_home_path(file), *beside = q_printf("%s.json", real);
    bool there = asks_over(a, real, "trace.csv", &job_trace, said, file) || asks_over(a, beside, "trace.csv", &job_trace, said, file);
    free(real);
    free(beside);
    return there;
}

static void trace(agt *a, const job *j)
{
    const char *file = j->text;
    if (taken(a, file, j->number))
        return;
    char err[Q_ERRLEN];
    int64_t chat, id = 0;
    pthread_mutex_lock(&a->shown.mu);
    chat = a->shown.st.chat;
    pthread_mutex_unlock(&a->shown.mu);
    mem_messages path = { 0 };
    mem_trace *t = NULL;
    mem_message m = { 0 };
    if (chat && mem_branch(a->store, chat, 0, &path, err) == Q_OK)
        for (int i = 0; i < path.n; i++)
            if (path.v[i].has_trace)
                id = path.v[i].id;
    mem_messages_free(&path);
    if (!id) {
        note(&a->events, AGT_ERROR, _("this conversation has no recorded routing yet: ask something first"));
        return;
    }
    int rc = mem_trace_get(a->store, id, &t, err);
    if (rc == Q_OK)
        rc = mem_message_get(a->store, id, &m, err);
    if (rc == Q_OK) {
        q_buf csv = { 0 }, json = { 0 };
        char *real = q_home_path(file), *beside = q_printf("%s.json", real);
        const prov *who = a->seat.who && prov_about(a->seat.who)->id == m.model_id ? a->seat.who : NULL;
        trace_csv(t, who, &csv);
        trace_json(&m, t, who, &json);
        rc = q_write_file_atomic(real, csv.p, csv.len, err);
        if (rc == Q_OK)
            rc = q_write_file_atomic(beside, json.p, json.len, err);
        if (rc == Q_OK) {
            agt_outside(a, "trace", real);
            agt_outside(a, "trace", beside);
        }
        if (rc == Q_OK)
            note(&a->events, AGT_INFO, ngettext("%d token of routing is in %s, the configuration in %s", "%d tokens of routing are in %s, the configuration in %s",
                                            (unsigned long)t->n), t->n, real, beside);
        free(real);
        free(beside);
        q_buf_free(&csv);
        q_buf_free(&json);
    }
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    mem_trace_free(t);
    mem_message_free(&m);
}

const job_row job_trace = { .name = "trace", .lane = LANE_ENGINE, .end = END_CARRIED, .run = trace };
