/* rag/walk while somebody changes the folder under it: what was put in a name's place is not followed out of the folder, and
 * a pipe is not waited for. The changes come at a chosen step of the walk. */
#include "rag/rag.h"
#include "rag/walk.h"
#include "tests/test.h"

#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/quorum-walk-XXXXXX", root[64], err[Q_ERRLEN];

static char *at(const char *name)
{
    static char b[4][256];
    static int i;
    i = (i + 1) % 4;
    snprintf(b[i], sizeof b[i], "%s/%s", dir, name);
    return b[i];
}

static void put(const char *name, const char *text) { CHECK_INT(q_write_file_atomic(at(name), text, strlen(text), err), Q_OK); }

/* in: a.txt, b.txt, sub/c.txt, tub/c.txt; out: what must not be seen. */
static void build(void)
{
    char *c = q_printf("rm -rf %s/in %s/out && mkdir -p %s/in/sub %s/in/tub %s/out", dir, dir, dir, dir, dir);
    CHECK_INT(system(c), 0);
    free(c);
    put("in/a.txt", "a text about kestrels");
    put("in/b.txt", "a text about owls");
    put("in/sub/c.txt", "a text about larks");
    put("in/tub/c.txt", "a text about wrens");
    put("out/c.txt", "the secret of zyxqvut");
}

struct told { int files, closed, links, secret; void (*act)(void); const char *when; };
static bool tell(void *user, const struct walk_entry *e)
{
    struct told *t = user;
    t->files += e->what == WALK_FILE;
    t->closed += e->what == WALK_CLOSED;
    t->links += e->what == WALK_LINK;
    if (e->what == WALK_FILE && t->act && strstr(e->path, t->when)) t->act();
    if (e->what != WALK_FILE) return true;
    q_buf b = {0};
    int fd = rag_open_below(root, e->path, false);
    if (fd >= 0) {
        CHECK_INT(q_read_fd(fd, e->path, &b, 1 << 20, err), Q_OK);
        close(fd);
        t->secret += b.len && strstr(b.p, "secret");
    }
    q_buf_free(&b);
    return true;
}

static void swap(const char *folder)
{
    CHECK_INT(rename(folder, at("in-sub")), 0);
    CHECK_INT(symlink(at("out"), folder), 0);
}

static void swap_folder(void) { swap(at("in/sub")); }
static void swap_next(void) { swap(at("in/tub")); }

static void swap_file(void)
{
    unlink(at("in/b.txt"));
    CHECK_INT(symlink(at("out/c.txt"), at("in/b.txt")), 0);
}

static void a_link_put_there_meanwhile_is_not_followed(void)
{
    static const struct { void (*act)(void); const char *when; int files, closed; } t[] = {
        { NULL, "", 4, 0 }, { swap_folder, "a.txt", 3, 0 }, { swap_file, "a.txt", 3, 0 }, { swap_next, "sub/c.txt", 3, 1 }, { swap_folder, "sub/c.txt", 4, 0 } };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        build();
        struct told told = { .act = t[i].act, .when = t[i].when };
        rag_walk(root, tell, &told);
        CHECK_INT(told.files, t[i].files);
        CHECK_INT(told.closed, t[i].closed);
        CHECK_INT(told.secret, 0);
        char *c = q_printf("rm -rf %s/in-sub", dir);
        CHECK_INT(system(c), 0);
        free(c);
    }
}

/* Between the look at a file and its opening. */
static void what_is_opened_is_what_was_looked_at(void)
{
    static const char *const make[] = { "ln -s ../out/c.txt in/b.txt", "mkfifo in/b.txt", "mkdir in/b.txt", "true", "mv in/sub s && ln -s ../out in/sub" };
    for (size_t i = 0; i < sizeof make / sizeof *make; i++) {
        build();
        char *c = q_printf("cd %s && rm in/b.txt && %s", dir, make[i]);
        CHECK_INT(system(c), 0);
        free(c);
        int fd = rag_open_below(root, at(i == 4 ? "in/sub/c.txt" : "in/b.txt"), false);
        struct stat st;
        CHECK_MSG(fd < 0 || (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)), "%s was opened", make[i]);
        if (fd >= 0) close(fd);
        c = q_printf("rm -rf %s/s", dir);
        CHECK_INT(system(c), 0);
        free(c);
    }
    build();
    CHECK(rag_open_below(root, at("in/sub/none.txt"), false) < 0);
    for (int i = 0; i < 3; i++) {
        int fd = rag_open_below(root, at(i == 0 ? "in" : i == 1 ? "in/sub" : "in/sub/c.txt"), i < 2);
        CHECK(fd >= 0);
        if (fd >= 0) close(fd);
    }
}

