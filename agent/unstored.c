/* agent/unstored: answers that the disk did not take when they ended. They are kept whole and stored as soon as it does: at
 * the next look at a conversation, and at the end. Engine's thread. */
#include "agent/talk.h"

#include <stdlib.h>

struct unstored {
    struct unstored *next;
    int64_t reply;
    enum mem_status status;
    char *finish, *text, *think;
    size_t n_text, n_think;
    mem_stats stats;
};

static void let_go(struct unstored *u)
{
    free(u->finish);
    free(u->text);
    free(u->think);
    free(u);
}

void unstored_keep(agt *a, int64_t reply, enum mem_status status, const char *finish, const q_buf *text, const q_buf *think, const mem_stats *stats)
{
    struct unstored *u = q_alloc(sizeof *u), **last = &a->unstored;
    *u = (struct unstored){ .reply = reply, .status = status, .finish = q_strdup(finish), .text = q_strndup(text->p ? text->p : "", text->len),
                            .think = q_strndup(think->p ? think->p : "", think->len), .n_text = text->len, .n_think = think->len, .stats = *stats };
    while (*last)
        last = &(*last)->next;
    *last = u;
}

void unstored_try(agt *a)
{
    char err[Q_ERRLEN];
    while (a->unstored) {
        struct unstored *u = a->unstored;
        int rc = mem_reply_end(a->store, u->reply, u->status, u->finish, u->text, u->n_text, u->think, u->n_think, &u->stats, NULL, err);
        if (rc < 0 && rc != Q_NOTFOUND)  /* not found: deleted meanwhile */
            return;
        if (rc == Q_OK)
            note(&a->events, AGT_INFO, "%s", _("the answer that could not be stored is stored now, without its routing"));
        a->unstored = u->next;
        let_go(u);
    }
}

void unstored_free(agt *a)
{
    for (struct unstored *u; (u = a->unstored);) {
        a->unstored = u->next;
        let_go(u);
    }
}
