/* rag/import/child: the program that reads for us and its bounds: documents and archives that mean harm (tests/golden/hostile/make.py) cost
 * themselves alone, and a program that crashes, floods, stands still or lies costs one file: the next is read by another. */
#include "rag/import/child.h"
#include "rag/rag.h"
#include "rag/read.h"
#include "tests/memory_help.h"
#include "tests/packed.h"

#include <dirent.h>
#include <fcntl.h>
#include <iconv.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SHADOWED = 1 };
#else
enum { SHADOWED = 0 };
#endif

#ifdef __SANITIZE_THREAD__
enum { WRITES = 1 };                    /* see rag/import/held.c */
#else
enum { WRITES = 0 };
#endif

static const char GOOD[] = "<h1>Herons</h1><p>They eat fish.</p>";

static bool good(rag_child *c)
{
    q_buf b = {0};
    q_buf_puts(&b, GOOD);
    const char *why = rag_child_document(c, true, &b);
    bool is = !why && strcmp(b.p, "# Herons\n\nThey eat fish.\n\n") == 0;
    if (!is) printf("# a good page: %s\n", why ? why : b.p);
    q_buf_free(&b);
    return is;
}

/* ---- what means harm ---- */
static void documents_that_mean_harm_cost_themselves_alone(void)
{
    /* want: in the text, or in the reason where it is refused; never: not in it. */
    static const struct { const char *name; bool refused; const char *want, *never; } t[] = {
        {"xxe-file.docx", false, "before", "root:"}, {"xxe-net.docx", false, "before", NULL}, {"xxe-parameter.docx", false, "before", "root:"},
        {"xxe.html", false, "after", "root:"}, {"xxe.odt", false, "before", "root:"},
        {"laughs.docx", true, "", "lollol"}, {"laughs-attribute.docx", true, "", "lollol"}, {"quadratic.odt", true, "", "xxxx"},
        {"deep.docx", false, "before", NULL}, {"deep.html", false, "the bottom", NULL}, {"wide.html", false, "wide", NULL},
        {"odd.html", false, "tag", NULL}, {"odd.html", false, "a < b & c &amp d", NULL}, {"odd.html", false, "end", NULL},
        {"says-koi8.html", false, "Сокол завис.", NULL}, {"says-nonsense.html", false, "plain words", NULL}, {"says-utf8.html", false, "Сокол завис над лугом", NULL},
        {"says-koi8.docx", false, "before сокол after", NULL}, {"says-nonsense.docx", false, "before words after", NULL}, {"utf16.docx", false, "before сокол after", NULL},
        {"says-latin.epub", false, "Сокол завис.", NULL},
        {"locked.docx", true, "password", NULL}, {"locked.zip", true, "neither DOCX", NULL}, {"outside.epub", true, "neither DOCX", NULL},
        {"nested.zip", true, "neither DOCX", NULL}, {"bomb-many.docx", false, "before few words after", NULL}, {"cut.zip", true, "loaded to its end", NULL}};
    rag_child *c = rag_child_new(NULL);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char *path = q_printf("tests/golden/hostile/%s", t[i].name);
        q_buf b = {0};
        enum rag_form form;
        OK(q_read_file(packed(path), &b, 1 << 24, err));
        const char *why = rag_read(c, path, &b, &form), *said = why ? why : b.p;
        /* what damage ends early may be refused, or be what stands before it: never what is hidden behind it */
        bool may = t[i].refused && !*t[i].want;
        CHECK_MSG(may || (why != NULL) == t[i].refused, "%s: %.200s", t[i].name, said);
        CHECK_MSG(strstr(said, t[i].want) != NULL, "%s: %.200s", t[i].name, said);
        CHECK_MSG(why || !t[i].never || !strstr(b.p, t[i].never), "%s: %.200s", t[i].name, said);
        CHECK_MSG(good(c), "behind %s", t[i].name);
        q_buf_free(&b);
        free(path);
    }
    rag_child_free(c);
}

