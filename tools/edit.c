/* tools/edit: edit_file: an exact replacement or a whole new text, written beside and renamed, only over the file that was looked at; and
 * how it is taken back. Any thread. */
#include "tools/inside.h"
#include "base/say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_MAX = 256 << 10 };

/* The file as it is; *there: it is. */
static int present(const tool_place *p, const char *canonical, bool make, int *dir, char **leaf, q_buf *was, struct stat *st, bool *there, char *err)
{
    int rc = place_folder(p, canonical, make, dir, leaf, err);
    *there = false;
    if (rc < 0)
        return rc;
    rc = place_read(*dir, *leaf, canonical, PLACE_FILE_MAX, was, st, err);
    *there = rc == Q_OK;
    if (rc == Q_NOTFOUND)
        rc = Q_OK;
    if (rc < 0) {
        close(*dir);
        free(*leaf);
    }
    return rc;
}

/* How many folders above a file are not there. */
static int missing(const tool_place *p, const char *canonical)
{
    char err[Q_ERRLEN], *at = q_strdup(canonical), *leaf, *slash;
    int n = 0, dir;
    while ((slash = strrchr(at, '/')) && slash > at) {
        int rc = place_folder(p, at, false, &dir, &leaf, err);
        if (rc == Q_OK) {
            close(dir);
            free(leaf);
        }
        if (rc != Q_NOTFOUND)
            break;
        n++;
        *slash = 0;
    }
    free(at);
    return n;
}

/* So many folders above a file, the innermost first, while they are empty. */
static void remove_made(const tool_place *root, const char *file, int made)
{
    char err[Q_ERRLEN], *at = q_strdup(file), *slash;
    for (bool gone = true; gone && made > 0 && (slash = strrchr(at, '/')) && slash > at; made--) {
        int dir;
        char *leaf;
        *slash = 0;
        gone = place_folder(root, at, false, &dir, &leaf, err) == Q_OK;
        if (gone) {
            gone = unlinkat(dir, leaf, AT_REMOVEDIR) == 0;
            close(dir);
            free(leaf);
        }
    }
    free(at);
}

/* How often a text stands in another; *at: first. */
static int count(const char *p, size_t n, const char *what, size_t w, size_t *at)
{
    int hits = 0;
    for (const char *s = p, *end = p + n; (s = memmem(s, (size_t)(end - s), what, w)) != NULL; s += w)
        if (hits++ == 0)
            *at = (size_t)(s - p);
    return hits;
}

static char *with_crlf(const char *s)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (; *s; s++) {
        if (*s == '\n' && (b.len == 0 || b.p[b.len - 1] != '\r'))
            q_buf_putc(&b, '\r');
        q_buf_putc(&b, *s);
    }
    return q_buf_take(&b);
}

/* One place of `old` in a text becomes `new`. */
static int replace(const q_buf *was, const char *old, const char *new, const char *path, q_buf *now, char *err)
{
    size_t at = 0, n = strlen(old);
    char *long_old = NULL, *long_new = NULL;
    int hits = count(was->p, was->len, old, n, &at);
    if (!hits && strchr(old, '\n') && memmem(was->p, was->len, "\r\n", 2)) {     /* a file with CRLF, as a model does not see it */
        old = long_old = with_crlf(old);
        new = long_new = with_crlf(new);
        n = strlen(old);
        hits = count(was->p, was->len, old, n, &at);
    }
    int rc = hits == 1 ? Q_OK : hits ? q_fail(err, Q_RANGE, "the old text stands in %s %d times: give more of what is around the one that is meant", path, hits)
                                     : q_fail(err, Q_NOTFOUND, "the old text does not stand in %s letter for letter: read the file again", path);
    if (rc == Q_OK) {
        q_buf_add(now, was->p, at);
        q_buf_puts(now, new);
        q_buf_add(now, was->p + at + n, was->len - at - n);
    }
    free(long_old);
    free(long_new);
    return rc;
}

/* What the file is to be. */
static int wanted(const tool_plan *plan, const q_buf *was, bool there, q_buf *now, char *err)
{
    const char *old = argument_text(plan->args, "old"), *new = argument_text(plan->args, "new"), *text = argument_text(plan->args, "text");
    if (text ? old || new : !old || !new)
        return q_fail(err, Q_FORMAT, "edit_file takes either text (the whole file) or old and new (one exact replacement)");
    q_buf_puts(now, "");
    if (text) {
        q_buf_puts(now, text);
        return Q_OK;
    }
    if (!there)
        return q_fail(err, Q_NOTFOUND, "%s is not there, so nothing in it can be replaced: text writes a new file", plan->path);
    return replace(was, old, new, plan->path, now, err);
}

