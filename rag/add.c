/* rag/add: takes files and folders into memory. Reads files in the caller's thread. It never writes a file, and what
 * walk, readers, skips and followers do is theirs. */
#include "rag/rag.h"

#include "base/place.h"
#include "rag/follow.h"
#include "rag/import/mojibake.h"
#include "rag/import/take.h"
#include "rag/read.h"
#include "rag/skips.h"
#include "rag/walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* CUT: by which rules texts are cut; a document of other rules is cut again when its file is added again. RACY_MS: a file
 * changed so shortly before it was taken may have been changed again within its clock's grain. */
enum { FILE_MAX = 16 << 20, CUT = 5, RACY_MS = 2000 };

/* ---- one text ---- */
static int put(mem_bulk *b, mem_document *d, const char *text, size_t n, enum rag_form form, int *chunks, char *err)
{
    mem_chunk *c;
    int k = rag_chunk(text, n, form, &c);
    d->cut = CUT;
    int rc = mem_bulk_put(b, d, c, k, err);
    if (rc == Q_OK) *chunks = k;
    rag_chunks_free(c, k);
    return rc;
}

static bool same(const mem_document *was, const mem_document *d)
{
    return was->cut == CUT && strcmp(was->sha256, d->sha256) == 0;
}

int rag_add_text(mem_store *s, const char *name, const char *title, enum mem_trust trust, const char *text, size_t n, int64_t *id, char *err)
{
    mem_document was, d = {.path = (char *)name, .title = (char *)title, .trust = trust, .bytes = (int64_t)n};
    char e[Q_ERRLEN];
    q_sha256(text, n, d.sha256);
    if (trust == MEM_TRUST_OWN) d.name = d.title;
    if (mem_document_by_path(s, d.path, &was, e) == Q_OK) {
        bool there = same(&was, &d);
        *id = was.id;
        mem_document_free(&was);
        if (there) return Q_OK;
    }
    mem_chunk *c;
    int k = rag_chunk(text, n, RAG_MARKDOWN, &c);
    d.cut = CUT;
    int rc = mem_document_put(s, &d, c, k, id, err);
    rag_chunks_free(c, k);
    return rc;
}

/* ---- a file ---- */
struct adding {
    mem_store *s;
    const rag_add_opts *o;
    struct follow *follow;
    rag_child *child;                   /* reads what libraries read */
    mem_bulk *bulk;                     /* what was read waits here for the next step to the disk */
    rag_progress p;
    const char *root;                   /* no link below it is followed */
    size_t strip;                       /* a title is the path after so many bytes */
    bool ended;                         /* the walk left something out: nothing can be called gone */
    int rc;
    char *err, said[Q_ERRLEN];          /* said: why a file was not taken, where the sentence had to be made */
};

/* As it was when it was taken, by its clock and size alone. */
static bool untouched(const mem_document *was, const mem_document *d)
{
    return was->cut == CUT && was->mtime_ms == d->mtime_ms && was->bytes == d->bytes && was->added_ms - was->mtime_ms > RACY_MS;
}