static rag_progress added(const char *path, int want, const char *sentence)
{
    mem_store *s;
    rag_progress p = {0};
    OK(mem_open(":memory:", &s, err));
    int rc = rag_add(s, path, NULL, &p, err);
    CHECK_MSG(rc == want, "%s: %d %s", path, rc, err);
    CHECK_MSG(!sentence || strstr(err, sentence), "%s: %s", path, err);
    mem_close(s);
    return p;
}

static void archives_that_mean_harm_cost_themselves_alone(void)
{
    added("tests/golden/hostile/locked.zip", Q_FORMAT, "neither DOCX");
    added("tests/golden/hostile/nested.zip", Q_FORMAT, "neither DOCX");
    added("tests/golden/hostile/nested-name.zip", Q_FORMAT, "neither DOCX");
    added(packed("tests/golden/hostile/bomb.zip"), Q_FORMAT, "neither DOCX");
    added("tests/golden/hostile/cut.zip", Q_FORMAT, "loaded to its end");
    /* a name that leads elsewhere is a name: what it names is read, nothing is written */
    struct stat st;
    CHECK_INT(added("tests/golden/hostile/outside.zip", Q_OK, NULL).chats, 2);
    CHECK(stat("tests/golden/outside", &st) != 0 && stat("../outside", &st) != 0 && stat("/etc/conversations.json", &st) != 0);
}

static void u16(q_buf *b, unsigned v) { q_buf_putc(b, (char)v), q_buf_putc(b, (char)(v >> 8)); }
static void u32(q_buf *b, uint32_t v) { u16(b, v & 0xFFFF), u16(b, v >> 16); }

/* Members without a byte, each by a name of its own. */
static void a_million_members_are_refused(void)
{
    enum { MANY = 1000000 };
    q_buf all = {0}, list = {0};
    for (int i = 0; i < MANY; i++) {
        char name[16];
        uint32_t at = (uint32_t)all.len;
        int n = snprintf(name, sizeof name, "%d.json", i);
        u32(&all, 0x04034b50), u16(&all, 20), u16(&all, 0), u16(&all, 0), u32(&all, 0), u32(&all, 0), u32(&all, 0), u32(&all, 0), u16(&all, (unsigned)n), u16(&all, 0);
        q_buf_add(&all, name, (size_t)n);
        u32(&list, 0x02014b50), u16(&list, 20), u16(&list, 20), u16(&list, 0), u16(&list, 0), u32(&list, 0), u32(&list, 0), u32(&list, 0), u32(&list, 0), u16(&list, (unsigned)n);
        u16(&list, 0), u16(&list, 0), u16(&list, 0), u16(&list, 0), u32(&list, 0), u32(&list, at);
        q_buf_add(&list, name, (size_t)n);
    }
    uint32_t at = (uint32_t)all.len;
    q_buf_add(&all, list.p, list.len);
    u32(&all, 0x06054b50), u16(&all, 0), u16(&all, 0), u16(&all, 0xFFFF), u16(&all, 0xFFFF), u32(&all, (uint32_t)list.len), u32(&all, at), u16(&all, 0);
    OK(q_write_file_atomic(file("many.zip"), all.p, all.len, err));
    q_buf_free(&all);
    q_buf_free(&list);
    rag_child *c = rag_child_new(NULL);
    int fd = open(file("many.zip"), O_RDONLY | O_CLOEXEC), seen = 0;
    const char *why = rag_child_archive(c, fd);
    for (char *name; !why && (name = rag_child_next(c, &why)) != NULL; free(name)) seen++;
    CHECK_INT(seen, 100000);
    CHECK_MSG(why && strstr(why, "more files than"), "%s", why ? why : "no word");
    CHECK(good(c));
    rag_child_free(c);
    close(fd);
    unlink(file("many.zip"));
}

/* ---- a program that fails ---- */
static const char *script(const char *text)
{
    static char *path;
    char *whole = q_printf("#!/bin/sh\n%s\n", text);
    free(path);
    path = q_strdup(file("reader"));
    unlink(path);
    OK(q_write_file_atomic(path, whole, strlen(whole), err));
    CHECK_INT(chmod(path, 0700), 0);
    free(whole);
    return path;
}

