/* agent: what was accepted is done, whatever stands before it: at the end carried out or written down for the next start,
 * and nothing that a person waits for stands behind bulk work. No model is needed. Lanes are held by a hook. */
#include "agent/errands.h"
#include "tests/unit/agent_help.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[] = "/tmp/quorum-quit-XXXXXX", db[64];

/* Holds a lane before the jobs of one name until the program ends, or until it is let go. */
typedef struct hold { agt *a; const char *name; atomic_bool held, let; } hold;
static void holding(void *user, const job *j)
{
    hold *h = user;
    if (strcmp(j->row->name, h->name) != 0)
        return;
    atomic_store(&h->held, true);
    for (int ms = 0; ms < 60000 && !desk_quits(&h->a->desk) && !atomic_load(&h->let); ms++)
        usleep(1000);
}

static void hold_on(hold *h, agt *a, const char *name)
{
    *h = (hold){ .a = a, .name = name };
    desk_before(&a->desk, holding, h);
}

static bool is_held(const hold *h)
{
    for (int ms = 0; ms < 60000 && !atomic_load(&h->held); ms++)
        usleep(1000);
    return atomic_load(&h->held);
}

static agt *open_room(seen *s)
{
    char err[Q_ERRLEN];
    agt *a = NULL;
    agt_options o = { .db = db };
    if (agt_open(&o, &a, err) < 0) {
        printf("# %s\n", err);
        return NULL;
    }
    all_done(a, s);
    return a;
}

static mem_store *store(void)
{
    char err[Q_ERRLEN];
    mem_store *m = NULL;
    if (mem_open(db, &m, err) < 0)
        printf("# %s\n", err);
    return m;
}

static int64_t converse(mem_store *m, const char *title, const char *question, int64_t *first)
{
    char err[Q_ERRLEN];
    int64_t c = 0, id = 0;
    CHECK_INT(mem_conversation_new(m, title, &c, err), 0);
    CHECK_INT(mem_message_add(m, c, 0, MEM_USER, question, strlen(question), &id, err), 0);
    if (first)
        *first = id;
    return c;
}

static bool in_file(const char *word)
{
    char err[Q_ERRLEN];
    q_buf b = { 0 };
    bool found = q_read_file(db, &b, 1 << 28, err) == Q_OK && memmem(b.p, b.len, word, strlen(word));
    q_buf_free(&b);
    return found;
}

/* Asks for it and says yes. */
static void confirmed(agt *a, seen *s, const char *command)
{
    agt_submit(a, command);
    CHECK(wait_for(a, s, AGT_EV_ASK, 0, 60000));
    agt_answer(a, s->ask, true);
}

static void files(const char *folder, int n)
{
    char err[Q_ERRLEN], path[128];
    mkdir(folder, 0700);
    for (int i = 0; i < n; i++) {
        char text[128];
        snprintf(path, sizeof path, "%s/note%03d.txt", folder, i);
        snprintf(text, sizeof text, "The colour of number %d is word%03d, and nobody knows why.\n", i, i);
        CHECK_INT(q_write_file_atomic(path, text, strlen(text), err), 0);
    }
}

static int documents_in(mem_store *m, const char *below)
{
    char err[Q_ERRLEN];
    mem_documents l = { 0 };
    int n = 0;
    CHECK_INT(mem_document_list(m, &l, err), 0);
    for (int i = 0; i < l.n; i++)
        n += strncmp(l.v[i].path, below, strlen(below)) == 0;
    mem_documents_free(&l);
    return n;
}

static int left, names;
static void count_errands(void *user, const char *name, const char *value)
{
    left += strncmp(name, "errand.", 7) == 0;
    names++;
}

static int errands_kept(mem_store *m)
{
    char err[Q_ERRLEN];
    left = 0;
    CHECK_INT(mem_setting_each(m, NULL, count_errands, NULL, err), 0);
    return left;
}

