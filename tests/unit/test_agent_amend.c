/* agent: an answer that goes on from given words (/amend), with somebody who answers by a script: nothing depends on how fast
 * anything is. */
#include "tests/unit/script_help.h"

static const script_line lines[] = {
    { "many", " One two three four five six seven eight nine ten." },
    { "thought", "<think>so and so</think>\n\nOne two three four five." },
    { NULL, "Something else." }, { NULL, NULL } };
static char db[64];

static bool start(script s, bool file, seen *told)
{
    if (!file)
        snprintf(db, sizeof db, ":memory:");
    return help_script(s, lines, db, told);
}

static agt_message *done(seen *s)
{
    CHECK(wait_for(a, s, AGT_EV_DONE, 0, 30000));
    return s->last;
}

static agt_message *ask(const char *question, seen *s)
{
    agt_submit(a, question);
    return done(s);
}

static agt_message *amend(const char *text, seen *s)
{
    settle(a, s);
    seen_clear(s);
    agt_amend(a, 0, text);
    return done(s);
}

/* Cut: the rest is what it was; nothing differs. Reworded: it goes on behind the words as they stand. All stay side by side. */
static void it_goes_on_beside_the_old_one(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    agt_message *m = ask("many", &s);
    int64_t first = m->id, question = m->parent;
    int whole = m->n_tokens, prompt = m->n_prompt;
    m = amend("One two three", &s);
    CHECK_STR(m->text, "One two three four five six seven eight nine ten.");
    CHECK_STR(s.text.p, m->text);        /* the events say all of it too */
    CHECK(m->id != first && m->parent == question && m->sibling == 2 && m->n_siblings == 2 && m->state == AGT_DONE);
    CHECK_INT(m->differs_at, -1);
    CHECK_INT(m->n_tokens, whole - 3);
    CHECK_INT(m->n_prompt, prompt + 3);
    CHECK(s.differs_token == 0 && m->n_config == 1);
    m = amend("Uno dos \n", &s);         /* blanks at its end are not taken away, nor those that come */
    CHECK_STR(m->text, "Uno dos \n One two three four five six seven eight nine ten.");
    CHECK_INT(m->differs_at, 0);
    CHECK_INT(m->n_siblings, 3);
    settle(a, &s);
    seen_clear(&s);
    agt_submit(a, "/amend One two");     /* the last answer is this one, and the question the same */
    m = done(&s);
    CHECK_STR(m->text, "One two three four five six seven eight nine ten.");
    CHECK(m->parent == question && m->n_siblings == 4);
    settle(a, &s);
    for (int i = 0; i < 3; i++)
        agt_branch(a, 0, -1);
    settle(a, &s);
    CHECK(s.n_ids == 2 && s.ids[1] == first);
    agt_amend(a, first, "  \n");         /* nothing is left of it: as /again */
    m = done(&s);
    CHECK_STR(m->text, "One two three four five six seven eight nine ten.");
    CHECK(m->parent == question && m->n_siblings == 5 && m->n_tokens == whole);
    settle(a, &s);
    agt_amend(a, first, "One");          /* on another branch than the one in sight */
    m = done(&s);
    CHECK(m->parent == question && m->n_siblings == 6 && m->n_tokens == whole - 1);
    finish(&s);
}

/* An earlier answer than the last: a branch begins there. A thought is not thought again. */
static void an_earlier_one_too(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    agt_message *m = ask("a thought", &s);
    int64_t first = m->id, question = m->parent;
    CHECK_STR(m->thinking, "so and so");
    settle(a, &s);
    ask("many", &s);
    settle(a, &s);
    seen_clear(&s);
    agt_amend(a, first, "One two");
    m = done(&s);
    CHECK_STR(m->text, "One two three four five.");
    CHECK(!m->thinking && m->parent == question && m->n_siblings == 2);
    settle(a, &s);
    ask("something", &s);                /* and the conversation goes on from it */
    settle(a, &s);
    agt_open_chat(a, s.chat);
    settle(a, &s);
    CHECK(s.n_ids == 4 && s.ids[0] == question);
    finish(&s);
}