static void a_program_that_fails_costs_one_file(void)
{
    /* what it says goes to descriptor 3; h\001 is its hello, y yes, d data, n\000 the end */
    static const struct { const char *script, *why; int stall_ms, cpu_s; size_t out; } t[] = {
        {"exit 1", "more work or memory", 0, 0, 0}, {"exit 127", "install libxml2", 0, 0, 0}, {"kill -SEGV $$", "more work or memory", 0, 0, 0}, {"printf 'h\\002' >&3; sleep 60", "of another quorum", 0, 0, 0},
        {"printf 'garbage of many bytes' >&3; sleep 60", "of another quorum", 0, 0, 0}, {"exec sleep 1000", "stands still", 200, 0, 0}, {"printf 'h\\001' >&3; exec sleep 1000", "stands still", 200, 0, 0},
        {"printf 'h\\001' >&3; printf 'q' >&3; exec sleep 1000", "what cannot be", 0, 0, 0}, {"printf 'h\\001' >&3; printf 'n\\377' >&3; exec sleep 1000", "what cannot be", 0, 0, 0},
        {"printf 'h\\001' >&3; printf 'ny' >&3; exec sleep 1000", "what cannot be", 0, 0, 0}, {"printf 'h\\001' >&3; printf 'y' >&3; printf 'n\\000' >&3; exec sleep 1000", "no words", 0, 0, 0},
        {"printf 'h\\001' >&3; printf 'y' >&3; while :; do printf 'dflood of words' >&3; done", "than any document", 0, 0, 1000}, {"while :; do :; done", "more work or memory", 0, 1, 0},
        {"echo x > \"${0%/*}/written\" && printf 'h\\002' >&3 && exec sleep 1000; exit 1", "more work or memory", 0, 0, 0}};
    for (size_t i = 0; i < sizeof t / sizeof *t - WRITES; i++) {     /* the last one writes */
        rag_child_opts o = {.program = script(t[i].script), .limits = child_ordinary};
        if (t[i].stall_ms) o.limits.stall_ms = t[i].stall_ms;
        if (t[i].cpu_s) o.limits.cpu_s = t[i].cpu_s;
        if (t[i].out) o.limits.out = t[i].out;
        rag_child *c = rag_child_new(&o);
        q_buf b = {0};
        q_buf_puts(&b, GOOD);
        const char *why = rag_child_document(c, true, &b);
        CHECK_MSG(why && strstr(why, t[i].why), "%s: %s", t[i].script, why ? why : b.p);
        CHECK_STR(b.p, GOOD);
        rag_child_free(c);
        q_buf_free(&b);
    }
    rag_child *c = rag_child_new(&(rag_child_opts){.program = "/nowhere/quorum-readers"});
    q_buf b = {0};
    q_buf_puts(&b, GOOD);
    const char *why = rag_child_document(c, true, &b);
    CHECK(why && strstr(why, "not beside quorum") && rag_child_starts(c) == 0);
    q_buf_free(&b);
    rag_child_free(c);
}

/* The first three die at once; who is asked then is the real one. */
static void after_a_crash_another_reads_on(void)
{
    char *own = q_own_program("quorum-readers"), *text = q_printf("for i in 1 2 3; do [ -e \"${0%%/*}/died$i\" ] || { mkdir \"${0%%/*}/died$i\"; kill -SEGV $$; }; done; exec %s", own);
    CHECK(own != NULL);
    rag_child *c = rag_child_new(&(rag_child_opts){.program = script(text)});
    for (int i = 0; i < 3; i++) {
        q_buf b = {0};
        q_buf_puts(&b, GOOD);
        CHECK(rag_child_document(c, true, &b) != NULL);
        q_buf_free(&b);
    }
    CHECK(good(c) && good(c));
    CHECK_INT(rag_child_starts(c), 4);
    rag_child_free(c);
    free(text);
    free(own);
}

/* A document that grows beyond the memory there is ends the program, not us. */
static void memory_has_an_end(void)
{
    rag_child_opts o = {.limits = child_ordinary};
    o.limits.memory = 90 << 20;              /* it starts with 25 to 45, and the text of this one needs more than 64 */
    rag_child *c = rag_child_new(&o);
    q_buf b = {0};
    CHECK(good(c));
    OK(q_read_file(packed("tests/golden/readers/bomb.docx"), &b, 1 << 24, err));
    const char *why = rag_child_document(c, false, &b);
    CHECK_MSG(why && strstr(why, "more work or memory"), "%s", why ? why : "it was read");
    CHECK(good(c));
    CHECK_INT(rag_child_starts(c), 2);
    rag_child_free(c);
    q_buf_free(&b);
}

