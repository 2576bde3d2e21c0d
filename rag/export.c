/* rag/export: what memory holds leaves it as a folder of files: rows as lines of JSON, conversations as Markdown that a person
 * can read and rag/import/own.c reads again. Caller's thread. It never changes the store and never touches a file that no export wrote. */
#include "rag/rag.h"

#include "base/place.h"
#include "base/say.h"
#include "rag/import/own.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXACT_DIGITS = 15 /* of a number that every reader of JSON keeps */, LOOK_ROWS = 16 /* rows between two looks whether to go on */ };

/* ---- rows as JSON ---- */
static void add_value(cJSON *row, const mem_export_value *v)
{
    const char *endless = !v->number ? NULL : strcmp(v->text, "inf") == 0 ? "9e999" : strcmp(v->text, "-inf") == 0 ? "-9e999" : NULL;
    if (v->null) cJSON_AddNullToObject(row, v->name);
    else if (endless) cJSON_AddRawToObject(row, v->name, endless);      /* JSON has no word for it; this is read as it */
    else if (v->number && (v->n <= EXACT_DIGITS || strpbrk(v->text, ".e"))) cJSON_AddRawToObject(row, v->name, v->text);
    else if (!v->bytes && q_utf8_valid(v->text, v->n) && strlen(v->text) == v->n) cJSON_AddStringToObject(row, v->name, v->text);
    else {
        q_buf hex = {0};
        q_buf_puts(&hex, "");
        for (size_t i = 0; i < v->n; i++) q_buf_printf(&hex, "%02x", (unsigned char)v->text[i]);
        cJSON *o = cJSON_AddObjectToObject(row, v->name);
        cJSON_AddStringToObject(o, v->bytes ? "bytes" : "text", hex.p);
        q_buf_free(&hex);
    }
}

char *rag_export_line(const char *table, const mem_export_value *v, int n)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "v", 1);
    cJSON_AddStringToObject(o, "table", table);
    for (int i = 0; i < n; i++) add_value(o, &v[i]);
    char *line = cJSON_PrintUnformatted(o);
    q_buf safe = {0};
    cJSON_Delete(o);
    if (!line) return NULL;
    q_json_safe(&safe, line, strlen(line));     /* a file says it in the same bytes as a terminal or a pipe */
    free(line);
    return q_buf_take(&safe);
}

/* ---- the folder ---- */
static const char *const files[] = {"README.md", "documents.md", "facts.md", "everything.jsonl"};
static const char CHATS[] = "conversations", MARK[] = "<!-- quorum export 1 -->\n";

/* A conversation's file: digits, then .md. */
static bool is_chat_file(const char *name)
{
    size_t n = strspn(name, "0123456789");
    return n > 0 && strcmp(name + n, ".md") == 0;
}

static bool is_our_file(const char *name)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(name, files[i]) == 0) return true;
    return false;
}

/* Every name in a folder is one of an export's (inner: one of its conversations'). *n: how many there are. */
static bool only_ours(const char *path, bool inner, int *n)
{
    DIR *d = opendir(path);
    bool all = d != NULL;
    *n = 0;
    for (struct dirent *e; all && (e = readdir(d));) {
        struct stat st;
        int below;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        ++*n;
        char *one = q_printf("%s/%s", path, e->d_name);
        bool there = lstat(one, &st) == 0, folder = there && S_ISDIR(st.st_mode);
        if (folder) all = !inner && strcmp(e->d_name, CHATS) == 0 && only_ours(one, true, &below);
        else all = there && S_ISREG(st.st_mode) && (inner ? is_chat_file(e->d_name) : is_our_file(e->d_name));
        free(one);
    }
    if (d) closedir(d);
    return all;
}

/* The files of an export in a folder, and the folder; what is not ours stays, and then the folder does. */
static void erase(const char *path, bool inner)
{
    char err[Q_ERRLEN];
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *one = q_printf("%s/%s", path, e->d_name);
        if (inner ? is_chat_file(e->d_name) : is_our_file(e->d_name)) q_file_erase(one, err);
        else if (!inner && strcmp(e->d_name, CHATS) == 0) erase(one, true);
        free(one);
    }
    if (d) closedir(d);
    rmdir(path);
}

