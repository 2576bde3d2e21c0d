/* agent/view: see view.h. */
#include "agent/view.h"
#include "provider/provider.h"
#include "tools/tools.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool of_a_word(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80; }

int view_differs(const char *text, const char *other)
{
    enum { WORD = 48 };
    size_t at = 0, word;
    while (text[at] && text[at] == other[at])
        at++;
    if (!text[at])
        return -1;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    for (word = at; word > 0 && at - word < WORD && of_a_word(text[at]) && of_a_word(text[word - 1]);)
        word--;
    return (int)(at - word < WORD ? word : at);
}

/* Of a reply and the sibling that it was made beside. */
static int differs(mem_store *s, const mem_message *m)
{
    char err[Q_ERRLEN], *other = NULL;
    if (m->role != MEM_ASSISTANT || m->sibling < 2 || mem_elder_text(s, m->id, &other, err) < 0 || !other)
        return -1;
    int at = view_differs(m->text, other);
    free(other);
    return at;
}

/* What ended a reply where the model did not; the words are those that generate stores. */
static enum agt_cut cut_of(const mem_message *m)
{
    static const struct { const char *finish; enum agt_cut cut; enum mem_status status; } row[] = {
        { "loop", AGT_CUT_LOOP, MEM_DONE }, { "max_tokens", AGT_CUT_TOKENS, MEM_DONE }, { "context", AGT_CUT_CONTEXT, MEM_DONE },
        { "interrupted", AGT_CUT_KILLED, MEM_STOPPED } };
    for (size_t i = 0; m->finish && i < sizeof row / sizeof *row; i++)
        if (m->status == row[i].status && strcmp(m->finish, row[i].finish) == 0)
            return row[i].cut;
    return AGT_WHOLE;
}

enum agt_state view_state(enum mem_status status)
{
    static const enum agt_state state[] = { [MEM_PARTIAL] = AGT_PARTIAL, [MEM_DONE] = AGT_DONE, [MEM_STOPPED] = AGT_STOPPED, [MEM_FAILED] = AGT_FAILED };
    return state[status];
}

/* ---- configurations ---- */
/* What bounds an answer, or names its dice, is no part of how it was chosen. */
bool view_captioned(const char *name)
{
    static const char *const never[] = { "sampler.seed", "sampler.max_tokens", "sampler.stop", "threads", "context.length", "state.memory" };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strcmp(name, never[i]) == 0)
            return false;
    return true;
}

static bool acts_forward(const char *name)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    for (int i = 0; i < n; i++)
        if (strcmp(k[i].name, name) == 0)
            return k[i].effect >= Q_EFFECT_ROUTING;
    return false;
}

uint64_t view_key(const char *json, bool forward)
{
    cJSON *o = cJSON_Parse(json);
    const cJSON *v;
    uint64_t h = 0;
    cJSON_ArrayForEach(v, o)             /* in the order of the knobs, as it was written */
        if (v->string && cJSON_IsString(v) && view_captioned(v->string) && (!forward || acts_forward(v->string))) {
            h = q_hash64(v->string, strlen(v->string), h + 1);
            h = q_hash64(v->valuestring, strlen(v->valuestring), h);
            h += !h;
        }
    cJSON_Delete(o);
    return h;
}

static agt_made *view_made(const mem_message *m)
{
    agt_made *v = q_alloc(sizeof *v * (size_t)(m->n_config + 1));
    for (int i = 0; i < m->n_config; i++)
        v[i] = (agt_made){ view_key(m->config[i].json, false), view_key(m->config[i].json, true), i ? m->config[i].at : 0, q_strdup(m->config[i].mark) };
    return v;
}

static enum agt_call_state state_of(enum mem_call_state s)
{
    static const enum agt_call_state state[] = { [MEM_CALL_DONE] = AGT_CALL_DONE, [MEM_CALL_FAILED] = AGT_CALL_FAILED, [MEM_CALL_DENIED] = AGT_CALL_DENIED,
                                                 [MEM_CALL_STOPPED] = AGT_CALL_STOPPED };
    return (unsigned)s < sizeof state / sizeof *state ? state[s] : AGT_CALL_FAILED;
}

agt_call view_call(const mem_call *c)
{
    return (agt_call){ .id = c->id, .at = c->at, .name = q_strdup(c->name), .title = tool_title(c->name, c->arguments), .arguments = q_strdup(c->arguments),
                       .result = q_strdup(c->result), .policy = q_strdup(c->policy), .state = state_of(c->state), .ms = c->ms, .undoable = *c->path && c->kept && !c->undone,
                       .undone = c->undone };
}

static agt_call mark(int64_t id, const mem_message *m, const char *name, char *title)
{
    return (agt_call){ .id = -id, .at = (int64_t)strlen(m->text), .name = q_strdup(name), .title = title, .arguments = q_strdup(""), .result = q_strdup(""), .policy = q_strdup(""),
                       .state = AGT_CALL_DONE };
}

