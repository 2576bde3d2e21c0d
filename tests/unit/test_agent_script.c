/* agent: whole turns with somebody who answers by a script instead of a model: acts come at a chosen token, failures at
 * another, and nothing depends on how fast anything is. */
#include "agent/view.h"
#include "tests/unit/script_help.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>

static const script_line lines[] = {
    { "four", "<think>two and two\nis four</think>\n\nFour." },
    { "short", "Yes. | No." },
    { "half", "ab \xd1\x91\xd0\xb6 cd" },
    { "odd", "a\\b say\"hi\" new\nline \x1b[31mred \xe2\x80\xaeturned \u0451\u0436" },
    { NULL, " One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty "
            "twenty-one twenty-two twenty-three twenty-four twenty-five." },
    { NULL, NULL } };
static char db[64];

static bool start(script s, bool file, seen *told)
{
    snprintf(db, sizeof db, file ? "/tmp/quorum-script-XXXXXX" : ":memory:");
    if (file) {
        close(mkstemp(db));
        unlink_db(db);
    }
    return help_script(s, lines, db, told);
}

static void finish_db(seen *s)
{
    finish(s);
    if (db[0] == '/')
        unlink_db(db);
}

static agt_message *ask(const char *question, seen *s)
{
    agt_submit(a, question);
    CHECK(wait_for(a, s, AGT_EV_DONE, 0, 30000));
    return s->last;
}

static const char *text(const seen *s) { return s->text.p ? s->text.p : ""; }

static void a_turn_is_told_and_kept(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    agt_message *m = ask("what is four?", &s);
    CHECK(m && m->state == AGT_DONE && m->n_thinking > 0 && m->n_thinking < m->n_tokens);
    CHECK_STR(m ? m->text : "", "Four.");
    CHECK_STR(m ? m->thinking : "", "two and two\nis four");
    CHECK_STR(text(&s), "Four.");
    CHECK(m && m->n_prompt > 0);
    agt_routing r = { 0 };
    agt_get_routing(a, &r);
    CHECK(r.n_layer == SCRIPT_LAYERS && r.n_expert == SCRIPT_EXPERTS && r.k == 2 && !r.stored);
    CHECK_INT(r.n_tokens, m ? m->n_prompt + m->n_tokens : 0);
    agt_routing_free(&r);
    agt_status st;
    agt_get_status(a, &st);
    CHECK_STR(st.model, "Script");
    CHECK(st.loaded && st.k == 2 && st.ctx_used == (m ? m->n_prompt + m->n_tokens : 0) && st.ctx_size == 4096);
    finish_db(&s);
}

/* A thought is ended at its token by a key, once; where nothing is thought that is said, and the next answer thinks again. */
static void ends_the_thought(void *user, int token)
{
    if (token == *(int *)user)
        agt_end_thinking(a);
}

static void a_thought_is_ended(void)
{
    static const struct { int at; const char *thought; bool ended; } row[] = {
        { 0, "two and two\nis four", false }, { 2, "two and\n", true }, { 3, "two and two\n", true } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        seen s = { 0 };
        int at = row[i].at;
        if (!start((script){ .at = ends_the_thought, .user = &at }, false, &s))
            return;
        agt_message *m = ask("what is four?", &s);
        CHECK_STR(m ? m->thinking : "", row[i].thought);
        CHECK_STR(m ? m->text : "", "Four.");
        CHECK(m && m->state == AGT_DONE && m->n_thinking > 0 && m->n_thinking < m->n_tokens);
        CHECK_MSG((s.notes.p && strstr(s.notes.p, "the thinking is closed")) == row[i].ended, "%d: %s", row[i].at, s.notes.p ? s.notes.p : "");
        CHECK_MSG((s.notes.p && strstr(s.notes.p, "nothing is being thought")) == !row[i].ended, "%d: %s", row[i].at, s.notes.p ? s.notes.p : "");
        seen_clear(&s);
        at = -1;
        m = ask("what is four?", &s);
        CHECK_STR(m ? m->thinking : "", "two and two\nis four");
        settle(a, &s);
        seen_clear(&s);
        agt_submit(a, "/think end");
        settle(a, &s);
        CHECK_MSG(s.notes.p && strstr(s.notes.p, "nothing is being thought"), "%s", s.notes.p ? s.notes.p : "");
        finish_db(&s);
    }
}

/* A change that no answer has seen costs nothing to take back, and that is said. */
static void the_way_back_costs_nothing(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    ask("count", &s);
    settle(a, &s);
    agt_submit(a, "/set rope.theta 50000");
    settle(a, &s);
    CHECK_MSG(strstr(s.does, "to re-evaluate") != NULL, "%s", s.does);
    agt_toggle(a);
    settle(a, &s);
    CHECK_MSG(!strstr(s.does, "to re-evaluate") && strstr(s.does, "from the next answer"), "%s", s.does);
    finish_db(&s);
}