/* Without slashes at its end; what a link leads to. malloc'ed. */
static char *place_of(const char *path)
{
    char *real = realpath(path, NULL), *bare = real ? real : q_strdup(path);
    size_t n = strlen(bare);
    while (n > 1 && bare[n - 1] == '/') bare[--n] = 0;
    return bare;
}

static bool marked(const char *path)
{
    char *readme = q_printf("%s/%s", path, files[0]), first[sizeof MARK] = "", err[Q_ERRLEN];
    int fd = open(readme, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool is = fd >= 0 && q_file_check(fd, readme, err) == Q_OK && read(fd, first, sizeof MARK - 1) == (ssize_t)sizeof MARK - 1 && strcmp(first, MARK) == 0;
    if (fd >= 0) close(fd);
    free(readme);
    return is;
}

int rag_export_place(const char *path, bool *over, char *err)
{
    struct stat st;
    int n = 0, rc = Q_OK;
    char *place = place_of(path);
    *over = false;
    if (!*path) rc = q_fail(err, Q_RANGE, _("an export takes the name of a folder"));
    else if (lstat(place, &st) != 0) rc = errno == ENOENT ? Q_OK : q_fail(err, Q_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISDIR(st.st_mode)) rc = q_fail(err, Q_RANGE, _("%s is a file, and an export is a folder: give another name"), path);
    else if (!only_ours(place, false, &n)) rc = q_fail(err, Q_RANGE, _("%s holds other files: nothing is written among them; give the name of a new folder"), path);
    else if (n && !marked(place)) rc = q_fail(err, Q_RANGE, _("%s holds other files: nothing is written among them; give the name of a new folder"), path);
    else *over = n > 0;
    free(place);
    return rc;
}

char *rag_export_name(void)
{
    time_t t = time(NULL);
    struct tm tm;
    char day[16] = "";
    if (localtime_r(&t, &tm)) strftime(day, sizeof day, "%Y-%m-%d", &tm);
    return q_printf("quorum-export-%s", day);
}

/* What an export that was killed left beside its place: NAME.PID.part, and what it had put aside, NAME.PID.part.old. */
static void drop_left(const char *place, const char *ending)
{
    const char *slash = strrchr(place, '/'), *name = slash ? slash + 1 : place;
    char *folder = q_folder_of(place);
    size_t n = strlen(name);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *end;
        int inside;
        if (strncmp(e->d_name, name, n) != 0 || e->d_name[n] != '.') continue;
        long pid = strtol(e->d_name + n + 1, &end, 10);
        if (pid <= 0 || strcmp(end, ending) != 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH) continue;
        char *one = q_printf("%s/%s", folder, e->d_name);
        if (only_ours(one, false, &inside)) erase(one, false);
        free(one);
    }
    if (d) closedir(d);
    free(folder);
}

/* ---- what is written ---- */
typedef struct chat_row { int64_t id, created, opened, leaf, last /* message that was written */, first, n; char *title; } chat_row;

typedef struct leaving {
    const rag_export_opts *o;
    rag_exported *out;
    char *part;                         /* where it is made */
    FILE *json, *documents, *facts, *chat;
    int64_t open;                       /* the conversation whose file `chat` is; 0 */
    chat_row *v; int n, cap;
    int rc;                             /* why it ended */
    char *err;
} leaving;

static bool bad(leaving *l, const char *name)
{
    if (l->rc == Q_OK) l->rc = q_fail(l->err, Q_IO, _("%s could not be written: %s; nothing of the export is left"), name, strerror(errno));
    return false;
}

static FILE *make(leaving *l, const char *name, bool more)
{
    char *path = q_printf("%s/%s", l->part, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (more ? O_APPEND : O_EXCL), 0600);
    FILE *f = fd >= 0 ? fdopen(fd, "a") : NULL;
    if (!f) {
        bad(l, name);
        if (fd >= 0) close(fd);
    }
    free(path);
    return f;
}

static void done(leaving *l, FILE **f)
{
    if (*f && (fflush(*f) != 0 || ferror(*f))) bad(l, l->part);
    if (*f && fclose(*f) != 0) bad(l, l->part);
    *f = NULL;
}

static void put(FILE *f, const q_buf *b) { fwrite(b->p, 1, b->len, f); }