/* Its turn is pinned; a summary stands for all up to it. */
static void view_marks(mem_store *s, const mem_message *m, agt_message *out)
{
    char err[Q_ERRLEN];
    mem_compactions l = { 0 };
    bool pinned = false;
    if (mem_turn_pinned(s, m->id, &pinned, err) == Q_OK && pinned)
        out->call[out->n_call++] = mark(1, m, "pinned", q_strdup(_("turn pinned")));
    if (mem_compaction_at(s, m->id, &l, err) == Q_OK && l.n)
        out->call[out->n_call++] = mark(1 + l.v[0].id, m, "compacted", q_printf(ngettext("summed up: %d message, %d → %d tokens", "summed up: %d messages, %d → %d tokens",
                                                                            (unsigned long)l.v[0].messages), l.v[0].messages, l.v[0].before, l.v[0].after));
    mem_compactions_free(&l);
}

static void view_calls(mem_store *s, const mem_message *m, agt_message *out)
{
    enum { MARKS = 2 };
    char err[Q_ERRLEN];
    mem_calls l = { 0 };
    if (m->role != MEM_ASSISTANT || mem_call_list(s, m->id, &l, err) < 0) {
        mem_calls_free(&l);
        return;
    }
    out->call = q_alloc(sizeof *out->call * (size_t)(l.n + MARKS));
    for (out->n_call = 0; out->n_call < l.n; out->n_call++)
        out->call[out->n_call] = view_call(&l.v[out->n_call]);
    mem_calls_free(&l);
    view_marks(s, m, out);
    if (out->n_call == 0) {
        free(out->call);
        out->call = NULL;
    }
}

void view_message(mem_store *s, const mem_message *m, agt_message *out)
{
    static const enum agt_role role[] = { [MEM_SYSTEM] = AGT_SYSTEM, [MEM_USER] = AGT_USER, [MEM_ASSISTANT] = AGT_ASSISTANT, [MEM_TOOL] = AGT_SYSTEM };
    memset(out, 0, sizeof *out);
    out->id = m->id;
    out->parent = m->parent;
    out->role = role[m->role];
    out->state = view_state(m->status);
    out->cut = cut_of(m);
    out->text = q_strdup(m->text);
    out->thinking = *m->thinking ? q_strdup(m->thinking) : NULL;
    out->created_ms = m->created_ms;
    out->n_tokens = m->stats.tokens;
    out->n_prompt = m->stats.prompt_tokens;
    out->prefill_s = m->stats.prefill_s;
    out->decode_s = m->stats.decode_s;
    out->sibling = m->sibling;
    out->n_siblings = m->siblings;
    view_calls(s, m, out);
    out->n_config = m->n_config;
    out->differs_at = differs(s, m);
    if (m->n_config) {
        out->made = view_made(m);
        q_buf b = { 0 };
        for (int i = 0; i < m->n_config; i++)
            q_buf_printf(&b, "%s%s", i ? " → " : "", m->config[i].label);
        out->label = q_buf_take(&b);
    }
    if (m->n_log) {
        mem_logs l = { 0 };
        char err[Q_ERRLEN];
        if (mem_log_get(s, m->id, &l, err) == Q_OK)
            for (int i = 0; i < l.n; i++)
                out->n_passages += l.v[i].number > 0;
        mem_logs_free(&l);
    }
}

agt_message *view_branch(mem_store *s, const mem_messages *path)
{
    agt_message *v = q_alloc(sizeof *v * (size_t)(path->n + 1));
    for (int i = 0; i < path->n; i++)
        view_message(s, &path->v[i], &v[i]);
    return v;
}

