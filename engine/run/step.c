/* engine/run/step: evaluation: rows of one timeline or of several go through the cache, and what they leave behind is
 * written down: text, logits, routing records. One thread, that of the cache. It never chooses a token. */
#include "engine/run/config.h"
#include "engine/run/lora.h"
#include "engine/run/session.h"
#include "engine/text/vocab.h"

#include <string.h>

/* Routing of rows first..first+n of a batch of `total` goes into the session's ring; pos: of the first. */
static void record(eng_session *s, const ker_out *o, const cache_row *rows, int first, int n, int total, int pos, bool prompt)
{
    int n_layer = s->cache->m->ker.n_layer, stride = o->max_k, k = 0;
    for (int l = 0; l < n_layer; l++)  /* slots in use under these configurations or the forced lists */
        for (int r = 0; r < n && k < stride; r++)
            while (k < stride && o->ids[((size_t)l * (size_t)total + (size_t)(first + r)) * (size_t)stride + (size_t)k] != KER_NO_EXPERT)
                k++;
    for (int r = 0; r < n; r++) {      /* a dense model's records are empty, but there is one a position */
        float *w = s->rec_f, *entropy = w + (size_t)n_layer * (size_t)k, *margin = entropy + n_layer;
        for (int l = 0; l < n_layer; l++) {
            size_t row = (size_t)l * (size_t)total + (size_t)(first + r), to = (size_t)l * (size_t)k;
            memcpy(s->rec_ids + to, o->ids + row * (size_t)stride, sizeof(uint16_t) * (size_t)k);
            if (prompt)
                continue;
            memcpy(w + to, o->weights + row * (size_t)stride, sizeof(float) * (size_t)k);
            entropy[l] = o->entropy[row];
            margin[l] = o->margin[row];
        }
        eng_trace_rec rec = { .token = rows[first + r].token, .pos = pos + r, .config = rows[first + r].hash, .prompt = prompt,
                              .n_layer = n_layer, .max_k = k, .ids = s->rec_ids, .weights = prompt ? NULL : w,
                              .entropy = prompt ? NULL : entropy, .margin = prompt ? NULL : margin };
        trace_add(s->trace, &rec);
    }
}

enum { NEAR = 64,                      /* tokens that a state of recurrent layers has to save to be worth its memory */
       NEXT_REST = 1000 };             /* a token is a few of these */

static uint64_t last_chain(const eng_session *s) { return s->line.n ? kv_cell_chain(s->cache->pool, &s->line, s->line.n - 1) : 0; }

void step_logits(eng_session *s, const float *logits)
{
    s->user.logits = logits;
    s->logits_of = logits ? last_chain(s) : 0;
}

bool step_logits_fit(const eng_session *s)
{
    return s->user.logits && s->line.n > 0 && s->line.n == s->n_tokens && last_chain(s) == s->logits_of;
}

/* The timeline's part of the head that foretells, where it drafts (draft mtp). */
static next_line *foretells(eng_session *s)
{
    if (s->config->v.draft != DRAFT_MTP)
        return NULL;
    if (!s->next && s->next_rest > 0) {
        s->next_rest--;
        return NULL;
    }
    if (!s->next && !(s->next = next_new(s->cache->m, s->context, &s->cache->cancel)))
        s->next_rest = NEXT_REST;
    return s->next && next_config(s->next, s->config, s->hash) ? s->next : NULL;
}

