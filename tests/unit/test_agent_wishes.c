/* agent: what a person wants of memory, by command and as the panel asks for it: passages pinned, sources banned, what is left out,
 * no memory at all; both answers side by side, and a passage shown where it stands. */
#include "tests/unit/notes_help.h"

#include <cjson/cJSON.h>

static const script_line lines[] = { { "of oak and iron", "Maren Holt built it [1]." }, { "ferry of Kestrel", "A ferryman did." }, { NULL, "I do not know." }, { NULL, NULL } };
static const char question[] = "Who built the old bridge at Kestrel Falls?";

static bool begin(seen *s)
{
    if (!help_script((script){ 0 }, lines, ":memory:", s)) return false;
    note_in("notes/bridge.md", "# Bridge\n\nThe old bridge at Kestrel Falls was built of oak and iron by Maren Holt.\n");
    note_in("notes/ferry.md", "# Ferry\n\nThe ferry of Kestrel Falls leaves the old bridge at nine, says Maren Holt.\n");
    note_in("notes/bread.md", "# Bread\n\nRye bread rises for eleven hours in a cold kitchen.\n");
    agt_submit(a, "/set memory.on on");
    settle(a, s);
    seen_clear(s);
    return true;
}

static int wishes_told(const seen *s)
{
    int n = 0;
    for (int i = 0; i < s->n; i++) n += s->kind[i] == AGT_EV_WISHES;
    return n;
}

static void the_same_question_without_memory(void)
{
    seen s = { 0 };
    if (!begin(&s)) return;
    ask(&s, "/without");
    SAID_NOTE(&s, "there is no answer yet");
    ask(&s, question);
    ANSWERED(&s, "Maren Holt built it [1].");
    int64_t first = s.last ? s.last->id : 0;
    CHECK(s.passages >= 1);
    ask(&s, "/without");
    ANSWERED(&s, "I do not know.");
    CHECK(s.last && s.last->sibling == 2 && s.last->n_siblings == 2);
    CHECK(s.columns && s.columns->answers && s.columns->first == 0);
    if (s.columns) {
        CHECK_STR(s.columns->side[0].piece[0].text, "Maren");
        CHECK(strstr(s.columns->side[0].name, "passage") != NULL);
        CHECK_STR(s.columns->side[1].name, "without memory");
        CHECK_STR(s.columns->side[1].piece[1].text, " do");
        char *json = lab_columns_json(s.columns), *numbers = lab_column_numbers(&s.columns->side[1]);
        cJSON *o = cJSON_Parse(json);
        CHECK(o && cJSON_GetArraySize(cJSON_GetObjectItem(o, "sides")) == 2);
        CHECK(!strstr(numbers, "nan") && !strstr(numbers, "log p"));
        cJSON_Delete(o);
        free(json);
        free(numbers);
    }
    ask(&s, "/prefer 1");                /* counted as any pair */
    CHECK(s.columns && s.columns->note && strstr(s.columns->note, "memory.on=on"));
    ask(&s, "And the ferry?");           /* memory is on again */
    CHECK(s.last && strcmp(s.last->text, "I do not know.") != 0);
    int64_t last = s.last ? s.last->id : 0;
    agt_without(a, last, "");            /* one by its number, as the panel names it */
    settle(a, &s);
    CHECK(s.columns != NULL && s.last && s.last->id != last && last != first);
    finish(&s);
}

static void without_some_of_what_was_fed(void)
{
    seen s = { 0 };
    if (!begin(&s)) return;
    ask(&s, question);
    int fed = s.passages;
    CHECK_INT(fed, 2);
    ask(&s, "/without 1");
    ANSWERED(&s, "A ferryman did.");
    CHECK_INT(s.passages, 1);
    CHECK(s.columns && strstr(s.columns->side[1].name, "without [1]"));
    ask(&s, "/without 1");               /* the first stays left out */
    ANSWERED(&s, "I do not know.");
    CHECK_INT(s.passages, 0);
    CHECK_MSG(s.nothing && strstr(s.nothing, "left out of this answer"), "%s", s.nothing ? s.nothing : "");
    ask(&s, "/without 7");
    SAID_NOTE(&s, "passage [7] was not fed");
    CHECK(s.last == NULL);
    ask(&s, "/without two");
    SAID_NOTE(&s, "numbers of passages");
    ask(&s, question);                   /* once: the next question has it again */
    ANSWERED(&s, "Maren Holt built it [1].");
    finish(&s);
}