agt_event view_event(mem_store *s, enum agt_event_kind kind, int64_t id)
{
    char err[Q_ERRLEN];
    agt_event e = { .kind = kind, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    mem_message m = { 0 };
    if (mem_message_get(s, id, &m, err) == Q_OK)
        view_message(s, &m, e.message);
    else
        e.message->text = q_strdup("");
    mem_message_free(&m);
    return e;
}

static enum agt_fate fate_of(enum rag_fate f)
{
    return f == RAG_FED ? AGT_FED : f == RAG_BELOW ? AGT_BELOW : rag_fate_repeats(f) ? AGT_REPEATS : rag_fate_unwanted(f) ? AGT_UNWANTED : f == RAG_ANSWER ? AGT_ANSWER : AGT_LIMIT;
}

/* "notes/optics.md § Rayleigh" as source and heading. */
static void split_label(const char *label, agt_passage *p)
{
    const char *at = strstr(label, " § ");
    p->source = at ? q_strndup(label, (size_t)(at - label)) : q_strdup(label);
    p->heading = q_strdup(at ? at + strlen(" § ") : "");
}

/* The signals of a score as they are called. */
static void parts_of(agt_passage *p)
{
    int n, sides;
    const rag_signal *row = rag_signals(&n);
    const rag_side *side = rag_sides(&sides);
    const char *at = p->signals;
    bool meaning = strstr(at, RAG_BY "near=") != NULL;
    char name[32];
    for (double v; p->n_factor < AGT_PARTS && rag_signals_next(&at, name, &v);) {
        bool by = strncmp(name, RAG_BY, strlen(RAG_BY)) == 0;
        if (by && !meaning && strcmp(name, RAG_BY RAG_SECOND) != 0)      /* words alone: the order is theirs */
            continue;
        agt_part *f = &p->factor[p->n_factor++];
        const char *word = by ? name + strlen(RAG_BY) : name;
        f->as = by ? AGT_SIDE : strcmp(name, RAG_EITHER) == 0 ? AGT_OR : AGT_TIMES;
        for (int i = 0; i < n && !by; i++)
            if (strcmp(row[i].name, name) == 0)
                word = _(row[i].word);
        for (int i = 0; i < sides && by; i++)
            if (strcmp(side[i].name, name + strlen(RAG_BY)) == 0)
                word = _(side[i].word);
        snprintf(f->word, sizeof f->word, "%s", word);
        f->word[q_utf8_whole(f->word, strlen(f->word))] = 0;
        f->value = v;
    }
}

agt_retrieval *view_result(const rag_result *r)
{
    agt_retrieval *o = q_alloc(sizeof *o);
    o->p = q_alloc(sizeof *o->p * (size_t)(r->n + 1));
    o->fed = r->n_fed;
    o->fed_tokens = r->fed_tokens;
    o->cut_limit = r->n_over - r->n_repeat;
    o->cut_repeat = r->n_repeat;
    o->cut_score = r->n_below;
    o->cut_unwanted = r->n_unwanted;
    o->cut_answers = r->n_answers;
    o->best = r->best_below;
    for (int i = 0; i < r->n; i++)
        o->best = r->v[i].score > o->best ? r->v[i].score : o->best;
    o->min_score = r->min_score;
    o->narrowed = r->narrowed.words ? q_strdup(r->narrowed.words) : NULL;
    int *order = rag_shown(r);
    for (int i = 0; i < r->n; i++) {
        const rag_passage *v = &r->v[order[i]];
        agt_passage *p = &o->p[o->n++];
        p->chunk = v->id;
        p->of = v->kind == MEM_CHAT ? AGT_OF_CHAT : AGT_OF_DOCUMENT;
        p->owner = v->source;
        p->from = v->kind == MEM_CHAT ? v->offset : 0;
        p->n = v->kind == MEM_CHAT ? (int64_t)strlen(v->text) : -1;
        p->fate = fate_of(v->fate);
        p->pinned = v->wish == RAG_PINNED;
        p->number = v->number;
        split_label(v->label, p);
        p->text = q_strdup(v->text);
        p->score = v->score;
        p->tokens = v->tokens;
        q_buf b = { 0 };
        rag_number(v->score, r->min_score, p->shown);
        p->signals = q_strdup(rag_signals_text(v, &b));
        parts_of(p);
        p->terms = rag_terms_text(r, v);
        q_buf_clear(&b);
        rag_why(r, v, &b);
        rag_taken(v->taken_ms, v->missing, v->away_ms, &b);
        p->why = q_buf_take(&b);
        p->missing = v->missing;
        p->away_ms = v->away_ms;
        p->away = v->away_ms ? rag_away_words(v->away_ms) : NULL;
    }
    free(order);
    q_buf b = { 0 };
    if (!r->n_fed)
        o->nothing = q_strdup(rag_summary(r, &b));
    q_buf_free(&b);
    return o;
}

/* The text of a passage that a log row holds, as it is now, of a long message its beginning; "" when it was deleted since;
 * and as of when it is. */
static char *text_of(mem_store *s, const lost_now *gone, const rag_aways *away, const mem_log *v, agt_passage *of, q_buf *why)
{
    enum { LONG = 8192 };
    char err[Q_ERRLEN], *text = NULL;
    mem_passage p = { 0 };
    if (mem_passage_get(s, (enum mem_kind)v->kind, v->ref, &p, err) == Q_OK && strlen(p.text) > LONG)
        text = q_printf("%.*s…", (int)q_utf8_whole(p.text, LONG), p.text);
    else
        text = q_strdup(p.text ? p.text : "");
    if (p.text && p.kind == MEM_CHUNK && p.trust == MEM_TRUST_OWN) {
        of->missing = lost_has(gone, p.source);
        of->away_ms = rag_away_since(s, away, p.source);
        of->away = of->away_ms ? rag_away_words(of->away_ms) : NULL;
        rag_taken(p.created_ms, of->missing, of->away_ms, why);
    }
    of->owner = p.source;
    mem_passage_free(&p);
    return text;
}

agt_retrieval *view_logs(mem_store *s, const lost_now *gone, const mem_logs *l, double min_score)
{
    agt_retrieval *o = q_alloc(sizeof *o);
    o->p = q_alloc(sizeof *o->p * (size_t)(l->n + 1));
    o->min_score = min_score;
    char err[Q_ERRLEN];
    rag_aways away;
    if (rag_away_list(s, &away, err) != Q_OK)
        away.n = 0;
    int *order = rag_shown_logs(l);
    for (int i = 0; i < l->n; i++) {
        const mem_log *v = &l->v[order[i]];
        agt_passage *p = &o->p[o->n++];
        p->chunk = v->ref;
        p->of = v->kind == MEM_CHAT ? AGT_OF_CHAT : AGT_OF_DOCUMENT;
        p->n = -1;
        p->fate = fate_of(rag_log_fate(v));
        p->pinned = rag_log_pinned(v);
        p->number = v->number;
        split_label(*v->label ? v->label : _("deleted since"), p);
        p->score = v->score;
        p->tokens = v->tokens;
        q_buf b = { 0 };
        rag_log_why(v, &b);
        p->text = text_of(s, gone, &away, v, p, &b);
        p->why = q_buf_take(&b);
        double least = rag_log_min_score(v);
        rag_number(v->score, least, p->shown);
        p->signals = q_strdup(v->signals);
        parts_of(p);
        p->terms = q_strdup(v->terms);
        if (least > 0)
            o->min_score = least;
        if (v->score > o->best)
            o->best = v->score;
        int *const of[] = { &o->fed, &o->cut_score, &o->cut_limit, &o->cut_repeat, &o->cut_unwanted, &o->cut_answers };
        ++*of[v->number > 0 ? AGT_FED : p->fate];
        o->fed_tokens += v->number > 0 ? v->tokens : 0;
    }
    free(order);
    rag_aways_free(&away);
    if (!o->fed) {
        q_buf b = { 0 };
        rag_logs_summary(l, &b);
        o->nothing = q_buf_take(&b);
    }
    return o;
}

void view_label(const char *label, int k, char *out, size_t n)
{
    if (*label)
        snprintf(out, n, "%s", label);
    else if (k > 0)
        snprintf(out, n, "%s · k %d", _("standard"), k);
    else
        snprintf(out, n, "%s", _("standard"));
    out[q_utf8_whole(out, strlen(out))] = 0;
}

/* ---- a model's name for the status line ---- */
enum { NAME_COLUMNS = 24 };

/* Words that every file of a family carries, or that say how a file was made: they tell no two models on one machine apart. */
static bool no_name(const char *w, bool carved)
{
    static const char *const drop[] = { "instruct", "it", "chat", "hf", "gguf", "imatrix", "ud" };
    for (size_t i = 0; i < sizeof drop / sizeof *drop; i++)
        if (strcasecmp(w, drop[i]) == 0)
            return true;
    size_t n = strlen(w), digits = strspn(w, "0123456789.");
    bool cut = digits && w[digits] == '+' && strchr(w + digits, 'x');                  /* 1024+16x32 */
    bool date = digits == n && n == 4 && (w[0] == '2');                                /* 2507 */
    bool size = digits && digits + 1 == n && strchr("mMbB", w[digits]);                /* 135M */
    bool quant = (w[0] == 'Q' || w[0] == 'q') && w[1] >= '0' && w[1] <= '9' && (w[2] == '_' || !w[2]);
    return cut || date || quant || (carved && size);      /* a carved model is one of a kind: its size stands beside it anyway */
}

/* "SmolLM2-135M-Instruct carved 1024+16x32" -> "SmolLM2 carved"; at most 24 columns. A name of which nothing would remain
 * stays as it is, cut. */
void view_model_name(const char *full, bool carved, char *out, size_t n)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (const char *p = full; *p;) {
        size_t w = strcspn(p, "- ");
        char *word = q_strndup(p, w);
        if (w && !(b.len && no_name(word, carved)))
            q_buf_printf(&b, "%s%s", b.len ? " " : "", word);
        free(word);
        p += w + (p[w] != 0);
    }
    size_t from = 0, end = 0;
    int columns = 0;
    for (uint32_t cp; from < b.len; from += (size_t)q_utf8_next(b.p + from, b.len - from, &cp), columns++)
        if (columns == NAME_COLUMNS - 1)
            end = from;
    if (columns > NAME_COLUMNS)
        snprintf(out, n, "%.*s…", (int)end, b.p);
    else
        snprintf(out, n, "%s", b.p);
    out[q_utf8_whole(out, strlen(out))] = 0;
    q_buf_free(&b);
}