static void stop(void *user, int token)
{
    if (token == 2)
        agt_stop(a);
}

/* While the prompt is evaluated, before any token: a kill now would lose nothing. */
static const char *on_disk;
static void look_into_the_store(void *user, int token)
{
    mem_conversation c = { 0 };
    mem_message m = { 0 };
    if (token != 0)
        return;
    CHECK(mem_conversation_get(a->store, a->chat.id, &c, err) == Q_OK && mem_message_get(a->store, c.leaf, &m, err) == Q_OK);
    CHECK(m.role == MEM_ASSISTANT && m.status == MEM_PARTIAL);
    CHECK_STR(m.text, on_disk);
    on_disk = NULL;
    mem_message_free(&m);
    mem_conversation_free(&c);
}

static void its_beginning_is_stored_first(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    ask("many", &s);
    settle(a, &s);
    ((script_prov *)a->seat.who)->s.at = look_into_the_store;
    on_disk = "One two three";
    agt_message *m = amend(on_disk, &s);
    CHECK_STR(m->text, "One two three four five six seven eight nine ten.");
    CHECK(on_disk == NULL);
    finish(&s);
}

static void a_stopped_one_keeps_its_beginning(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    ask("many", &s);
    settle(a, &s);
    ((script_prov *)a->seat.who)->s.at = stop;       /* nobody evaluates: all is settled */
    agt_message *m = amend("One two three", &s);
    CHECK(m->state == AGT_STOPPED);
    CHECK_STR(m->text, "One two three four five");
    char *so_far = q_strdup(m->text);
    m = amend(so_far, &s);
    free(so_far);
    CHECK_STR(m->text, "One two three four five six seven");
    finish(&s);
}

/* Its own tokens lie behind what was given. */
static void the_cursor_knows_whose_words_they_are(void)
{
    seen s = { 0 };
    if (!start((script){ 0 }, false, &s))
        return;
    ask("many", &s);
    agt_message *m = amend("One two three", &s);
    int64_t id = m->id;
    settle(a, &s);
    static const struct { int number; const char *word; } at[] = { { 1, " four" }, { 2, " five" }, { 0, " ten." } };
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const char *text = "One two three four five six seven eight nine ten.", *word = strstr(text, at[i].word);
        seen_clear(&s);
        agt_look(a, id, at[i].number, 0, false);
        settle(a, &s);
        CHECK_INT(s.look.of, 7);
        CHECK_INT(s.look.from, word - text);
        CHECK_INT(s.look.to, word - text + (long)strlen(at[i].word));
    }
    finish(&s);
}

static void words_that_cannot_be_taken_come_back(void)
{
    seen s = { 0 };
    char *want = q_printf("%d One two", AGT_UI_AMEND);
    if (!start((script){ 0 }, false, &s))
        return;
    agt_amend(a, 0, "One two");          /* nothing was asked */
    settle(a, &s);
    CHECK_INT(s.errors, 1);
    CHECK_STR(s.ui, want);
    agt_message *m = ask("many", &s);
    int64_t first = m->id;
    settle(a, &s);
    q_buf b = { 0 };
    for (int i = 0; i < 5000; i++)
        q_buf_puts(&b, "word ");
    seen_clear(&s);
    agt_amend(a, 0, b.p);                /* more than the context holds: said, and the old answer is there */
    settle(a, &s);
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "the beginning of the answer"), "%s", s.notes.p ? s.notes.p : "");
    CHECK(s.ui && strlen(s.ui) > b.len);
    CHECK(s.n_ids == 2 && s.ids[1] == first);
    q_buf_free(&b);
    finish(&s);
    if (!start((script){ .cannot = PROV_BEGIN }, false, &s))
        return;
    ask("many", &s);
    settle(a, &s);
    seen_clear(&s);
    agt_amend(a, 0, "One two");
    settle(a, &s);
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "/again"), "%s", s.notes.p ? s.notes.p : "");
    CHECK_STR(s.ui, want);
    free(want);
    finish(&s);
}