/* n tokens of one timeline under its own configuration, kept as its next cells. */
static int extend(eng_session *s, const int32_t *tokens, int n, unsigned want_last, bool prompt, ker_out *out, char *err)
{
    cache_row rows[ENG_STEP_ROWS];
    cache_seq seq = { .line = &s->line, .seed = s->seed };
    int pos = s->line.n;
    next_line *head = foretells(s);
    uint64_t before = last_chain(s);
    unsigned each = head ? ENG_WANT_HIDDEN : ENG_WANT_NOTHING;
    for (int r = 0; r < n; r++)
        rows[r] = (cache_row){ .token = tokens[r], .want = (uint8_t)(each | (r == n - 1 ? want_last : ENG_WANT_NOTHING)), .config = s->config, .hash = s->hash };
    if (!prompt)                         /* cells that were lacking leave the logits at hand as they are */
        s->user.logits = NULL;
    int rc = cache_forward(s->cache, &seq, 1, rows, n, true, prompt, out, err);
    if (rc)
        return rc;
    record(s, out, rows, 0, n, n, pos, prompt);
    if (head)
        next_read(head, tokens, n, out->hidden, before, last_chain(s));
    if (want_last & ENG_WANT_LOGITS)
        step_logits(s, out->logits);
    return 0;
}

int step_check_tokens(const eng_session *s, const int32_t *tokens, int n, char *err)
{
    for (int i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= s->cache->m->ker.n_vocab)
            return q_fail(err, Q_RANGE, _("token %d is not in the vocabulary: ids are 0 to %d"), (int)tokens[i], s->cache->m->ker.n_vocab - 1);
    return 0;
}

/* Rows of the next chunk. Somebody who watches wants to see it move, and knobs are heard between chunks: about
 * CHUNK_S seconds each, but never so few rows that grouping by expert stops paying. Nobody watching, or told how many: as many as fit. */
static int chunk_rows(const eng_session *s, bool watched, int left)
{
    const double CHUNK_S = 1.5;
    double rows = !watched || s->chunk < ENG_STEP_ROWS ? s->chunk : s->rate > 0 ? s->rate * CHUNK_S : 128;
    int n = rows > s->chunk ? s->chunk : rows < KER_PAGE ? KER_PAGE : (int)rows / KER_PAGE * KER_PAGE;
    n = n > s->chunk ? s->chunk : n;
    return n < left ? n : left;
}

/* Where messages begin in tokens(from, to), by the control token that opens one (what ends one opens none): ascending, the last `most` of
 * them. Not nearer to one another, and to both ends, than a state pays: it costs memory, and a batch is cut there. */
static int openings(const eng_session *s, const int32_t *tokens, int from, int to, int most, int *out)
{
    const vocab *v = s->cache->m->vocab;
    int n = 0;
    for (int i = to - NEAR; n < most && i >= from + NEAR; i--)
        if (vocab_control(v, tokens[i]) && !vocab_end(v, tokens[i])) {
            out[most - ++n] = i;
            i -= NEAR - 1;
        }
    memmove(out, out + most - n, sizeof *out * (size_t)n);
    return n;
}

/* Messages' beginnings that state.memory has room for, beside those two that are always kept and those that drafts leave. */
static int room_for(const eng_session *s)
{
    int count;
    uint64_t each, n;
    kv_state_bytes(s->cache->pool, &count, &each);
    n = each ? kv_state_room(s->cache->pool, (uint64_t)s->config->v.state_memory << 20) / each : 0;
    uint64_t not_these = 2 + (s->config->v.draft == DRAFT_OFF ? 0 : DRAFT_STATES);
    return n < not_these ? 0 : n < ENG_BORDERS ? (int)(n - not_these) : ENG_BORDERS - 2;
}

/* The last message is marked by a control token at its beginning; without one the last token, which is always read, is left. */
int eng_session_borders(const eng_session *s, const int32_t *tokens, int n, int out[ENG_BORDERS])
{
    int last = n - 1, from = s->line.n, met = s->line.met, count, at;
    if (n <= from || !kv_has_states(s->cache->pool))
        return 0;
    while (last > from && last >= n - NEAR && !vocab_control(s->cache->m->vocab, tokens[last]))
        last--;
    if (last <= from || last < n - NEAR)
        last = n - 1;
    count = at = openings(s, tokens, from, last, room_for(s), out);
    if (met >= from + NEAR && met < last) {
        for (; at > 0 && out[at - 1] >= met; at--)
            out[at] = out[at - 1];
        out[at] = met;
        count++;
    }
    out[count++] = last;
    return count;
}