/* The file that st is of, and no other that was put in its place since: by a link out of the folder, or by a pipe. -1: *why. */
static int open_same(const struct adding *a, const char *path, const struct stat *st, const char **why)
{
    struct stat now;
    int fd = rag_open_below(a->root, path, false);
    bool gone = fd < 0 && (errno == ELOOP || errno == ENOTDIR), other = fd >= 0 && (fstat(fd, &now) != 0 || now.st_dev != st->st_dev || now.st_ino != st->st_ino || !S_ISREG(now.st_mode));
    if (gone || other) *why = _("another file took its place while it was read: add it again");
    else if (fd < 0) *why = strerror(errno);            /* one unreadable file is no reason to stop */
    if (fd >= 0 && other) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* An archive of conversations, whatever its size; *known: it was one. */
static int take_archive(struct adding *a, const mem_document *was, int fd, const q_buf *text, const mem_document *d, bool *known, char *err)
{
    rag_taking t = {.s = a->s, .child = a->child, .title = d->title, .mtime_ms = d->mtime_ms, .go = a->o ? a->o->go : NULL, .user = a->o ? a->o->user : NULL, .again = a->o && a->o->again, .p = &a->p};
    int rc = text ? rag_take_text(&t, text->p, text->len, known, err) : rag_take_file(&t, fd, known, err);
    /* what an older quorum took for a document would say everything twice */
    if (rc == Q_OK && *known && was) rc = mem_document_delete(a->s, was->id, err);
    return rc;
}

/* A document, its text repaired where it was broken. */
static int put_text(struct adding *a, mem_document *d, q_buf *b, enum rag_form form, char *err)
{
    char how[MOJIBAKE_HOW];
    q_buf right = {0};
    int chunks = 0;
    if (rag_mojibake(b->p, b->len, how) && rag_mojibake_undo(b->p, b->len, how, &right)) {
        d->was = how;
        d->raw = b->p;
        d->n_raw = b->len;
    }
    int rc = put(a->bulk, d, d->raw ? right.p : b->p, d->raw ? right.len : b->len, form, &chunks, err);
    a->p.added += rc == Q_OK;
    a->p.chunks += chunks;
    a->p.repaired += rc == Q_OK && d->raw;
    q_buf_free(&right);
    return rc;
}

/* Nothing stands in it but spaces and ends of lines. */
static bool blank(const q_buf *b)
{
    size_t at = b->len >= 3 && memcmp(b->p, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (at < b->len && strchr(" \t\r\n\f\v", b->p[at]) && b->p[at]) at++;
    return at >= b->len;
}

/* Read, it is a document or an archive. A file that was emptied holds nothing from now on; one that never held anything is none. */
static int take_read(struct adding *a, const char *path, const mem_document *was, mem_document *d, q_buf *b, const char **why, char *err)
{
    enum rag_form form = RAG_PLAIN;
    bool known = false, changed = was && strcmp(was->sha256, d->sha256) != 0;
    if (blank(b)) {
        if (!was) *why = _("it is empty");
        b->len = 0;
        q_buf_puts(b, "");
        return was ? put_text(a, d, b, form, err) : Q_FORMAT;
    }
    if ((*why = rag_read(a->child, path, b, &form)) != NULL) {
        if (changed && !rag_child_stopped(a->child)) {
            snprintf(a->said, sizeof a->said, _("%s; what it said before is kept and still fed"), *why);
            a->said[q_utf8_whole(a->said, strlen(a->said))] = 0;
            *why = a->said;
        }
        return Q_FORMAT;
    }
    if (rag_child_stopped(a->child)) return Q_OK;
    int rc = rag_read_prose(path) ? take_archive(a, was, -1, b, d, &known, err) : Q_OK;
    if (rc != Q_OK || known) return rc;
    if (!was) rag_follow_fresh(a->follow, d);
    return put_text(a, d, b, form, err);
}

/* A file that memory knows under a name it no longer has. *is: it has the new one now. */
static int take_renamed(struct adding *a, const mem_document *d, bool *is, char *err)
{
    const mem_document *k = rag_follow_left(a->follow, d, CUT);
    *is = false;
    if (!k) return Q_OK;
    int rc = mem_document_renamed(a->s, k->id, d, is, err);
    if (!*is) rag_follow_stays(a->follow, k);
    a->p.renamed += *is;
    return rc;
}

/* An open file is read and taken. */
static int take_open(struct adding *a, const char *path, int fd, const mem_document *was, mem_document *d, const char **why, char *err)
{
    q_buf b = {0};
    bool known = false;
    int rc = take_archive(a, was, fd, NULL, d, &known, err);
    if (rc != Q_OK || known) return rc;
    rc = lseek(fd, 0, SEEK_SET) == 0 ? q_read_fd(fd, path, &b, FILE_MAX, err) : Q_IO;
    if (rc == Q_IO) *why = strerror(errno), rc = Q_FORMAT;
    if (rc == Q_RANGE) *why = _("it is larger than 16 MiB: split it");
    if (rc == Q_OK) {
        q_sha256(b.p ? b.p : "", b.len, d->sha256);             /* of the file as it is, before any conversion */
        if (was && same(was, d)) {
            rag_follow_unchanged(a->follow, was, d->device, d->mtime_ms);
            a->p.unchanged++;
        } else {
            bool renamed = false;
            rc = was || b.len == 0 ? Q_OK : take_renamed(a, d, &renamed, err);
            if (rc == Q_OK && !renamed) rc = take_read(a, path, was, d, &b, why, err);
        }
        if (rag_child_stopped(a->child)) *why = NULL, rc = q_fail(err, Q_CANCEL, _("stopped: what was added so far is kept"));
    }
    q_buf_free(&b);
    return rc;
}

/* 0 taken or unchanged; Q_FORMAT, Q_RANGE: not for us (*why says it); other codes: stop. */
static int add_file(struct adding *a, const char *path, const struct stat *st, const char **why, char *err)
{
    const char *title = path + a->strip;
    mem_document d = {.path = (char *)path, .title = (char *)title, .name = (char *)title, .trust = MEM_TRUST_OWN, .bytes = (int64_t)st->st_size,
                      .mtime_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000, .device = rag_disk_of(path, st)};
    const mem_document *was = rag_follow_known(a->follow, path);
    *why = NULL;
    if (was && untouched(was, &d)) {
        rag_follow_unchanged(a->follow, was, d.device, d.mtime_ms);
        a->p.unchanged++;
        return Q_OK;
    }
    int fd = open_same(a, path, st, why), rc = fd < 0 ? Q_FORMAT : take_open(a, path, fd, was, &d, why, err);
    if (fd >= 0) close(fd);
    if (*why) q_fail(err, rc, _("%s was not taken: %s"), path, *why);
    return rc;
}

static bool tell(struct adding *a, const char *path, const char *note)
{
    a->p.path = path;
    a->p.note = note;
    if (!a->o || !a->o->progress || a->o->progress(a->o->user, &a->p)) return true;
    a->rc = q_fail(a->err, Q_CANCEL, _("stopped: what was added so far is kept"));
    return false;
}

/* What waits goes to the disk; from here on the counts say what is there. */
static void settle(struct adding *a)
{
    char err[Q_ERRLEN];
    int rc = a->rc == Q_OK || a->rc == Q_CANCEL ? mem_bulk_flush(a->bulk, err) : Q_OK;
    if (rc != Q_OK) a->rc = q_fail(a->err, rc, "%s", err);
    mem_bulk_kept(a->bulk, &a->p.added, &a->p.chunks);
}

/* ---- a folder ---- */
static bool entry(void *user, const struct walk_entry *e)
{
    struct adding *a = user;
    char err[Q_ERRLEN];
    const char *why;
    rag_follow_entry(a->follow, e);
    if (e->what == WALK_FOLDER) return true;
    if (e->what == WALK_LINK) {
        rag_skip_add(&a->p, e->why, e->path);
        return tell(a, e->path, NULL);
    }
    if (e->what != WALK_FILE) {
        a->ended |= e->what == WALK_END;
        rag_skip_add(&a->p, e->why, e->path);
        q_fail(err, Q_IO, _("%s could not be read: %s"), e->path, e->why);
        return tell(a, e->path, err);
    }
    if (a->o && a->o->skip && a->o->skip(a->o->user, e->path)) return tell(a, e->path, NULL);
    a->p.seen++;
    int rc = add_file(a, e->path, &e->st, &why, err);
    if (rc != Q_OK && !why) {
        a->rc = q_fail(a->err, rc, "%s", err);
        return false;
    }
    a->p.skipped += why != NULL;
    if (why) rag_skip_add(&a->p, why, e->path);
    return tell(a, e->path, why ? err : NULL);
}

static void add_folder(struct adding *a, const char *root, const char *shown)
{
    a->root = root;
    rag_walk(root, entry, a);
    settle(a);
    char err[Q_ERRLEN];
    int rc = rag_follow_end(a->follow, a->s, a->rc == Q_OK && !a->ended, &a->p, err);
    if (a->rc == Q_OK && rc != Q_OK) a->rc = q_fail(a->err, rc, "%s", err);
    if (a->rc == Q_OK && a->p.seen == 0)
        a->rc = q_fail(a->err, Q_NOTFOUND, a->p.n_skip ? _("there are no files in %s; what memory holds of it is kept") : _("there are no files in %s"), shown);
}

static void add_one(struct adding *a, const char *path, const struct stat *st)
{
    const char *why = NULL;
    char *folder = q_strndup(path, a->strip > 1 ? a->strip - 1 : 1);
    a->root = folder;
    a->p.seen = 1;
    if (!S_ISREG(st->st_mode)) a->rc = q_fail(a->err, Q_FORMAT, _("%s was not taken: %s"), path, _("it is no ordinary file"));
    else a->rc = add_file(a, path, st, &why, a->err);
    settle(a);
    char err[Q_ERRLEN];
    int rc = rag_follow_end(a->follow, a->s, false, &a->p, err);
    if (a->rc == Q_OK && rc != Q_OK) a->rc = q_fail(a->err, rc, "%s", err);
    if (a->rc == Q_OK) tell(a, path, NULL);
    free(folder);
}

/* A file that was added by this very path and is missing from a folder that is there, on the disk where it lay: marked gone,
 * as a walk over its folder would. */
static bool file_lost(mem_store *s, const char *path, rag_progress *p)
{
    char err[Q_ERRLEN];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *dir = q_folder_of(path), *real = realpath(dir, NULL);
    char *whole = real && *name ? q_printf("%s/%s", real[1] ? real : "", name) : NULL;
    struct follow *f = NULL;
    struct stat st;
    bool lost = false;
    if (whole && access(real, R_OK | X_OK) == 0 && stat(real, &st) == 0 && rag_follow(s, whole, &f, err) == Q_OK) {
        const mem_document *d = rag_follow_known(f, whole);
        if (d && (!d->device || d->device == (int64_t)st.st_dev)) {
            lost = d->gone_ms || mem_documents_gone(s, &d->id, 1, err) == Q_OK;
            p->gone += lost && !d->gone_ms;
        }
    }
    rag_follow_free(f);
    free(whole);
    free(real);
    free(dir);
    return lost;
}

/* How many documents memory holds below a folder that is missing; a link or a relative path is what its folder says. */
static int kept_below(mem_store *s, const char *path)
{
    char err[Q_ERRLEN], *whole = NULL;
    mem_documents l = {0};
    int n = 0;
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') len--;
    char *bare = q_strndup(path, len), *slash = strrchr(bare, '/'), *real = NULL;
    if (!slash) whole = (real = realpath(".", NULL)) ? q_printf("%s/%s", real[1] ? real : "", bare) : NULL;
    else if (slash > bare) {
        *slash = 0;
        real = realpath(bare, NULL);
        whole = q_printf("%s/%s", !real ? bare : real[1] ? real : "", slash + 1);
    } else whole = q_strdup(bare);
    if (whole && mem_document_below(s, whole, &l, err) == Q_OK)
        for (int i = 0; i < l.n; i++) n += !l.v[i].gone_ms && strcmp(l.v[i].path, whole) != 0;
    mem_documents_free(&l);
    free(whole);
    free(real);
    free(bare);
    return n;
}

int rag_add(mem_store *s, const char *path, const rag_add_opts *o, rag_progress *total, char *err)
{
    struct adding a = {.s = s, .o = o, .err = err};
    struct stat st;
    char *real = realpath(path, NULL);
    if (!real || stat(real, &st) != 0) {
        int why = errno;
        bool lost = why == ENOENT && file_lost(s, path, &a.p);
        int kept = lost ? 0 : kept_below(s, path);
        if (kept)                               /* a disk that is not there looks the same: nothing is marked */
            a.rc = q_fail(err, Q_NOTFOUND, ngettext("cannot find %s: %s; %d document below it is kept and fed: add the folder it was in to have it marked gone, or forget it",
                                                    "cannot find %s: %s; %d documents below it are kept and fed: add the folder it was in to have them marked gone, or forget it",
                                                    (unsigned long)kept), path, strerror(why), kept);
        else
            a.rc = q_fail(err, Q_NOTFOUND, lost ? _("cannot find %s: %s; what memory holds of it is kept but not fed any more") : _("cannot find %s: %s"), path, strerror(why));
    } else if ((a.rc = rag_follow(s, real, &a.follow, err)) == Q_OK) {
        rag_child_opts held = {.go = o ? o->go : NULL, .user = o ? o->user : NULL};
        a.child = rag_child_new(&held);
        a.bulk = mem_bulk_new(s, o ? o->go : NULL, o ? o->user : NULL);
        /* a file is shown by its name, a folder's files with the folder's name before them */
        char *slash = strrchr(real, '/');
        a.strip = slash && slash[1] ? (size_t)(slash - real) + 1 : 1;
        if (S_ISDIR(st.st_mode)) add_folder(&a, real, path);
        else add_one(&a, real, &st);
    }
    mem_bulk_free(a.bulk);
    rag_child_free(a.child);
    rag_follow_free(a.follow);
    free(real);
    a.p.path = a.p.note = NULL;
    if (total) *total = a.p;
    return a.rc;
}
