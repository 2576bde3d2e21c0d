/* exam/run: asks every seat every question. Several at once where who answers can (PROV_PARALLEL): its answers do not depend on that. Starts threads of
 * its own for a seat and joins them; one mutex around what they share. */
#include "exam/parts.h"
#include "provider/provider.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 64 };
typedef struct work {
    const exam_sheet *sheet;
    exam_seat *seat;
    pthread_mutex_t mu;                  /* over what follows */
    int next, finished;
    bool stop;
    char why[Q_ERRLEN];                  /* of the first failure */
} work;
typedef struct asking { work *w; q_buf text; int64_t start, first; bool cut_here; } asking;

/* What a base model would go on with: the next question of its own making. */
static size_t own_end(const exam_sheet *s, const char *text)
{
    const char *mark = s->item[0].lang == EXAM_EN ? "\nQuestion:" : "\nВопрос:", *at = strstr(text, mark);
    return at ? (size_t)(at - text) : strlen(text);
}

static bool between(void *user, int answer, int tokens)
{
    asking *a = user;
    work *w = a->w;
    (void)answer, (void)tokens;
    if (w->sheet->base && a->text.p && own_end(w->sheet, a->text.p) < a->text.len) {
        a->cut_here = true;
        return false;
    }
    pthread_mutex_lock(&w->mu);
    if (!w->stop && w->sheet->go && !w->sheet->go(w->sheet->user, w->seat, w->finished, w->sheet->n_item)) w->stop = true;
    bool on = !w->stop;
    pthread_mutex_unlock(&w->mu);
    return on;
}

static void piece(void *user, const prov_piece *p)
{
    asking *a = user;
    if (p->prompt) return;
    if (!a->first) a->first = q_now_ns();
    if (!p->thinking) q_buf_add(&a->text, p->text, p->n);
}

static void ask(work *w, int n)
{
    const exam_sheet *s = w->sheet;
    const exam_item *i = &s->item[n];
    exam_reply *r = &w->seat->reply[n];
    char err[Q_ERRLEN], *prompt = s->base ? exam_prompt(s, n) : NULL;
    const prov_message m = { .role = PROV_USER, .text = i->question, .n = strlen(i->question) };
    int limit = prov_about(w->seat->p)->can & PROV_PER_REQUEST ? s->max_tokens : 0;        /* else its settings say so: exam_seat_open */
    prov_request q = { .message = &m, .n_message = 1, .max_tokens = limit, .n = 1, .seed = s->seed + 1, .think = s->think, .config = w->seat->config };
    if (prompt) q = (prov_request){ .raw = prompt, .n_raw = strlen(prompt), .max_tokens = limit, .n = 1, .seed = s->seed + 1, .config = w->seat->config };
    asking a = { .w = w, .start = q_now_ns() };
    if (prompt && i->kind != EXAM_FORM) q_buf_puts(&a.text, i->lang == EXAM_EN ? "Answer:" : "Ответ:");        /* the prompt's last words belong to the reply */
    prov_result out = { 0 };
    int rc = prov_ask(w->seat->p, &q, &(prov_hooks){ .user = &a, .between = between, .piece = piece }, &out, err);
    q_buf_puts(&a.text, "");
    if (s->base) a.text.p[own_end(s, a.text.p)] = 0;
    r->prompt_tokens = out.prompt_tokens;
    r->tokens = out.tokens;
    r->seconds = (double)(q_now_ns() - a.start) / 1e9;
    r->first_s = a.first ? (double)(a.first - a.start) / 1e9 : 0;
    bool full = out.finish == PROV_FULL || rc == Q_RANGE;
    pthread_mutex_lock(&w->mu);
    bool gone = out.finish == PROV_STOPPED && !a.cut_here;
    if (rc < 0 && !gone && !*w->why) memcpy(w->why, err, sizeof w->why);
    w->stop |= rc < 0 && !full;
    w->finished += !gone && (rc >= 0 || full);
    pthread_mutex_unlock(&w->mu);
    free(prompt);
    if (gone || (rc < 0 && !full)) {
        q_buf_free(&a.text);
        return;
    }
    r->mark = rc < 0 ? EXAM_FAILED : exam_grade(i, a.text.p, s->bench, &r->read);
    if (r->mark == EXAM_UNREAD && (out.finish == PROV_MAX_TOKENS || out.finish == PROV_FULL)) r->mark = EXAM_CUT;
    if (rc >= 0 && out.finish == PROV_MAX_TOKENS && score_has_one(i)) {
        char *said = grade_behind(a.text.p);     /* the last number, or the one line, of what was cut is no answer */
        if (!said) r->mark = EXAM_CUT;
        free(said);
    }
    r->text = q_buf_take(&a.text);
}

