/* rag/label: what a passage is called, for people and for a model. Pure functions; any thread. */
#include "rag/label.h"

#include "base/say.h"
#include "rag/query.h"

#include <string.h>
#include <time.h>

static char *chunk_label(const mem_passage *m)
{
    q_buf b = {0};
    const char *last = rag_own_heading(m->heading);
    if (*last) q_buf_say(&b, "%s § %s", m->title, last);
    else q_buf_say(&b, "%s", m->title);
    return q_buf_take(&b);
}

/* For people: their language, their time. */
char *rag_label(const mem_passage *m)
{
    if (m->kind == MEM_CHUNK) return chunk_label(m);
    static const char *const months[] = {N_("Jan"), N_("Feb"), N_("Mar"), N_("Apr"), N_("May"), N_("Jun"),
                                         N_("Jul"), N_("Aug"), N_("Sep"), N_("Oct"), N_("Nov"), N_("Dec")};
    time_t t = (time_t)(m->created_ms / 1000);
    struct tm tm;
    q_buf b = {0};
    if (!localtime_r(&t, &tm)) memset(&tm, 0, sizeof tm);
    /* TRANSLATORS: day, month, title of the conversation */
    q_buf_say(&b, _("chat of %d %s: %s"), tm.tm_mday, _(months[tm.tm_mon]), *m->title ? m->title : _("untitled"));
    return q_buf_take(&b);
}

/* For a model: the same bytes whoever asks, wherever they sit. */
char *rag_cite(const mem_passage *m)
{
    if (m->kind == MEM_CHUNK) return chunk_label(m);
    time_t t = (time_t)(m->created_ms / 1000);
    struct tm tm;
    q_buf b = {0};
    if (!gmtime_r(&t, &tm)) memset(&tm, 0, sizeof tm);
    q_buf_say(&b, "chat of %04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    if (*m->title) q_buf_say(&b, ": %s", m->title);
    return q_buf_take(&b);
}
