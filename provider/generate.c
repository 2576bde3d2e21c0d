/* provider/generate: one answer, token by token: its caller is asked between two of them, text is told apart from thought,
 * stop strings end it. A piece that was handed out is never taken back. It has one way out. */
#include "provider/generate.h"
#include "provider/echo.h"

#include <math.h>
#include <string.h>

enum part { PART_START, PART_THINK, PART_AFTER, PART_TEXT };
enum { GO_ON = -1 };                     /* beside enum prov_finish */

typedef struct gen {
    const gen_source *s;
    const prov_hooks *h;
    prov_result *r;
    int answer;
    q_buf pending;                       /* held back until it is clear what it is */
    q_buf text, think, call;             /* of the token at hand */
    enum part part;
    bool hit_stop, called;
    int32_t close[16]; int n_close, at_close;        /* what ends a thought that took too long */
    echo echo;
} gen;

/* ---- text: thinking, stop strings ---- */
static void drop(q_buf *b, size_t n)
{
    memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
    b->p[b->len] = 0;
}

static size_t blanks(const q_buf *b)
{
    size_t i = 0;
    while (i < b->len && (b->p[i] == ' ' || b->p[i] == '\n' || b->p[i] == '\t' || b->p[i] == '\r'))
        i++;
    return i;
}

/* Bytes at the end of b that could still become word. */
static size_t held(const q_buf *b, const char *word)
{
    size_t max = strlen(word) - 1;
    for (size_t n = b->len < max ? b->len : max; n > 0; n--)
        if (memcmp(b->p + b->len - n, word, n) == 0)
            return n;
    return 0;
}

/* The beginning: a thought or text? False: it is not clear yet. */
static bool sort_start(gen *g, bool end)
{
    q_buf *b = &g->pending;
    const char *open = g->s->think;
    size_t i = blanks(b), n = b->len - i, w = open ? strlen(open) : 0;
    if (open && n >= w && memcmp(b->p + i, open, w) == 0) {
        drop(b, i + w);
        g->part = PART_THINK;
        return true;
    }
    if (!end && (n == 0 || (open && n < w && memcmp(b->p + i, open, n) == 0)))
        return false;
    if (!g->s->raw)
        drop(b, i);
    g->part = PART_TEXT;
    return true;
}

/* Where the reply begins: blanks go, and a thought that is opened behind another is a thought too. Its tokens count with the
 * first one's, so that a budget which is used up closes it at once. */
static void sort_after(gen *g, bool end)
{
    q_buf *b = &g->pending;
    const char *open = g->s->think;
    size_t w = open ? strlen(open) : 0;
    drop(b, blanks(b));
    if (w && b->len >= w && memcmp(b->p, open, w) == 0) {
        drop(b, w);
        q_buf_puts(&g->think, "\n");
        g->part = PART_THINK;
    } else if (b->len && (end || !w || b->len >= w || memcmp(b->p, open, b->len) != 0))
        g->part = PART_TEXT;
}

/* What there is of a thought; true: it is closed. */
static bool sort_thought(gen *g, bool end)
{
    q_buf *b = &g->pending;
    const char *close = g->s->unthink;
    char *at = memmem(b->p, b->len, close, strlen(close));
    size_t n = at ? (size_t)(at - b->p) : end ? b->len : b->len - held(b, close);
    q_buf_add(&g->think, b->p, n);
    drop(b, n + (at ? strlen(close) : 0));
    return at != NULL;
}

static void sort_out(gen *g, bool end)
{
    q_buf *b = &g->pending;
    if (!b->p || (g->part == PART_START && !sort_start(g, end)))
        return;
    while (g->part == PART_THINK || g->part == PART_AFTER) {
        if (g->part == PART_THINK && !sort_thought(g, end))
            return;
        g->part = PART_AFTER;
        sort_after(g, end);
        if (g->part == PART_AFTER)
            return;
    }
    if (g->part == PART_TEXT && b->len) {
        long r = g->s->stops(g->s->self, b->p, b->len);
        size_t n = r < 0 ? (size_t)(-1 - r) : end ? b->len : b->len - (size_t)r;
        if (!g->s->hear)
            q_buf_add(&g->text, b->p, n);
        else if (n)
            g->called = g->s->hear(g->s->self, b->p, n, &g->text, &g->call, &g->think);
        drop(b, n);
        g->hit_stop = r < 0;
    }
}

static void piece(gen *g, q_buf *b, bool thinking, const gen_token *t)
{
    bool call = b == &g->call;
    prov_piece p = { .answer = g->answer, .number = g->r->tokens, .text = b->p ? b->p : "", .n = b->len, .thinking = thinking,
                     .token = t && !t->unnamed ? t->id : -1, .logprob = t ? t->logprob : (double)NAN, .call = call,
                     .likely = t ? t->likely : NULL, .n_likely = t ? t->n_likely : 0 };
    if (g->h->piece)
        g->h->piece(g->h->user, &p);
    q_buf_clear(b);
}

