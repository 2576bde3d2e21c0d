/* rag/add: takes files, folders and the manual into memory. Reads files in the caller's thread; one transaction a
 * file. It never follows a link out of the folder it was given, never recurses, and never writes a file. */
#include "rag/rag.h"

#include <dirent.h>
#include <errno.h>
#include <iconv.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 16 << 20, FOLDERS_MAX = 20000, FILES_MAX = 100000 };

/* ---- what kind of text ---- */
static bool convert(const char *from, const char *p, size_t n, q_buf *out)
{
    iconv_t cd = iconv_open("UTF-8", from);
    if (cd == (iconv_t)-1) return false;
    char *in = (char *)p, part[4096];
    bool ok = true;
    while (n && ok) {
        char *o = part;
        size_t room = sizeof part;
        size_t k = iconv(cd, &in, &n, &o, &room);
        ok = k != (size_t)-1 || errno == E2BIG;
        q_buf_add(out, part, (size_t)(o - part));
    }
    iconv_close(cd);
    return ok;
}

/* Russian text in the Windows code page: among the bytes above ASCII mostly letters, and more small than capital ones
 * (in KOI8-R, whose cases lie the other way round, ordinary text fails this). */
static bool like_cp1251(const unsigned char *p, size_t n)
{
    size_t high = 0, small = 0, capital = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < 0x80) continue;
        high++;
        small += p[i] >= 0xE0 || p[i] == 0xB8;
        capital += (p[i] >= 0xC0 && p[i] <= 0xDF) || p[i] == 0xA8;
    }
    return high >= 20 && (small + capital) * 10 >= high * 9 && small > capital * 2;
}

/* The bytes of a file as UTF-8 in b, or the reason why not. */
static const char *as_text(q_buf *b)
{
    const unsigned char *p = (const unsigned char *)b->p;
    size_t n = b->len;
    if (n == 0) return _("it is empty");
    q_buf out = {0};
    if (n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) {
        q_buf_add(&out, b->p + 3, n - 3);
    } else if (n >= 2 && ((p[0] == 0xFF && p[1] == 0xFE) || (p[0] == 0xFE && p[1] == 0xFF))) {
        if (!convert(p[0] == 0xFF ? "UTF-16LE" : "UTF-16BE", b->p + 2, n - 2, &out)) {
            q_buf_free(&out);
            return _("it is broken UTF-16");
        }
    } else if (memchr(p, 0, n)) {
        return _("it is not text: convert it to text or Markdown first");
    } else if (!q_utf8_valid(b->p, n)) {
        if (!like_cp1251(p, n) || !convert("CP1251", b->p, n, &out)) {
            q_buf_free(&out);
            return _("it is not UTF-8 text: convert it first (iconv -f ENCODING -t UTF-8)");
        }
    } else {
        return NULL;
    }
    q_buf_free(b);
    *b = out;
    if (out.len == 0) return _("it is empty");
    return memchr(out.p, 0, out.len) ? _("it is not text: convert it to text or Markdown first") : NULL;
}

