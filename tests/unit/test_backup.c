/* memory/backup: a backup is whole or none, whatever is killed and whatever is forgotten at which step of it; what another process makes
 * is its own, what a dead one left is nobody's. */
#include "tests/store_help.h"

#include <glob.h>
#include <signal.h>
#include <sys/wait.h>

static const char SECRET[] = "zzqsecret", STAYS[] = "the kestrel hovers";

static mem_store *filled(const char *path)
{
    enum { BULK = 1100000 };
    mem_store *s = NULL;
    int64_t chat, id;
    char *bulk = q_alloc(BULK + 1), *rm = q_printf("rm -f '%s'*", path);
    CHECK_INT(system(rm), 0);
    free(rm);
    memset(bulk, 'a', BULK);
    OK(mem_open(path, &s, err));
    OK(mem_conversation_new(s, "stays", &chat, err));
    OK(mem_message_add(s, chat, 0, MEM_USER, STAYS, strlen(STAYS), &id, err));
    OK(mem_message_add(s, chat, id, MEM_SYSTEM, bulk, BULK, &id, err));     /* several steps of a copy */
    OK(mem_conversation_new(s, "goes", &chat, err));
    OK(mem_message_add(s, chat, 0, MEM_USER, SECRET, strlen(SECRET), &id, err));
    CHECK_INT(chat, 2);
    free(bulk);
    return s;
}

static void copy_of(const char *from, const char *to)
{
    q_buf b = {0};
    char *rm = q_printf("rm -f '%s'*", to);
    CHECK_INT(system(rm), 0);
    free(rm);
    OK(q_read_file(from, &b, 1 << 28, err));
    OK(q_write_file_atomic(to, b.p, b.len, err));
    q_buf_free(&b);
}

static void count_it(void *user, const mem_found *f) { ++*(int *)user; }

/* Files of the store in which a text stands. */
static int stands(const char *path, const char *text)
{
    int n = 0, files, unread, rc = mem_verify_absent(path, text, count_it, &n, &files, &unread, err);
    CHECK_MSG(rc >= 0, "%s", err);
    return n;
}

static int parts(const char *path)
{
    glob_t g;
    char *pattern = q_printf("%s.backup-*.part*", path);
    int n = glob(pattern, 0, NULL, &g) == 0 ? (int)g.gl_pathc : 0;
    if (n) globfree(&g);
    free(pattern);
    return n;
}

static int backups(const char *path)
{
    mem_backups l;
    OK(mem_backup_list(path, &l, err));
    int n = l.n;
    mem_backups_free(&l);
    return n;
}

/* Somebody forgets at the forget-th time that the lock is free, and a kill comes at the kill-th statement behind that (0: none). */
struct acting { const char *path; int forget, kill, unlocked, after; bool busy, forgot; };

static void forget(struct acting *x)
{
    mem_store *other = NULL;
    x->busy = true;
    OK(mem_open(x->path, &other, err));
    OK(mem_conversation_delete(other, 2, err));
    OK(mem_tidy(other, NULL, NULL, err));
    mem_close(other);
    x->busy = false;
    x->forgot = true;
}

static void on_unlocked(void *user, mem_store *s, int64_t rows)
{
    struct acting *x = user;
    if (!x->busy && ++x->unlocked == x->forget) forget(x);
}

static void on_statement(void *user, const char *sql)
{
    struct acting *x = user;
    if (!x->busy && (x->forgot || !x->forget) && ++x->after == x->kill) raise(SIGKILL);
}

enum { MADE, NOT_MADE, KILLED };

static int backed_up(const char *path, int forget_at, int kill_at, bool *forgot)
{
    int out[2], st = 0;
    char said = 0;
    CHECK_INT(pipe(out), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        test_bad = 0;
        struct acting x = {.path = path, .busy = true};
        store_watch w = {.user = &x, .unlocked = on_unlocked, .statement = on_statement};
        mem_store *s = NULL;
        bool made = false;
        if (store_open(path, &w, &s, err) != Q_OK) _exit(9);
        x.forget = forget_at;
        x.kill = kill_at;
        x.busy = false;
        int rc = mem_backup_make(s, NULL, NULL, &made, err);
        x.busy = true;
        said = x.forgot ? 'f' : '-';
        if (write(out[1], &said, 1) != 1) _exit(9);
        if (rc != Q_OK) printf("# %s\n", err);
        fflush(stdout);
        mem_close(s);
        _exit(test_bad ? 9 : rc != Q_OK ? 9 : made ? MADE : NOT_MADE);
    }
    close(out[1]);
    while (waitpid(pid, &st, 0) < 0) {}
    if (read(out[0], &said, 1) != 1) said = 'k';
    close(out[0]);
    if (forgot) *forgot = said == 'f';
    CHECK_MSG((WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL) || (WIFEXITED(st) && WEXITSTATUS(st) <= NOT_MADE), "forgotten at %d, killed at %d: %x", forget_at, kill_at, (unsigned)st);
    return WIFSIGNALED(st) ? KILLED : WEXITSTATUS(st);
}