/* ---- a disk that takes nothing: from a token on until it has room again ---- */
static void room_on_disk(bool some)
{
    struct rlimit r;
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = some ? r.rlim_max : 512;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void fills_up(void *user, int token)
{
    bool *full = user;
    if (token != 5 || *full)
        return;
    room_on_disk(false);
    *full = true;
}

/* Its words stay on the screen, the next question is asked after the whole of it, and it is stored when there is room: with
 * the next question, or at the end. */
static void an_answer_that_the_disk_refused_is_kept(void)
{
    signal(SIGXFSZ, SIG_IGN);
    for (int at_end = 0; at_end < 2; at_end++) {
        seen s = { 0 };
        bool full = false;
        if (!start((script){ .at = fills_up, .user = &full }, true, &s))
            return;
        agt_message *m = ask("count", &s);
        int64_t id = m ? m->id : 0;
        CHECK_MSG(m && m->state == AGT_DONE && strstr(m->text, "twenty-five."), "%s", m ? m->text : "(none)");
        CHECK(s.notes.p && strstr(s.notes.p, "could not be stored"));
        room_on_disk(true);
        if (!at_end) {
            ask("what is four?", &s);
            CHECK(s.notes.p && strstr(s.notes.p, "is stored now"));
        }
        agt_close(a);
        a = NULL;
        mem_store *store = NULL;
        mem_message kept = { 0 };
        CHECK_INT(mem_open(db, &store, err), 0);
        CHECK_INT(mem_message_get(store, id, &kept, err), 0);
        CHECK_MSG(kept.status == MEM_DONE && kept.text && strstr(kept.text, "twenty-five."), "%s", kept.text ? kept.text : "(none)");
        mem_message_free(&kept);
        mem_close(store);
        finish_db(&s);
    }
}

/* What the status says is said of the conversation on the screen, not of the one before it. */
static void the_status_is_of_this_conversation(void)
{
    static const char *const leave[] = { "/delete", "/new", "/open 2" };
    for (size_t i = 0; i < sizeof leave / sizeof *leave; i++) {
        seen s = { 0 };
        if (!start((script){ 0 }, false, &s))
            return;
        if (i == 2) {
            ask("another", &s);
            agt_submit(a, "/new");
        }
        ask("count", &s);
        settle(a, &s);
        agt_status st;
        agt_get_status(a, &st);
        CHECK(st.ctx_used > 25 && st.n_tokens > 0 && st.mix.n == 1);
        agt_submit(a, i == 2 ? "/open 1" : leave[i]);
        if (i == 0) {
            CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 60000));
            agt_answer(a, s.ask, true);
        }
        settle(a, &s);
        for (int turn = 0; turn < 2; turn++) {
            agt_get_status(a, &st);
            CHECK_MSG(st.ctx_used == 0 && st.mix.n == 0 && st.n_tokens == 0 && st.rate.decode == 0 && st.ctx_size == 4096,
                      "%s: %d tokens in %d configurations, %g/s", leave[i], st.ctx_used, st.mix.n, st.rate.decode);
            agt_nudge_k(a, -1);          /* and a knob does not bring it back */
            settle(a, &s);
        }
        seen_clear(&s);
        agt_submit(a, "/context");
        CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
        CHECK(s.page && strstr(s.page, "Nothing is evaluated yet") && !strstr(s.page, "last prompt"));
        agt_submit(a, "/recompute");
        CHECK(said(a, &s, "the context is empty"));
        if (i == 2) {                    /* back: its cells are still there */
            agt_submit(a, leave[i]);
            settle(a, &s);
            agt_get_status(a, &st);
            CHECK(st.ctx_used > 25);
        }
        finish_db(&s);
    }
}

/* A message that /find found is opened on its own branch, whichever is the present one. */
static void a_found_message_is_opened(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    agt_message *m = ask("short", &s);
    int64_t first = m ? m->id : 0, chat;
    settle(a, &s);
    agt_again(a, 0, "");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 30000));
    int64_t second = s.last ? s.last->id : 0;
    settle(a, &s);
    chat = s.chat;
    agt_submit(a, "/new");
    settle(a, &s);
    CHECK_INT(s.meant, 0);
    const int64_t want[] = { first, second, first };
    for (int i = 0; i < 3; i++) {
        agt_open_at(a, chat, want[i]);
        settle(a, &s);
        CHECK_INT(s.chat, chat);
        CHECK_INT(s.meant, want[i]);
        CHECK(s.n_ids == 2 && s.ids[1] == want[i]);
    }
    finish_db(&s);
}

/* More pins in a layer than its k: said when it becomes so, by whichever knob, and not again. */
static void pins_without_a_place_are_said(void)
{
    static const struct { const char *do_, *say; } step[] = {
        { "/set experts.pin 1:0,1:3", NULL }, { "/set experts.pin 1:0,1:3,1:5", "layer 1 pins 3 experts with k 2: at each token the 2 " },
        { "/set sampler.temperature 0.5", NULL }, { "/set experts.k 3", NULL }, { "/set experts.k 2,1,3", "layer 1 pins 3 experts with k 1" },
        { "/set experts.ban 1:3,1:5", NULL }, { "/set experts.pin 0:1,0:2,0:3,1:0,1:1,2:1", "layer 0, as others, pins 3 experts with k 2" }, { "/set experts.pin none", NULL },
        { "/set experts.pin", NULL }, { "/again pin=2:0,2:1,2:2,2:3", "layer 2 pins 4 experts with k 3" } };
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    ask("count", &s);
    settle(a, &s);
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        seen_clear(&s);
        agt_submit(a, step[i].do_);
        settle(a, &s);
        bool warned = s.notes.p && strstr(s.notes.p, "experts.pin:");
        CHECK_MSG(warned == (step[i].say != NULL) && (!warned || strstr(s.notes.p, step[i].say)), "%s: %s", step[i].do_, s.notes.p ? s.notes.p : "");
    }
    finish_db(&s);
}