static bool is_markdown(const char *path)
{
    static const char *const ends[] = {".md", ".markdown", ".mdown", ".mkd", ".mdx", ".rmd", ".qmd"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
        if (strcasecmp(dot, ends[i]) == 0) return true;
    return false;
}

/* ---- one text ---- */
/* Puts it unless the same is there; *chunks = 0 then. */
static int put(mem_store *s, const mem_document *d, const char *text, size_t n, bool markdown, int *chunks, int64_t *id, char *err)
{
    mem_document was;
    char e[Q_ERRLEN];
    *chunks = 0;
    if (mem_document_by_path(s, d->path, &was, e) == Q_OK) {
        bool same = strcmp(was.sha256, d->sha256) == 0;
        *id = was.id;
        mem_document_free(&was);
        if (same) return Q_OK;
    }
    mem_chunk *c;
    int k = rag_chunk(text, n, markdown, &c);
    int rc = mem_document_put(s, d, c, k, id, err);
    if (rc == Q_OK) *chunks = k;
    rag_chunks_free(c, k);
    return rc;
}

int rag_add_text(mem_store *s, const char *name, const char *title, enum mem_trust trust, const char *text, size_t n, int64_t *id, char *err)
{
    mem_document d = {.path = (char *)name, .title = (char *)title, .trust = trust, .bytes = (int64_t)n};
    q_sha256(text, n, d.sha256);
    int chunks;
    return put(s, &d, text, n, true, &chunks, id, err);
}

/* 0 taken or unchanged; Q_FORMAT, Q_RANGE: not for us (err says why); other codes: stop. */
static int add_file(mem_store *s, const char *path, const char *title, rag_progress *p, char *err)
{
    struct stat st;
    q_buf b = {0};
    if (stat(path, &st) != 0) return q_fail(err, Q_FORMAT, _("%s was not taken: %s"), path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return q_fail(err, Q_FORMAT, _("%s was not taken: it is no ordinary file"), path);
    int rc = q_read_file(path, &b, FILE_MAX, err);
    if (rc == Q_IO) rc = Q_FORMAT;                      /* one unreadable file is no reason to stop */
    mem_document d = {.path = (char *)path, .title = (char *)title, .trust = MEM_TRUST_OWN, .bytes = (int64_t)st.st_size,
                      .mtime_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000};
    if (rc == Q_OK) {
        q_sha256(b.p ? b.p : "", b.len, d.sha256);      /* of the file as it is, before any conversion */
        const char *why = as_text(&b);
        if (why) rc = q_fail(err, Q_FORMAT, _("%s was not taken: %s"), path, why);
    }
    int chunks = 0;
    int64_t id;
    if (rc == Q_OK) rc = put(s, &d, b.p, b.len, is_markdown(path), &chunks, &id, err);
    if (rc == Q_OK) {
        p->added += chunks > 0;
        p->unchanged += chunks == 0;
        p->chunks += chunks;
    }
    q_buf_free(&b);
    return rc;
}

/* ---- a folder ---- */
struct walk { char **stack; int n, cap; };

static void push(struct walk *w, char *path)
{
    if (w->n == w->cap) w->stack = q_realloc(w->stack, sizeof *w->stack * (size_t)(w->cap = w->cap ? w->cap * 2 : 32));
    w->stack[w->n++] = path;
}

static bool inside(const char *root, const char *path)
{
    size_t n = strlen(root);
    return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == 0 || (n && root[n - 1] == '/'));
}

static bool tell(const rag_add_opts *o, rag_progress *p, const char *path, const char *note)
{
    p->path = path;
    p->note = note;
    return !o || !o->progress || o->progress(o->user, p);
}

/* Folders go on the stack, files are added; title = path below `strip` bytes. */
static int add_folder(mem_store *s, const char *root, size_t strip, const rag_add_opts *o, rag_progress *p, char *err)
{
    struct walk w = {0};
    int rc = Q_OK, folders = 0;
    push(&w, q_strdup(root));
    while (w.n && rc == Q_OK) {
        char *folder = w.stack[--w.n];
        struct dirent **e = NULL;
        int n = ++folders > FOLDERS_MAX ? -1 : scandir(folder, &e, NULL, alphasort);
        if (n < 0 && !tell(o, p, folder, _("this folder could not be read"))) rc = q_fail(err, Q_CANCEL, _("stopped"));
        int first = w.n;
        for (int i = 0; i < n; i++) {
            char *path = q_printf("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, e[i]->d_name);
            struct stat st;
            bool hidden = e[i]->d_name[0] == '.';
            free(e[i]);
            if (rc != Q_OK || hidden || lstat(path, &st) != 0 || strlen(path) >= PATH_MAX) {
                free(path);
                continue;
            }
            if (S_ISDIR(st.st_mode)) {
                push(&w, path);
                continue;
            }
            if (S_ISLNK(st.st_mode)) {                  /* to a file of this folder: that file; else nothing */
                char *real = realpath(path, NULL);
                free(path);
                path = real;
                if (!path || !inside(root, path) || stat(path, &st) != 0) st.st_mode = 0;
            }
            if (path && S_ISREG(st.st_mode) && p->seen < FILES_MAX) {
                char why[Q_ERRLEN];
                p->seen++;
                int one = add_file(s, path, path + strip, p, why);
                bool skip = one == Q_FORMAT || one == Q_RANGE;
                p->skipped += skip;
                if (one != Q_OK && !skip) rc = q_fail(err, one, "%s", why);
                else if (!tell(o, p, path, skip ? why : NULL)) rc = q_fail(err, Q_CANCEL, _("stopped: what was added so far is kept"));
            }
            free(path);
        }
        free(e);
        for (int a = first, b = w.n - 1; a < b; a++, b--) {     /* the first name comes off the stack first */
            char *t = w.stack[a];
            w.stack[a] = w.stack[b];
            w.stack[b] = t;
        }
        free(folder);
    }
    while (w.n) free(w.stack[--w.n]);
    free(w.stack);
    return rc;
}

int rag_add(mem_store *s, const char *path, const rag_add_opts *o, rag_progress *total, char *err)
{
    rag_progress p = {0};
    struct stat st;
    char *real = realpath(path, NULL);
    int rc;
    if (!real || stat(real, &st) != 0) {
        rc = q_fail(err, Q_NOTFOUND, _("cannot find %s: %s"), path, strerror(errno));
    } else {
        /* a file is shown by its name, a folder's files with the folder's name before them */
        char *slash = strrchr(real, '/');
        size_t strip = slash && slash[1] ? (size_t)(slash - real) + 1 : 1;
        if (S_ISDIR(st.st_mode)) {
            rc = add_folder(s, real, strip, o, &p, err);
            if (rc == Q_OK && p.seen == 0) rc = q_fail(err, Q_NOTFOUND, _("there are no files in %s"), path);
        } else {
            p.seen = 1;
            rc = add_file(s, real, real + strip, &p, err);
            if (rc == Q_OK && !tell(o, &p, real, NULL)) rc = q_fail(err, Q_CANCEL, _("stopped: what was added so far is kept"));
        }
    }
    free(real);
    p.path = p.note = NULL;
    if (total) *total = p;
    return rc;
}

/* ---- the manual ---- */
static const struct { const char *path, *file, *title, *removed; } manuals[] = {
    {"manual:en", "docs/manual.md", "manual", "manual.en.removed"},
    {"manual:ru", "docs/manual.ru.md", "справка", "manual.ru.removed"},
};

int rag_manual(mem_store *s, char *err)
{
    int rc = Q_OK;
    for (size_t i = 0; i < sizeof manuals / sizeof *manuals && rc == Q_OK; i++) {
        char *removed = mem_setting_get(s, manuals[i].removed), *file = q_share_path(manuals[i].file);
        q_buf b = {0};
        int64_t id;
        if (!removed && file) rc = q_read_file(file, &b, FILE_MAX, err);
        if (rc == Q_OK && b.len && q_utf8_valid(b.p, b.len))
            rc = rag_add_text(s, manuals[i].path, manuals[i].title, MEM_TRUST_MANUAL, b.p, b.len, &id, err);
        q_buf_free(&b);
        free(removed);
        free(file);
    }
    return rc;
}

int rag_remove(mem_store *s, int64_t document, char *err)
{
    mem_document d;
    int rc = mem_document_get(s, document, &d, err);
    if (rc != Q_OK) return rc;
    for (size_t i = 0; i < sizeof manuals / sizeof *manuals && rc == Q_OK; i++)     /* first the note: a crash between leaves it removable */
        if (strcmp(d.path, manuals[i].path) == 0) rc = mem_setting_put(s, manuals[i].removed, "1", err);
    mem_document_free(&d);
    return rc == Q_OK ? mem_document_delete(s, document, err) : rc;
}
