/* agent: /forget as the shell has it: what it asks, what a yes does, also to the conversation on the screen. No model is needed. */
#include "agent/errands.h"
#include "tests/unit/agent_help.h"

#include <sys/stat.h>

static char dir[] = "/tmp/quorum-forgets-XXXXXX", db[64];

static agt *open_room(seen *s)
{
    char err[Q_ERRLEN];
    agt *a = NULL;
    agt_options o = { .db = db };
    if (agt_open(&o, &a, err) < 0) {
        printf("not ok opening a room: %s\n", err);
        exit(1);
    }
    all_done(a, s);
    return a;
}

/* Submits, says yes or no, and waits until all of it is done. */
static void asked(agt *a, seen *s, const char *command, bool yes)
{
    agt_submit(a, command);
    if (wait_for(a, s, AGT_EV_ASK, 0, 60000))
        agt_answer(a, s->ask, yes);
    else
        CHECK_MSG(false, "%s asked nothing", command);
    settle(a, s);
}

static int64_t say(mem_store *m, int64_t chat, int64_t parent, enum mem_role role, const char *text)
{
    char err[Q_ERRLEN];
    int64_t id = 0;
    CHECK_INT(mem_message_add(m, chat, parent, role, text, strlen(text), &id, err), 0);
    return id;
}

static void note_found(void *user, const mem_found *f) { q_buf_printf(user, "%s ", f->where ? f->where : "bytes"); }

static int stands(const char *text)
{
    char err[Q_ERRLEN];
    q_buf b = { 0 };
    int files, unread, n = mem_verify_absent(db, text, note_found, &b, &files, &unread, err);
    if (n)
        printf("# %s: %s\n", text, b.p ? b.p : err);
    q_buf_free(&b);
    return n;
}

/* Of the conversation on the screen a message, then the last ones, then all. */
static void the_present_conversation_is_shown_without_it(void)
{
    seen s = { 0 };
    char err[Q_ERRLEN], command[64];
    agt *a = open_room(&s);
    int64_t chat = 0, q, r, q2;
    CHECK_INT(mem_conversation_new(a->store, "Harbour", &chat, err), 0);
    q = say(a->store, chat, 0, MEM_USER, "zzqfirst question");
    r = say(a->store, chat, q, MEM_ASSISTANT, "an answer");
    q2 = say(a->store, chat, r, MEM_USER, "another question");
    agt_open_chat(a, chat);
    settle(a, &s);
    CHECK(s.chat == chat && s.n_ids == 3);
    snprintf(command, sizeof command, "/forget message %lld", (long long)q);
    asked(a, &s, command, false);
    CHECK_MSG(s.asked && strstr(s.asked, "1 message") && strstr(s.asked, "zzqfirst question"), "%s", s.asked ? s.asked : "");
    CHECK_INT(s.n_ids, 3);                  /* a no leaves it */
    asked(a, &s, command, true);
    CHECK(s.chat == chat && s.n_ids == 2 && s.ids[0] == r && s.ids[1] == q2);
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "removed from memory: 1 message"), "%s", s.notes.p ? s.notes.p : "");
    snprintf(command, sizeof command, "/forget chat %lld", (long long)chat);
    asked(a, &s, command, true);
    CHECK_MSG(s.chat != chat && s.n_ids == 0, "%lld", (long long)s.chat);
    int errors = s.errors;
    agt_submit(a, command);
    settle(a, &s);
    CHECK_INT(s.errors, errors + 1);
    agt_close(a);
    seen_clear(&s);
    CHECK_INT(stands("zzqfirst"), 0);
}

