/* net/events: an event stream taken apart, https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
 * Any thread. */
#include "net/net.h"

#include <stdlib.h>
#include <string.h>

static const size_t MOST = 16u << 20;

static void set(q_buf *b, const char *p, size_t n)
{
    q_buf_clear(b);
    q_buf_add(b, p, n);
}

static bool is(const q_buf *line, size_t n, const char *name) { return strlen(name) == n && memcmp(line->p, name, n) == 0; }

static void field(net_events *e)
{
    const q_buf *l = &e->line;
    const char *colon = memchr(l->p, ':', l->len);
    size_t name = colon ? (size_t)(colon - l->p) : l->len, from = name + (colon != NULL);
    from += from < l->len && l->p[from] == ' ';
    const char *value = l->p + from;
    size_t n = l->len - from;
    if (is(l, name, "data")) {
        q_buf_add(&e->data, value, n);
        q_buf_putc(&e->data, '\n');
        e->any = true;
    } else if (is(l, name, "event"))
        set(&e->type, value, n);
    else if (is(l, name, "id") && !memchr(value, 0, n))
        set(&e->id, value, n);
    else if (is(l, name, "retry") && n && n < 9 && strspn(value, "0123456789") >= n)
        e->retry = atoi(value);
}                                        /* what begins with a colon is a comment */

/* As a C string of valid UTF-8: a NUL would hide what follows it, and becomes U+FFFD too. malloc'ed. */
static char *clean(const q_buf *b, size_t n)
{
    q_buf out = { 0 };
    q_buf_puts(&out, "");
    for (size_t i = 0, w; i < n; i += w + 1) {
        w = strnlen(b->p + i, n - i);
        char *part = q_utf8_clean(b->p + i, w);
        q_buf_puts(&out, part);
        free(part);
        if (i + w < n)
            q_buf_puts(&out, "\xEF\xBF\xBD");
    }
    return q_buf_take(&out);
}

/* An empty line: the event is whole. */
static bool dispatch(net_events *e, bool (*each)(void *, const net_event *), void *user)
{
    bool go = true;
    if (e->any) {
        char *data = clean(&e->data, e->data.len - 1), *type = clean(&e->type, e->type.len), *id = clean(&e->id, e->id.len);
        net_event out = { *type ? type : "message", data, strlen(data), id };
        go = each(user, &out);
        free(data);
        free(type);
        free(id);
    }
    q_buf_clear(&e->data);
    q_buf_clear(&e->type);
    e->any = false;
    return go;
}

/* Bytes of p that belong to a byte order mark at the very beginning. */
static size_t mark(net_events *e, const char *p, size_t n)
{
    static const char bom[] = "\xEF\xBB\xBF";
    size_t i = 0;
    while (i < n && e->mark >= 0) {
        if (p[i] != bom[e->mark]) {
            q_buf_add(&e->line, bom, (size_t)e->mark);   /* it was none */
            e->mark = -1;
            break;
        }
        i++;
        e->mark = e->mark == 2 ? -1 : e->mark + 1;
    }
    return i;
}

int net_events_feed(net_events *e, const char *p, size_t n, bool (*each)(void *user, const net_event *), void *user, char *err)
{
    size_t max = e->max ? e->max : MOST, i = mark(e, p, n);
    while (i < n) {
        if (e->cr && p[i] == '\n') {
            e->cr = false;
            i++;
            continue;
        }
        e->cr = false;
        size_t w = 0;
        while (i + w < n && p[i + w] != '\n' && p[i + w] != '\r')
            w++;
        if (e->line.len + e->data.len + w > max)
            return q_fail(err, Q_RANGE, _("the server sent an event of more than %zu bytes: it is no answer, and the request was ended"), max);
        q_buf_add(&e->line, p + i, w);
        i += w;
        if (i == n)
            break;
        e->cr = p[i++] == '\r';
        if (e->line.len)
            field(e);
        else if (!dispatch(e, each, user))
            return q_fail(err, Q_CANCEL, _("stopped"));
        q_buf_clear(&e->line);
    }
    return Q_OK;
}

void net_events_free(net_events *e)
{
    q_buf_free(&e->line);
    q_buf_free(&e->data);
    q_buf_free(&e->type);
    q_buf_free(&e->id);
    *e = (net_events){ .max = e->max };
}