/* A deletion, a new name and a place that wait behind a look-up when the program ends. */
static void deletion_deletes(void)
{
    seen s = { 0 };
    hold h;
    mem_store *m = store();
    int64_t kept = converse(m, "one", "what stays", NULL), gone = converse(m, "two", "zyxxyquestion that goes", NULL);
    mem_close(m);
    CHECK(in_file("zyxxyquestion"));
    agt *a = open_room(&s);
    char *command = q_printf("/delete %lld", (long long)gone);
    agt_submit(a, command);
    CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 60000));
    CHECK_MSG(s.asked && strstr(s.asked, "two"), "%s", s.asked ? s.asked : "");
    hold_on(&h, a, "find");
    agt_submit(a, "/find anything");
    CHECK(is_held(&h));
    agt_answer(a, s.ask, true);
    agt_rename(a, kept, "another name");
    agt_close(a);
    m = store();
    char err[Q_ERRLEN];
    mem_conversation c = { 0 };
    CHECK_INT(mem_conversation_get(m, gone, &c, err), Q_NOTFOUND);
    mem_conversation_free(&c);
    CHECK_INT(mem_conversation_get(m, kept, &c, err), Q_OK);
    CHECK_STR(c.title, "another name");
    mem_conversation_free(&c);
    mem_close(m);
    CHECK(!in_file("zyxxyquestion"));
    free(command);
    seen_clear(&s);
}

/* The conversation that a question is just asked in. */
static void deletion_stops_its_answer(void)
{
    seen s = { 0 };
    hold h;
    mem_store *m = store();
    int64_t here = converse(m, "three", "xyyzxquestion", NULL);
    mem_close(m);
    agt *a = open_room(&s);
    agt_open_chat(a, here);
    all_done(a, &s);
    hold_on(&h, a, "send");
    agt_submit(a, "more about xyyzxquestion");
    CHECK(is_held(&h));
    confirmed(a, &s, "/delete");
    agt_close(a);
    m = store();
    char err[Q_ERRLEN];
    mem_conversation c = { 0 };
    CHECK_INT(mem_conversation_get(m, here, &c, err), Q_NOTFOUND);
    mem_conversation_free(&c);
    mem_close(m);
    CHECK(!in_file("xyyzxquestion"));
    seen_clear(&s);
}

/* A no, and a conversation that is another one by now. */
static void only_what_was_asked_about_goes(void)
{
    seen s = { 0 };
    char err[Q_ERRLEN];
    mem_store *m = store();
    int64_t id = converse(m, "four", "a question", NULL);
    mem_close(m);
    agt *a = open_room(&s);
    char *command = q_printf("/delete %lld", (long long)id);
    agt_submit(a, command);
    CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 60000));
    agt_answer(a, s.ask, false);
    agt_answer(a, s.ask, true);          /* too late: it was answered */
    desk_post(&a->desk, &job_deleted, id, 12345, NULL, NULL);
    all_done(a, &s);
    mem_conversation c = { 0 };
    CHECK_INT(mem_conversation_get(a->store, id, &c, err), Q_OK);
    mem_conversation_free(&c);
    agt_close(a);
    free(command);
    seen_clear(&s);
}

static void forgetting_is_kept(void)
{
    enum { N = 40, STEP = 32 };
    seen s = { 0 };
    hold h;
    char folder[96], command[160], err[Q_ERRLEN];
    snprintf(folder, sizeof folder, "%s/forgotten", dir);
    files(folder, N);
    agt *a = open_room(&s);
    snprintf(command, sizeof command, "/add %s", folder);
    agt_submit(a, command);
    all_done(a, &s);
    CHECK_INT(documents_in(a->store, folder), N);
    hold_on(&h, a, "forget");
    snprintf(command, sizeof command, "/forget %s", folder);
    confirmed(a, &s, command);
    CHECK(is_held(&h));
    agt_close(a);
    mem_store *m = store();
    CHECK_INT(documents_in(m, folder), N - STEP);    /* a step that has begun ends */
    CHECK_INT(errands_kept(m), 1);
    mem_close(m);

    a = open_room(&s);                   /* and the next start goes on */
    CHECK_INT(documents_in(a->store, folder), 0);
    CHECK_INT(errands_kept(a->store), 0);
    CHECK(s.notes.p && strstr(s.notes.p, "8 documents are removed"));
    snprintf(command, sizeof command, "/add %s/note001.txt", folder);
    agt_submit(a, command);
    all_done(a, &s);
    hold_on(&h, a, "add");               /* one document behind an import: removed at the end */
    agt_submit(a, command);
    CHECK(is_held(&h));
    snprintf(command, sizeof command, "/forget %s/note001.txt", folder);
    confirmed(a, &s, command);
    agt_close(a);
    m = store();
    CHECK_INT(documents_in(m, folder), 0);
    mem_close(m);
    agt_close(open_room(&s));            /* the import goes on */
    m = store();
    CHECK_INT(errands_kept(m), 0);
    CHECK_INT(documents_in(m, folder), 1);
    CHECK_INT(mem_setting_put(m, "errand.0000000000000001", "forget\n1:beef 2:beef 3:beef", err), 0);
    CHECK_INT(mem_setting_put(m, "errand.0000000000000002", "burn\n/", err), 0);
    int before = documents_in(m, "");
    mem_close(m);
    a = open_room(&s);                   /* numbers of other documents, and an errand that nobody knows */
    CHECK_INT(documents_in(a->store, ""), before);
    agt_close(a);
    m = store();
    CHECK_INT(mem_setting_put(m, "errand.0000000000000002", NULL, err), 0);
    CHECK_INT(errands_kept(m), 0);
    mem_close(m);
    seen_clear(&s);
}