static bool holds(const char *path, const char *start_)
{
    q_buf b = { 0 };
    bool yes = q_read_file(path, &b, 1 << 20, err) == Q_OK && strncmp(b.p ? b.p : "", start_, strlen(start_)) == 0;
    q_buf_free(&b);
    return yes;
}

/* /trace save writes over nothing unasked, be it the file or the one beside it; a no leaves both. */
static void a_trace_asks_before_it_writes_over(void)
{
    seen s = { 0 };
    char dir[] = "/tmp/quorum-trace-XXXXXX";
    if (!mkdtemp(dir) || !start((script){ 0 }, false, &s))
        return;
    char *csv = q_printf("%s/t.csv", dir), *json = q_printf("%s/t.csv.json", dir), *save = q_printf("/trace save %s", csv);
    const char *const there[] = { csv, json };
    ask("count", &s);
    settle(a, &s);
    for (int i = 0; i < 2; i++)
        for (int yes = 0; yes < 2; yes++) {
            unlink(csv);
            unlink(json);
            CHECK_INT(q_write_file_atomic(there[i], "mine", 4, err), Q_OK);
            seen_clear(&s);
            agt_submit(a, save);
            CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 60000));
            CHECK_MSG(s.asked && strstr(s.asked, there[i]) && strstr(s.asked, "write over"), "%s", s.asked ? s.asked : "");
            CHECK(holds(there[i], "mine"));
            agt_answer(a, s.ask, yes);
            settle(a, &s);
            CHECK(holds(csv, "index,token,position") == yes && holds(json, "{\"v\":1") == yes && holds(there[i], "mine") == !yes);
            CHECK_INT(s.errors, 0);
        }
    unlink(csv);
    unlink(json);
    seen_clear(&s);
    agt_submit(a, save);                 /* nothing there: nothing is asked */
    settle(a, &s);
    CHECK(!s.asked && holds(csv, "index,") && holds(json, "{"));
    unlink(csv);
    unlink(json);
    rmdir(dir);
    free(csv);
    free(json);
    free(save);
    finish_db(&s);
}

/* The last column is the token's text, on one line, whatever is in it, and nothing of it steers a terminal. */
static void a_trace_carries_the_text_of_its_tokens(void)
{
    seen s = { 0 };
    q_buf b = { 0 };
    char dir[] = "/tmp/quorum-trace-XXXXXX";
    if (!mkdtemp(dir) || !start((script){ 0 }, false, &s))
        return;
    char *csv = q_printf("%s/t.csv", dir), *json = q_printf("%s/t.csv.json", dir), *save = q_printf("/trace save %s", csv);
    ask("odd", &s);
    settle(a, &s);
    agt_submit(a, save);
    settle(a, &s);
    CHECK_INT(s.errors, 0);
    CHECK_INT(q_read_file(csv, &b, 1 << 20, err), Q_OK);
    static const char *const cell[] = { ",text\n", ",\"a\\\\b\"\n", ",\" say\"\"hi\"\"\"\n", ",\" new\"\n", ",\"\\nline\"\n", ",\" \\x1b[31mred\"\n",
        ",\" \\xe2\\x80\\xaeturned\"\n", ",\" \u0451\u0436\"\n" };
    for (size_t i = 0; i < sizeof cell / sizeof *cell && b.p; i++)
        CHECK_MSG(strstr(b.p, cell[i]), "%s in %s", cell[i], b.p);
    int ends = 0, quotes = 0;
    for (size_t i = 0; i < b.len; i++) {
        ends += b.p[i] == '\n';
        quotes += b.p[i] == '"';
        CHECK(b.p[i] == '\n' || (unsigned char)b.p[i] >= 0x20);
    }
    CHECK_INT(ends, 1 + 7 * SCRIPT_LAYERS);
    CHECK_INT(quotes % 2, 0);
    q_buf_clear(&b);
    CHECK(q_read_file(json, &b, 1 << 20, err) == Q_OK && strstr(b.p, "\"experts\":8,"));
    unlink(csv);
    unlink(json);
    rmdir(dir);
    free(csv);
    free(json);
    free(save);
    q_buf_free(&b);
    finish_db(&s);
}

/* The last note or page holds it. */
static bool told(seen *s, const char *command, const char *words)
{
    seen_clear(s);
    agt_submit(a, command);
    settle(a, s);
    bool yes = (s->notes.p && strstr(s->notes.p, words)) || (s->page && strstr(s->page, words));
    CHECK_MSG(yes, "%s: %s%s", command, s->notes.p ? s->notes.p : "", s->page ? s->page : "");
    return yes;
}

