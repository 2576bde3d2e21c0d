/* cli/keep: see keep.h. Single-threaded. */
#include "cli/keep.h"
#include "agent/agent.h"
#include "base/place.h"
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "memory/memory.h"
#include "rag/rag.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

bool memory_agreed(const memory_ask *a, const char *question)
{
    if (a->yes) return true;
    if (!isatty(0) || !isatty(2)) {          /* what it would have been is said all the same */
        const char *keys = strrchr(question, '[');          /* "[y/N] " */
        char *said = q_printf("%.*s\n", (int)(keys ? (size_t)(keys - question) : strlen(question)), question);
        q_say_text(stderr, said);
        free(said);
        q_say(stderr, "quorum: %s\n", _("nothing was changed: nobody can be asked here, so it takes --yes"));
        return false;
    }
    q_say_text(stderr, question);
    fflush(stderr);
    char line[64];
    /* TRANSLATORS: the letters that mean yes */
    bool yes = fgets(line, sizeof line, stdin) && (*line == 'y' || *line == 'Y' || (*line && strncmp(line, _("y"), strlen(_("y"))) == 0));
    if (!yes) q_say(stderr, "%s\n", _("nothing was changed"));
    return yes;
}

/* ---- forget ---- */
int memory_forget(struct mem_store *s, const memory_ask *a, char *err)
{
    q_buf what = {0};
    agt_forgetting f;
    char *said = NULL;
    mem_backups before = {0};
    for (int i = 0; i < a->n; i++) q_buf_printf(&what, "%s%s", i ? " " : "", a->rest[i]);
    int rc = agt_forget_find(s, what.p, &f, err);
    if (rc == Q_OK && a->json) q_say_json(stdout, f.data);
    char *question = rc == Q_OK ? q_printf("%s\n%s", f.question, "[y/N] ") : NULL;
    bool yes = rc == Q_OK && memory_agreed(a, question);
    if (yes) {
        rc = agt_forget(s, f.items, NULL, NULL, &said, err);
        if (!a->json && *said) {
            q_say_text(stdout, said);            /* what is gone, and on a line of its own what was not touched */
            q_say(stdout, "\n");
        }
        if (mem_backup_list(a->db, &before, err) != Q_OK) before.n = 0;
    }
    if (rc == Q_OK && yes && before.n) {         /* they are rewritten: erased with what they held, and one made of what is left */
        bool made;
        rc = mem_tidy(s, NULL, NULL, err);
        if (rc == Q_OK) rc = mem_backup_make(s, NULL, NULL, &made, err);
        if (rc == Q_RANGE) {
            q_say(stderr, "quorum: %s\n", err);
            rc = Q_OK;
        }
    }
    mem_backups_free(&before);
    free(question);
    free(said);
    agt_forgetting_free(&f);
    q_buf_free(&what);
    return rc != Q_OK ? cli_fail(err) : yes ? 0 : 1;
}

/* ---- verify ---- */
struct verifying { const memory_ask *a; int found; };

static void tell(void *user, const mem_found *f)
{
    struct verifying *v = user;
    v->found++;
    if (!f->where) q_say(stdout, _("%s: in its bytes, near %lld\n"), f->file, (long long)f->row);
    else if (f->row) q_say(stdout, ngettext("%s: %s, row %lld\n", "%s: %s, row %lld and %lld more\n", (unsigned long)f->n), f->file, f->where, (long long)f->row, (long long)f->n - 1);
    else q_say(stdout, "%s: %s\n", f->file, f->where);
}

/* As JSON writes it, where that differs; malloc'ed. */
static char *escaped(const char *text)
{
    q_buf b = {0};
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\') q_buf_putc(&b, '\\');
        if (*p == '\n') q_buf_puts(&b, "\\n");
        else if (*p == '\t') q_buf_puts(&b, "\\t");
        else q_buf_putc(&b, *p);
    }
    return q_buf_take(&b);
}

/* As libedit's file of lines does. */
static char *coded(const char *text)
{
    q_buf b = {0};
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p <= ' ' || *p >= 0x7f || *p == '\\') q_buf_printf(&b, "\\%03o", *p);
        else q_buf_putc(&b, (char)*p);
    }
    return q_buf_take(&b);
}