static const mem_export_value *value(const mem_export_value *v, int n, const char *name)
{
    static const mem_export_value none = {.text = "", .null = true};
    for (int i = 0; i < n; i++)
        if (strcmp(v[i].name, name) == 0) return &v[i];
    return &none;
}

static int64_t number(const mem_export_value *v, int n, const char *name) { return strtoll(value(v, n, name)->text, NULL, 10); }

static void put_date(q_buf *b, int64_t ms, const char *form)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char words[64];
    if (ms > 0 && localtime_r(&t, &tm) && strftime(words, sizeof words, form, &tm)) q_buf_puts(b, words);
    else q_buf_puts(b, "?");
}

/* In one line, nothing in it that Markdown takes for its own. */
static void put_line(q_buf *b, const char *text, size_t n)
{
    q_buf clean = {0};
    q_say_clean(&clean, text, n, true);
    for (size_t i = 0; i < clean.len; i++) {
        if (strchr("\\`*_[]<>#", clean.p[i])) q_buf_putc(b, '\\');
        q_buf_putc(b, clean.p[i]);
    }
    q_buf_free(&clean);
}

/* ---- conversations ---- */
static void chat_begins(leaving *l, const mem_export_value *v, int n)
{
    if (number(v, n, "state") != 0) return;
    if (l->n == l->cap) l->v = q_realloc(l->v, sizeof *l->v * (size_t)(l->cap = l->cap ? l->cap * 2 : 64));
    l->v[l->n++] = (chat_row){.id = number(v, n, "id"), .created = number(v, n, "created"), .opened = number(v, n, "opened"), .leaf = number(v, n, "leaf"),
                              .title = q_strdup(value(v, n, "title")->text)};
}

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = ((const chat_row *)b)->id;
    return x < y ? -1 : x > y;
}

/* Its file is the one that is open, with its head where it is new. */
static bool to_chat(leaving *l, chat_row *c)
{
    if (l->open == c->id) return l->chat != NULL;
    char *name = q_printf("%s/%04lld.md", CHATS, (long long)c->id);
    done(l, &l->chat);
    l->open = c->id;
    l->chat = make(l, name, true);
    free(name);
    if (!l->chat || c->n) return l->chat != NULL;
    q_buf b = {0};
    own_chat chat = {.title = c->title, .created_ms = c->created, .opened_ms = c->opened, .leaf = c->leaf};
    snprintf(chat.name, sizeof chat.name, "%lld-%lld", (long long)c->created, (long long)c->id);
    own_write_chat(&chat, &b);
    q_buf_puts(&b, "# ");
    if (*c->title) put_line(&b, c->title, strlen(c->title));
    else q_buf_puts(&b, _("untitled"));
    q_buf_puts(&b, "\n\n");
    put(l->chat, &b);
    q_buf_free(&b);
    l->out->conversations++;
    return true;
}

/* Who speaks and when, and where a branch begins: a heading for people. */
static void put_heading(q_buf *b, const own_message *m, const chat_row *c)
{
    static const char *const who[] = {N_("Instruction"), N_("Person"), N_("Model"), N_("Tool")};
    q_buf_puts(b, "## ");
    put_line(b, *m->author ? m->author : _(who[m->role]), strlen(*m->author ? m->author : _(who[m->role])));
    if (*m->model) {
        q_buf_puts(b, " · ");
        put_line(b, m->model, strlen(m->model));
    }
    q_buf_puts(b, " · ");
    put_date(b, m->created_ms, "%Y-%m-%d %H:%M");
    if (m->hidden) q_buf_puts(b, _(" · not shown"));
    if (c->n && !m->under) q_buf_puts(b, _(" · another beginning"));
    else if (c->n && m->under != c->last) q_buf_printf(b, _(" · another branch, behind message %lld"), (long long)m->under);
    q_buf_puts(b, "\n\n");
}

