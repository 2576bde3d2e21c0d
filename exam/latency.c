/* exam/latency: how long until the first token, and from one to the next, for several users at once. Users are threads of one call; each measures
 * its own requests. Percentiles are those of all of them together, nearest rank, as far as
 * there are enough values for one to be another than the largest. */
#include "exam/exam.h"
#include "provider/provider.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { USERS = PROV_STREAMS };
typedef struct shared {
    prov *p;
    int prompt, rounds, tokens;
    bool (*go)(void *user);
    void *user;
    pthread_mutex_t mu;                  /* over what follows */
    double *first, *gap;
    int n_first, n_gap, failed;
    double prompt_tokens;
    bool stop;
    char why[Q_ERRLEN];
} shared;
typedef struct one { shared *s; int who; } one;
typedef struct hearing { shared *s; int64_t start, last; double *gap; int n; } hearing;

static double rank(const double *v, int n, int percent) { return v[(n * percent + 99) / 100 - 1]; }

exam_times exam_times_of(double *v, int n)
{
    if (n == 0) return (exam_times){ 0 };
    exam_times t = { .n = n };
    qsort(v, (size_t)n, sizeof *v, q_by_number);
    for (int i = 0; i < n; i++) t.mean += v[i] / n;
    t.p50 = rank(v, n, 50);
    t.p90 = n < EXAM_P90_FROM ? (double)NAN : rank(v, n, 90);
    t.p99 = n < EXAM_P99_FROM ? (double)NAN : rank(v, n, 99);
    return t;
}

static void piece(void *user, const prov_piece *p)
{
    hearing *h = user;
    if (p->prompt || p->token == -1) return;
    int64_t now = q_now_ns();
    if (!h->last) h->gap[0] = (double)(now - h->start) / 1e9;
    else if (h->n + 1 <= h->s->tokens) h->gap[++h->n] = (double)(now - h->last) / 1e9;
    h->last = now;
}

static bool between(void *user, int answer, int tokens)
{
    hearing *h = user;
    (void)answer, (void)tokens;
    pthread_mutex_lock(&h->s->mu);
    h->s->stop |= h->s->go && !h->s->go(h->s->user);
    bool on = !h->s->stop;
    pthread_mutex_unlock(&h->s->mu);
    return on;
}

/* Words of one token in most vocabularies, another order for each request. */
static char *prompt_of(int tokens, uint64_t seed)
{
    static const char *const words[] = { "one", "day", "the", "old", "man", "was", "in", "his", "house", "and", "the", "water", "came", "to", "his", "door" };
    q_buf b = { 0 };
    uint64_t random[4] = { seed + 1, 2, 3, 4 };
    for (int i = 0; i < 8; i++) q_random(random);
    for (int i = 0; i < tokens; i++) q_buf_printf(&b, "%s%s", i ? " " : "", words[(q_random(random) >> 40) % 16]);
    return q_buf_take(&b);
}

static prov_request request_of(const prov *p, const prov_message *m, int tokens)
{
    bool own = prov_about(p)->can & PROV_PER_REQUEST;        /* else its settings bound it: exam_seat_open */
    prov_request q = { .message = m, .n_message = 1, .max_tokens = own ? tokens : 0, .n = 1, .seed = 1, .anew = own };
    if (prov_about(p)->can & PROV_RAW && !prov_about(p)->chat) q.message = NULL, q.n_message = 0, q.raw = m->text, q.n_raw = m->n;
    return q;
}

static int counted(const shared *s, const char *text)
{
    char err[Q_ERRLEN];
    const prov_message m = { .role = PROV_USER, .text = text, .n = strlen(text) };
    const prov_request q = request_of(s->p, &m, s->tokens);
    return prov_count_request(s->p, &q, err);
}

/* So many words that the request with its frame has the tokens that were asked for, by whoever counts exactly, or as few less as words of one letter
 * allow; one word at least. */