/* ---- wanted no more ---- */
struct asked { int n, until; };
static bool until(void *user)
{
    struct asked *a = user;
    return ++a->n < a->until;
}

/* Does a process with this argument run? */
static bool runs(const char *argument)
{
    DIR *d = opendir("/proc");
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d)) != NULL;) {
        char path[300], line[512];
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        int fd = *e->d_name >= '0' && *e->d_name <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line);
        found = n > 0 && memmem(line, (size_t)n, argument, strlen(argument)) != NULL;
        if (fd >= 0) close(fd);
    }
    if (d) closedir(d);
    return found;
}

static void who_is_wanted_no_more_is_ended_with_all_it_started(void)
{
    char *mark = q_printf("9%d.25", (int)getpid()), *text = q_printf("sleep %s & printf 'h\\001' >&3; exec sleep %s", mark, mark);
    struct asked a = {.until = 3};
    rag_child *c = rag_child_new(&(rag_child_opts){.go = until, .user = &a, .program = script(text)});
    q_buf b = {0};
    q_buf_puts(&b, GOOD);
    CHECK(rag_child_document(c, true, &b) != NULL);
    CHECK(rag_child_stopped(c));
    CHECK_INT(a.n, 3);
    for (int i = 0; i < 600 && runs(mark); i++) nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    CHECK(!runs(mark));
    rag_child_free(c);
    q_buf_free(&b);
    free(text);
    free(mark);
}

/* Who talks without a pause is asked about as often. */
static void who_never_stops_talking_is_ended_too(void)
{
    const char *flood = script("printf 'h\\001' >&3; printf 'y' >&3; while :; do printf 'dflood of words' >&3; done");
    for (int at = 1; at < 40; at += 6) {
        struct asked a = {.until = at};
        rag_child *c = rag_child_new(&(rag_child_opts){.go = until, .user = &a, .program = flood, .limits = child_ordinary});
        q_buf b = {0};
        q_buf_puts(&b, GOOD);
        const char *why = rag_child_document(c, true, &b);
        CHECK_MSG(why && strcmp(why, "stopped") == 0 && rag_child_stopped(c), "%d: %s", at, why ? why : b.p);
        CHECK_INT(a.n, at);
        rag_child_free(c);
        q_buf_free(&b);
    }
}

/* A batch is one program; more files than one may serve are two. */
static void one_serves_a_batch(void)
{
    rag_child *c = rag_child_new(NULL);
    int bad = 0;
    for (int i = 0; i < 510 && !bad; i++) bad += !good(c);
    CHECK_INT(bad, 0);
    CHECK_INT(rag_child_starts(c), 2);
    rag_child_free(c);
}

/* ---- calls of the system ---- */
static void opens_a_socket(void) { if (socket(AF_INET, SOCK_STREAM, 0) >= 0) _exit(8); }
static void opens_a_pair(void) { int p[2]; if (socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0) _exit(8); }
static void starts_a_program(void) { execl("/bin/true", "true", (char *)NULL); }
static void becomes_two(void) { if (fork() >= 0) _exit(8); }
static void writes_a_file(void) { if (open(file("scribbled"), O_WRONLY | O_CREAT, 0600) >= 0) _exit(8); }
static void writes_a_file_that_is_there(void) { if (open(file("there"), O_RDWR) >= 0) _exit(8); }
static void removes_a_file(void) { unlink(file("there")); }
static void lists_a_folder(void) { opendir("/"); }
static void signals_another(void) { kill(getppid(), 0); }
static void looks_into_another(void) { ptrace(PTRACE_TRACEME, 0, NULL, NULL); }
static void makes_code(void) { if (mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) _exit(8); }
static void bounds_another(void) { struct rlimit l; prlimit(getppid(), RLIMIT_CPU, NULL, &l); }
static void sets_the_clock(void) { struct timespec t = {1, 0}; clock_settime(CLOCK_REALTIME, &t); }