static void message(leaving *l, const mem_export_value *v, int n)
{
    int64_t id = number(v, n, "conversation");
    chat_row *c = l->n ? bsearch(&id, l->v, (size_t)l->n, sizeof *l->v, by_id) : NULL;
    const mem_export_value *text = value(v, n, "text"), *thinking = value(v, n, "thinking");
    int role = (int)number(v, n, "role");
    if (!c || role < MEM_SYSTEM || role > MEM_TOOL || !to_chat(l, c)) return;
    own_message m = {.id = number(v, n, "id"), .under = number(v, n, "parent"), .role = (enum mem_role)role, .hidden = number(v, n, "hidden") != 0, .created_ms = number(v, n, "created"),
                     .text = text->text, .n = text->n, .thinking = thinking->text, .n_thinking = thinking->n, .model = value(v, n, "model")->text, .author = value(v, n, "author")->text};
    q_buf b = {0}, heading = {0};
    put_heading(&heading, &m, c);
    own_write_message(&m, heading.p, &b);
    put(l->chat, &b);
    if (!m.hidden) c->last = m.id;
    if (!c->n++) c->first = m.created_ms;
    l->out->messages++;
    q_buf_free(&b);
    q_buf_free(&heading);
}

/* ---- documents and facts ---- */
static void document(leaving *l, const mem_export_value *v, int n)
{
    const mem_export_value *title = value(v, n, "title"), *path = value(v, n, "path");
    char size[32];
    q_buf b = {0};
    if (number(v, n, "state") != 0 || number(v, n, "trust") == MEM_TRUST_MANUAL || strcmp(path->text, RAG_FACTS) == 0) return;
    q_buf_puts(&b, "- **");
    put_line(&b, title->text, title->n);
    q_buf_puts(&b, "** — ");
    put_line(&b, path->text, path->n);
    q_buf_printf(&b, "; %s; ", q_bytes_words((uint64_t)number(v, n, "bytes"), size));
    put_date(&b, number(v, n, "added"), "%Y-%m-%d");
    if (number(v, n, "gone")) q_buf_puts(&b, _("; its file is gone"));
    q_buf_putc(&b, '\n');
    put(l->documents, &b);
    l->out->documents++;
    q_buf_free(&b);
}

static void fact(leaving *l, const mem_export_value *v, int n)
{
    const mem_export_value *text = value(v, n, "text");
    q_buf b = {0};
    q_buf_puts(&b, "- ");
    put_line(&b, text->text, text->n);
    q_buf_puts(&b, " (");
    put_date(&b, number(v, n, "since"), "%Y-%m-%d");
    q_buf_puts(&b, " – ");
    if (number(v, n, "until")) put_date(&b, number(v, n, "until"), "%Y-%m-%d");
    q_buf_puts(&b, ")\n");
    put(l->facts, &b);
    l->out->facts++;
    q_buf_free(&b);
}

static const struct { const char *table; void (*put)(leaving *, const mem_export_value *v, int n); } tables[] = {
    {"conversation", chat_begins}, {"message", message}, {"document", document}, {"fact", fact}};

static bool one_row(void *user, const char *table, const mem_export_value *v, int n)
{
    leaving *l = user;
    if (l->json) {
        char *line = rag_export_line(table, v, n);
        q_buf b = {0};
        q_buf_printf(&b, "%s\n", line ? line : "");
        put(l->json, &b);
        q_buf_free(&b);
        free(line);
        if (ferror(l->json)) return bad(l, files[3]);
    }
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (strcmp(table, tables[i].table) == 0) tables[i].put(l, v, n);
    if ((l->chat && ferror(l->chat)) || ferror(l->documents) || ferror(l->facts)) return bad(l, l->part);
    if (++l->out->rows % LOOK_ROWS == 0 && l->o->go && !l->o->go(l->o->user, l->out)) l->rc = q_fail(l->err, Q_CANCEL, _("stopped: nothing of the export is left"));
    return l->rc == Q_OK;
}

static bool copying(void *user)
{
    leaving *l = user;
    return !l->o->go || l->o->go(l->o->user, l->out);
}