void eng_session_mark(eng_session *s) { kv_border(s->cache->pool, &s->line); }

int step_catch_up(eng_session *s, bool logits, void (*progress)(void *, int, int), void *user, char *err)
{
    step_fresh(s);
    int first = s->line.n, total = s->n_tokens - first, border[ENG_BORDERS], borders = eng_session_borders(s, s->tokens, s->n_tokens, border), next = 0;
    if (progress && total > 0)
        progress(user, 0, total);
    while (s->line.n < s->n_tokens) {
        int left = s->n_tokens - s->line.n, n = chunk_rows(s, progress != NULL, left);
        if (s->line.n == first || (next < borders && s->line.n == border[next]))
            eng_session_mark(s);
        next += next < borders && s->line.n == border[next];
        if (next < borders && n > border[next] - s->line.n)
            n = border[next] - s->line.n;
        int64_t start = q_now_ns();
        ker_out out;
        int rc = extend(s, s->tokens + s->line.n, n, logits && n == left ? ENG_WANT_LOGITS : ENG_WANT_NOTHING, true, &out, err);
        if (rc)
            return rc;
        double seconds = (double)(q_now_ns() - start) / 1e9;
        s->rate = n >= KER_PAGE || s->rate == 0 ? n / (seconds + 1e-9) : s->rate;
        s->speed.prefill_tokens += n;
        s->speed.prefill_s += seconds;
        if (progress)
            progress(user, s->line.n - first, total);
    }
    return 0;
}

static int no_room(const eng_session *s, char *err)
{
    return q_fail(err, Q_RANGE, _("the context of %d tokens is full: raise context.length or begin a new conversation"), s->context);
}

/* ---- one token, and drafts ---- */

void step_ahead_drop(eng_session *s)
{
    for (int i = s->ahead.at; i < s->ahead.n && kv_has_states(s->cache->pool); i++)
        kv_state_drop(s->cache->pool, s->ahead.state[i]);
    s->ahead.n = 0;
}

void step_fresh(eng_session *s)
{
    unsigned now = lora_version(s->cache->m);
    if (now == s->adapters)
        return;
    s->adapters = now;
    s->hash = eng_config_hash(s->config);
    step_ahead_drop(s);
}

/* What was ahead and is not followed, or used up: its step is judged. */
static void ahead_end(eng_session *s)
{
    if (s->ahead.n)
        draft_tried(&s->drafts, s->ahead.n, s->ahead.at, s->ahead.seconds);
    step_ahead_drop(s);
}

/* The token was evaluated ahead and nothing has come between: its cell, record and logits are taken as they are. */
static bool ahead_take(eng_session *s, int32_t token)
{
    draft_ahead *a = &s->ahead;
    cache_row rows[DRAFT_MAX + 1];
    kv_cell cell = { token, s->hash, 0 };
    uint64_t before = last_chain(s);
    if (!a->n)
        return false;
    if (a->clock != s->cache->clock || a->hash != s->hash || !s->user.logits || a->line != s->line.n || s->line.n != s->n_tokens
        || a->token[a->at] != token || !kv_again(s->cache->pool, &s->line, &cell, s->seed, kv_has_states(s->cache->pool) ? a->state[a->at] : 0)) {
        ahead_end(s);
        return false;
    }
    a->at++;
    a->line++;
    rows[a->at] = (cache_row){ .token = token, .hash = s->hash };
    record(s, &a->out, rows, a->at, 1, a->n + 1, s->n_tokens, false);
    if (foretells(s))
        next_read(s->next, &token, 1, a->out.hidden + (size_t)a->at * (size_t)s->cache->m->ker.n_embd, before, last_chain(s));
    step_logits(s, a->out.logits + (size_t)a->at * (size_t)s->cache->m->ker.n_vocab);
    s->tokens[s->n_tokens++] = token;
    s->speed.decode_tokens++;
    if (a->at == a->n)
        ahead_end(s);
    return true;
}

