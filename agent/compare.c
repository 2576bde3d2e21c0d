/* agent/compare: /compare: two configurations on the text of this conversation, of its last answer, or of a file. Engine
 * thread, in caches of its own: the conversation's cells stay as they are. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_MOST = 16 << 20 };

static bool go_on(void *user, int done, int total)
{
    agt *a = user;
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup("/compare"), .done = done, .total = total, .rate = -1 };
    evq_push(&a->events, &e);
    return !desk_stopped(&a->desk, LANE_ENGINE);
}

/* The branch as it was said, without thinking; last: its last answer alone. */
static void said(agt *a, bool last, q_buf *out)
{
    const mem_messages *m = &a->chat.path;
    q_buf_puts(out, "");
    for (int i = 0; i < m->n; i++) {
        bool answer = m->v[i].role == MEM_ASSISTANT;
        if (last && answer)
            q_buf_clear(out);
        if (!last || answer)
            q_buf_printf(out, "%s%s", out->len ? "\n\n" : "", m->v[i].text);
    }
}

static int text_of(agt *a, const char *from, q_buf *out, char *err)
{
    if (!from || strcmp(from, "last") == 0) {
        said(a, from != NULL, out);
        return out->len ? Q_OK : q_fail(err, Q_RANGE, _("this conversation has no text yet: /compare A B on FILE takes a file's"));
    }
    char *real = home_path(from);
    int rc = q_read_file(real, out, FILE_MOST, err);
    if (rc == Q_OK && !q_utf8_valid(out->p ? out->p : "", out->len))
        rc = q_fail(err, Q_FORMAT, _("%s is not UTF-8 text: iconv turns other encodings into it"), real);
    free(real);
    return rc;
}

static void compare(agt *a, const job *j)
{
    char err[Q_ERRLEN], *line = q_strdup(j->text), *on = NULL, *side[2] = { NULL, NULL }, *at = NULL;
    int n = 0;
    for (char *p = strtok_r(line, " \t\n", &at); p; p = strtok_r(NULL, " \t\n", &at)) {
        if (strcmp(p, "on") == 0 || strcmp(p, "на") == 0) {
            on = at && *at ? at : NULL;      /* the rest: a file's name may have blanks */
            break;
        }
        if (n < 2)
            side[n] = p;
        n++;
    }
    struct eng_cache *beside = a->seat.who ? prov_cache(a->seat.who) : NULL;
    char *now = beside ? prov_config_json(a->seat.cfg) : NULL;
    q_buf text = { 0 }, out = { 0 };
    int rc = n == 1 || n == 2 ? Q_OK : q_fail(err, Q_RANGE, _("/compare A [B] [on FILE|last]: each a brain or settings like k=4; without B the present ones against A"));
    if (rc == Q_OK && !beside)
        rc = q_fail(err, Q_NOTFOUND, _("no model is loaded that could be compared: /model lists those at hand"));
    if (rc == Q_OK)
        rc = text_of(a, on, &text, err);
    if (rc == Q_OK) {
        lab_pair p = { n == 2 ? side[0] : NULL, n == 2 ? side[1] : side[0], now };
        rc = lab_compare_beside(beside, &p, text.p ? text.p : "", text.len, &(lab_terms){ .go_on = go_on, .user = a }, &out, err);
        agt_event end = { .kind = AGT_EV_PROGRESS, .text = q_strdup("/compare") };
        evq_push(&a->events, &end);
    }
    if (rc == Q_OK)
        note_text(&a->events, "/compare", q_buf_take(&out));
    else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    q_buf_free(&text);
    q_buf_free(&out);
    free(now);
    free(line);
}

const job_row job_compare = { .name = "compare", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = compare };