static void readme(leaving *l)
{
    FILE *f = l->rc == Q_OK ? make(l, files[0], false) : NULL;
    q_buf b = {0};
    if (!f) return;
    q_buf_puts(&b, MARK);
    q_buf_printf(&b, "# %s\n\n", _("What quorum remembered"));
    put_date(&b, q_wall_ms(), "%Y-%m-%d %H:%M");
    q_buf_puts(&b, "\n\n");
    q_buf_puts(&b, _("`quorum memory add conversations` takes these conversations into a memory again, with their branches, what a model thought, names and times. "
                     "Markdown has no routing, configurations, numbers of answers, logs of searches, vectors, drafts, pins and bans, and of documents and facts a list alone.\n"));
    if (l->o->json) q_buf_putc(&b, '\n');
    if (l->o->json) q_buf_puts(&b, _("`quorum memory import everything.jsonl --db NEW.db` makes the whole memory again: nothing is lost but what is computed anew, such as vectors.\n"));
    q_buf_printf(&b, "\n## %s\n\n", _("Conversations"));
    for (int i = 0; i < l->n; i++) {
        const chat_row *c = &l->v[i];
        if (!c->n) continue;
        q_buf_puts(&b, "- [");
        put_line(&b, *c->title ? c->title : _("untitled"), strlen(*c->title ? c->title : _("untitled")));
        q_buf_printf(&b, "](%s/%04lld.md) — ", CHATS, (long long)c->id);
        put_date(&b, c->first, "%Y-%m-%d");
        q_buf_printf(&b, ngettext(", %lld message\n", ", %lld messages\n", (unsigned long)c->n), (long long)c->n);
    }
    put(f, &b);
    q_buf_free(&b);
    done(l, &f);
}

static void begin(leaving *l)
{
    char *chats = q_printf("%s/%s", l->part, CHATS);
    if (mkdir(l->part, 0700) != 0) l->rc = q_fail(l->err, Q_IO, _("cannot make the directory %s: %s"), l->part, strerror(errno));
    else if (mkdir(chats, 0700) != 0) bad(l, chats);
    free(chats);
    if (l->rc == Q_OK) l->documents = make(l, files[1], false);
    if (l->rc == Q_OK) l->facts = make(l, files[2], false);
    if (l->rc == Q_OK && l->o->json) l->json = make(l, files[3], false);
    q_buf b = {0};
    q_buf_printf(&b, "# %s\n\n", _("Documents"));
    if (l->documents) put(l->documents, &b);
    q_buf_clear(&b);
    q_buf_printf(&b, "# %s\n\n", _("Facts"));
    if (l->facts) put(l->facts, &b);
    q_buf_free(&b);
}

/* On the disk, all of it, and then under its name; what was there goes last. */
static void settle(leaving *l, const char *place, bool over)
{
    int fd = open(l->part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) != 0) bad(l, l->part);
    if (fd >= 0) close(fd);
    char *old = q_printf("%s.old", l->part);
    bool moved = l->rc == Q_OK && over && rename(place, old) == 0;
    if (l->rc == Q_OK && rename(l->part, place) != 0) {
        bad(l, place);
        if (moved) rename(old, place);
    } else if (moved) erase(old, false);
    free(old);
}

int rag_export(mem_store *s, const char *path, const rag_export_opts *o, rag_exported *out, char *err)
{
    char why[Q_ERRLEN], *place = place_of(path);
    bool over = false;
    leaving l = {.o = o, .out = out, .err = err, .part = q_printf("%s.%ld.part", place, (long)getpid())};
    *out = (rag_exported){0};
    l.rc = rag_export_place(path, &over, err);
    if (l.rc == Q_OK && over && !o->over) l.rc = q_fail(err, Q_RANGE, _("%s holds an earlier export: --force writes over it"), path);
    if (l.rc == Q_OK) {
        drop_left(place, ".part");
        begin(&l);
        int rc = l.rc == Q_OK ? mem_export_now(s, one_row, copying, &l, &out->unread, why) : Q_OK;
        if (l.rc == Q_OK && rc != Q_OK) l.rc = q_fail(err, rc, "%s", why);
        done(&l, &l.chat);
        done(&l, &l.documents);
        done(&l, &l.facts);
        done(&l, &l.json);
        readme(&l);
        if (l.rc == Q_OK) settle(&l, place, over);
        if (l.rc == Q_OK) drop_left(place, ".part.old");   /* not before: it may be all there is */
        if (l.rc != Q_OK) erase(l.part, false);
    }
    for (int i = 0; i < l.n; i++) free(l.v[i].title);
    free(l.v);
    free(l.part);
    free(place);
    return l.rc;
}