/* Tokens to be evaluated behind `token`; never so many that a page more is needed: what is not followed leaves nothing behind. */
static int ahead_find(eng_session *s, int32_t token, int32_t *out)
{
    int room = KER_PAGE - 1 - s->n_tokens % KER_PAGE, left = s->context - 1 - s->n_tokens;
    if (s->config->v.draft == DRAFT_OFF || (s->config->v.draft == DRAFT_MTP && !foretells(s)))
        return 0;
    s->drafts.dear = s->config->v.draft == DRAFT_MTP;
    int most = draft_rows(&s->drafts);
    most = most > DRAFT_STATES && kv_has_states(s->cache->pool) ? DRAFT_STATES : most;
    most = most > KER_FEW - 1 && s->cache->m->on.be != ker_cpu() ? KER_FEW - 1 : most;
    most = most > room ? room : most;
    most = most > left ? left : most;
    if (most < 1)
        return 0;
    if (foretells(s))
        return next_draft(s->next, token, most, last_chain(s), out);
    s->tokens[s->n_tokens] = token;    /* there is room: the caller looked */
    return draft_find(s->tokens, s->n_tokens + 1, most, out);
}

/* The token and n drafts behind it in one step, which began with finding them. Only the token stays; the rest is ahead. Where that fails, a plain step tells why. */
static int ahead_push(eng_session *s, int32_t token, const int32_t *draft, int n, int64_t start)
{
    cache_row rows[DRAFT_MAX + 1];
    kv_pool *pool = s->cache->pool;
    bool states = kv_has_states(pool);
    int32_t each[DRAFT_STATES] = { 0 };
    cache_seq seq = { &s->line, s->seed, states ? each : NULL };
    char ignored[Q_ERRLEN];
    ker_out out;
    int pos = s->line.n;
    next_line *head = foretells(s);
    uint64_t before = last_chain(s);
    if (states && !kv_states_ahead(pool, &s->line, each, n))
        return Q_NOMEM;
    for (int r = 0; r <= n; r++)
        rows[r] = (cache_row){ .token = r ? draft[r - 1] : token, .want = (uint8_t)(ENG_WANT_LOGITS | (head ? ENG_WANT_HIDDEN : 0)), .config = s->config, .hash = s->hash };
    s->user.logits = NULL;
    int rc = cache_forward(s->cache, &seq, 1, rows, n + 1, true, false, &out, ignored);
    for (int i = 0; rc && states && i < n; i++)
        kv_state_drop(pool, each[i]);
    if (rc)
        return rc;
    int last = kv_take_back(pool, &s->line, pos + 1, each[0]);
    s->ahead = (draft_ahead){ .n = n, .line = pos + 1, .clock = s->cache->clock, .hash = s->hash, .seconds = (double)(q_now_ns() - start) / 1e9, .out = out };
    memcpy(s->ahead.token, draft, sizeof *draft * (size_t)n);
    for (int i = 0; states && i < n; i++)
        s->ahead.state[i] = i + 1 < n ? each[i + 1] : last;
    record(s, &out, rows, 0, 1, n + 1, pos, false);
    if (head)
        next_read(head, &token, 1, out.hidden, before, last_chain(s));
    step_logits(s, out.logits);
    return 0;
}