static int one_file(struct verifying *v, const char *file, const char *const text[], int n, char *err)
{
    int64_t at = -1;
    int rc = Q_OK;
    for (int i = 0; i < n && at < 0 && rc == Q_OK; i++) rc = mem_file_holds(file, text[i], &at, err);
    if (at >= 0) tell(v, &(mem_found){.file = file, .row = at, .n = 1});
    return rc;
}

/* A folder of quorum's with all below it, but for models, which are no person's words, and stores, which were looked through. */
static int folder(struct verifying *v, const char *path, int depth, const char *const text[], int n, int *files, char *err)
{
    static const char *const not[] = {"models", "embedders", "fetch"};
    DIR *d = depth < 4 ? opendir(path) : NULL;
    int rc = Q_OK;
    for (struct dirent *e; d && rc == Q_OK && (e = readdir(d));) {
        struct stat st;
        bool skip = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strncmp(e->d_name, "quorum.db", 9) == 0;
        for (size_t i = 0; i < sizeof not / sizeof *not; i++) skip |= depth == 0 && strcmp(e->d_name, not[i]) == 0;
        char *one = q_printf("%s/%s", path, e->d_name);
        if (!skip && lstat(one, &st) == 0 && S_ISDIR(st.st_mode)) rc = folder(v, one, depth + 1, text, n, files, err);
        else if (!skip && lstat(one, &st) == 0 && S_ISREG(st.st_mode)) rc = one_file(v, one, text, n, err), ++*files;
        free(one);
    }
    if (d) closedir(d);
    return rc;
}

/* What left for elsewhere, as far as it is still there: files, and folders of exports. */
static int outside(struct verifying *v, const char *const text[], int n, int *files, char *err)
{
    mem_outsides l;
    int rc = mem_outside_of(v->a->db, &l, err);
    for (int i = 0; i < l.n && rc == Q_OK; i++) {
        struct stat st;
        bool there = stat(l.v[i].path, &st) == 0;
        if (there && S_ISDIR(st.st_mode)) rc = folder(v, l.v[i].path, 1, text, n, files, err);
        else if (there && S_ISREG(st.st_mode)) rc = one_file(v, l.v[i].path, text, n, err), ++*files;
    }
    mem_outsides_free(&l);
    return rc;
}

int memory_verify(const memory_ask *a, char *err)
{
    struct verifying v = {.a = a};
    int files = 0, unread = 0, more, rc = mem_verify_absent(a->db, a->absent, tell, &v, &files, &unread, err);
    char *json = escaped(a->absent), *line = coded(a->absent);
    const char *const text[] = {a->absent, json, line};
    static const enum q_dir dirs[] = {Q_DIR_DATA, Q_DIR_STATE, Q_DIR_CONFIG, Q_DIR_CACHE};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && rc >= 0; i++) {
        char *path = q_user_path(dirs[i], "");
        size_t n = path ? strlen(path) : 0;
        if (n && path[n - 1] == '/') path[n - 1] = 0;
        more = path ? folder(&v, path, 0, text, 3, &files, err) : Q_OK;
        if (more < 0) rc = more;
        free(path);
    }
    if (rc >= 0 && (more = outside(&v, text, 3, &files, err)) < 0) rc = more;
    free(json);
    free(line);
    if (rc < 0) return cli_fail(err);
    if (unread) q_say(stderr, ngettext("quorum: %d table could not be read: only its bytes were looked through\n",
                                       "quorum: %d tables could not be read: only their bytes were looked through\n", (unsigned long)unread), unread);
    if (!v.found) q_say(stdout, ngettext("it stands nowhere: %d file was looked through, row by row and byte by byte\n",
                                         "it stands nowhere: %d files were looked through, row by row and byte by byte\n", (unsigned long)files), files);
    return v.found ? 1 : 0;
}

/* ---- export and import ---- */
void memory_unread(int n)
{
    q_say(stderr, ngettext("quorum: a part of the file could not be read: the rest is whole\n",
                           "quorum: %d parts of the file could not be read: the rest is whole\n", (unsigned long)n), n);
}