int edit_look(const tool_place *p, tool_plan *plan, char *err)
{
    q_buf was = { 0 }, now = { 0 }, diff = { 0 }, shown = { 0 };
    struct stat st;
    bool there;
    int dir = -1;
    char *leaf = NULL;
    int rc = present(p, plan->path, false, &dir, &leaf, &was, &st, &there, err);
    bool folder = rc == Q_OK;
    if (rc == Q_NOTFOUND && argument_text(plan->args, "text"))   /* its folder is to be made too */
        rc = Q_OK, there = false;
    if (rc == Q_OK)
        rc = wanted(plan, &was, there, &now, err);
    if (rc == Q_OK && there && memchr(was.p, 0, was.len))
        rc = q_fail(err, Q_FORMAT, "%s is no text: it holds NUL bytes", plan->path);
    if (rc == Q_OK && there && was.len == now.len && memcmp(was.p, now.p, now.len) == 0)
        rc = q_fail(err, Q_RANGE, "%s would stay as it is", plan->path);
    if (rc == Q_OK) {
        if (there)
            q_sha256(was.p, was.len, plan->before);
        if (there && was.len && !now.len)
            plan->risk |= TOOL_EMPTIES;
        q_buf_printf(&diff, "--- %s\n+++ %s\n", there ? plan->path : "/dev/null", plan->path);
        diff_lines(&diff, there ? was.p : "", there ? was.len : 0, now.p, now.len);
        q_buf_puts(&shown, "");
        tool_text_cut(&shown, diff.p, diff.len, SHOWN_MAX);
        free(plan->shown);
        plan->shown = q_buf_take(&shown);
        plan->diff = true;
    }
    if (folder) {
        close(dir);
        free(leaf);
    }
    q_buf_free(&was);
    q_buf_free(&now);
    q_buf_free(&diff);
    return rc;
}

int edit_run(const tool_place *p, const tool_host *h, const tool_plan *plan, tool_result *out, char *err)
{
    q_buf was = { 0 }, now = { 0 };
    struct stat st = { 0 };
    bool there;
    int dir;
    char *leaf, hash[65] = "";
    int made = missing(p, plan->path), rc = present(p, plan->path, true, &dir, &leaf, &was, &st, &there, err);
    if (rc < 0) {
        q_buf_free(&was);
        return rc;
    }
    if (there)
        q_sha256(was.p, was.len, hash);
    if (strcmp(hash, plan->before) != 0)
        rc = q_fail(err, Q_RANGE, "%s was changed meanwhile, so nothing was written: read it again", plan->path);
    if (rc == Q_OK)
        rc = wanted(plan, &was, there, &now, err);
    unsigned mode = there ? (unsigned)st.st_mode & 0777 : PLACE_NEW;
    if (rc == Q_OK)
        rc = place_write(dir, leaf, plan->path, mode, now.p, now.len, err);
    if (rc == Q_OK) {
        out->undo.path = place_absolute(p, plan->path);
        out->undo.n_was = there ? was.len : 0;
        out->undo.was = there ? q_buf_take(&was) : NULL;
        out->undo.mode = mode & 0777;
        out->undo.made = made;
        q_sha256(now.p, now.len, out->undo.became);
        q_buf_printf(&out->text, there ? "%s is changed\n" : "%s is new\n", plan->path);
    }
    close(dir);
    free(leaf);
    q_buf_free(&was);
    q_buf_free(&now);
    return rc;
}

/* ---- taking it back ---- */
static int undo(const tool_undo *u, bool really, char *err)
{
    char why[Q_ERRLEN], hash[65] = "", *leaf = NULL;
    tool_place *root;
    q_buf now = { 0 };
    struct stat st;
    bool there = false;
    int dir = -1, rc = tool_place_open("/", &root, err);
    if (rc < 0)
        return rc;
    const char *below = u->path + strspn(u->path, "/");
    if (present(root, below, false, &dir, &leaf, &now, &st, &there, why) < 0)
        rc = q_fail(err, Q_RANGE, _("%s cannot be looked at any more, so it stays as it is: %s"), u->path, why);
    else {
        if (there)
            q_sha256(now.p, now.len, hash);
        if (!there || strcmp(hash, u->became) != 0)
            rc = q_fail(err, Q_RANGE, there ? _("%s has changed since, so it stays as it is") : _("%s is gone since, so it stays so"), u->path);
        else if (really && u->was && place_write(dir, leaf, u->path, u->mode, u->was, u->n_was, why) < 0)
            rc = q_fail(err, Q_IO, "%s", why);
        else if (really && !u->was && unlinkat(dir, leaf, 0) < 0)
            rc = q_fail(err, Q_IO, _("%s cannot be removed: %s"), u->path, strerror(errno));
        else if (really && !u->was)
            remove_made(root, below, u->made);
        close(dir);
        free(leaf);
    }
    q_buf_free(&now);
    tool_place_close(root);
    return rc;
}

int tool_undo_check(const tool_undo *u, char *err) { return undo(u, false, err); }
int tool_undo_do(const tool_undo *u, char *err) { return undo(u, true, err); }