int step_push(eng_session *s, int32_t token, unsigned want, char *err)
{
    ker_out out;
    int32_t draft[DRAFT_MAX];
    step_fresh(s);
    int rc = s->n_tokens < s->context ? step_check_tokens(s, &token, 1, err) : no_room(s, err);
    bool logits = want == ENG_WANT_LOGITS;
    if (!rc && logits && s->ahead.n && atomic_load(&s->cache->cancel))
        rc = cache_failed(s->cache, Q_CANCEL, err);
    if (rc)
        return rc;
    if (logits && ahead_take(s, token))
        return 0;
    ahead_end(s);
    if ((rc = step_catch_up(s, false, NULL, NULL, err)))
        return rc;
    int64_t start = q_now_ns();
    int n = logits ? ahead_find(s, token, draft) : 0;
    if (n == 0 || ((rc = ahead_push(s, token, draft, n, start)) && rc != Q_CANCEL)) {
        if ((rc = extend(s, &token, 1, want, false, &out, err)))
            return rc;
        if (logits)
            draft_plain(&s->drafts, (double)(q_now_ns() - start) / 1e9);
    } else if (rc)
        return cache_failed(s->cache, rc, err);
    s->tokens[s->n_tokens++] = token;
    if (logits) {
        s->speed.decode_tokens++;
        s->speed.decode_s += (double)(q_now_ns() - start) / 1e9;
    }
    return 0;
}

/* ---- rows of several timelines ---- */
static int check_forced(const eng_row *row, int at, char *err)
{
    const eng_model *m = row->session->cache->m;
    int n_expert = m->ker.n_expert;
    uint64_t seen[1 << 10] = { 0 };    /* a bit an expert */
    if (n_expert == 0 || row->forced_k > n_expert)
        return q_fail(err, Q_RANGE, _("forced routing of %d experts a token does not suit a model of %d experts"), row->forced_k, n_expert);
    for (int l = 0; l < m->ker.n_layer; l++) {
        const uint16_t *ids = row->forced + (size_t)l * (row->forced_step ? row->forced_step : (size_t)row->forced_k);
        int k = 0;
        for (; k < row->forced_k && ids[k] != KER_NO_EXPERT; k++) {
            if (ids[k] >= n_expert)
                return q_fail(err, Q_RANGE, _("forced routing: layer %d, token %d: expert %d is not among 0 to %d"), l, at, ids[k], n_expert - 1);
            if (seen[ids[k] / 64] >> ids[k] % 64 & 1)
                return q_fail(err, Q_RANGE, _("forced routing: layer %d, token %d: expert %d stands there twice"), l, at, ids[k]);
            seen[ids[k] / 64] |= UINT64_C(1) << ids[k] % 64;
        }
        for (int i = 0; i < k; i++)
            seen[ids[i] / 64] = 0;
        if (m->layers[l].moe && k == 0)
            return q_fail(err, Q_RANGE, _("forced routing: layer %d, token %d: no expert is named"), l, at);
    }
    return 0;
}

/* Numbers the rows' timelines and counts their rows; -1 with a sentence where rows of one are not together, or are
 * another cache's. */
static int group(const eng_cache *k, const eng_row *rows, int n, eng_session **of, int *count, char *err)
{
    int n_seq = 0;
    for (int r = 0; r < n; r++)
        rows[r].session->seq = -1;
    for (int r = 0; r < n; r++) {
        eng_session *s = rows[r].session;
        if (s->cache != k)
            return q_fail(err, Q_ERR, _("row %d of the step belongs to another cache"), r);
        if (s->seq < 0) {
            s->seq = (int16_t)n_seq;
            of[n_seq] = s;
            count[n_seq++] = 0;
        } else if (rows[r - 1].session != s) {
            return q_fail(err, Q_ERR, _("row %d of the step: rows of one timeline must follow one another"), r);
        }
        count[s->seq]++;
    }
    return n_seq;
}

static int check_row(const eng_row *row, int at, char *err)
{
    const eng_session *s = row->session;
    int rc = step_check_tokens(s, &row->token, 1, err);
    if (!rc && row->config && (config_position_hash(row->config) != s->seed || config_kv_type(row->config) != s->cache->type))
        rc = q_fail(err, Q_RANGE, _("rope.* and kv.type hold for a whole timeline: evaluate it anew under them"));
    return rc || !row->forced ? rc : check_forced(row, at, err);
}

