/* rag/follow: compares what memory holds of a folder with what a walk of it saw, so that files that are gone are not fed.
 * A follower belongs to the call that made it. It never deletes, and when it cannot know (a folder that could not be
 * read, is suddenly empty, or lay on another disk) it marks nothing and says why. */
#include "rag/follow.h"

#include "rag/skips.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct folder { char *path; int64_t device; int entries; bool closed; };

struct fresh { char *path, sha256[65]; int64_t device; };

struct follow {
    mem_documents known;                /* by path */
    bool *seen;                         /* [known.n] */
    struct folder *folder; int n_folder, cap_folder;
    mem_seen *news; int n_news, cap_news;
    mem_seen *moved; int n_moved;       /* device: had, mtime_ms: has now; one row a disk */
    struct fresh *fresh; int n_fresh, cap_fresh;
};

static int by_path(const void *a, const void *b)
{
    return strcmp(((const mem_document *)a)->path, ((const mem_document *)b)->path);
}

int rag_follow(mem_store *s, const char *root, struct follow **out, char *err)
{
    struct follow *f = *out = q_alloc(sizeof *f);
    int rc = mem_document_below(s, root, &f->known, err), n = 0;
    for (int i = 0; rc == Q_OK && i < f->known.n; i++) {
        mem_document *d = &f->known.v[i];
        if (d->trust == MEM_TRUST_OWN) f->known.v[n++] = *d;
        else mem_document_free(d);
    }
    f->known.n = n;
    if (n) qsort(f->known.v, (size_t)n, sizeof *f->known.v, by_path);
    f->seen = q_alloc((size_t)n + 1);
    return rc;
}

const mem_document *rag_follow_known(struct follow *f, const char *path)
{
    mem_document key = {.path = (char *)path};
    mem_document *d = f->known.n ? bsearch(&key, f->known.v, (size_t)f->known.n, sizeof key, by_path) : NULL;
    if (d) f->seen[d - f->known.v] = true;
    return d;
}

/* How a file is read depends on how its name ends. */
static const char *ending(const char *path)
{
    const char *name = strrchr(path, '/'), *dot = strrchr(path, '.');
    return dot && (!name || dot > name + 1) ? dot : "";
}

const mem_document *rag_follow_left(struct follow *f, const mem_document *d, int cut)
{
    struct stat st;
    for (int i = 0; i < f->known.n; i++) {
        const mem_document *k = &f->known.v[i];
        if (f->seen[i] || k->cut != cut || k->device != d->device || strcmp(k->sha256, d->sha256) != 0) continue;
        if (strcmp(ending(k->path), ending(d->path)) != 0 || lstat(k->path, &st) == 0 || errno != ENOENT) continue;
        f->seen[i] = true;
        f->known.v[i].gone_ms = 0;                          /* it is no one that came back under its name */
        return k;
    }
    return NULL;
}

void rag_follow_stays(struct follow *f, const mem_document *d) { f->seen[d - f->known.v] = false; }

void rag_follow_entry(struct follow *f, const struct walk_entry *e)
{
    if (e->what != WALK_FOLDER && e->what != WALK_CLOSED) return;
    if (f->n_folder == f->cap_folder)
        f->folder = q_realloc(f->folder, sizeof *f->folder * (size_t)(f->cap_folder = f->cap_folder ? f->cap_folder * 2 : 16));
    f->folder[f->n_folder++] = (struct folder){.path = q_strdup(e->path), .device = (int64_t)e->st.st_dev, .entries = e->entries,
                                               .closed = e->what == WALK_CLOSED};
}

int64_t rag_disk_of(const char *path, const struct stat *st)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash && slash > path ? q_strndup(path, (size_t)(slash - path)) : NULL;
    struct stat in;
    int64_t disk = (int64_t)(dir && stat(dir, &in) == 0 ? in.st_dev : st->st_dev);
    free(dir);
    return disk;
}

static void fresh(struct follow *f, const mem_document *d, int64_t device)
{
    if (f->n_fresh == f->cap_fresh) f->fresh = q_realloc(f->fresh, sizeof *f->fresh * (size_t)(f->cap_fresh = f->cap_fresh ? f->cap_fresh * 2 : 16));
    struct fresh *x = &f->fresh[f->n_fresh++];
    *x = (struct fresh){.path = q_strdup(d->path), .device = device};
    memcpy(x->sha256, d->sha256, sizeof x->sha256);
}

void rag_follow_fresh(struct follow *f, const mem_document *d) { fresh(f, d, d->device); }

void rag_follow_unchanged(struct follow *f, const mem_document *d, int64_t now, int64_t mtime_ms)
{
    if (!d->gone_ms && d->device == now && d->mtime_ms == mtime_ms) return;
    if (f->n_news == f->cap_news) f->news = q_realloc(f->news, sizeof *f->news * (size_t)(f->cap_news = f->cap_news ? f->cap_news * 2 : 16));
    f->news[f->n_news++] = (mem_seen){d->id, mtime_ms, now};
    if (d->gone_ms) fresh(f, d, now);
    /* the numbers of disks may change from one start of the machine to the next: files that are there tell how */
    int i = 0;
    while (i < f->n_moved && f->moved[i].device != d->device) i++;
    if (i < f->n_moved) return;
    f->moved = q_realloc(f->moved, sizeof *f->moved * (size_t)(f->n_moved + 1));
    f->moved[f->n_moved++] = (mem_seen){.device = d->device, .mtime_ms = now};
}

static int by_sum(const void *a, const void *b) { return strcmp(((const struct fresh *)a)->sha256, ((const struct fresh *)b)->sha256); }

static bool is_no_more(const char *path)
{
    struct stat st;
    return lstat(path, &st) != 0 && errno == ENOENT;
}