void memory_left(const memory_ask *a)
{
    char err[Q_ERRLEN], path[4096];
    struct stat st;
    mem_store *s = NULL;
    ssize_t n = fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) ? readlink("/proc/self/fd/1", path, sizeof path - 1) : -1;
    if (n <= 0 || mem_open(a->db, &s, err) != Q_OK) return;
    path[n] = 0;
    if (mem_outside_put(s, "export", path, err) != Q_OK) q_say(stderr, "quorum: %s\n", err);
    mem_close(s);
}

struct exporting { bool (*go)(void *user); };

static bool exported(void *user, const rag_exported *so_far)
{
    if (isatty(2)) q_say(stderr, "\r\033[K%lld", (long long)so_far->rows);
    return ((struct exporting *)user)->go(NULL);
}

int memory_export(struct mem_store *s, const memory_ask *a, bool (*go)(void *user), char *err)
{
    rag_exported out;
    struct exporting x = {go};
    rag_export_opts o = {.over = a->force, .go = exported, .user = &x};
    int rc = mem_tidy(s, go, NULL, err);        /* what was forgotten a moment ago does not leave */
    if (rc == Q_OK) rc = rag_export(s, a->markdown, &o, &out, err);
    if (isatty(2)) q_say_own(stderr, "\r\033[K");
    if (rc == Q_OK) rc = mem_outside_put(s, "export", a->markdown, err);
    if (rc != Q_OK) return cli_fail(err);
    q_say(stdout, _("%s: conversations: %lld, messages: %lld, documents: %lld, facts: %lld\n"), a->markdown, (long long)out.conversations, (long long)out.messages,
          (long long)out.documents, (long long)out.facts);
    if (out.unread) memory_unread(out.unread);
    return out.unread ? 1 : 0;
}

/* A value of rag_export_line back: what the value points to lives in `room` or in the line. False: it is none of ours. */
static bool value_of(const cJSON *j, mem_export_value *v, q_buf *room)
{
    const cJSON *bytes = cJSON_GetObjectItem(j, "bytes"), *text = cJSON_GetObjectItem(j, "text");
    *v = (mem_export_value){.name = j->string, .text = "", .null = cJSON_IsNull(j)};
    if (v->null) return true;
    if (cJSON_IsString(j)) {
        v->text = j->valuestring;
        v->n = strlen(j->valuestring);
        return true;
    }
    size_t from = room->len;
    if (cJSON_IsNumber(j)) {
        bool whole = j->valuedouble >= -9e15 && j->valuedouble <= 9e15 && j->valuedouble == (double)(int64_t)j->valuedouble;
        if (whole) q_buf_printf(room, "%lld", (long long)j->valuedouble);
        else q_buf_printf(room, "%.17g", j->valuedouble);
        v->number = true;
    } else {
        const char *hex = cJSON_IsString(bytes) ? bytes->valuestring : cJSON_IsString(text) ? text->valuestring : NULL;
        if (!hex || strlen(hex) % 2 || strspn(hex, "0123456789abcdef") != strlen(hex)) return false;
        for (; *hex; hex += 2) {
            unsigned c = 0;
            sscanf(hex, "%2x", &c);
            q_buf_putc(room, (char)c);
        }
        v->bytes = cJSON_IsString(bytes);
    }
    v->n = room->len - from;
    v->text = (const char *)(uintptr_t)from;        /* where in room: it may move yet */
    q_buf_putc(room, 0);
    return true;
}

enum { VALUES_MOST = 64 };