/* t: the token at hand, which is told of even where it brings no text; NULL: what was held back. */
static void hand_out(gen *g, const gen_token *t)
{
    bool thought = g->think.len || (g->part == PART_THINK && t), call = g->call.len > 0;
    if (thought)
        piece(g, &g->think, true, t);
    if (g->text.len || (t && !thought && !call))
        piece(g, &g->text, false, t);
    if (call)
        piece(g, &g->call, false, t);
}

/* ---- one token ---- */
static void take(gen *g, const gen_token *t)
{
    g->r->tokens++;
    g->s->spell(g->s->self, t->id, &g->pending);
    enum part before = g->part;
    sort_out(g, false);
    g->r->thinking = g->part == PART_THINK;
    if (before == PART_THINK || g->part == PART_THINK)
        g->r->thinking_tokens++;
    hand_out(g, t);
}

static int failed(int rc) { return rc == Q_CANCEL ? PROV_STOPPED : rc < 0 ? PROV_FAILED : GO_ON; }

/* The thought has had its tokens, or somebody has enough of it: what closes it comes instead of a choice, and again where it is
 * opened once more. */
static bool closing(gen *g, gen_token *t)
{
    const gen_source *s = g->s;
    bool thinks = g->at_close == g->n_close && g->part == PART_THINK && s->close;
    int most = thinks && s->budget ? s->budget(s->self) : 0;
    if (thinks && (g->n_close || (most > 0 && g->r->thinking_tokens >= most) || (g->h->enough && g->h->enough(g->h->user, g->answer)))) {
        g->n_close = s->close(s->self, g->close, (int)(sizeof g->close / sizeof *g->close));
        g->at_close = 0;
    }
    if (g->at_close == g->n_close)
        return false;
    *t = (gen_token){ .id = g->close[g->at_close++], .logprob = (double)NAN };
    return true;
}

static void tell_end(const gen *g, const gen_token *t)
{
    const prov_piece p = { .answer = g->answer, .number = g->r->tokens + 1, .text = "", .token = t->id, .logprob = t->logprob, .likely = t->likely, .n_likely = t->n_likely };
    if (g->h->ended && t->id >= 0 && !t->unnamed)
        g->h->ended(g->h->user, g->answer, &p);
}

static int step(gen *g, char *err)
{
    const gen_source *s = g->s;
    const prov_hooks *h = g->h;
    int rc;
    if (h->between && !h->between(h->user, g->answer, g->r->tokens))
        return PROV_STOPPED;
    if ((rc = failed(s->ready(s->self, err))) != GO_ON)
        return rc;
    if (s->room(s->self) < 1)
        return PROV_FULL;
    int64_t from = q_now_ns();
    gen_token t = { 0 };
    if (!closing(g, &t) && (rc = failed(s->choose(s->self, &t, err))) != GO_ON)
        return rc;
    if (t.end) {
        tell_end(g, &t);
        return PROV_ENDED;
    }
    take(g, &t);
    bool circle = echo_token(&g->echo, t.id);
    if (g->hit_stop)
        return PROV_STOP_STRING;
    rc = s->push(s->self, t.id, err);
    g->r->decode_s += (double)(q_now_ns() - from) / 1e9;
    if (s->fed)
        s->fed(s->self);
    if (h->token)
        h->token(h->user, g->answer, g->r);
    if ((rc = failed(rc)) != GO_ON)
        return rc;
    if (circle && h->repeats && h->repeats(h->user, g->answer, g->r->tokens))
        return PROV_REPEATS;
    int max = s->max_tokens(s->self);
    return max > 0 && g->r->tokens >= max ? PROV_MAX_TOKENS : GO_ON;
}

int gen_answer(const gen_source *s, const prov_hooks *h, int answer, prov_result *r, char *err)
{
    gen g = { .s = s, .h = h, .r = r, .answer = answer, .part = s->thinking ? PART_THINK : PART_START };
    int finish;
    do
        finish = step(&g, err);
    while (finish == GO_ON);
    if (!g.hit_stop) {                   /* what was held back, however it ended */
        s->spell(s->self, -1, &g.pending);
        sort_out(&g, true);
        if (s->hear)
            g.called = s->hear(s->self, NULL, 0, &g.text, &g.call, &g.think);
        hand_out(&g, NULL);
    }
    r->finish = finish == PROV_ENDED && g.called ? PROV_CALLS : (enum prov_finish)finish;
    r->thinking = false;
    q_buf_free(&g.pending);
    q_buf_free(&g.text);
    q_buf_free(&g.think);
    q_buf_free(&g.call);
    return finish == PROV_FAILED ? Q_ERR : Q_OK;
}