static void routing_is_named_listed_and_compared(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, true, &s))
        return;
    told(&s, "/routing", "no routing has a name yet");
    told(&s, "/routing tag code", "no recorded routing yet");
    ask("count", &s);
    settle(a, &s);
    told(&s, "/routing tag code", "code holds the routing of 1 answer now, 25 tokens");
    told(&s, "/routing tag code", "of 1 answer now");
    told(&s, "/routing compare code code", "25 and 25 tokens are too few");
    for (int i = 0; i < 2; i++) {
        ask("count", &s);
        settle(a, &s);
    }
    told(&s, "/routing tag code all", "of 3 answers now, 75 tokens");
    told(&s, "/routing tag last", "last holds the routing of 1 answer now, 25 tokens");
    told(&s, "/routing", "code                        3        1       75\n");
    told(&s, "/маршруты список", "last ");
    told(&s, "/routing compare code code", "no expert differs beyond chance");
    told(&s, "/routing compare code nonesuch", "no routing is called nonesuch");
    told(&s, "/routing tag ../x", "letters, digits");
    told(&s, "/routing tag", "/routing lists;");
    told(&s, "/routing compare a b c", "/routing lists;");
    told(&s, "/routing untag nonesuch", "no routing is called nonesuch");
    for (int yes = 0; yes < 2; yes++) {
        seen_clear(&s);
        agt_submit(a, "/routing untag code");
        CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 60000));
        CHECK_MSG(s.asked && strstr(s.asked, "for 3 answers?"), "%s", s.asked ? s.asked : "");
        agt_answer(a, s.ask, yes);
        settle(a, &s);
        told(&s, "/routing list", yes ? "last " : "code ");
    }
    told(&s, "/routing compare code code", "no routing is called code");
    finish_db(&s);
}

/* ---- the token cursor ---- */
static bool stands(seen *s, const char *text, int number, const char *token)
{
    char *has = token ? q_strndup(text + s->look.from, (size_t)(s->look.to - s->look.from)) : q_strdup("");
    bool yes = s->look.number == number && (token ? strcmp(has, token) == 0 : s->look.to == 0);
    CHECK_MSG(yes, "token %d, %ld to %ld: \"%s\", not %d \"%s\"", s->look.number, s->look.from, s->look.to, has, number, token ? token : "");
    free(has);
    return yes;
}

static void look(seen *s, int64_t message, int number, int by, bool words)
{
    seen_clear(s);
    agt_look(a, message, number, by, words);
    settle(a, s);
}

/* The token that completes a stop string is chosen and not evaluated: the cursor says why it cannot stand on it. */
static void a_cursor_says_what_it_cannot_stand_on(void)
{
    seen s = { 0 };
    if (!start((script){ .bytes = 3 }, false, &s))
        return;
    agt_submit(a, "/set sampler.stop thr");
    settle(a, &s);
    ask("count", &s);
    settle(a, &s);
    int64_t id = s.last->id;
    CHECK_INT(s.last->n_tokens, 4);
    look(&s, id, 0, 0, false);
    CHECK_MSG(s.page && strstr(s.page, "token 3 of 3\ntoken 4, the answer's last, was chosen"), "%s", s.page ? s.page : "");
    look(&s, id, 2, 0, false);
    CHECK_MSG(s.page && strstr(s.page, "token 2 of 3\n") && !strstr(s.page, "token 4"), "%s", s.page ? s.page : "");
    agt_submit(a, "/token");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 30000));
    CHECK_MSG(s.page && strstr(s.page, "token 4, the answer's last, was chosen"), "%s", s.page ? s.page : "");
    agt_submit(a, "/set sampler.stop default");
    settle(a, &s);
    ask("count", &s);                    /* it ended by itself: all of its tokens are in the record */
    settle(a, &s);
    look(&s, s.last->id, 0, 0, false);
    CHECK_MSG(s.page && strstr(s.page, "token ") && !strstr(s.page, "the answer's last"), "%s", s.page ? s.page : "");
    finish(&s);
}

/* A stored answer of many layers: the page has the first ones and says how many more there are; the JSON has all. */
static void a_page_of_many_layers_is_folded(void)
{
    enum { LAYERS = 1024 };
    static uint16_t ids[LAYERS];
    static float zero[LAYERS];
    seen s = { 0 };
    mem_store *store;
    int64_t chat = 0, question = 0, id = 0;
    if (!start((script){ .bytes = 3 }, true, &s))
        return;
    finish(&s);
    CHECK_INT(mem_open(db, &store, err), Q_OK);
    CHECK_INT(mem_conversation_new(store, "deep", &chat, err), Q_OK);
    CHECK_INT(mem_message_add(store, chat, 0, MEM_USER, "why", 3, &question, err), Q_OK);
    CHECK_INT(mem_reply_begin(store, chat, question, "m", 1, 1, "{}", "", &id, err), Q_OK);
    mem_trace *t = mem_trace_new(LAYERS, 1);
    mem_trace_add(t, 1, 1, 1, false, 1, ids, zero, zero, zero);
    CHECK_INT(mem_reply_end(store, id, MEM_DONE, "", "x", 1, "", 0, NULL, t, err), Q_OK);
    mem_trace_free(t);
    mem_close(store);
    if (!help_script((script){ .bytes = 3 }, lines, db, &s))
        return;
    settle(a, &s);
    agt_open_chat(a, chat);
    settle(a, &s);
    agt_submit(a, "/token 1");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 30000));
    CHECK_MSG(s.page && strstr(s.page, "\n    0   0.000") && strstr(s.page, "\n  127   0.000") && !strstr(s.page, "\n  128   0.000")
              && strstr(s.page, "\n… 896 more layers; --json has all of them\n"), "%s", s.page ? s.page : "");
    cJSON *j = cJSON_Parse(s.data ? s.data : "");
    CHECK_INT(cJSON_GetArraySize(cJSON_GetObjectItem(j, "layers")), LAYERS);
    cJSON_Delete(j);
    finish_db(&s);
}

