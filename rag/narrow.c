/* rag/narrow: a search among what somebody said, or what was said at some time: asked for by the caller, or read in the question
 * (rag/when.h). Pure but for what it asks memory; any thread. It never drops anything silently: what it did is the result's `narrowed`. */
#include "rag/narrow.h"

#include "base/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static enum narrow_who who_of(const char *by)
{
    static const struct { const char *word; enum narrow_who who; } words[] = {
        {"me", NARROW_PERSON}, {"я", NARROW_PERSON}, {"model", NARROW_MODEL}, {"модель", NARROW_MODEL}};
    for (size_t i = 0; by && i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].word, by) == 0) return words[i].who;
    return by && *by ? NARROW_NAMED : NARROW_ANYBODY;
}

/* What the question says of it, as it stands there; or what was asked for. */
static char *word_of(const struct narrowing *x, const char *question)
{
    q_buf b = {0};
    q_buf_puts(&b, "");
    for (int i = x->when.n_span - 1; i >= 0 && !x->strict; i--)
        q_buf_printf(&b, "%s%.*s", b.len ? " " : "", (int)(x->when.span[i].end - x->when.span[i].start), question + x->when.span[i].start);
    if (!b.len) q_buf_puts(&b, x->by ? x->by : "–");
    return q_buf_take(&b);
}

static bool takes_turn(const struct narrowing *x, const mem_heard *h)
{
    static const enum mem_by by[] = {[NARROW_PERSON] = MEM_BY_PERSON, [NARROW_MODEL] = MEM_BY_MODEL, [NARROW_NAMED] = MEM_BY_NAMED};
    if (x->asked && !h->asks) return false;
    if (x->from && h->created_ms < x->from) return false;
    if (x->to && !x->since && h->created_ms >= x->to) return false;
    return x->who == NARROW_ANYBODY || h->by == by[x->who];
}

static int turns(mem_store *s, const rag_config *c, int64_t except, struct narrowing *x, char *err)
{
    mem_heard *v = NULL;
    int n = 0;
    int64_t passages, words;
    int rc = mem_extent(s, MEM_CHUNK, &passages, &words, err);
    if (rc == Q_OK && c->chats) rc = mem_heard_all(s, &v, &n, err);
    x->id = q_alloc(sizeof *x->id * (size_t)(n + 1));
    for (int i = 0; i < n && rc == Q_OK; i++)
        if (v[i].conversation != except && takes_turn(x, &v[i])) x->id[x->n++] = v[i].id;
    x->of = (double)passages + n;
    free(v);
    return rc;
}

int rag_narrow(mem_store *s, const rag_config *c, const char *question, const rag_scope *scope, struct narrowing *x, rag_result *r, char *err)
{
    *x = (struct narrowing){.strict = scope->since_ms || scope->until_ms || scope->by, .from = scope->since_ms, .to = scope->until_ms,
                            .by = scope->by, .who = who_of(scope->by)};
    if (!x->strict && !scope->whole) rag_when_read(question, scope->now_ms ? scope->now_ms : q_wall_ms(), &x->when);
    const struct rag_when *w = &x->when;
    if (!x->strict && (w->talk || w->from || w->to)) {
        if (w->who == WHEN_MODEL && !c->answers) {
            if (c->chats) r->narrowed.words = q_strdup(_("asked for what a model answered, but memory.answers is off: /set memory.answers on feeds answers"));
            return Q_OK;
        }
        x->talk = w->talk;
        x->asked = w->asked;
        x->written = w->written;
        x->since = !w->talk;
        x->from = w->from;
        x->to = w->to;
        x->who = w->who == WHEN_PERSON ? NARROW_PERSON : w->who == WHEN_MODEL ? NARROW_MODEL : NARROW_ANYBODY;
    }
    x->on = x->strict || (c->chats && (w->talk || w->from || w->to));
    if (!x->on) return Q_OK;
    x->word = word_of(x, question);
    return turns(s, c, scope->conversation, x, err);
}

bool rag_narrow_has(const struct narrowing *x, int64_t id)
{
    int a = 0, z = x->n;
    while (a < z) {
        int mid = (a + z) / 2;
        if (x->id[mid] < id) a = mid + 1;
        else z = mid;
    }
    return a < x->n && x->id[a] == id;
}

struct looking { const char *stem; bool found; };

static bool look_at(void *user, const mem_word *w)
{
    struct looking *l = user;
    l->found = strcmp(w->stem, l->stem) == 0;
    return !l->found;
}

struct naming { const char *author; bool all; };

static bool named(void *user, const mem_word *w)
{
    struct naming *n = user;
    struct looking l = {w->stem, false};
    mem_words(n->author, strlen(n->author), look_at, &l);
    n->all = l.found;
    return n->all;
}