static void forgetting_is_shown(void)
{
    enum { N = 6 };
    seen s = { 0 };
    char folder[96], command[160];
    snprintf(folder, sizeof folder, "%s/shown", dir);
    files(folder, N);
    agt *a = open_room(&s);
    snprintf(command, sizeof command, "/add %s", folder);
    agt_submit(a, command);
    all_done(a, &s);
    CHECK(s.progress_ended);
    seen_clear(&s);
    snprintf(command, sizeof command, "/forget %s", folder);
    confirmed(a, &s, command);
    CHECK_MSG(s.asked && strstr(s.asked, "6") && strstr(s.asked, folder), "%s", s.asked ? s.asked : "");
    all_done(a, &s);
    CHECK_INT(s.progress_total, N);
    CHECK_INT(s.progress_done, N);
    CHECK(s.progress_ended);
    CHECK(s.notes.p && strstr(s.notes.p, "6 documents are removed"));
    agt_close(a);
    seen_clear(&s);
}

/* An import and a question that is worded anew, both before their turn when the program ends. */
static void edits_survive_long_errands(void)
{
    enum { N = 40 };
    seen s = { 0 };
    hold h, g;
    char folder[96], command[160], err[Q_ERRLEN];
    int64_t first;
    snprintf(folder, sizeof folder, "%s/long", dir);
    files(folder, N);
    mem_store *m = store();
    int64_t chat = converse(m, "edited", "the first wording", &first);
    mem_close(m);
    agt *a = open_room(&s);
    agt_open_chat(a, chat);
    all_done(a, &s);
    hold_on(&h, a, "add");
    snprintf(command, sizeof command, "/add %s", folder);
    agt_submit(a, command);
    CHECK(is_held(&h));
    hold_on(&g, a, "again");
    agt_again(a, 0, "");
    CHECK(is_held(&g));
    agt_edit(a, first, "the second wording");
    agt_close(a);

    m = store();
    mem_messages all = { 0 };
    CHECK_INT(mem_siblings(m, first, &all, err), 0);
    CHECK_INT(all.n, 2);
    CHECK(all.n == 2 && strcmp(all.v[1].text, "the second wording") == 0);
    mem_messages_free(&all);
    CHECK_INT(documents_in(m, folder), 1);       /* it ended at the next file */
    CHECK_INT(errands_kept(m), 1);
    mem_close(m);
    a = open_room(&s);
    CHECK_INT(documents_in(a->store, folder), N);
    CHECK_INT(errands_kept(a->store), 0);
    agt_close(a);
    seen_clear(&s);
}

