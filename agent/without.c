/* agent/without: the same question once more without memory, or without some of what was fed, under the same dice; then both
 * answers side by side. Engine thread. */
#include "agent/errands.h"
#include "agent/front.h"
#include "agent/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WITHOUT_MOST = 40 };

/* The next of "1 3" or "1,3"; 0: none is left; -1: it is no number. */
static int next_number(const char **at)
{
    const char *p = *at + strspn(*at, " ,\t[]");
    char *end;
    if (!*p)
        return 0;
    long n = strtol(p, &end, 10);
    *at = end;
    return end == p || n < 1 || n > 1000 ? -1 : (int)n;
}

/* The passages that are meant, and those that were left out of the elder already. */
static int resolve(agt *a, int64_t elder, const char *numbers, rag_place *v, int *n, char *err)
{
    mem_logs l = { 0 };
    int rc = mem_log_get(a->store, elder, &l, err);
    *n = 0;
    for (int i = 0; i < l.n && rc == Q_OK && *n < WITHOUT_MOST / 2; i++)
        if (rag_log_fate(&l.v[i]) == RAG_LEFT_OUT)
            v[(*n)++] = (rag_place){ (enum mem_kind)l.v[i].kind, l.v[i].ref };
    for (int one; rc == Q_OK && (one = next_number(&numbers)) != 0;) {
        int at = 0;
        while (at < l.n && l.v[at].number != one)
            at++;
        if (one < 0)
            rc = q_fail(err, Q_FORMAT, _("/without takes numbers of passages, as /without 1 3; alone it asks without memory"));
        else if (at == l.n)
            rc = q_fail(err, Q_NOTFOUND, _("passage [%d] was not fed to this answer: /why lists what was"), one);
        else if (*n < WITHOUT_MOST)
            v[(*n)++] = (rag_place){ (enum mem_kind)l.v[at].kind, l.v[at].ref };
    }
    mem_logs_free(&l);
    return rc;
}

static int fed(agt *a, int64_t message)
{
    char err[Q_ERRLEN];
    mem_logs l = { 0 };
    int n = 0;
    if (mem_log_get(a->store, message, &l, err) == Q_OK)
        for (int i = 0; i < l.n; i++)
            n += l.v[i].number > 0;
    mem_logs_free(&l);
    return n;
}

static double rate_of(const mem_message *m) { return m->stats.decode_s > 0 ? m->stats.tokens / m->stats.decode_s : 0; }

static void show_both(agt *a, int64_t elder, int64_t made, const char *numbers)
{
    char err[Q_ERRLEN];
    mem_message m[2] = { 0 };
    if (mem_message_get(a->store, elder, &m[0], err) == Q_OK && mem_message_get(a->store, made, &m[1], err) == Q_OK) {
        int n[2] = { fed(a, elder), fed(a, made) };
        char *first = q_printf(ngettext("with %d passage", "with %d passages", (unsigned long)n[0]), n[0]);
        char *second = *numbers ? q_printf(ngettext("without [%s]: with %d passage", "without [%s]: with %d passages", (unsigned long)n[1]), numbers, n[1]) : q_strdup(_("without memory"));
        char *side = *numbers ? q_printf("without %s", numbers) : q_strdup("memory.on=off");
        lab_columns c;
        lab_columns_of_texts((const char *const[]){ first, second }, (const char *const[]){ m[0].text, m[1].text }, (const double[]){ rate_of(&m[0]), rate_of(&m[1]) }, &c);
        prefer_show(a, &c, (const char *const[]){ "memory.on=on", side }, prov_about(a->seat.who)->id, false);
        free(first);
        free(second);
        free(side);
    }
    mem_message_free(&m[0]);
    mem_message_free(&m[1]);
}

static void without(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const char *numbers = j->text ? j->text : "";
    const mem_message *m = chat_message(a, j->id, MEM_ASSISTANT);
    rag_place places[WITHOUT_MOST];
    int n = 0;
    int64_t elder = m && m->role == MEM_ASSISTANT ? m->id : 0;
    if (!elder) {
        note(&a->events, AGT_ERROR, "%s", _("there is no answer yet that could be given again"));
        return;
    }
    if (*numbers && resolve(a, elder, numbers, places, &n, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    turn_again how = { .words = *numbers ? "" : "memory.on=off", .without = places, .n_without = n };
    if (!turn_answer_again(a, elder, &how))
        return;
    const mem_message *made = a->chat.path.n ? &a->chat.path.v[a->chat.path.n - 1] : NULL;
    if (made && made->role == MEM_ASSISTANT && made->id != elder)
        show_both(a, elder, made->id, numbers);
}

/* What could not be asked for before the end is said at the next start. */
static void keep(agt *a, const job *j) { waits_again(a, j->text && *j->text ? "" : "memory.on=off"); }

static const job_row job_without = { .name = "without", .lane = LANE_ENGINE, .end = END_KEPT, .answers = true, .run = without, .keep = keep };

void agt_without(agt *a, int64_t message, const char *numbers)
{
    if (desk_waits(&a->desk, LANE_ENGINE))
        note(&a->events, AGT_INFO, _("/%s is done when the present work ends"), "without");
    desk_post(&a->desk, &job_without, message, 0, numbers && *numbers ? numbers : NULL, NULL);
}