static void a_source_is_banned_and_taken_back(void)
{
    seen s = { 0 };
    if (!begin(&s)) return;
    ask(&s, "/ban");
    CHECK(s.page && strstr(s.page, "No source is banned"));
    ask(&s, "/source 1");
    SAID_NOTE(&s, "nothing is answered in this conversation yet");
    ask(&s, question);
    ask(&s, "/ban 1");
    SAID_NOTE(&s, "banned: nothing of notes/bridge.md");
    CHECK_INT(wishes_told(&s), 1);
    ask(&s, question);
    ANSWERED(&s, "A ferryman did.");
    ask(&s, "/why");
    CHECK(s.page && strstr(s.page, "not fed: its source is banned"));
    ask(&s, "/ban");
    CHECK(s.page && strstr(s.page, "  1  notes/bridge.md") && s.data && strstr(s.data, "\"title\":\"notes/bridge.md\""));
    ask(&s, "/ban off 2");
    SAID_NOTE(&s, "no banned source 2");
    ask(&s, "/ban off 1");
    SAID_NOTE(&s, "not banned any more: notes/bridge.md");
    ask(&s, question);
    ANSWERED(&s, "Maren Holt built it [1].");
    ask(&s, "/source 9");
    SAID_NOTE(&s, "passage [9] was not fed");
    ask(&s, "/source x");
    CHECK(s.errors == 1);
    ask(&s, "/ban 9");
    SAID_NOTE(&s, "passage [9] was not fed");
    ask(&s, "/ban nonsense");
    CHECK(s.errors == 1);
    finish(&s);
}

static void a_passage_is_pinned_in_its_conversation(void)
{
    seen s = { 0 };
    if (!begin(&s)) return;
    ask(&s, question);
    ask(&s, "/pin 1");
    SAID_NOTE(&s, "pinned: notes/bridge.md");
    ask(&s, "How long does rye bread rise?");
    CHECK(s.fed && strstr(s.fed, "oak and iron") && s.why && strstr(s.why, "pinned in this conversation"));
    ask(&s, "hm");
    CHECK_INT(s.passages, 1);
    ask(&s, "/pin");
    CHECK(s.page && strstr(s.page, "  1  notes/bridge.md § Bridge") && s.data && strstr(s.data, "\"kind\":\"document\""));
    ask(&s, "/ban 1");
    ask(&s, "/pin 1");                   /* a ban is stronger */
    SAID_NOTE(&s, "is banned");
    ask(&s, "/ban off 1");
    ask(&s, "/new");
    ask(&s, "hm");
    CHECK_INT(s.passages, 0);
    ask(&s, "/pin");
    CHECK(s.page && strstr(s.page, "Nothing is pinned"));
    ask(&s, "/pin off 1");
    SAID_NOTE(&s, "no pin 1 here");
    finish(&s);
}

typedef struct short_notes { int64_t id[200]; int n; } short_notes;
static bool short_note(void *user, const mem_text *t)
{
    short_notes *v = user;
    if (strncmp(t->path, "notes/short", 11) == 0 && v->n < 200) v->id[v->n++] = t->id;
    return true;
}

/* Many pins of short texts: what is said around each counts too, so that the prompt always fits. */
static void pins_never_burst_the_context(void)
{
    seen s = { 0 };
    if (!begin(&s)) return;
    for (int i = 0; i < 100; i++) {
        char name[32], text[64];
        snprintf(name, sizeof name, "notes/short%d.md", i);
        snprintf(text, sizeof text, "Buoy %d lies east.\n", i);
        note_in(name, text);
    }
    short_notes v = { .n = 0 };
    CHECK_INT(mem_texts_each(a->store, MEM_CHUNK, short_note, &v, err), Q_OK);
    CHECK_INT(v.n, 100);
    ask(&s, "/set memory.budget 100000");
    static const int size[] = { 500, 800, 1200, 1800, 2600, 4096 };
    int fed[6] = { 0 };
    for (int k = 0; k < 6; k++) {
        char line[64];
        agt_status st;
        ask(&s, "/new");
        snprintf(line, sizeof line, "/set context.length %d", size[k]);
        ask(&s, line);
        ask(&s, "hm");
        agt_get_status(a, &st);
        CHECK_INT(st.ctx_size, size[k]);
        for (int i = 0; i < v.n; i++) CHECK_INT(mem_pin_put(a->store, st.chat, &(mem_pin){ .kind = MEM_CHUNK, .ref = v.id[i], .n = -1 }, err), Q_OK);
        ask(&s, "hm again");
        CHECK_MSG(s.last && s.last->state == AGT_DONE, "context %d, %d fed: %s", size[k], s.passages, s.notes.p ? s.notes.p : "");
        fed[k] = s.passages;
        if (k) CHECK(fed[k] >= fed[k - 1]);
    }
    CHECK_MSG(fed[0] < 100 && fed[5] > 50, "%d of 100 pins were fed in a small context, %d in a large one", fed[0], fed[5]);
    finish(&s);
}