static void reads(void)
{
    char b[16];
    int fd = open(file("there"), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, b, sizeof b) != 5 || lseek(fd, 0, SEEK_SET) != 0 || close(fd) != 0) _exit(8);
}
static void takes_memory(void)
{
    char *p = q_alloc(8 << 20);
    memset(p, 1, 8 << 20);
    p = q_realloc(p, 64 << 20);
    free(p);
}
static void reads_old_letters(void)
{
    static const char *const sets[] = {"KOI8-R", "WINDOWS-1251", "IBM866", "SHIFT_JIS", "GB18030", "ISO-8859-5", "NONSUCH-1"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        iconv_t c = iconv_open("UTF-8", sets[i]);
        if (c != (iconv_t)-1) iconv_close(c);
    }
}
static void allows_itself_more_work(void) { held_work(30); }

static void what_reading_does_not_need_ends_it(void)
{
    static const struct { const char *name; void (*act)(void); bool ends; } t[] = {
        {"opens a socket", opens_a_socket, true}, {"opens a pair", opens_a_pair, true}, {"starts a program", starts_a_program, true}, {"becomes two", becomes_two, true},
        {"writes a file", writes_a_file, true}, {"writes a file that is there", writes_a_file_that_is_there, true}, {"removes a file", removes_a_file, true}, {"lists a folder", lists_a_folder, true},
        {"signals another", signals_another, true}, {"looks into another", looks_into_another, true}, {"makes code", makes_code, true}, {"bounds another", bounds_another, true},
        {"sets the clock", sets_the_clock, true}, {"reads", reads, false}, {"takes memory", takes_memory, false}, {"reads old letters", reads_old_letters, false}, {"allows itself more work", allows_itself_more_work, false}};
    OK(q_write_file_atomic(file("there"), "words", 5, err));
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        int status = 0;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            struct rlimit none = {0, 0};
            setrlimit(RLIMIT_CORE, &none);
            if (!held_calls()) _exit(9);
            t[i].act();
            _exit(0);
        }
        while (waitpid(pid, &status, 0) < 0) {}
        CHECK_MSG(t[i].ends ? WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS : WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: %x", t[i].name, (unsigned)status);
    }
    CHECK(access(file("scribbled"), F_OK) != 0 && access(file("there"), F_OK) == 0);
}

/* The program itself runs so: the system says it of our child. */
static void the_readers_are_held_so(void)
{
    char path[128], children[64] = "", line[8192] = "";
    rag_child *c = rag_child_new(NULL);
    CHECK(good(c));
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, children, sizeof children - 1);
    if (fd >= 0) close(fd);
    snprintf(path, sizeof path, "/proc/%ld/status", n > 0 ? strtol(children, NULL, 10) : 0);
    fd = n > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    if (fd >= 0) close(fd);
    if (n <= 0 || !strstr(line, "Seccomp:")) SKIP("the_system_says_it", "/proc does not tell of children here");
    else CHECK_MSG(strstr(line, "Seccomp:\t2"), "%s", line);
    rag_child_free(c);
}

int main(void)
{
    if (!memory_begin("held")) return 1;
    RUN(documents_that_mean_harm_cost_themselves_alone);
    RUN(archives_that_mean_harm_cost_themselves_alone);
    RUN(a_million_members_are_refused);
    RUN(a_program_that_fails_costs_one_file);
    RUN(after_a_crash_another_reads_on);
    if (SHADOWED) SKIP("memory_has_an_end", "a sanitizer takes all addresses there are");
    else RUN(memory_has_an_end);
    if (!held_calls_work()) SKIP("what_reading_does_not_need_ends_it", "no filter of calls here: a sanitizer, another machine, or a kernel that refuses it");
    else {
        RUN(what_reading_does_not_need_ends_it);
        RUN(the_readers_are_held_so);
    }
    RUN(who_is_wanted_no_more_is_ended_with_all_it_started);
    RUN(who_never_stops_talking_is_ended_too);
    RUN(one_serves_a_batch);
    return memory_end();
}