static int one_row(mem_refill *r, const char *line, int64_t number, char *err)
{
    mem_export_value v[VALUES_MOST];
    bool in_room[VALUES_MOST];
    q_buf room = {0};
    cJSON *o = cJSON_ParseWithOpts(line, NULL, true), *j;         /* to its end: two rows on a line are none */
    const cJSON *table = cJSON_GetObjectItem(o, "table"), *version = cJSON_GetObjectItem(o, "v");
    int k = 0, rc = cJSON_IsObject(o) && cJSON_IsString(table) && cJSON_IsNumber(version) && version->valuedouble == 1 ? Q_OK : Q_FORMAT;
    for (j = o && rc == Q_OK ? o->child : NULL; j && rc == Q_OK; j = j->next) {
        if (j == table || j == version) continue;
        if (k == VALUES_MOST || !j->string || !value_of(j, &v[k], &room)) rc = Q_FORMAT;
        else in_room[k] = v[k].number || cJSON_IsObject(j), k++;
    }
    for (int i = 0; i < k; i++)
        if (in_room[i]) v[i].text = room.p + (uintptr_t)v[i].text;
    if (rc == Q_FORMAT) q_fail(err, rc, _("line %lld is none of an export of quorum: nothing was taken in"), (long long)number);
    else {
        char why[Q_ERRLEN];
        rc = mem_refill_row(r, table->valuestring, v, k, why);
        if (rc != Q_OK) q_fail(err, rc, _("line %lld: %s; nothing was taken in"), (long long)number, why);
    }
    q_buf_free(&room);
    cJSON_Delete(o);
    return rc;
}

enum { LINE_MOST = 600 << 20 };         /* bytes: a row of a store is at most 256 MiB, twice that as digits */

/* The next line without its end; 0: there is none more. A byte 0 is in no JSON, and a device may have nothing else. */
static int next_line(FILE *f, q_buf *line, int64_t number, char *err)
{
    int c = EOF;
    q_buf_clear(line);
    flockfile(f);
    while (line->len <= LINE_MOST && (c = getc_unlocked(f)) != EOF && c != '\n' && c) q_buf_putc(line, (char)c);
    funlockfile(f);
    if (c == 0 || line->len > LINE_MOST) return q_fail(err, Q_FORMAT, _("line %lld is none of an export of quorum: nothing was taken in"), (long long)number);
    if (ferror(f)) return q_fail(err, Q_IO, _("line %lld: %s; nothing was taken in"), (long long)number, strerror(errno));
    return c != EOF || line->len > 0;
}

static void say_refilled(const mem_refilled *in)
{
    q_say(stdout, ngettext("%d row is taken in: the memory is what it was\n", "%d rows are taken in: the memory is what it was\n", (unsigned long)in->rows), in->rows);
    if (in->n_folders)
        q_say(stdout, ngettext("%d folder that was watched there is not watched here: %s; /watch FOLDER begins it\n",
                               "%d folders that were watched there are not watched here: %s; /watch FOLDER begins it\n", (unsigned long)in->n_folders), in->n_folders, in->folders);
    if (in->n_settings)
        q_say(stdout, ngettext("%d setting did not come along: %s; set it again where it is yours\n",
                               "%d settings did not come along: %s; set them again where they are yours\n", (unsigned long)in->n_settings), in->n_settings, in->settings);
    if (in->undo)
        q_say(stdout, ngettext("what %d file was before a tool changed it did not come along: only the memory that it was done with takes it back\n",
                               "what %d files were before a tool changed them did not come along: only the memory that it was done with takes it back\n", (unsigned long)in->undo), in->undo);
}

/* A file without a name beside the memory: what is in it is as private, and goes with its descriptor. */
static FILE *spool(const memory_ask *a)
{
    char *db = a->db ? q_strdup(a->db) : q_user_path(Q_DIR_DATA, "quorum.db"), *dir = q_folder_of(db ? db : "");
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) fd = memfd_create("import", MFD_CLOEXEC);       /* a disk that has no such files */
    FILE *f = fd >= 0 ? fdopen(fd, "w+e") : NULL;
    if (fd >= 0 && !f) close(fd);
    free(dir);
    free(db);
    return f;
}

/* What comes from a pipe comes in its own time, and nobody is to wait for it: all of it is read before the memory is held. */
static int all_of(FILE **f, const memory_ask *a, char *err)
{
    struct stat st;
    if (fstat(fileno(*f), &st) == 0 && S_ISREG(st.st_mode)) return Q_OK;
    q_buf line = {0};
    int64_t number = 0;
    FILE *to = spool(a);
    int got = 0, rc = to ? Q_OK : q_fail(err, Q_IO, _("%s cannot be read to its end first: %s"), a->rest[0], strerror(errno));
    while (rc == Q_OK && (got = next_line(*f, &line, ++number, err)) != 0) {
        if (got < 0) rc = got;
        else if ((line.len && fwrite(line.p, 1, line.len, to) != line.len) || putc('\n', to) == EOF) rc = q_fail(err, Q_IO, _("%s cannot be read to its end first: %s"), a->rest[0], strerror(errno));
    }
    if (rc == Q_OK && (fflush(to) != 0 || fseeko(to, 0, SEEK_SET) != 0)) rc = q_fail(err, Q_IO, _("%s cannot be read to its end first: %s"), a->rest[0], strerror(errno));
    q_buf_free(&line);
    if (rc == Q_OK) {
        if (*f != stdin) fclose(*f);
        *f = to;
    } else if (to) fclose(to);
    return rc;
}