static void a_cursor_stands_on_tokens_of_the_text(void)
{
    seen s = { 0 };
    if (!start((script){ .bytes = 3 }, false, &s))
        return;
    ask("count", &s);
    settle(a, &s);
    int64_t id = s.last->id;
    char *text = q_strdup(s.last->text);
    CHECK(strncmp(text, "One two three", 13) == 0);      /* its tokens: " On", "e t", "wo ", "thr", "ee ", … */
    look(&s, id, 1, 0, false);
    stands(&s, text, 1, "On");                           /* the blank before the text is not of it */
    CHECK_MSG(s.page && strstr(s.page, "token 1 of ") && strstr(s.page, "layer, entropy, margin, experts\n  0  1.00  0.50 e"), "%s", s.page ? s.page : "");
    int of = s.look.of;
    look(&s, id, 1, 1, false);
    stands(&s, text, 2, "e t");
    look(&s, id, 2, 1, true);
    stands(&s, text, 4, "thr");                          /* the next one that begins a word: it stands behind a blank */
    look(&s, id, 4, -1, true);
    stands(&s, text, 1, "On");
    look(&s, id, 1, -5, false);
    stands(&s, text, 1, "On");                           /* no further than there is */
    look(&s, id, 0, 0, false);
    stands(&s, text, of, text + s.look.from);
    CHECK_INT(s.look.to, strlen(text));
    look(&s, id, of, 3, true);
    CHECK_INT(s.look.number, of);
    /* keys that come faster than looks: each counts from where the one before it came to */
    seen_clear(&s);
    agt_look(a, id, 1, 0, false);
    agt_look(a, id, -1, 1, false);
    agt_look(a, id, -1, 1, true);
    agt_look(a, id, -1, -1, false);
    settle(a, &s);
    stands(&s, text, 3, "wo ");
    look(&s, id, -2, 1, false);
    stands(&s, text, 4, "thr");
    look(&s, 999, 1, 0, false);
    CHECK(s.errors == 1 && strstr(s.notes.p, "no routing was recorded"));
    free(text);
    /* a thought is not of the text; nor are the blanks behind it */
    ask("four", &s);
    settle(a, &s);
    id = s.last->id;
    text = q_strdup(s.last->text);
    CHECK_STR(text, "Four.");
    look(&s, id, 4, 0, false);
    stands(&s, text, 4, NULL);
    look(&s, id, 0, 0, false);
    CHECK(s.look.to == 5 && s.look.from >= 2);
    free(text);
    finish_db(&s);
}

/* A token that is a part of a character stands nowhere but where the character is whole. */
static void a_cursor_knows_halves_of_characters(void)
{
    seen s = { 0 };
    if (!start((script){ .bytes = 1 }, false, &s))
        return;
    ask("half", &s);
    settle(a, &s);
    int64_t id = s.last->id;
    char *text = q_strdup(s.last->text);
    CHECK_STR(text, "ab \xd1\x91\xd0\xb6 cd");
    look(&s, id, 3, 0, false);
    stands(&s, text, 3, " ");
    look(&s, id, 4, 0, false);
    CHECK(s.look.to <= s.look.from);
    look(&s, id, 5, 0, false);
    stands(&s, text, 5, "\xd1\x91");
    look(&s, id, 8, 0, false);
    stands(&s, text, 8, " ");
    free(text);
    finish_db(&s);
}

/* ---- acts that come at a chosen token ---- */
static int act_at;
static void (*act)(void);
static void at(void *user, int token)
{
    if (token == act_at)
        act();
}

static void stop(void) { agt_stop(a); }
static void less(void) { agt_nudge_k(a, -1); }
static void pause_(void) { agt_pause(a, true); }
static void theta(void) { desk_edit(&a->desk, EDIT_SET, 0, "rope.theta", "50000"); }

static void a_stop_takes_no_further_token(void)
{
    act = stop;
    for (act_at = 0; act_at <= 12; act_at += 3) {
        seen s = { 0 };
        if (!start((script){ .at = at }, false, &s))
            return;
        agt_message *m = ask("count", &s);
        CHECK_MSG(m && m->state == AGT_STOPPED && m->n_tokens == act_at && s.tokens == act_at, "stopped at %d: %d tokens came", act_at, s.tokens);
        plan.at = NULL;
        m = ask("what is four?", &s);    /* and it answers on */
        (void)m;
        finish_db(&s);
    }
}

/* A word that was said and never evaluated has no token: the cursor stands on all the others. */
static void a_cursor_stands_in_what_was_stopped(void)
{
    act = stop;
    for (act_at = 5; act_at <= 7; act_at++) {
        seen s = { 0 };
        if (!start((script){ .bytes = 3, .at = at }, false, &s))
            return;
        agt_message *m = ask("count", &s);
        CHECK(m && m->state == AGT_STOPPED && m->n_tokens == act_at);
        plan.at = NULL;
        settle(a, &s);
        int64_t id = s.last->id;
        char *text = q_strdup(s.last->text);
        look(&s, id, 1, 0, false);
        stands(&s, text, 1, "On");
        CHECK_INT(s.look.of, act_at - 1);
        look(&s, id, 4, 0, false);
        stands(&s, text, 4, "thr");
        free(text);
        finish_db(&s);
    }
}

