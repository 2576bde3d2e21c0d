/* lab/baseline: what is usual before anybody said anything: a built-in text is evaluated once for each (model, k) that
 * nothing is known of, in a session of its own, a few tokens at a time while nobody waits. Engine thread. */
#include "engine/engine.h"
#include "engine/text.h"
#include "lab/parts.h"

#include <stdlib.h>
#include <string.h>

const char lab_baseline_text[] =
    "The river rises in the hills to the north and runs for about forty miles before it reaches the sea. Small boats carry "
    "grain, timber and letters between the villages, and in spring the water often covers the lower fields. A bridge of "
    "stone was built here in 1784; the old ferry went on for another twenty years because it was cheaper.\n"
    "- Could you help me plan a short trip? I have two days and I like museums.\n- Of course. On the first day, start early, "
    "see the old town on foot, and have lunch near the market. What is your budget?\n- Not much, maybe fifty euros.\n"
    "def mean(values):\n    total = 0\n    for v in values:\n        total += v\n    return total / len(values)  # fails on []\n"
    "Water boils at a lower temperature on a mountain because the air presses less on it, so pasta takes longer to cook. "
    "List three fruits: apples, pears and plums. Is 17 a prime number? Yes, it has no divisors but 1 and itself.\n"
    "Dear Anna, thank you for your letter. I am sorry that I could not answer sooner; the children were ill and the days "
    "went by. We hope to see you in June.\nЗимой дни коротки, а вечера долги: мы читали вслух и пили чай.\n";

typedef struct taking { lab_window window; } taking;
static bool take(void *user, const eng_trace_rec *r)
{
    taking *t = user;
    lab_position p = { r->token, r->pos, r->config, r->prompt, r->n_layer, r->max_k, r->ids, r->weights, r->entropy, r->margin };
    if (r->n_layer == t->window.n_all)
        window_add(&t->window, &p, true);
    return true;
}

/* Evaluates the text in pieces. *again: it was interrupted. */
static bool evaluate(eng_session *s, const eng_tokens *t, bool (*busy)(void *user), void *user, bool *again)
{
    char err[Q_ERRLEN];
    for (int at = 0; at < t->n;) {
        if ((*again = busy && busy(user)))
            return true;
        at = at + 32 < t->n ? at + 32 : t->n;
        if (eng_session_sync(s, t->id, at, ENG_CONTINUE, NULL, NULL, err) < 0)
            return false;
    }
    return true;
}

static lab_usual *wanted(lab_watch *w)
{
    const lab_ruler *by = w->fresh ? &w->next : &w->live.by;
    return by->u && !by->bent && by->u->n < USUAL_NEED ? by->u : NULL;
}

static void learn(lab_watch *w, eng_session *s, lab_usual *u, const eng_info *info)
{
    lab_shape shape = { info->n_layer, info->first_moe_layer, info->n_moe_layer, info->n_expert };
    taking t = { 0 };
    uint64_t cursor = 0;
    lab_usual *mine = usual_new("", shape.n_layer, shape.n_expert);
    window_shape(&t.window, &shape, lab_max_k(shape.n_expert));
    t.window.by.u = mine;
    eng_trace_read(s, &cursor, take, &t);
    pthread_mutex_lock(&w->mu);
    usual_learn(u, mine);
    w->live.version++;
    if (u->n < USUAL_NEED)
        w->no_baseline = true;           /* the ring kept too little of it: do not try for ever */
    pthread_mutex_unlock(&w->mu);
    usual_free(mine);
    window_free(&t.window);
    lab_watch_save(w);
}

bool lab_baseline(lab_watch *w, struct eng_cache *beside, const char *config, bool (*busy)(void *user), void *user)
{
    pthread_mutex_lock(&w->mu);
    lab_usual *u = w->no_baseline ? NULL : wanted(w);
    pthread_mutex_unlock(&w->mu);
    if (!beside || !u)
        return false;
    eng_model *m = eng_cache_model(beside);
    const eng_info *info = eng_model_info(m);
    char err[Q_ERRLEN];
    eng_tokens t = { 0 };
    eng_session *s = NULL;
    eng_config *c = eng_config_new(m);
    bool again = false, done = !config || eng_config_from_json(c, config, err) == Q_OK;
    if (done && (info->n_moe_layer == 0 || eng_model_cost(m, c).params > 400000000u)) {
        eng_config_free(c);
        return false;
    }
    eng_config_set(c, "context.length", "512", err);
    done = done && eng_tokenize(m, lab_baseline_text, strlen(lab_baseline_text), false, &t, err) == Q_OK && eng_session_new(m, c, &s, err) == Q_OK;
    if (t.n > 512)
        t.n = 512;
    done = done && evaluate(s, &t, busy, user, &again);
    if (done && !again)
        learn(w, s, u, info);
    if (!done) {
        pthread_mutex_lock(&w->mu);
        w->no_baseline = true;
        pthread_mutex_unlock(&w->mu);
    }
    eng_session_free(s);
    eng_config_free(c);
    eng_tokens_free(&t);
    return again;
}
