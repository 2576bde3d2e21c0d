/* exam/vote: one reply out of several to the same question, by majority (lab/vote.c counts). Ties go to the earliest of the most frequent; what cannot be
 * read does not vote. Pure; any thread. */
#include "exam/parts.h"
#include "lab/lab.h"

#include <stdlib.h>
#include <string.h>

static void of_one(const exam_item *item, exam_seat *const *member, int n, int q, exam_reply *out)
{
    char *key[EXAM_VOTERS], *small;
    int best, votes;
    bool majority;
    for (int i = 0; i < n; i++) {
        const exam_reply *r = &member[i]->reply[q];
        small = q_strdup(r->read ? r->read : "");
        q_fold_bytes(small, strlen(small));
        key[i] = lab_vote_key(small);
        free(small);
        out->tokens += r->tokens;
        out->prompt_tokens += r->prompt_tokens;
        out->seconds += r->seconds;
    }
    lab_vote_count(key, n, &best, &votes, &majority);
    const exam_reply *won = &member[best < 0 ? 0 : best]->reply[q];
    bool read_as_text = item->kind == EXAM_CODE || item->kind == EXAM_FORM;      /* long texts are never the same: nothing to count */
    out->mark = read_as_text ? EXAM_SKIPPED : won->mark;
    out->text = q_strdup(won->text);
    out->read = won->read ? q_strdup(won->read) : NULL;
    for (int i = 0; i < n; i++) free(key[i]);
}

int exam_vote(const exam_sheet *s, exam_seat *const *member, int n, exam_seat *out, char *err)
{
    double bytes = 0, tokens = 0;
    if (n < 2 || n > EXAM_VOTERS) return q_fail(err, Q_RANGE, _("a vote takes 2 to %d answers, not %d"), EXAM_VOTERS, n);
    out->reply = q_alloc(sizeof *out->reply * (size_t)(s->n_item + 1));
    out->done = s->n_item;
    for (int i = 0; i < n; i++) out->done = member[i]->done < out->done ? member[i]->done : out->done;
    for (int q = 0; q < out->done; q++) {
        of_one(&s->item[q], member, n, q, &out->reply[q]);
        for (int i = 0; i < n; i++) {
            tokens += member[i]->reply[q].tokens;
            bytes += (double)member[i]->reply[q].tokens * (double)member[i]->bytes_a_token;
        }
    }
    for (int i = 0; i < n; i++) out->seconds += member[i]->seconds;
    out->bytes_a_token = tokens > 0 ? (uint64_t)(bytes / tokens) : 0;
    return Q_OK;
}