/* As the panel does it: the passage itself, not its number. */
static void the_panel_pins_bans_and_opens(void)
{
    seen s = { 0 };
    if (!begin(&s)) return;
    ask(&s, question);
    agt_retrieval *r = NULL;
    agt_ask_retrieval(a, s.last ? s.last->id : 0);
    agt_event e;
    for (int i = 0; i < 600 && !r; i++) {
        while (agt_next(a, &e)) {
            if (e.kind == AGT_EV_RETRIEVAL) r = e.retrieval, e.retrieval = NULL;
            agt_event_free(&e);
        }
        usleep(50000);
    }
    CHECK(r && r->n >= 2 && r->p[0].of == AGT_OF_DOCUMENT && r->p[0].owner > 0 && r->p[0].fate == AGT_FED);
    if (!r) { finish(&s); return; }
    agt_pin(a, &r->p[0], true);
    settle(a, &s);
    SAID_NOTE(&s, "pinned: notes/bridge.md");
    agt_pin(a, &r->p[0], false);
    agt_ban(a, r->p[0].of, r->p[0].owner, true);
    settle(a, &s);
    ask(&s, question);
    ANSWERED(&s, "A ferryman did.");
    agt_ban(a, r->p[0].of, r->p[0].owner, false);
    settle(a, &s);
    ask(&s, question);
    ANSWERED(&s, "Maren Holt built it [1].");
    agt_ask_source(a, AGT_OF_DOCUMENT, r->p[0].chunk);
    bool there = false;
    for (int i = 0; i < 600 && !there; i++) {
        while (agt_next(a, &e)) {
            if (e.kind == AGT_EV_SOURCE) {
                there = true;
                CHECK_STR(e.name, "notes/bridge.md");
                char *part = q_strndup(e.text + e.done, (size_t)(e.total - e.done));
                CHECK_MSG(strstr(part, "oak and iron") != NULL, "%s", part);
                CHECK(strstr(e.text, "§ Bridge") != NULL);
                free(part);
            }
            agt_event_free(&e);
        }
        usleep(50000);
    }
    CHECK(there);
    seen_clear(&s);
    agt_ask_source(a, AGT_OF_DOCUMENT, 99999);
    settle(a, &s);
    SAID_NOTE(&s, "no longer in memory");
    agt_retrieval_free(r);
    free(r);
    finish(&s);
}

/* /why is about the last answer of the open conversation, also where it was given before; its data is the page's. */
static void why_is_about_the_open_conversation(void)
{
    seen s = { 0 };
    if (!begin(&s)) return;
    ask(&s, "/why");
    CHECK(s.page && strstr(s.page, "Nothing was searched here"));
    ask(&s, question);
    ask(&s, "/why");
    CHECK(s.page && strstr(s.page, "[1]") && strstr(s.page, "words of the question"));
    cJSON *o = cJSON_Parse(s.data ? s.data : ""), *p = cJSON_GetArrayItem(cJSON_GetObjectItem(o, "passages"), 0);
    CHECK(p && cJSON_GetObjectItem(p, "number")->valueint == 1 && strcmp(cJSON_GetObjectItem(p, "fate")->valuestring, "fed") == 0);
    double score = p ? cJSON_GetObjectItem(p, "score")->valuedouble : 0, x = 1;
    for (const cJSON *f = p ? cJSON_GetObjectItem(p, "signals")->child : NULL; f; f = f->next) x *= f->valuedouble;
    CHECK(score > 0 && fabs(score - x) < 1e-6);
    CHECK_INT(cJSON_GetObjectItem(o, "fed") ? cJSON_GetObjectItem(o, "fed")->valueint : -1, 2);
    cJSON_Delete(o);
    agt_status st;
    agt_get_status(a, &st);
    ask(&s, "/new");
    ask(&s, "/why");
    CHECK(s.page && strstr(s.page, "Nothing was searched here"));
    char *open = q_printf("/open %lld", (long long)st.chat);
    ask(&s, open);
    free(open);
    ask(&s, "/why");                     /* as its log has it */
    CHECK_MSG(s.page && strstr(s.page, "2 fed") && strstr(s.page, "notes/bridge.md"), "%s", s.page ? s.page : "");
    o = cJSON_Parse(s.data ? s.data : "");
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(o, "passages")) >= 2 && cJSON_GetObjectItem(o, "fed")->valueint == 2);
    cJSON_Delete(o);
    ask(&s, "/search old bridge");
    CHECK(s.data && strstr(s.data, "\"query\":\"old bridge\""));
    ask(&s, "/memory map");
    CHECK(s.page && strstr(s.page, "documents") && s.data && strstr(s.data, "\"months\""));
    finish(&s);
}

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    setenv("QUORUM_MODELS", "/nonexistent", 1);
    RUN(the_same_question_without_memory);
    RUN(without_some_of_what_was_fed);
    RUN(a_source_is_banned_and_taken_back);
    RUN(a_passage_is_pinned_in_its_conversation);
    RUN(why_is_about_the_open_conversation);
    RUN(pins_never_burst_the_context);
    RUN(the_panel_pins_bans_and_opens);
    return TEST_END();
}