int memory_import(struct mem_store *s, const memory_ask *a, char *err)
{
    FILE *f = strcmp(a->rest[0], "-") == 0 ? stdin : fopen(a->rest[0], "re");
    mem_refill *r = NULL;
    q_buf line = {0};
    int64_t number = 0;
    mem_refilled in = {0};
    int got, rc = f ? all_of(&f, a, err) : q_fail(err, Q_IO, "%s: %s", a->rest[0], strerror(errno));
    if (rc == Q_OK) rc = mem_refill_new(s, &r, err);
    while (rc == Q_OK && (got = next_line(f, &line, number + 1, err)) != 0) {
        rc = got < 0 ? got : Q_OK;
        number++;
        if (got > 0 && line.len && strspn(line.p, " \t\r") < line.len) rc = one_row(r, line.p, number, err);
    }
    if (rc == Q_OK && number == 0) rc = q_fail(err, Q_FORMAT, _("%s is empty: quorum memory export writes what this reads"), a->rest[0]);
    char why[Q_ERRLEN];
    int end = r ? mem_refill_end(r, rc == Q_OK, &in, rc == Q_OK ? err : why) : Q_OK;
    if (rc == Q_OK) rc = end;
    q_buf_free(&line);
    if (f && f != stdin) fclose(f);
    if (rc == Q_OK) say_refilled(&in);
    mem_refilled_free(&in);
    return rc == Q_OK ? 0 : cli_fail(err);
}

/* ---- check ---- */
static void say_one(void *user, const char *sentence)
{
    ++*(int *)user;
    q_say(stdout, "%s\n", sentence);
}

int memory_check(struct mem_store *s, const memory_ask *a, char *err)
{
    int n = 0;
    if (mem_check_said(s, say_one, &n, err) != Q_OK) return cli_fail(err);
    q_say(stdout, "%s\n", n ? _("the rest is in order") : _("all of it is in order"));
    return 0;
}

/* ---- backups ---- */
int memory_backups(const memory_ask *a, char *err)
{
    mem_backups l;
    char w[32];
    if (mem_backup_list(a->db, &l, err) != Q_OK) return cli_fail(err);
    for (int i = 0; i < l.n; i++) q_say(stdout, "%s  %10s  %s\n", l.v[i].day, q_bytes_words((uint64_t)l.v[i].bytes, w), l.v[i].path);
    if (l.n == 0) q_say(stdout, "%s\n", _("there is no backup yet: the shell makes one a day, where something changed"));
    mem_backups_free(&l);
    return 0;
}

int memory_restore(const memory_ask *a, char *err)
{
    mem_backups l = {0};
    bool there = false;                      /* where it is not, nothing is to be asked: the sentence says so */
    if (mem_backup_list(a->db, &l, err) != Q_OK) return cli_fail(err);
    for (int i = 0; i < l.n; i++) there |= strcmp(l.v[i].day, a->rest[0]) == 0;
    mem_backups_free(&l);
    char *kept = NULL, *question = q_printf(_("The memory becomes what it was on %s; what was said and taken in since is only in a copy then. Go on? [y/N] "), a->rest[0]);
    bool yes = !there || memory_agreed(a, question);
    int rc = yes ? mem_restore(a->db, a->rest[0], &kept, err) : Q_OK;
    if (rc == Q_OK && yes) q_say(stdout, _("the memory is what it was on %s; what it was before stands in %s\n"), a->rest[0], kept);
    free(kept);
    free(question);
    return rc != Q_OK ? cli_fail(err) : yes ? 0 : 1;
}
