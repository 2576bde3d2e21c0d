/* agent/toolhost: what tools ask of the room: the memory, the model's own knobs, a comparison, the person. Engine thread. A model may turn
 * its own knobs only, never one of the agent's: not what it may do, nor what is kept. */
#include "agent/frame.h"
#include "agent/tooling.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const cJSON *args, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(args, name));
    return s ? s : "";
}

static int search(turn *t, const cJSON *args, q_buf *out, char *err)
{
    agt *a = t->a;
    rag_config c = settings_rag(&a->settings);
    rag_result *found = NULL;
    rag_scope scope = { .conversation = a->chat.id, .budget = prov_context(a->seat.who).size / 4, .count = prompt_count, .user = a->seat.who, .near = embedder_near(a) };
    int rc = rag_search(a->store, &c, text_of(args, "query"), &scope, &found, err);
    embedder_near_end(a, scope.near);
    if (rc == Q_OK && found->n_fed)
        frame_passages(out, found);
    else if (rc == Q_OK)
        q_buf_puts(out, "[nothing in memory answers that]\n");
    rag_result_free(found);
    return rc;
}

static int remember(turn *t, const cJSON *args, q_buf *out, char *err)
{
    int64_t id;
    const char *text = text_of(args, "text");
    char *subject = rag_fact_subject(text);
    mem_fact f = { .text = (char *)(uintptr_t)text, .subject = subject, .message = t->reply };
    int rc = mem_fact_put(t->a->store, &f, &id, err);
    if (rc == Q_OK)
        rc = rag_facts(t->a->store, err);
    if (rc == Q_OK)
        q_buf_printf(out, "remembered as fact %lld\n", (long long)id);
    free(subject);
    return rc;
}

static int set_knob(turn *t, const cJSON *args, q_buf *out, char *err)
{
    agt *a = t->a;
    const char *name = text_of(args, "name"), *value = text_of(args, "value");
    int i = settings_find(&a->settings, name);
    if (i < 0 || a->settings.room[i] != KNOB_ENGINE || a->settings.knob[i]->effect == Q_EFFECT_FIXED)
        return q_fail(err, Q_NOTFOUND, "%.60s is no setting of the model's own that can be changed", name);
    prov_config *c = prov_config_copy(a->seat.cfg);
    int rc = prov_config_set(c, a->settings.knob[i]->name, value, err);
    prov_config_free(c);
    if (rc < 0)
        return rc;
    desk_edit(&a->desk, EDIT_SET, 0, a->settings.knob[i]->name, value);
    if (!edits_apply(a, t->so_far.tokens))
        return q_fail(err, Q_RANGE, "%s stays as it is: it has that value, or there is no room for it", a->settings.knob[i]->name);
    q_buf b = { 0 };
    q_buf_printf(out, "%s is %s from the next token on\n", a->settings.knob[i]->name, prov_config_get(a->seat.cfg, a->settings.knob[i]->name, &b));
    q_buf_free(&b);
    return Q_OK;
}

/* The conversation as it was said up to this question, under both. */
static int compare(turn *t, const cJSON *args, q_buf *out, char *err)
{
    agt *a = t->a;
    q_buf text = { 0 };
    char *json = NULL, *now = prov_config_json(a->seat.cfg);
    const char *one = text_of(args, "a"), *two = text_of(args, "b");
    lab_columns columns = { 0 };
    lab_pair p = { *two ? one : NULL, *two ? two : one, now };
    struct eng_cache *beside = measure_cache(a, err);
    int rc = beside ? measure_text(a, NULL, &text, err) : Q_NOTFOUND;
    if (rc == Q_OK) {
        measuring work = measure_begin(a, "compare");
        rc = lab_compare_beside(beside, &p, text.p, text.len, &(lab_terms){ .go_on = measure_go_on, .user = &work }, out, &json, &columns, err);
        measure_end(&work);
        lab_columns_free(&columns);
    }
    q_buf_free(&text);
    free(json);
    free(now);
    return rc;
}

static int ask(turn *t, const cJSON *args, q_buf *out, char *err)
{
    enum agt_consent how;
    char *words = NULL;
    const char *question = text_of(args, "question");
    if (t->a->toolbox.alone)
        return q_fail(err, Q_RANGE, "nobody is there to be asked");
    q_buf clean = { 0 };
    tool_text_cut(&clean, question, strlen(question), TOOL_TEXT_MAX);
    agt_call c = { .at = (int64_t)t->text.len, .name = q_strdup("ask_person"), .title = q_strdup("ask_person"), .arguments = q_strdup(""), .state = AGT_CALL_WAITS, .question = true,
                   .shown = q_buf_take(&clean) };
    enum approved got = approve_wait(t->a, &c, t->so_far.tokens, &how, &words);
    if (got == APPROVED && words)
        q_buf_puts(out, words);
    free(words);
    return got == APPROVED_STOPPED ? q_fail(err, Q_CANCEL, "stopped") : got == APPROVED && out->len ? Q_OK : q_fail(err, Q_RANGE, "the person gave no answer");
}

/* The plan, as lines and as JSON. */
static int todo(turn *t, const cJSON *args, q_buf *out, char *err)
{
    static const struct { const char *state, *mark; } marks[] = { { "open", "[ ]" }, { "doing", "[>]" }, { "done", "[x]" } };
    q_buf b = { 0 }, clean = { 0 };
    const cJSON *one, *steps = cJSON_GetObjectItemCaseSensitive(args, "steps");
    int done = 0, all = 0;
    cJSON_ArrayForEach(one, steps) {
        const char *mark = "[ ]", *state = text_of(one, "state");
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
            mark = strcmp(state, marks[i].state) == 0 ? marks[i].mark : mark;
        q_buf_printf(&b, "%s ", mark);
        frame_line(&b, text_of(one, "text"));
        q_buf_putc(&b, '\n');
        done += strcmp(state, "done") == 0;
        all++;
    }
    tool_text_cut(&clean, b.p ? b.p : "", b.len, TOOL_TEXT_MAX);
    agt_event e = { .kind = AGT_EV_PLAN, .id = t->reply, .text = q_buf_take(&clean), .data = cJSON_PrintUnformatted(steps), .done = done, .total = all };
    evq_push(&t->a->events, &e);
    q_buf_printf(out, "the plan is shown: %d of %d done\n", done, all);
    q_buf_free(&b);
    return Q_OK;
}

int toolhost_act(void *turn_, enum tool_act act, const struct cJSON *args, q_buf *out, char *err)
{
    static int (*const acts[])(turn *, const cJSON *, q_buf *, char *) = {
        [TOOL_ACT_MEMORY_SEARCH] = search, [TOOL_ACT_MEMORY_REMEMBER] = remember, [TOOL_ACT_SET_KNOB] = set_knob, [TOOL_ACT_COMPARE] = compare,
        [TOOL_ACT_ASK_PERSON] = ask, [TOOL_ACT_TODO] = todo };
    return (size_t)act < sizeof acts / sizeof *acts && acts[act] ? acts[act](turn_, args, out, err) : q_fail(err, Q_RANGE, "that cannot be done here");
}

bool toolhost_go(void *turn_) { return !desk_stopped(&((turn *)turn_)->a->desk, LANE_ENGINE); }

int toolhost_page(void *turn_, bool html, const char *charset, q_buf *b, char *err)
{
    const char *why = rag_page(b, html, charset, toolhost_go, turn_);
    if (!why)
        return Q_OK;
    return toolhost_go(turn_) ? q_fail(err, Q_FORMAT, _("the page cannot be read: %s"), why) : q_fail(err, Q_CANCEL, "stopped");
}