static void an_edit_holds_from_the_next_token(void)
{
    act = less;
    for (act_at = 1; act_at <= 21; act_at += 10) {
        seen s = { 0 };
        if (!start((script){ .at = at }, true, &s))
            return;
        agt_message *m = ask("count", &s);
        CHECK_STR(s.knob, "experts.k=1");
        CHECK_INT(s.knob_number, act_at);
        CHECK(m && m->n_config == 2 && m->n_tokens == 25);
        int64_t id = m ? m->id : 0;
        agt_close(a);
        mem_store *store;
        mem_trace *t = NULL;
        mem_message stored = { 0 };
        CHECK_INT(mem_open(db, &store, err), Q_OK);
        CHECK_INT(mem_message_get(store, id, &stored, err), Q_OK);
        CHECK(stored.n_config == 2 && stored.config[1].from == act_at);
        CHECK_INT(mem_trace_get(store, id, &t, err), Q_OK);
        for (int i = 0; t && i < t->n; i++) {
            int k = 0;
            for (int x = 0; x < t->max_k; x++)
                k += t->ids[(size_t)i * (size_t)t->n_layer * (size_t)t->max_k + (size_t)x] != 0xFFFF;
            CHECK_MSG(k == (i < act_at ? 2 : 1), "token %d ran %d experts", i + 1, k);
        }
        CHECK(t && t->n == 25);
        mem_trace_free(t);
        mem_message_free(&stored);
        mem_close(store);
        unlink_db(db);
        seen_clear(&s);
    }
}

/* A knob that takes the cells away: they are made again under it, and the answer is whole. */
static void a_position_knob_goes_on(void)
{
    act = theta;
    act_at = 7;
    seen s = { 0 };
    if (!start((script){ .at = at }, false, &s))
        return;
    agt_message *m = ask("count", &s);
    CHECK(m && m->state == AGT_DONE && m->n_tokens == 25 && m->n_config == 2 && s.knob_number == 7);
    agt_status st;
    agt_get_status(a, &st);
    CHECK_INT(st.mix.n, 1);              /* all of it of the new one */
    finish_db(&s);
}

static void steps_are_single_tokens(void)
{
    act = pause_;
    act_at = 5;
    seen s = { 0 };
    if (!start((script){ .at = at }, false, &s))
        return;
    agt_submit(a, "count");
    CHECK(wait_for(a, &s, AGT_EV_PAUSED, 0, 30000));
    CHECK_INT(s.tokens, 5);
    for (int i = 6; i <= 9; i++) {
        agt_step(a);
        CHECK(wait_for(a, &s, AGT_EV_TOKEN, i, 30000));
        CHECK_INT(s.tokens, i);
    }
    agt_pause(a, false);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 30000));
    CHECK_INT(s.tokens, 25);
    finish_db(&s);
}

/* ---- failures ---- */
static void a_failure_keeps_what_was_said(void)
{
    for (int token = 1; token <= 11; token += 5) {
        seen s = { 0 };
        if (!start((script){ .fail_at = token }, false, &s))
            return;
        agt_message *m = ask("count", &s);
        CHECK(m && m->state == AGT_FAILED && m->n_tokens == token && s.errors == 1);
        CHECK(s.notes.p && strstr(s.notes.p, "the script fails here"));
        CHECK_STR(m ? m->text : "", text(&s));
        CHECK(strncmp(text(&s), "One two", token > 1 ? 7 : 3) == 0);
        finish_db(&s);
    }
}

static int refused(const char *model, const prov_opts *o, prov **out, char *e) { return q_fail(e, Q_ERR, "nobody is at home"); }

static void nobody_answers(void)
{
    seen s = { 0 };
    agt_options o = { .model = "x", .db = ":memory:", .answers = refused };
    CHECK_INT(agt_open(&o, &a, err), Q_OK);
    agt_message *m = ask("hello?", &s);
    CHECK(m && m->state == AGT_FAILED && s.notes.p && strstr(s.notes.p, "nobody is at home"));
    finish_db(&s);
}

/* From mid-answer on no routing can be stored: the words are all the same, and it is said. */
static void refuse_traces(void)
{
    sqlite3 *other;
    CHECK_INT(sqlite3_open(db, &other), SQLITE_OK);
    sqlite3_busy_timeout(other, 30000);
    CHECK_MSG(sqlite3_exec(other, "DROP TABLE message_trace; CREATE TABLE message_trace(message INTEGER PRIMARY KEY, data BLOB CHECK(data IS NULL))", NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(other));
    sqlite3_close(other);
}

static void words_do_not_hang_on_routing(void)
{
    act = refuse_traces;
    act_at = 4;
    seen s = { 0 };
    if (!start((script){ .at = at }, true, &s))
        return;
    agt_message *m = ask("count", &s);
    CHECK_MSG(m && m->state == AGT_DONE && m->n_tokens == 25 && strcmp(m->text, text(&s)) == 0, "stored: \"%s\"", m ? m->text : "");
    CHECK(s.errors == 0 && s.notes.p && strstr(s.notes.p, "its routing is not"));
    finish_db(&s);
}

/* The same seed for what is compared, and where it differs. */
static void again_with_the_same_seed(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    agt_message *m = ask("short", &s);
    char *first = q_strdup(m ? m->text : "");
    seen_clear(&s);
    agt_again(a, 0, "experts.k=1");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 30000));
    CHECK_STR(s.last ? s.last->text : "", first);
    CHECK(s.last && s.last->differs_at < 0 && s.last->n_siblings == 2 && strstr(s.last->label, "k 1"));
    agt_status st;
    settle(a, &s);
    agt_get_status(a, &st);
    CHECK_INT(st.k, 2);
    free(first);
    finish_db(&s);
}