static char *fitted_prompt(const shared *s, uint64_t seed)
{
    int low = 1, high = s->prompt;       /* words: more of them are more tokens */
    if (!(prov_about(s->p)->can & PROV_COUNT)) return prompt_of(s->prompt, seed);
    while (low < high) {
        int mid = low + (high - low + 1) / 2;
        char *text = prompt_of(mid, seed);
        if (counted(s, text) <= s->prompt) low = mid;
        else high = mid - 1;
        free(text);
    }
    char *text = prompt_of(low, seed);
    for (bool fits = true; fits;) {
        char *more = q_printf("%s a", text);
        fits = counted(s, more) <= s->prompt && counted(s, more) > counted(s, text);
        char *gone = fits ? text : more;
        text = fits ? more : text;
        free(gone);
    }
    return text;
}

static void *user_of(void *user)
{
    const one *o = user;
    shared *s = o->s;
    double *gap = q_alloc(sizeof *gap * (size_t)(s->tokens + 2));
    for (int r = 0; r < s->rounds; r++) {
        char *text = fitted_prompt(s, (uint64_t)o->who * 1000 + (uint64_t)r), err[Q_ERRLEN];
        const prov_message m = { .role = PROV_USER, .text = text, .n = strlen(text) };
        const prov_request q = request_of(s->p, &m, s->tokens);
        prov_result out = { 0 };
        hearing h = { .s = s, .start = q_now_ns(), .gap = gap };
        int rc = prov_ask(s->p, &q, &(prov_hooks){ .user = &h, .between = between, .piece = piece }, &out, err);
        free(text);
        pthread_mutex_lock(&s->mu);
        if (rc < 0 || !h.last) {
            s->failed++;
            if (rc < 0 && !*s->why) memcpy(s->why, err, sizeof s->why);
        } else {
            s->first[s->n_first++] = gap[0];
            memcpy(s->gap + s->n_gap, gap + 1, sizeof *gap * (size_t)h.n);
            s->n_gap += h.n;
            s->prompt_tokens += out.prompt_tokens;
        }
        bool on = !s->stop;
        pthread_mutex_unlock(&s->mu);
        if (!on) break;
    }
    free(gap);
    return NULL;
}

int exam_latency(prov *p, int prompt, int users, int rounds, int tokens, exam_pace *out, bool (*go)(void *user), void *user, char *err)
{
    shared s = { .p = p, .prompt = prompt, .rounds = rounds, .tokens = tokens, .go = go, .user = user, .mu = PTHREAD_MUTEX_INITIALIZER };
    pthread_t thread[USERS];
    one each[USERS];
    int started = 0;
    if (users < 1 || users > USERS) return q_fail(err, Q_RANGE, _("at once there can be 1 to %d users"), USERS);
    s.first = q_alloc(sizeof *s.first * (size_t)(users * rounds + 1));
    s.gap = q_alloc(sizeof *s.gap * ((size_t)users * (size_t)rounds * (size_t)(tokens + 1) + 1));
    int64_t start = q_now_ns();
    for (int i = 0; i < users; i++) each[i] = (one){ &s, i };
    while (started < users && pthread_create(&thread[started], NULL, user_of, &each[started]) == 0) started++;
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    double seconds = (double)(q_now_ns() - start) / 1e9;
    *out = (exam_pace){ .prompt = prompt, .users = users, .failed = s.failed + (users - started) * rounds };
    out->prompt_tokens = s.n_first ? (int)(s.prompt_tokens / s.n_first + 0.5) : 0;
    out->tokens_per_s = (s.n_first + s.n_gap) / seconds;
    out->first = exam_times_of(s.first, s.n_first);
    out->between = exam_times_of(s.gap, s.n_gap);
    free(s.first);
    free(s.gap);
    pthread_mutex_destroy(&s.mu);
    if (s.stop) return q_fail(err, Q_CANCEL, _("stopped"));
    return s.n_first == 0 && *s.why ? q_fail(err, Q_ERR, "%s", s.why) : Q_OK;
}