/* Every word of what was given stands in the name. */
static bool is_named(const char *by, const char *author)
{
    struct naming n = {author, false};
    mem_words(by, strlen(by), named, &n);
    return n.all;
}

static bool takes_document(const struct narrowing *x, const mem_passage *m)
{
    if (x->talk && !(x->written && m->trust == MEM_TRUST_OWN)) return false;
    if (!x->strict) return true;
    if (x->from && m->created_ms < x->from) return false;
    if (x->to && m->created_ms >= x->to) return false;
    return x->who == NARROW_ANYBODY ? m->trust != MEM_TRUST_MANUAL : x->who == NARROW_PERSON ? m->trust == MEM_TRUST_OWN : x->who == NARROW_MODEL && m->trust == MEM_TRUST_MODEL;
}

bool rag_narrow_takes(const struct narrowing *x, const mem_passage *m)
{
    if (!x || !x->on) return true;
    if (m->kind == MEM_CHUNK) return takes_document(x, m);
    return rag_narrow_has(x, m->id) && (x->who != NARROW_NAMED || is_named(x->by, m->author));
}

/* ---- as a person asks for it ---- */
int rag_scope_set(rag_scope *scope, const char *option, const char *value, char *err)
{
    bool since = strcmp(option, "since") == 0, until = strcmp(option, "until") == 0;
    if (!since && !until && strcmp(option, "by") != 0) return Q_NOTFOUND;
    if (!since && !until) {
        if (value[strspn(value, " \t\n")] == 0) return q_fail(err, Q_RANGE, _("--by takes me, model, or the name of somebody who said it"));
        scope->by = value;
        return Q_OK;
    }
    int64_t day = rag_day(value, until, scope->now_ms ? scope->now_ms : q_wall_ms());
    if (day < 0) return q_fail(err, Q_RANGE, _("\"%s\" is no day: write 2026-11-27, 27.11.2026, today or yesterday"), value);
    *(since ? &scope->since_ms : &scope->until_ms) = day > 0 ? day : 1;
    if (scope->until_ms && scope->since_ms >= scope->until_ms) return q_fail(err, Q_RANGE, _("--until is before --since: nothing could be found"));
    return Q_OK;
}

/* ---- in words ---- */
static void day(int64_t ms, char out[16])
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    if (!localtime_r(&t, &tm)) memset(&tm, 0, sizeof tm);
    strftime(out, 16, "%Y-%m-%d", &tm);
}

/* ": 2026-11-16 to 2026-11-22", the last day being one that is meant. */
static void times(const struct narrowing *x, q_buf *b)
{
    char from[16], to[16];
    day(x->from, from);
    day(x->to - 1, to);
    if (x->from && (!x->to || x->since)) q_buf_say(b, _(", since %s"), from);
    else if (!x->from && x->to) q_buf_say(b, _(", until %s"), to);
    else if (x->from && strcmp(from, to) == 0) q_buf_say(b, _(", on %s"), from);
    else if (x->from) q_buf_say(b, _(", from %s to %s"), from, to);
}

void rag_narrow_say(const struct narrowing *x, bool all, rag_result *r)
{
    q_buf b = {0};
    if (!x->on) return;
    if (x->who == NARROW_NAMED) q_buf_say(&b, _("narrowed to what %s said"), x->by);
    else if (x->asked) q_buf_puts(&b, _("narrowed to what you asked"));
    else if (x->who == NARROW_PERSON && (x->written || x->strict)) q_buf_puts(&b, _("narrowed to what you said or wrote"));
    else if (x->who == NARROW_PERSON) q_buf_puts(&b, _("narrowed to what you said"));
    else if (x->who == NARROW_MODEL) q_buf_puts(&b, _("narrowed to what a model answered"));
    else if (x->talk) q_buf_puts(&b, _("narrowed to what was said"));
    else if (x->strict) q_buf_puts(&b, _("narrowed to what was said or taken in"));
    else q_buf_puts(&b, _("narrowed to documents and what was said"));
    times(x, &b);
    if (all) q_buf_puts(&b, _(": nothing there fits, so all was searched"));
    else if (x->strict && !r->n) q_buf_puts(&b, r->searched ? _(": nothing there fits") : _(": without words only what was said is listed, and nothing was"));
    r->narrowed = (rag_narrowed){.on = true, .all = all, .from_ms = x->from, .to_ms = x->since ? 0 : x->to, .turns = x->n, .words = q_buf_take(&b)};
}

void rag_narrow_free(struct narrowing *x)
{
    free(x->id);
    free(x->word);
    x->id = NULL;
    x->word = NULL;
}