/* The folder that became another one: what of an old path is not at the end of the new one too. NULL: it is there, or was no folder. */
static char *old_root(const char *old, const char *new)
{
    size_t i = strlen(old), k = strlen(new), cut = i;
    while (i && k && old[i - 1] == new[k - 1]) {
        i--, k--;
        if (old[i] == '/') cut = i;
    }
    char *root = cut && cut < strlen(old) ? q_strndup(old, cut) : NULL;
    if (root && is_no_more(root)) return root;
    free(root);
    return NULL;
}

/* Texts that came were known under other paths, which are no more: a folder that was renamed would be fed twice, and what it said before beside
 * what it says now. Where the disk is another one it may only be away, and nothing is marked. */
static int moved_here(struct follow *f, mem_store *s, rag_progress *p, char *err)
{
    mem_documents all = {0};
    char *root = NULL;
    int n = 0;
    int rc = f->n_fresh ? mem_document_list(s, &all, err) : Q_OK;
    int64_t *gone = q_alloc(sizeof *gone * (size_t)(all.n + 1)), device = 0;
    if (f->n_fresh) qsort(f->fresh, (size_t)f->n_fresh, sizeof *f->fresh, by_sum);
    for (int look = 0; look < 2; look++)                /* the texts that came; then what lay beside them in the folder that is no more */
        for (int i = 0; i < all.n && (look == 0 || root); i++) {
            mem_document *d = &all.v[i];
            struct fresh key, *x = &key;
            if (d->trust != MEM_TRUST_OWN || d->gone_ms || !d->device) continue;
            memcpy(key.sha256, d->sha256, sizeof key.sha256);
            if (look == 0) x = bsearch(&key, f->fresh, (size_t)f->n_fresh, sizeof *f->fresh, by_sum);
            bool here = look == 0 ? x && x->device == d->device : d->device == device && rag_inside(root, d->path);
            if (!here || !is_no_more(d->path)) continue;
            if (look == 0 && !root && (root = old_root(d->path, x->path)) != NULL) device = d->device;
            gone[n++] = d->id;
            d->gone_ms = 1;
        }
    if (rc == Q_OK && n) rc = mem_documents_gone(s, gone, n, err);
    if (rc == Q_OK) p->gone += n;
    free(root);
    free(gone);
    mem_documents_free(&all);
    return rc;
}

static int by_folder(const void *a, const void *b)
{
    return strcmp(((const struct folder *)a)->path, ((const struct folder *)b)->path);
}

/* The deepest folder the walk came to on the way to a path; folders are sorted. */
static const struct folder *nearest(const struct follow *f, const char *path)
{
    char *at = q_strdup(path);
    const struct folder *best = NULL;
    for (size_t n = strlen(at); f->n_folder && !best && n > 0;) {
        at[n] = 0;
        best = bsearch(&(struct folder){.path = at}, f->folder, (size_t)f->n_folder, sizeof *f->folder, by_folder);
        if (n == 1) break;
        while (n > 1 && at[n - 1] != '/') n--;              /* the folder it is in: without its slash, but for the root */
        n -= n > 1;
    }
    free(at);
    return best;
}

static bool same_disk(const struct follow *f, const mem_document *d, int64_t now)
{
    if (d->device == 0 || d->device == now) return true;
    for (int i = 0; i < f->n_moved; i++)
        if (f->moved[i].device == d->device && f->moved[i].mtime_ms == now) return true;
    return false;
}

/* NULL: gone. "": it is there after all. Else why nobody can say. */
static const char *doubt(const struct follow *f, const mem_document *d)
{
    struct stat st;
    if (lstat(d->path, &st) == 0) return "";
    int e = errno;
    const struct folder *in = nearest(f, d->path);
    bool left = in && (lstat(in->path, &st) != 0 || !S_ISDIR(st.st_mode));         /* it went while it was looked through */
    if (!in || in->closed || left || (e != ENOENT && e != ENOTDIR)) return _("not found, but kept: its folder could not be read");
    if (in->entries == 0) return _("not found, but kept: its folder is empty now; is its disk there?");
    if (!same_disk(f, d, in->device)) return _("not found, but kept: its folder lies on another disk now");
    return NULL;
}

int rag_follow_end(struct follow *f, mem_store *s, bool whole, rag_progress *p, char *err)
{
    int rc = f->n_news ? mem_documents_seen(s, f->news, f->n_news, err) : Q_OK, n = 0;
    for (int i = 0; i < f->known.n; i++) p->back += f->known.v[i].gone_ms && f->seen[i];
    int64_t *gone = q_alloc(sizeof *gone * (size_t)(f->known.n + 1));
    if (f->n_folder) qsort(f->folder, (size_t)f->n_folder, sizeof *f->folder, by_folder);
    for (int i = 0; i < f->known.n && whole; i++) {
        const mem_document *d = &f->known.v[i];
        if (f->seen[i] || d->gone_ms) continue;
        const char *why = doubt(f, d);
        if (!why) gone[n++] = d->id;
        else if (*why) rag_skip_add(p, why, d->path), p->kept++;
    }
    if (rc == Q_OK && n) rc = mem_documents_gone(s, gone, n, err);
    if (rc == Q_OK) p->gone = n;
    free(gone);
    return rc == Q_OK ? moved_here(f, s, p, err) : rc;
}

void rag_follow_free(struct follow *f)
{
    if (!f) return;
    mem_documents_free(&f->known);
    for (int i = 0; i < f->n_folder; i++) free(f->folder[i].path);
    free(f->folder);
    free(f->news);
    free(f->moved);
    for (int i = 0; i < f->n_fresh; i++) free(f->fresh[i].path);
    free(f->fresh);
    free(f->seen);
    free(f);
}