static void words_leave_everything(void)
{
    enum { N = 40 };                       /* more than one step takes */
    seen s = { 0 };
    char err[Q_ERRLEN], *lines = q_printf("%s/quorum/history", dir);
    agt *a = open_room(&s);
    int64_t chat = 0, last = 0;
    CHECK_INT(mem_conversation_new(a->store, "Zzqriddle of the tide", &chat, err), 0);
    for (int i = 0; i < N; i++)
        last = say(a->store, chat, last, MEM_USER, i % 2 ? "the ZzqRiddle again" : "plain words");
    const char line[] = "_HiStOrY_V2_\nabout\\040zzqriddle\nplain\n";
    char *folder = q_printf("%s/quorum", dir);
    mkdir(folder, 0700);
    CHECK_INT(q_write_file_atomic(lines, line, strlen(line), err), 0);
    agt_keep_place(a, chat, 3, "a draft of zzqriddle");
    settle(a, &s);
    asked(a, &s, "/forget words zzqriddle", true);
    CHECK_MSG(s.asked && strstr(s.asked, "20 messages") && strstr(s.asked, "and 15 more") && strstr(s.asked, "Backups"), "%s", s.asked ? s.asked : "");
    CHECK_MSG(s.ui && strstr(s.ui, "zzqriddle"), "%s", s.ui ? s.ui : "");      /* the front end's lines */
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "removed from memory: 20 messages; 3 places beside are cleared"), "%s", s.notes.p ? s.notes.p : "");
    asked(a, &s, "/forget words zzqriddle", false);
    CHECK_MSG(s.asked && strstr(s.asked, "No document and no message"), "%s", s.asked ? s.asked : "");
    agt_close(a);
    q_buf b = { 0 };
    CHECK_INT(q_read_file(lines, &b, 1 << 20, err), 0);
    CHECK_STR(b.p, "_HiStOrY_V2_\nplain\n");
    q_buf_free(&b);
    free(lines);
    free(folder);
    seen_clear(&s);
    CHECK_INT(stands("zzqriddle"), 0);
    CHECK(stands("plain words") > 0);
}

/* The end comes between the yes and its deed: the next start does it, and its own note of it holds the text in no form that reads. */
static void holding(void *user, const job *j)
{
    agt *a = user;
    while (strcmp(j->row->name, "forget") == 0 && !desk_quits(&a->desk))
        usleep(1000);
}

static void it_goes_on_at_the_next_start(void)
{
    seen s = { 0 };
    char err[Q_ERRLEN];
    agt *a = open_room(&s);
    int64_t chat = 0;
    CHECK_INT(mem_conversation_new(a->store, "Another", &chat, err), 0);
    for (int i = 0; i < 3; i++)
        say(a->store, chat, 0, MEM_USER, "zzqlater and more");
    say(a->store, chat, 0, MEM_USER, "stays");
    desk_before(&a->desk, holding, a);
    agt_submit(a, "/forget words zzqlater");
    CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 60000));
    agt_answer(a, s.ask, true);
    agt_close(a);
    CHECK(stands("zzqlater") > 0);
    a = open_room(&s);
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "3 messages"), "%s", s.notes.p ? s.notes.p : "");
    agt_close(a);
    CHECK_INT(stands("zzqlater"), 0);
    seen_clear(&s);
}

static int backups(void)
{
    char err[Q_ERRLEN];
    mem_backups l;
    CHECK_INT(mem_backup_list(db, &l, err), 0);
    int n = l.n;
    mem_backups_free(&l);
    return n;
}

static void a_start_makes_a_backup(void)
{
    seen s = { 0 };
    char err[Q_ERRLEN];
    agt *a = open_room(&s);
    int64_t chat = 0;
    CHECK_INT(mem_conversation_new(a->store, "Kept", &chat, err), 0);
    say(a->store, chat, 0, MEM_USER, "zzqkept words");
    agt_close(a);
    agt_close(open_room(&s));
    CHECK(backups() >= 1);
    a = open_room(&s);
    asked(a, &s, "/forget words zzqkept", true);
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "held what was forgotten"), "%s", s.notes.p ? s.notes.p : "");
    agt_close(a);
    seen_clear(&s);
    CHECK_INT(stands("zzqkept"), 0);
}

int main(void)
{
    char err[Q_ERRLEN];
    if (!mkdtemp(dir))
        return 1;
    snprintf(db, sizeof db, "%s/quorum.db", dir);
    const char *const own[] = { "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HOME" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        setenv(own[i], dir, 1);
    (void)err;
    RUN(the_present_conversation_is_shown_without_it);
    RUN(words_leave_everything);
    RUN(it_goes_on_at_the_next_start);
    RUN(a_start_makes_a_backup);
    char *rm = q_printf("rm -rf '%s'", dir);
    int rc = system(rm);
    free(rm);
    return rc ? 1 : TEST_END();
}