/* Whatever was left: the next start clears it, nothing of what was forgotten stands anywhere, and a backup holds the rest. */
static void is_in_order(const char *path, bool forgotten, const char *when, int a, int b)
{
    mem_store *s = NULL;
    bool made;
    OK(mem_open(path, &s, err));
    OK(mem_tidy(s, NULL, NULL, err));
    if (forgotten) CHECK_MSG(stands(path, SECRET) == 0, "%s %d %d: it stands in %d places", when, a, b, stands(path, SECRET));
    OK(mem_backup_make(s, NULL, NULL, &made, err));
    CHECK_MSG(parts(path) == 0, "%s %d %d: %d parts are left", when, a, b, parts(path));
    CHECK_MSG(backups(path) == 1, "%s %d %d: %d backups", when, a, b, backups(path));
    if (forgotten) CHECK_MSG(stands(path, SECRET) == 0, "%s %d %d: the next backup holds it", when, a, b);
    mem_close(s);
}

static void a_kill_at_each_step_leaves_a_whole_one_or_none(void)
{
    char *whole = q_strdup(file("whole.db")), *path = q_strdup(file("kill.db"));
    int kills = 0, made = KILLED;
    mem_close(filled(whole));
    for (int k = 1; made == KILLED; k++) {
        copy_of(whole, path);
        made = backed_up(path, 0, k, NULL);
        kills += made == KILLED;
        is_in_order(path, false, "killed at", k, 0);
    }
    CHECK_INT(made, MADE);
    CHECK_MSG(kills >= 6, "only %d kills", kills);
    free(whole);
    free(path);
}

static void what_is_forgotten_at_any_step_is_in_no_backup(void)
{
    char *whole = q_strdup(file("whole.db")), *path = q_strdup(file("forget.db"));
    int steps = 0, none = 0;
    bool forgot = true;
    for (int at = 1; forgot; at++) {
        copy_of(whole, path);
        int made = backed_up(path, at, 0, &forgot);
        steps += forgot;
        none += made == NOT_MADE;
        is_in_order(path, forgot, "forgotten at", at, 0);
        /* and a kill at each step behind that */
        for (int k = 1, one = KILLED; forgot && one == KILLED; k++) {
            copy_of(whole, path);
            one = backed_up(path, at, k, NULL);
            is_in_order(path, true, "forgotten at, killed at", at, k);
        }
    }
    CHECK_MSG(steps >= 5 && none >= 2, "%d steps, %d times none was made", steps, none);
    free(whole);
    free(path);
}

/* A part of a process that runs is its own; of one that is gone it goes, also of what a restoring put aside and of an export's copy. */
static void parts_of_others(void)
{
    char *path = q_strdup(file("parts.db")), *mine = store_process_name((long)getppid());
    static const char *const left[] = {".backup-2026-01-02.999999999.part", ".backup-2026-01-02.999999999:1.part", ".backup-2026-01-02.replaced.999999999:1.part",
                                       ".backup-2026-01-02.replaced.2.999999999.part", ".backup-2026-01-02.999999999:1.part.export", ".backup-2026-01-02.999999999:1.part.restore-journal"};
    enum { LEFT_N = sizeof left / sizeof *left, RUNS_N = 3 };
    char *there[RUNS_N], *later = NULL;
    bool made;
    for (int round = 0; round < 2; round++) {
        mem_store *s = filled(path);
        for (int i = 0; i < LEFT_N; i++) {
            char *p = q_printf("%s%s", path, left[i]);
            OK(q_write_file_atomic(p, SECRET, strlen(SECRET), err));
            free(p);
        }
        for (int i = 0; i < RUNS_N; i++) {
            char *end = i == 0 ? q_printf(".backup-2026-01-02.%s.part", mine) : i == 1 ? q_printf(".backup-2026-01-02.replaced.%s.part", mine) : q_printf(".backup-2026-01-02.%s.part.export", mine);
            there[i] = q_printf("%s%s", path, end);
            OK(q_write_file_atomic(there[i], "b", 1, err));
            free(end);
        }
        if (round == 0) OK(mem_backup_make(s, NULL, NULL, &made, err));
        else {
            OK(mem_conversation_delete(s, 2, err));
            OK(mem_tidy(s, NULL, NULL, err));
            CHECK_INT(stands(path, SECRET), 0);
        }
        CHECK_INT(parts(path), RUNS_N);
        /* its number may be another process's by now: it is not that one's */
        if (round == 0) {
            later = q_printf("%s.backup-2026-01-02.%ld:1.part", path, (long)getppid());
            OK(q_write_file_atomic(later, "b", 1, err));
            OK(mem_backup_make(s, NULL, NULL, &made, err));
            CHECK(access(later, F_OK) != 0);
            free(later);
        }
        for (int i = 0; i < RUNS_N; i++) {
            CHECK(access(there[i], F_OK) == 0);
            free(there[i]);
        }
        mem_close(s);
    }
    free(mine);
    free(path);
}

int main(void)
{
    /* hundreds of stores, each on the disk before it goes on: in memory where there is such a folder */
    snprintf(dir, sizeof dir, "/dev/shm/quorum-backup-XXXXXX");
    if (!mkdtemp(dir) && !memory_begin("backup")) return 1;
    RUN(a_kill_at_each_step_leaves_a_whole_one_or_none);
    RUN(what_is_forgotten_at_any_step_is_in_no_backup);
    RUN(parts_of_others);
    return memory_end();
}