/* What is marked while an answer comes is marked when it is shown again: also beside an elder that is not the last one. */
static void differs_is_kept(void)
{
    static const script_line said[] = { { "pick", "red red red one | red red blue two | red red red one | red green three four" }, { NULL, NULL } };
    static const struct { const char *seed; int beside, at; } again[] = {
        { "1", 0, 8 },                   /* from the first: at blue */
        { "2", 0, -1 },                  /* from the first again, to which it is equal */
        { "3", 1, 4 },                   /* from the second: at green */
        { "1", 0, 8 } };
    seen s = { 0 };
    mem_messages all = { 0 };
    int64_t id[8];
    if (!start((script){ .line = said }, false, &s))
        return;
    agt_submit(a, "/set sampler.seed 4");
    agt_message *m = ask("pick", &s);
    CHECK_STR(m ? m->text : "", "red red red one");
    id[0] = m ? m->id : 0;
    settle(a, &s);
    for (int i = 0; i < 4; i++) {
        char words[40];
        snprintf(words, sizeof words, "sampler.seed=%s", again[i].seed);
        for (int back = i - again[i].beside; back > 0; back--)       /* the elder is on the branch again */
            agt_branch(a, 0, -1);
        settle(a, &s);
        seen_clear(&s);
        agt_again(a, id[again[i].beside], words);
        CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 30000));
        id[i + 1] = s.last ? s.last->id : 0;
        CHECK_MSG(s.last && s.last->differs_at == again[i].at && (s.differs_token > 0) == (again[i].at >= 0), "%d: %d, token %d, %s", i, s.last ? s.last->differs_at : 0, s.differs_token,
                  s.notes.p ? s.notes.p : "");
        settle(a, &s);
    }
    CHECK_INT(mem_siblings(a->store, id[0], &all, err), 0);
    for (int i = 0; i < 4 && all.n == 5; i++) {
        agt_message again_seen;
        view_message(a->store, &all.v[i + 1], &again_seen);
        CHECK_INT(again_seen.differs_at, again[i].at);
        agt_message_free(&again_seen);
    }
    mem_messages_free(&all);
    finish_db(&s);
}

static const char *setting(const char *name, q_buf *b) { return agt_knob_value(a, agt_knob_named(a, name), b); }

/* After /again with a longer context the answer may be longer than the old one holds: the old settings come back all the
 * same, with an empty context, and the conversation goes on. */
static void again_in_a_longer_context_comes_back(void)
{
    seen s = { 0 };
    q_buf b = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    agt_submit(a, "/set context.length 20");
    agt_message *m = ask("count", &s);
    CHECK_MSG(m && m->cut == AGT_CUT_CONTEXT && m->n_tokens < 20, "%d tokens", m ? m->n_tokens : 0);
    settle(a, &s);
    seen_clear(&s);
    agt_again(a, 0, "context.length=200 experts.k=1");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 30000));
    settle(a, &s);
    CHECK(s.last && s.last->n_tokens == 25 && s.errors == 0);
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "settings from before are back"), "%s", s.notes.p ? s.notes.p : "");
    CHECK_STR(setting("context.length", &b), "20");
    agt_status st;
    agt_get_status(a, &st);
    CHECK(st.k == 2 && st.ctx_size == 20 && st.ctx_used == 0 && st.mix.n == 0);
    m = ask("short", &s);
    CHECK_MSG(m && m->state == AGT_DONE && strcmp(m->label, "context.length 20") == 0, "%s", m ? m->label : "");
    q_buf_free(&b);
    finish_db(&s);
}

/* A context shorter than the conversation: nothing is lost, and the newest turns that fit are what the next answer sees. */
static void a_context_may_become_shorter_than_the_conversation(void)
{
    seen s = { 0 };
    q_buf b = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    agt_submit(a, "/set context.length 200");
    for (int i = 0; i < 5; i++)
        ask("count", &s);
    settle(a, &s);
    agt_status st;
    agt_get_status(a, &st);
    char set[64], few[24];
    snprintf(few, sizeof few, "%d", st.ctx_used - 5);
    snprintf(set, sizeof set, "/set context.length %s", few);
    seen_clear(&s);
    agt_submit(a, set);
    settle(a, &s);
    CHECK_MSG(s.errors == 0, "%s", s.notes.p ? s.notes.p : "");
    CHECK_STR(setting("context.length", &b), few);
    agt_get_status(a, &st);
    CHECK(st.ctx_size == atoi(few) && st.ctx_used == 0);
    agt_message *m = ask("short", &s);
    CHECK(m && m->state == AGT_DONE && s.errors == 0);
    agt_get_status(a, &st);
    CHECK(st.ctx_used > 0 && st.ctx_used <= atoi(few));
    q_buf_free(&b);
    finish_db(&s);
}