/* A process that holds before the jobs of one name and has accepted what it was told. */
static pid_t other_process(const char *holds, const char *const *commands, bool agree)
{
    int told[2];
    char byte = 0;
    CHECK_INT(pipe(told), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        seen s = { 0 };
        hold h;
        agt *a = open_room(&s);
        if (!a)
            _exit(1);
        hold_on(&h, a, holds);
        for (; *commands; commands++) {
            agt_submit(a, *commands);
            if (agree && wait_for(a, &s, AGT_EV_ASK, 0, 60000))
                agt_answer(a, s.ask, true);
        }
        bool held = is_held(&h);
        for (int ms = 0; ms < 60000 && desk_waits(&a->desk, LANE_QUICK); ms++)
            usleep(1000);                /* all of it is accepted */
        alarm(600);                      /* it ends even if its parent does not live to end it */
        if (held && write(told[1], "x", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(told[1]);
    CHECK_INT(read(told[0], &byte, 1), 1);
    close(told[0]);
    return pid;
}

static void kill_it(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
}

/* An accepted queue of imports, and documents that were to be forgotten: a kill loses neither, and while the process that
 * took them on lives nobody else does them. */
static void killed_errands_go_on(void)
{
    enum { N = 5 };
    seen s = { 0 };
    char one[96], two[96], add_one[160], add_two[160], forget[160];
    snprintf(one, sizeof one, "%s/killed1", dir);
    snprintf(two, sizeof two, "%s/killed2", dir);
    snprintf(add_one, sizeof add_one, "/add %s", one);
    snprintf(add_two, sizeof add_two, "/add %s", two);
    snprintf(forget, sizeof forget, "/forget %s", one);
    files(one, N);
    files(two, N);
    pid_t pid = other_process("add", (const char *const[]){ add_one, add_two, NULL }, false);
    agt *a = open_room(&s);
    CHECK_INT(documents_in(a->store, one) + documents_in(a->store, two), 0);     /* they are its own */
    CHECK_INT(errands_kept(a->store), 2);
    agt_close(a);
    kill_it(pid);
    a = open_room(&s);
    CHECK_INT(documents_in(a->store, one), N);
    CHECK_INT(documents_in(a->store, two), N);
    CHECK_INT(errands_kept(a->store), 0);
    CHECK(s.notes.p && strstr(s.notes.p, "going on with what the last end cut off: /add"));
    agt_close(a);
    pid = other_process("forget", (const char *const[]){ forget, NULL }, true);
    kill_it(pid);
    a = open_room(&s);
    CHECK_INT(documents_in(a->store, one), 0);
    CHECK_INT(errands_kept(a->store), 0);
    agt_submit(a, add_one);              /* what is done, was stopped or failed leaves nothing behind */
    agt_submit(a, "/add /nonexistent/folder");
    all_done(a, &s);
    CHECK_INT(documents_in(a->store, one), N);
    CHECK_INT(errands_kept(a->store), 0);
    agt_close(a);
    seen_clear(&s);
}

static int64_t first_document(mem_store *m, const char *below)
{
    char err[Q_ERRLEN];
    mem_documents l = { 0 };
    CHECK_INT(mem_document_below(m, below, &l, err), 0);
    int64_t least = l.n ? l.v[0].id : -1;
    for (int i = 1; i < l.n; i++)
        least = l.v[i].id < least ? l.v[i].id : least;
    mem_documents_free(&l);
    return least;
}

/* What waited goes on in the order in which it was asked for. */
static void killed_errands_keep_their_order(void)
{
    enum { N = 8 };
    static const char *const name[N] = { "m", "b", "z", "a", "y", "c", "x", "d" };
    seen s = { 0 };
    char folder[N][96], add[N][128];
    const char *commands[N + 1] = { 0 };
    for (int i = 0; i < N; i++) {
        snprintf(folder[i], sizeof folder[i], "%s/ordered-%s", dir, name[i]);
        snprintf(add[i], sizeof add[i], "/add %s", folder[i]);
        commands[i] = add[i];
        files(folder[i], 2);
    }
    kill_it(other_process("add", commands, false));
    agt *a = open_room(&s);
    int64_t before = 0;
    for (int i = 0; i < N; i++) {
        int64_t first = first_document(a->store, folder[i]);
        CHECK_MSG(first > before, "%s came at %lld, the one before at %lld", name[i], (long long)first, (long long)before);
        before = first;
    }
    CHECK_INT(errands_kept(a->store), 0);
    agt_close(a);
    seen_clear(&s);
}

/* What is typed while an answer runs, and what the next start says of it. */
static const struct { const char *typed, *say; } waiting_again[] = {
    { "/again experts.k=1 sampler.seed=4", "\"%s\" was answered again: /open %lld, then /again experts.k=1 sampler.seed=4 does" },
    { "/again", "\"%s\" was answered again: /open %lld, then /again does" } };

/* A kill does not lose an /again that waits either. */
static void a_killed_again_is_said(void)
{
    for (size_t i = 0; i < sizeof waiting_again / sizeof *waiting_again; i++) {
        seen s = { 0 };
        kill_it(other_process("send", (const char *const[]){ "a question that takes long", waiting_again[i].typed, NULL }, false));
        agt *a = open_room(&s);
        char say[160];
        snprintf(say, sizeof say, waiting_again[i].say, "the second wording", (long long)s.chat);     /* the other one never had its place */
        CHECK_MSG(s.notes.p && strstr(s.notes.p, say), "%s", s.notes.p ? s.notes.p : "");
        agt_close(a);
        seen_clear(&s);
        a = open_room(&s);
        CHECK(!s.notes.p || !strstr(s.notes.p, "/again"));
        agt_close(a);
        seen_clear(&s);
    }
}

/* An /again that waits when the program ends is said at the next start, with its words, once. */
static void a_waiting_again_is_said(void)
{
    for (size_t i = 0; i < sizeof waiting_again / sizeof *waiting_again; i++) {
        seen s = { 0 };
        hold h;
        agt *a = open_room(&s);
        hold_on(&h, a, "send");
        agt_submit(a, "a question that takes long");
        CHECK(is_held(&h));
        agt_submit(a, waiting_again[i].typed);
        agt_close(a);
        seen_clear(&s);
        a = open_room(&s);
        char say[160];
        snprintf(say, sizeof say, waiting_again[i].say, "a question that takes long", (long long)s.chat);
        CHECK_MSG(s.notes.p && strstr(s.notes.p, say), "%s", s.notes.p ? s.notes.p : "");
        agt_close(a);
        seen_clear(&s);
        a = open_room(&s);
        CHECK(!s.notes.p || !strstr(s.notes.p, "/again"));
        agt_close(a);
        seen_clear(&s);
    }
}

static void find_does_not_wait_for_add(void)
{
    enum { N = 60 };
    seen s = { 0 };
    hold h;
    char folder[96], command[160];
    snprintf(folder, sizeof folder, "%s/found", dir);
    files(folder, N);
    agt *a = open_room(&s);
    hold_on(&h, a, "add");
    snprintf(command, sizeof command, "/add %s", folder);
    agt_submit(a, command);
    CHECK(is_held(&h));
    agt_submit(a, "/find stays");
    CHECK(wait_for(a, &s, AGT_EV_FOUND, 0, 60000));
    agt_submit(a, "/memory list");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    agt_submit(a, "/rename said at once");
    CHECK(wait_for(a, &s, AGT_EV_TITLE, 0, 60000));
    CHECK(!s.progress_ended && agt_busy(a));     /* all of that while it runs */
    seen_clear(&s);
    agt_submit(a, command);                      /* a second one has to wait, and says so */
    CHECK(said(a, &s, "done when"));
    atomic_store(&h.let, true);
    int64_t from = q_now_ns(), worst = 0;
    int n = 0;
    while (!s.progress_ended && n < 1000) {
        int64_t t = q_now_ns();
        agt_submit(a, "/find stays");
        CHECK(wait_for(a, &s, AGT_EV_FOUND, 0, 60000));
        t = q_now_ns() - t;
        worst = t > worst ? t : worst;
        n++;
    }
    printf("# %d look-ups during an import of %d files: %.1f ms on average, %.1f at worst\n", n, N, (double)(q_now_ns() - from) / 1e6 / n, (double)worst / 1e6);
    all_done(a, &s);
    CHECK_INT(documents_in(a->store, folder), N);
    agt_close(a);
    seen_clear(&s);
}

/* A folder of which only a part fits on the disk: the sentence counts what is in, it is in, and the rest comes when there is
 * room. */
static void a_full_disk_during_add_says_what_is_in(void)
{
    enum { N = 48, SIZE = 32 << 10 };
    seen s = { 0 };
    struct rlimit was, r;
    struct stat st;
    char err[Q_ERRLEN], folder[96], path[128], command[128];
    snprintf(folder, sizeof folder, "%s/full", dir);
    snprintf(command, sizeof command, "/add %s", folder);
    mkdir(folder, 0700);
    q_buf text = { 0 };
    for (int i = 0; i < N; i++) {
        q_buf_clear(&text);
        for (int w = 0; text.len < SIZE; w++)
            q_buf_printf(&text, "word%d of file%d stands here%s", w * 7919 % 10007, i, w % 12 ? ", " : ".\n\n");
        snprintf(path, sizeof path, "%s/big%02d.txt", folder, i);
        CHECK_INT(q_write_file_atomic(path, text.p, text.len, err), 0);
    }
    q_buf_free(&text);
    agt *a = open_room(&s);
    int before = documents_in(a->store, folder), errors = s.errors;
    CHECK_INT(stat(db, &st), 0);
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &was), 0);
    r = (struct rlimit){ (rlim_t)st.st_size + (1 << 20), was.rlim_max };
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &r);
    agt_submit(a, command);
    all_done(a, &s);
    setrlimit(RLIMIT_FSIZE, &was);
    int in = documents_in(a->store, folder);
    char words[192];
    snprintf(words, sizeof words, in == 1 ? "(%d file added (" : "(%d files added (", in);
    CHECK_MSG(in >= before && in < N && s.errors > errors, "%d in, notes: %s", in, s.notes.p ? s.notes.p : "");
    CHECK_MSG(s.notes.p && strstr(s.notes.p, words), "%d in, notes: %s", in, s.notes.p ? s.notes.p : "");
    snprintf(words, sizeof words, "; %s takes the rest)", command);
    CHECK_MSG(s.notes.p && strstr(s.notes.p, words), "%s", s.notes.p ? s.notes.p : "");
    agt_submit(a, command);
    all_done(a, &s);
    CHECK_INT(documents_in(a->store, folder), N);
    CHECK_INT(mem_check(a->store, err), 0);
    agt_close(a);
    seen_clear(&s);
}