/* ---- the end comes before its turn ---- */
typedef struct hold { atomic_bool held; } hold;
static void holding(void *user, const job *j)
{
    hold *h = user;
    if (strcmp(j->row->name, "amend") != 0)
        return;
    atomic_store(&h->held, true);
    for (int ms = 0; ms < 60000 && !desk_quits(&a->desk); ms++)
        usleep(1000);
}

/* The children of the question, in the file. */
static void stored(int64_t message, int n, const char *last)
{
    mem_store *m = NULL;
    mem_messages all = { 0 };
    CHECK_INT(mem_open(db, &m, err), Q_OK);
    CHECK_INT(mem_siblings(m, message, &all, err), Q_OK);
    CHECK_INT(all.n, n);
    if (all.n == n && n > 0) {
        CHECK_STR(all.v[n - 1].text, last);
        CHECK(all.v[n - 1].status == MEM_STOPPED && all.v[n - 1].role == MEM_ASSISTANT);
    }
    mem_messages_free(&all);
    mem_close(m);
}

static void what_waited_is_kept(void)
{
    seen s = { 0 };
    hold h = { false };
    snprintf(db, sizeof db, "/tmp/quorum-amend-XXXXXX");
    close(mkstemp(db));
    unlink_db(db);
    if (!start((script){ 0 }, true, &s))
        return;
    agt_message *m = ask("many", &s);
    int64_t first = m->id, chat, row;
    settle(a, &s);
    agt_status st;
    agt_get_status(a, &st);
    chat = st.chat;
    /* One at its turn (which goes on to its end, stopped), one that waits behind it. */
    desk_before(&a->desk, holding, &h);
    agt_amend(a, first, "One two");
    for (int ms = 0; ms < 60000 && !atomic_load(&h.held); ms++)
        usleep(1000);
    CHECK(atomic_load(&h.held));
    agt_amend(a, first, "One three");
    finish(&s);
    stored(first, 3, "One three");

    /* A process that was killed: what it accepted is in the file, and nobody's. */
    mem_store *store = NULL;
    CHECK_INT(mem_open(db, &store, err), Q_OK);
    CHECK_INT(mem_pending_put(store, chat, WAITS_AMEND - first, "One four", 8, &row, err), Q_OK);
    CHECK_INT(mem_pending_leave(store, row, err), Q_OK);
    CHECK_INT(mem_pending_put(store, chat, WAITS_AMEND, "One five", 8, &row, err), Q_OK);    /* of the last answer */
    CHECK_INT(mem_pending_leave(store, row, err), Q_OK);
    mem_close(store);
    if (!start((script){ 0 }, true, &s))
        return;
    settle(a, &s);
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "/amend"), "%s", s.notes.p ? s.notes.p : "");
    m = amend("One two three", &s);      /* and it goes on */
    CHECK_STR(m->text, "One two three four five six seven eight nine ten.");
    CHECK_INT(m->n_siblings, 6);
    agt_branch(a, 0, -1);
    settle(a, &s);
    int64_t last = s.n_ids == 2 ? s.ids[1] : 0;
    finish(&s);
    mem_store *again = NULL;
    mem_message one = { 0 };
    CHECK_INT(mem_open(db, &again, err), Q_OK);
    CHECK_INT(mem_message_get(again, last, &one, err), Q_OK);
    CHECK(one.status == MEM_STOPPED);
    CHECK_STR(one.text, "One five");
    mem_message_free(&one);
    mem_pendings left = { 0 };
    CHECK_INT(mem_pending_take(again, &left, err), Q_OK);
    CHECK_INT(left.n, 0);
    mem_pendings_free(&left);
    mem_close(again);
    unlink_db(db);
}

int main(void)
{
    RUN(it_goes_on_beside_the_old_one);
    RUN(an_earlier_one_too);
    RUN(its_beginning_is_stored_first);
    RUN(a_stopped_one_keeps_its_beginning);
    RUN(the_cursor_knows_whose_words_they_are);
    RUN(words_that_cannot_be_taken_come_back);
    RUN(what_waited_is_kept);
    return TEST_END();
}