/* Taking a folder in while it changes: nothing from outside is in memory, and the rest is. */
static bool change(void *user, const rag_progress *p)
{
    void (**act)(void) = user;
    if (*act && p->seen == (*act == swap_next ? 3 : 1)) {
        (*act)();
        *act = NULL;                    /* once */
    }
    return true;
}

static void nothing_from_outside_is_taken(void)
{
    void (*const act[])(void) = { swap_folder, swap_file, swap_next };
    for (size_t i = 0; i < sizeof act / sizeof *act; i++) {
        build();
        mem_store *s = NULL;
        rag_progress p = {0};
        rag_result *r = NULL;
        rag_config c = rag_config_default();
        void (*f)(void) = act[i];
        rag_add_opts o = { .progress = change, .user = &f };
        CHECK_INT(mem_open(":memory:", &s, err), Q_OK);
        CHECK_INT(rag_add(s, root, &o, &p, err), Q_OK);
        CHECK_INT(p.added, 3);
        CHECK_INT(rag_search(s, &c, "zyxqvut", NULL, &r, err), Q_OK);
        CHECK_INT(r ? r->n : -1, 0);
        rag_result_free(r);
        mem_close(s);
        char *rm = q_printf("rm -rf %s/in-sub", dir);
        CHECK_INT(system(rm), 0);
        free(rm);
    }
}

/* A folder or a file that a link leads to outside is not taken, and that is said; what lies inside comes by itself, a circle and a link to
 * nothing are nobody's loss. */
static void links_that_lead_out_are_told(void)
{
    static const struct { const char *to, *name; } t[] = {{"out", "in/linked"}, {"out/c.txt", "in/linked.txt"}, {"in/sub", "in/inside"}, {"", "in/up"}, {"in", "in/itself"}, {"nothing", "in/broken"}};
    struct told told = {0};
    build();
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) CHECK_INT(symlink(at(t[i].to), at(t[i].name)), 0);
    CHECK(rag_walk(root, tell, &told));
    CHECK_INT(told.links, 2);
    CHECK_INT(told.secret, 0);
    mem_store *s;
    rag_progress p;
    CHECK_INT(mem_open(":memory:", &s, err), Q_OK);
    CHECK_INT(rag_add(s, root, NULL, &p, err), Q_OK);
    CHECK_INT(p.added, told.files);
    CHECK_INT(p.skipped, 0);
    CHECK_INT(p.n_skip, 1);
    CHECK_INT(p.skip[0].n, 2);
    CHECK(strstr(p.skip[0].why, "a link to somewhere else") != NULL);
    mem_close(s);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) unlink(at(t[i].name));
}

static bool is_gone(mem_store *s, const char *name)
{
    mem_document d;
    CHECK_INT(mem_document_by_path(s, at(name), &d, err), Q_OK);
    bool gone = d.gone_ms != 0;
    mem_document_free(&d);
    return gone;
}

/* A folder under another name: what it said under the old one is not fed beside what it says now, also where that was changed meanwhile. What
 * is still there is. */
static void a_renamed_folder_is_one_folder(void)
{
    mem_store *s;
    rag_progress p;
    build();
    CHECK_INT(mem_open(":memory:", &s, err), Q_OK);
    CHECK_INT(rag_add(s, root, NULL, &p, err), Q_OK);
    CHECK_INT(rename(at("in/sub"), at("out/other")), 0);
    CHECK_INT(rag_add(s, at("out/other"), NULL, &p, err), Q_OK);
    CHECK_INT(p.added, 1);
    CHECK_INT(p.gone, 1);
    CHECK(is_gone(s, "in/sub/c.txt") && !is_gone(s, "out/other/c.txt") && !is_gone(s, "in/a.txt"));
    CHECK_INT(rename(root, at("new")), 0);
    put("new/b.txt", "what was changed meanwhile");
    CHECK_INT(rag_add(s, at("new"), NULL, &p, err), Q_OK);
    CHECK_INT(p.gone, 3);
    CHECK(is_gone(s, "in/a.txt") && is_gone(s, "in/b.txt") && is_gone(s, "in/tub/c.txt") && !is_gone(s, "new/b.txt") && !is_gone(s, "out/other/c.txt"));
    mem_close(s);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    snprintf(root, sizeof root, "%s/in", dir);
    RUN(a_link_put_there_meanwhile_is_not_followed);
    RUN(what_is_opened_is_what_was_looked_at);
    RUN(nothing_from_outside_is_taken);
    RUN(links_that_lead_out_are_told);
    RUN(a_renamed_folder_is_one_folder);
    char *rm = q_printf("rm -rf %s", dir);
    int rc = system(rm);
    free(rm);
    return rc ? 1 : TEST_END();
}