/* What line mode lists as CONVERSATION:MESSAGE leads to the message. */
static void open_leads_to_a_message(void)
{
    seen s = { 0 };
    char command[64];
    int64_t first;
    agt *a = open_room(&s);
    int64_t chat = converse(a->store, "marked", "which message is meant", &first);
    snprintf(command, sizeof command, "/open %lld:%lld", (long long)chat, (long long)first);
    agt_submit(a, command);
    all_done(a, &s);
    CHECK_INT(s.chat, chat);
    CHECK_INT(s.meant, first);
    snprintf(command, sizeof command, "/open %lld", (long long)chat);
    agt_submit(a, command);
    all_done(a, &s);
    CHECK_INT(s.meant, 0);
    int errors = s.errors;
    agt_submit(a, "/open 1:x");
    all_done(a, &s);
    CHECK_INT(s.errors, errors + 1);
    agt_close(a);
    seen_clear(&s);
}

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    setenv("QUORUM_MODELS", "/nonexistent", 1);
    if (!mkdtemp(dir))
        return 1;
    setenv("HOME", dir, 1);
    snprintf(db, sizeof db, "%s/quorum.db", dir);
    RUN(deletion_deletes);
    RUN(deletion_stops_its_answer);
    RUN(only_what_was_asked_about_goes);
    RUN(forgetting_is_kept);
    RUN(forgetting_is_shown);
    RUN(edits_survive_long_errands);
    RUN(killed_errands_go_on);
    RUN(killed_errands_keep_their_order);
    RUN(a_killed_again_is_said);
    RUN(a_waiting_again_is_said);
    RUN(a_full_disk_during_add_says_what_is_in);
    RUN(open_leads_to_a_message);
    RUN(find_does_not_wait_for_add);
    char *rm = q_printf("rm -rf %s", dir);
    if (system(rm) != 0)
        printf("# %s is left\n", dir);
    free(rm);
    return TEST_END();
}