static void *worker(void *user)
{
    work *w = user;
    for (;;) {
        pthread_mutex_lock(&w->mu);
        int n = w->stop || w->next >= w->sheet->n_item ? -1 : w->next++;
        pthread_mutex_unlock(&w->mu);
        if (n < 0) return NULL;
        const exam_item *i = &w->sheet->item[n];
        if (i->kind == EXAM_CODE && !w->sheet->bench) {      /* nobody is asked what nobody could check */
            w->seat->reply[n] = (exam_reply){ .mark = EXAM_SKIPPED, .text = q_strdup("") };
            continue;
        }
        ask(w, n);
    }
}

static bool weighs_on(void *user, int done, int total)
{
    work *w = user;
    (void)done, (void)total;
    if (w->sheet->go && !w->sheet->go(w->sheet->user, w->seat, w->finished, w->sheet->n_item)) w->stop = true;
    return !w->stop;
}

/* How well the right answers are told from others, behind all replies. A question that does not fit has no number. */
static void weigh(work *w)
{
    char err[Q_ERRLEN];
    w->finished = 0;
    for (int i = 0; i < w->sheet->n_item && !w->stop; i++, w->finished++) {
        if (!score_has_one(&w->sheet->item[i])) continue;
        int rc = score_answer(w->sheet, w->seat, i, weighs_on, w, &w->seat->reply[i].log_odds, err);
        if (rc == Q_OK || rc == Q_RANGE) continue;
        if (rc != Q_CANCEL) memcpy(w->why, err, sizeof w->why);
        w->stop = true;
    }
}

static int sit(const exam_sheet *s, exam_seat *seat, int at_once, char *err)
{
    work w = { .sheet = s, .seat = seat, .mu = PTHREAD_MUTEX_INITIALIZER };
    pthread_t thread[AT_ONCE];
    int64_t start = q_now_ns();
    int n = prov_about(seat->p)->can & PROV_PARALLEL ? at_once : 1, started = 0;
    n = n > AT_ONCE ? AT_ONCE : n;
    seat->reply = q_alloc(sizeof *seat->reply * (size_t)(s->n_item + 1));
    for (int i = 0; i < s->n_item; i++) seat->reply[i].log_odds = (double)NAN;
    while (started < n - 1 && pthread_create(&thread[started], NULL, worker, &w) == 0) started++;
    worker(&w);
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    seat->seconds = (double)(q_now_ns() - start) / 1e9;
    for (seat->done = 0; seat->done < s->n_item && seat->reply[seat->done].text;) seat->done++;
    if (s->score && !w.stop) weigh(&w);
    pthread_mutex_destroy(&w.mu);
    if (!w.stop) return Q_OK;
    return *w.why ? q_fail(err, Q_ERR, "%s", w.why) : q_fail(err, Q_CANCEL, _("stopped"));
}

int exam_run(const exam_sheet *s, int at_once, char *err)
{
    int rc = Q_OK;
    for (int i = 0; i < s->n_seat && rc == Q_OK; i++) rc = sit(s, &s->seat[i], at_once, err);
    return rc;
}

void exam_seat_free(const exam_sheet *s, exam_seat *seat)
{
    for (int i = 0; seat->reply && i < s->n_item; i++) {
        free(seat->reply[i].text);
        free(seat->reply[i].read);
    }
    free(seat->reply);
    seat->reply = NULL;
}