/* And where they are refused whatever is given up, what is said to be in effect is in effect; F9 is asked for the others. */
static void again_that_cannot_come_back_says_so(void)
{
    seen s = { 0 };
    q_buf b = { 0 };
    if (!start((script){ .sets = 1 }, false, &s))
        return;
    ask("short", &s);
    settle(a, &s);
    seen_clear(&s);
    agt_again(a, 0, "experts.k=1");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 30000));
    settle(a, &s);
    CHECK_MSG(s.errors == 1 && s.notes.p && strstr(s.notes.p, "this answer's settings stay") && strstr(s.notes.p, "not enough memory"), "%s", s.notes.p ? s.notes.p : "");
    agt_status st;
    agt_get_status(a, &st);
    CHECK_INT(st.k, 1);
    CHECK_STR(setting("experts.k", &b), "1");
    agt_message *m = ask("short", &s);
    CHECK_MSG(m && strcmp(m->label, "k 1") == 0, "%s", m ? m->label : "");
    settle(a, &s);
    seen_clear(&s);
    agt_toggle(a);                       /* there is a way back to try, and it is refused too */
    CHECK(said(a, &s, "not enough memory"));
    agt_get_status(a, &st);
    CHECK_INT(st.k, 1);
    q_buf_free(&b);
    finish_db(&s);
}

static const char *other_words(const char *one, const char *many, unsigned long n)
{
    return !many && strcmp(one, "standard") == 0 ? "обычные" : n == 1 || !many ? one : many;
}

/* What is stored is in no language; what is shown is in the person's, and nothing is told apart by a word. */
static void labels_are_stored_in_no_language(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    q_words_from(other_words);
    agt_message *m = ask("short", &s);
    CHECK_STR(m ? m->label : "", "standard · k 2");
    agt_status st;
    settle(a, &s);
    agt_get_status(a, &st);
    CHECK_STR(st.label, "");
    agt_submit(a, "/set experts.k 1");
    ask("short", &s);
    settle(a, &s);
    agt_get_status(a, &st);
    CHECK_STR(st.label, "k 1");
    CHECK(st.mix.n == 2 && ((st.mix.of[0].label[0] == 0 && st.mix.of[0].k == 2) || (st.mix.of[1].label[0] == 0 && st.mix.of[1].k == 2)));
    agt_submit(a, "/context");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 30000));
    CHECK_MSG(s.page && strstr(s.page, "  обычные · k 2\n") && strstr(s.page, "  k 1\n"), "%s", s.page ? s.page : "");
    q_words_from(NULL);
    finish_db(&s);
}

/* Another branch shows what it has in common with the one that was read; back on that, all of it; the next question reads from there. */
static void another_branch_has_what_is_common(void)
{
    seen s = { 0 };
    agt_status st;
    if (!start((script){ 0 }, false, &s))
        return;
    ask("count", &s);
    agt_submit(a, "/again");
    settle(a, &s);
    int prompt = s.last ? s.last->n_prompt : 0;
    ask("and now something longer than that was", &s);
    settle(a, &s);
    agt_get_status(a, &st);
    int whole = st.ctx_used;
    CHECK_MSG(prompt > 0 && whole > prompt, "%d %d", prompt, whole);
    for (int turn = 0; turn < 2; turn++) {
        agt_submit(a, "/branch prev");
        settle(a, &s);
        agt_get_status(a, &st);
        CHECK_MSG(turn ? st.ctx_used == whole : st.ctx_used == prompt, "%d of %d, the question was read with %d", st.ctx_used, whole, prompt);
        CHECK_INT(st.mix.of[0].cells, st.ctx_used);
    }
    finish_db(&s);
}

int main(void)
{
    RUN(a_turn_is_told_and_kept);
    RUN(a_thought_is_ended);
    RUN(another_branch_has_what_is_common);
    RUN(the_way_back_costs_nothing);
    RUN(an_answer_that_the_disk_refused_is_kept);
    RUN(the_status_is_of_this_conversation);
    RUN(pins_without_a_place_are_said);
    RUN(a_trace_asks_before_it_writes_over);
    RUN(a_trace_carries_the_text_of_its_tokens);
    RUN(routing_is_named_listed_and_compared);
    RUN(a_page_of_many_layers_is_folded);
    RUN(a_cursor_stands_on_tokens_of_the_text);
    RUN(a_cursor_says_what_it_cannot_stand_on);
    RUN(a_cursor_knows_halves_of_characters);
    RUN(a_cursor_stands_in_what_was_stopped);
    RUN(a_found_message_is_opened);
    RUN(a_stop_takes_no_further_token);
    RUN(an_edit_holds_from_the_next_token);
    RUN(a_position_knob_goes_on);
    RUN(steps_are_single_tokens);
    RUN(a_failure_keeps_what_was_said);
    RUN(nobody_answers);
    RUN(words_do_not_hang_on_routing);
    RUN(again_with_the_same_seed);
    RUN(differs_is_kept);
    RUN(again_in_a_longer_context_comes_back);
    RUN(a_context_may_become_shorter_than_the_conversation);
    RUN(again_that_cannot_come_back_says_so);
    RUN(labels_are_stored_in_no_language);
    return TEST_END();
}