static void hand_out(eng_out *out, const ker_out *o, const eng_row *rows, int n, const ker_model *m)
{
    int logits = 0, hidden = 0;
    *out = (eng_out){ .n = n, .max_k = o->max_k, .ids = o->ids, .weights = o->weights, .entropy = o->entropy, .margin = o->margin };
    for (int r = 0; r < n; r++) {
        if (rows[r].want & ENG_WANT_LOGITS)
            out->logits[r] = o->logits + (size_t)logits++ * (size_t)m->n_vocab;
        if (rows[r].want & ENG_WANT_HIDDEN)
            out->hidden[r] = o->hidden + (size_t)hidden++ * (size_t)m->n_embd;
    }
}

/* What a step leaves behind in one timeline whose rows are first..first+n. */
static void settle(eng_session *s, const ker_out *o, const eng_row *rows, const cache_row *w, int first, int n, int total, int logits_at, double seconds)
{
    record(s, o, w, first, n, total, s->n_tokens, false);
    for (int r = 0; r < n; r++)
        s->tokens[s->n_tokens++] = rows[first + r].token;
    step_logits(s, logits_at >= 0 ? o->logits + (size_t)logits_at * (size_t)s->cache->m->ker.n_vocab : NULL);
    s->speed.decode_tokens += n;
    s->speed.decode_s += seconds * n / total;
}

int eng_cache_step(eng_cache *k, const eng_row *rows, int n, bool commit, eng_out *out, char *err)
{
    eng_session *of[ENG_STEP_ROWS];
    int count[ENG_STEP_ROWS], rc = 0, n_seq;
    cache_seq seqs[ENG_STEP_ROWS];
    cache_row w[ENG_STEP_ROWS];
    ker_out o;
    if (n < 1 || n > ENG_STEP_ROWS)
        return q_fail(err, Q_RANGE, _("a step evaluates 1 to %d rows, not %d"), ENG_STEP_ROWS, n);
    if ((n_seq = group(k, rows, n, of, count, err)) < 0)
        return n_seq;
    for (int r = 0; r < n && !rc; r++)
        rc = check_row(&rows[r], r, err);
    for (int i = 0; i < n_seq && !rc; i++)
        rc = of[i]->n_tokens + count[i] > of[i]->context ? no_room(of[i], err) : 0;
    for (int i = 0; i < n_seq && !rc; i++) {
        rc = step_catch_up(of[i], false, NULL, NULL, err);
        seqs[i] = (cache_seq){ .line = &of[i]->line, .seed = of[i]->seed };
    }
    if (rc)
        return rc;
    for (int r = 0; r < n; r++) {
        eng_session *s = rows[r].session;
        const eng_config *c = rows[r].config;
        w[r] = (cache_row){ .token = rows[r].token, .seq = s->seq, .want = (uint8_t)rows[r].want, .config = c ? c : s->config,
                            .hash = !c ? s->hash : r && c == rows[r - 1].config ? w[r - 1].hash : eng_config_hash(c), .forced = rows[r].forced,
                            .forced_step = rows[r].forced_step ? rows[r].forced_step : (size_t)rows[r].forced_k, .forced_k = rows[r].forced_k };
    }
    for (int i = 0; i < n_seq && commit; i++)
        of[i]->user.logits = NULL;
    int64_t start = q_now_ns();
    if ((rc = cache_forward(k, seqs, n_seq, w, n, commit, n > 4 * n_seq, &o, err)))
        return rc;
    double seconds = (double)(q_now_ns() - start) / 1e9;
    for (int i = 0, at = 0, logits = 0; i < n_seq && commit; at += count[i++]) {
        for (int r = at; r < at + count[i]; r++)
            logits += rows[r].want & ENG_WANT_LOGITS ? 1 : 0;
        settle(of[i], &o, rows, w, at, count[i], n, rows[at + count[i] - 1].want & ENG_WANT_LOGITS ? logits - 1 : -1, seconds);
    }
    if (out)
        hand_out(out, &o, rows, n, &k->m->ker);
    return 0;
}
