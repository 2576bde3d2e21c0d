/* agent/meant: see meant.h. */
#include "agent/errands.h"
#include "agent/meant.h"
#include "base/say.h"
#include "rag/rag.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN = 5, STEP = 32 };           /* of what would go; items between two safe points */

/* ---- what is meant ---- */
static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return n && strncmp(path, folder, n) == 0 && (path[n] == '/' || (path[n] && folder[n - 1] == '/'));
}

/* A number, a title, a file, or a folder with all that is below it. */
static int documents(mem_store *s, const char *which, mem_targets *out, char *err)
{
    char *real = q_home_path(which), *whole = realpath(real, NULL), *end;
    const char *path = whole ? whole : real;
    long id = strtol(which, &end, 10);
    bool number = *which && !*end;
    mem_documents l = { 0 };
    int rc = mem_document_list(s, &l, err);
    for (int i = 0; i < l.n && rc == Q_OK; i++) {
        const mem_document *d = &l.v[i];
        if (!(number && d->id == id) && strcmp(d->path, path) != 0 && strcmp(d->title, which) != 0 && !(*path == '/' && below(d->path, path)))
            continue;
        rc = mem_target_get(s, MEM_PART_DOCUMENT, d->id, out, err);
        rc = rc == Q_NOTFOUND ? Q_OK : rc;
    }
    if (rc == Q_OK && out->n == 0)
        rc = q_fail(err, Q_NOTFOUND, _("there is no document %s in memory; /memory list shows them with their numbers"), which);
    mem_documents_free(&l);
    free(whole);
    free(real);
    return rc;
}

static int no_day(char *err, const char *word)
{
    return q_fail(err, Q_RANGE, _("\"%s\" is no day: write 2026-11-27, 27.11.2026, today or yesterday"), word);
}

static int by_number(mem_store *s, enum mem_part part, const char *rest, mem_targets *out, char *err)
{
    const char *colon = part == MEM_PART_MESSAGE ? strchr(rest, ':') : NULL;     /* CONVERSATION:MESSAGE, as /find shows it */
    char *end;
    long long id = strtoll(colon ? colon + 1 : rest, &end, 10);
    if (id <= 0 || *end)
        return q_fail(err, Q_RANGE, part == MEM_PART_CHAT ? _("/forget chat NUMBER: /chats shows the numbers") : part == MEM_PART_FACT ?
                      _("/forget fact NUMBER: /remember shows the numbers") : _("/forget message NUMBER: /find shows the numbers, behind the colon"));
    return mem_target_get(s, part, id, out, err);
}

static int by_fact(mem_store *s, const char *rest, mem_targets *out, char *err) { return by_number(s, MEM_PART_FACT, rest, out, err); }
static int by_gone(mem_store *s, const char *rest, mem_targets *out, char *err) { return mem_forget_find(s, MEM_FORGET_GONE, 0, 1, NULL, out, err); }
static int by_chat(mem_store *s, const char *rest, mem_targets *out, char *err) { return by_number(s, MEM_PART_CHAT, rest, out, err); }
static int by_message(mem_store *s, const char *rest, mem_targets *out, char *err) { return by_number(s, MEM_PART_MESSAGE, rest, out, err); }

static int by_words(mem_store *s, const char *rest, mem_targets *out, char *err)
{
    return *rest ? mem_forget_find(s, MEM_FORGET_WORDS, 0, 1, rest, out, err) : q_fail(err, Q_RANGE, _("/forget words TEXT: what holds the text, in any case of its letters"));
}

static int by_time(mem_store *s, const char *rest, mem_targets *out, char *err)
{
    char *line = q_strdup(rest), *at = NULL, *from = strtok_r(line, " \t\n", &at), *until = from ? strtok_r(NULL, " \t\n", &at) : NULL;
    char *to = until ? strtok_r(NULL, " \t\n", &at) : NULL;
    bool good = from && (!until || strcmp(until, "until") == 0 || strcmp(until, "по") == 0 || strcmp(until, "до") == 0) && !until == !to && !strtok_r(NULL, " \t\n", &at);
    int64_t a = good ? rag_day(from, 0, q_wall_ms()) : 0, b = to && good ? rag_day(to, 1, q_wall_ms()) : INT64_MAX;
    int rc = Q_OK;
    if (!good)
        rc = q_fail(err, Q_RANGE, _("/forget since DAY [until DAY]: what was said or taken in from that day on"));
    else if (a < 0 || b < 0)
        rc = no_day(err, a < 0 ? from : to);
    else
        rc = mem_forget_find(s, MEM_FORGET_TIME, a, b, NULL, out, err);
    free(line);
    return rc;
}

static const struct way { const char *word, *ru; int (*find)(mem_store *, const char *rest, mem_targets *, char *err); bool needs; } ways[] = {
    { "gone", "пропавшее", by_gone, false },
    { "chat", "беседа", by_chat, true },
    { "message", "сообщение", by_message, true },
    { "fact", "факт", by_fact, true },
    { "since", "с", by_time, true },
    { "words", "слова", by_words, true },
};

static const struct way *way_of(const char *what, const char **rest)
{
    size_t n = strcspn(what, " \t\n");
    *rest = what + n + strspn(what + n, " \t\n");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if ((strlen(ways[i].word) == n && strncmp(what, ways[i].word, n) == 0) || (strlen(ways[i].ru) == n && strncmp(what, ways[i].ru, n) == 0))
            return ways[i].needs == (**rest != 0) ? &ways[i] : NULL;
    return NULL;
}

/* ---- in words ---- */
static void counts(const int n[MEM_PARTS], q_buf *b)
{
    if (n[MEM_PART_DOCUMENT])
        q_buf_printf(b, ngettext("%d document", "%d documents", (unsigned long)n[MEM_PART_DOCUMENT]), n[MEM_PART_DOCUMENT]);
    if (n[MEM_PART_CHAT])
        q_buf_puts(b, b->len ? ", " : ""), q_buf_printf(b, ngettext("%d conversation", "%d conversations", (unsigned long)n[MEM_PART_CHAT]), n[MEM_PART_CHAT]);
    if (n[MEM_PART_MESSAGE])
        q_buf_puts(b, b->len ? ", " : ""), q_buf_printf(b, ngettext("%d message", "%d messages", (unsigned long)n[MEM_PART_MESSAGE]), n[MEM_PART_MESSAGE]);
    if (n[MEM_PART_FACT])
        q_buf_puts(b, b->len ? ", " : ""), q_buf_printf(b, ngettext("%d fact", "%d facts", (unsigned long)n[MEM_PART_FACT]), n[MEM_PART_FACT]);
}

static void one_line(const mem_target *t, q_buf *b)
{
    char *brief = q_strndup(t->text, strlen(t->text) > 60 ? q_utf8_whole(t->text, 60) : strlen(t->text));
    const char *title = *t->title ? t->title : _("untitled"), *more = strlen(t->text) > strlen(brief) ? "…" : "";
    if (t->part == MEM_PART_DOCUMENT)
        q_buf_say(b, ngettext("\n%6lld  %s (%d passage)", "\n%6lld  %s (%d passages)", (unsigned long)t->rows), (long long)t->id, title, t->rows);
    else if (t->part == MEM_PART_CHAT)
        q_buf_say(b, ngettext("\n%6lld  “%s” (%d message)", "\n%6lld  “%s” (%d messages)", (unsigned long)t->rows), (long long)t->id, title, t->rows);
    else if (t->part == MEM_PART_FACT)
        q_buf_say(b, "\n%6lld  %s%s", (long long)t->id, brief, more);
    else
        q_buf_say(b, "\n%6lld  %s%s (“%s”)", (long long)t->id, brief, more, title);
    free(brief);
}

static void question(const mem_targets *l, const int n[MEM_PARTS], int passages, const char *what, const char *words, q_buf *b)
{
    q_buf all = { 0 };
    counts(n, &all);
    if (l->n == 1 && l->v->part == MEM_PART_DOCUMENT && !words)
        q_buf_say(b, ngettext("Remove %s (%d passage) from memory for good?", "Remove %s (%d passages) from memory for good?", (unsigned long)passages), l->v->title, passages);
    else if (l->n == 1 && l->v->part == MEM_PART_CHAT)
        q_buf_say(b, ngettext("Delete conversation %lld, “%s” (%d message), for good?", "Delete conversation %lld, “%s” (%d messages), for good?", (unsigned long)l->v->rows),
                  (long long)l->v->id, *l->v->title ? l->v->title : _("untitled"), l->v->rows);
    else if (n[MEM_PART_DOCUMENT] == l->n && !words && *what == '/')
        q_buf_say(b, ngettext("Remove %d document below %s from memory for good?", "Remove all %d documents below %s from memory for good?", (unsigned long)l->n), l->n, what);
    else if (l->n)
        q_buf_say(b, _("Remove %s from memory for good?"), all.p);
    if (words && !l->n)
        q_buf_say(b, _("No document and no message holds it. Clear it from titles, drafts, logs and histories?"));
    else if (words)
        q_buf_puts(b, _(" Titles, drafts, logs and histories that hold it are cleared too."));
    for (int i = 0; i < l->n && i < SHOWN && (l->n > 1 || l->v->part >= MEM_PART_MESSAGE || words); i++)
        one_line(&l->v[i], b);
    if (l->n > SHOWN)
        q_buf_say(b, ngettext("\n        and %d more", "\n        and %d more", (unsigned long)(l->n - SHOWN)), l->n - SHOWN);
    if (l->n || words)
        q_buf_puts(b, _("\nBackups go too. Not reached: what was written elsewhere (exports, /trace save, screenshots)."));
    q_buf_free(&all);
}

/* What no forgetting reaches. */
static void add_outside(mem_store *s, cJSON *o)
{
    char err[Q_ERRLEN];
    mem_outsides l = { 0 };
    cJSON *a = cJSON_AddArrayToObject(o, "outside");
    if (mem_outside_list(s, &l, err) < 0)
        return;
    for (int i = 0; i < l.n; i++) {
        cJSON *e = access(l.v[i].path, F_OK) == 0 ? cJSON_CreateObject() : NULL;
        if (!e)
            continue;
        cJSON_AddStringToObject(e, "kind", l.v[i].kind);
        cJSON_AddStringToObject(e, "path", l.v[i].path);
        cJSON_AddNumberToObject(e, "made", (double)l.v[i].made_ms);
        cJSON_AddItemToArray(a, e);
    }
    mem_outsides_free(&l);
}

static char *data_of(mem_store *s, const mem_targets *l, const int n[MEM_PARTS], int passages)
{
    static const char *const kind[] = { "document", "chat", "message", "fact" };
    cJSON *o = cJSON_CreateObject(), *first;
    cJSON_AddStringToObject(o, "ask", "forget");
    cJSON_AddNumberToObject(o, "documents", n[MEM_PART_DOCUMENT]);
    cJSON_AddNumberToObject(o, "passages", passages);
    cJSON_AddNumberToObject(o, "chats", n[MEM_PART_CHAT]);
    cJSON_AddNumberToObject(o, "messages", n[MEM_PART_MESSAGE]);
    cJSON_AddNumberToObject(o, "facts", n[MEM_PART_FACT]);
    first = cJSON_AddArrayToObject(o, "first");
    for (int i = 0; i < l->n && i < SHOWN; i++) {
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "kind", kind[l->v[i].part]);
        cJSON_AddNumberToObject(e, "id", (double)l->v[i].id);
        cJSON_AddStringToObject(e, "title", l->v[i].title);
        cJSON_AddStringToObject(e, "text", l->v[i].text);
        cJSON_AddItemToArray(first, e);
    }
    add_outside(s, o);
    char *text = cJSON_PrintUnformatted(o), *out = q_strdup(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(o);
    return out;
}

static char *items_of(const mem_targets *l, const char *words)
{
    static const char *const letter[] = { "", "c", "m", "f" };
    q_buf b = { 0 };
    for (int i = 0; i < l->n; i++)
        q_buf_printf(&b, "%s%s%lld:%llx", b.len ? " " : "", letter[l->v[i].part], (long long)l->v[i].id, (unsigned long long)l->v[i].mark);
    if (words)
        q_buf_puts(&b, b.len ? " w" : "w");
    for (const char *p = words; p && *p; p++)
        q_buf_printf(&b, "%02x", (unsigned char)*p);
    return q_buf_take(&b);
}

int agt_forget_find(mem_store *s, const char *what, agt_forgetting *out, char *err)
{
    mem_targets l = { 0 };
    const char *rest;
    const struct way *w = way_of(what, &rest);
    *out = (agt_forgetting){ 0 };
    int n[MEM_PARTS] = { 0 }, passages = 0, rc = w ? w->find(s, rest, &l, err) : documents(s, what, &l, err);
    for (size_t i = 0; rc == Q_NOTFOUND && !w && i < sizeof ways / sizeof *ways; i++)      /* "words" and no text: how it is called */
        if (strcmp(what, ways[i].word) == 0 || strcmp(what, ways[i].ru) == 0)
            rc = ways[i].find(s, "", &l, err);
    const char *words = w && w->find == by_words ? rest : NULL;
    if (rc == Q_OK && l.n == 0 && !words)
        rc = q_fail(err, Q_NOTFOUND, w && w->find == by_gone ? _("no document's file is gone: there is nothing to forget") : _("nothing was said or taken in then: there is nothing to forget"));
    for (int i = 0; i < l.n; i++) {
        n[l.v[i].part]++;
        passages += l.v[i].part == MEM_PART_DOCUMENT ? l.v[i].rows : 0;
    }
    if (rc == Q_OK) {
        q_buf b = { 0 };
        question(&l, n, passages, what, words, &b);
        *out = (agt_forgetting){ .question = q_buf_take(&b), .data = data_of(s, &l, n, passages), .items = items_of(&l, words) };
    }
    mem_targets_free(&l);
    return rc;
}

void agt_forgetting_free(agt_forgetting *f)
{
    free(f->question);
    free(f->data);
    free(f->items);
    *f = (agt_forgetting){ 0 };
}

/* ---- what lies outside the store ---- */
/* A history's lines, as libedit writes them: \ooo for what is no plain letter. */
static bool line_holds(const char *p, size_t n, const char *folded)
{
    q_buf b = { 0 };
    for (size_t i = 0; i < n; i++) {
        bool code = p[i] == '\\' && i + 3 < n && strspn(p + i + 1, "01234567") >= 3;
        q_buf_putc(&b, code ? (char)((p[i + 1] - '0') << 6 | (p[i + 2] - '0') << 3 | (p[i + 3] - '0')) : p[i]);
        i += code ? 3 : 0;
    }
    bool held = b.len && q_holds(b.p, b.len, folded, strlen(folded));
    q_buf_free(&b);
    return held;
}

static int clear_history(const char *folded, char *err)
{
    enum { MOST = 64 << 20 };
    char *file = q_user_path(Q_DIR_STATE, "history");
    q_buf b = { 0 }, left = { 0 };
    int n = 0, rc = Q_OK;
    if (file && q_read_file(file, &b, MOST, err) == Q_OK)
        for (size_t at = 0; at < b.len;) {
            const char *end = memchr(b.p + at, '\n', b.len - at);
            size_t len = end ? (size_t)(end - b.p) + 1 - at : b.len - at;
            if (line_holds(b.p + at, len, folded))
                n++;
            else
                q_buf_add(&left, b.p + at, len);
            at += len;
        }
    if (n) {                             /* what stays is on the disk before what goes is erased */
        char *kept = q_printf("%s.kept", file);
        rc = q_write_file_atomic(kept, left.p ? left.p : "", left.len, err);
        if (rc == Q_OK && (rc = q_file_erase(file, err)) == Q_OK && rename(kept, file) != 0)
            rc = q_fail(err, Q_IO, _("%s is kept as %s: %s"), file, kept, strerror(errno));
        free(kept);
    }
    q_buf_free(&b);
    q_buf_free(&left);
    free(file);
    return rc < 0 ? rc : n;
}

static int clear_experiments(const char *words, char *err)
{
    char *folder = q_user_path(Q_DIR_DATA, "experiments");
    DIR *d = folder ? opendir(folder) : NULL;
    int n = 0, rc = Q_OK;
    for (struct dirent *e; d && rc == Q_OK && (e = readdir(d));) {
        int64_t at = -1;
        char *file = q_printf("%s/%s", folder, e->d_name);
        if (*e->d_name != '.' && mem_file_holds(file, words, &at, err) == Q_OK && at >= 0 && (rc = q_file_erase(file, err)) == Q_OK)
            n++;
        free(file);
    }
    if (d)
        closedir(d);
    free(folder);
    return rc < 0 ? rc : n;
}

/* ---- what was agreed to ---- */
typedef struct doing {
    mem_store *s;
    bool (*go)(void *user, int done, int total);
    void *user;
    int seen, total;
    forgot *f;
} doing;

static bool still(void *user)
{
    doing *d = user;
    return !d->go || d->go(d->user, d->seen, d->total);
}

static int clear_words(doing *d, const char *hex, size_t n, char *err)
{
    char *words = q_alloc(n / 2 + 1), *folded;
    for (size_t i = 0; i + 1 < n; i += 2) {
        unsigned v = 0;
        sscanf(hex + i, "%2x", &v);
        words[i / 2] = (char)v;
    }
    folded = q_strdup(words);
    q_fold_bytes(folded, strlen(folded));
    int rows = 0, rc = mem_forget_beside(d->s, words, still, d, &rows, err), more = 0;
    d->f->beside += rows;
    if (rc == Q_OK && (more = clear_history(folded, err)) < 0)
        rc = more;
    d->f->beside += rc == Q_OK ? more : 0;
    if (rc == Q_OK && (more = clear_experiments(words, err)) < 0)
        rc = more;
    d->f->beside += rc == Q_OK ? more : 0;
    free(folded);
    free(d->f->words);
    d->f->words = words;
    return rc;
}

static void add_id(int64_t **v, int *n, int64_t id)
{
    for (int i = 0; i < *n; i++)
        if ((*v)[i] == id)
            return;
    *v = q_realloc(*v, sizeof **v * (size_t)(*n + 1));
    (*v)[(*n)++] = id;
}

static int step_done(doing *d, mem_targets *l, char *err)
{
    int64_t id[MEM_PARTS][STEP];
    int n[MEM_PARTS] = { 0 }, done = 0, rc = Q_OK;
    for (int i = 0; i < l->n; i++)
        id[l->v[i].part][n[l->v[i].part]++] = l->v[i].id;
    if (n[MEM_PART_DOCUMENT]) {
        for (int i = 0; i < l->n; i++)
            if (l->v[i].part == MEM_PART_DOCUMENT)
                watching_not(d->s, l->v[i].text);
        rc = rag_remove_all(d->s, id[MEM_PART_DOCUMENT], n[MEM_PART_DOCUMENT], &done, err);
        states_forget(d->s, 0, id[MEM_PART_DOCUMENT], done);
        d->f->documents += done;
    }
    for (int i = 0; i < n[MEM_PART_CHAT] && rc == Q_OK; i++) {
        rc = mem_conversation_delete(d->s, id[MEM_PART_CHAT][i], err);
        if (rc == Q_OK) {
            states_forget(d->s, id[MEM_PART_CHAT][i], NULL, 0);
            add_id(&d->f->gone, &d->f->n_gone, id[MEM_PART_CHAT][i]);
            d->f->chats++;
        }
        rc = rc == Q_NOTFOUND ? Q_OK : rc;
    }
    if (rc == Q_OK && n[MEM_PART_FACT]) {
        rc = mem_facts_delete(d->s, id[MEM_PART_FACT], n[MEM_PART_FACT], &done, err);
        if (rc == Q_OK)
            rc = rag_facts(d->s, err);
        d->f->facts += done;
    }
    if (rc == Q_OK && n[MEM_PART_MESSAGE]) {
        rc = mem_messages_delete(d->s, id[MEM_PART_MESSAGE], n[MEM_PART_MESSAGE], &done, err);
        d->f->messages += done;
        for (int i = 0; i < l->n; i++)
            if (l->v[i].part == MEM_PART_MESSAGE) {
                int was = d->f->n_chat;
                add_id(&d->f->chat, &d->f->n_chat, l->v[i].chat);
                if (d->f->n_chat > was)
                    states_forget(d->s, l->v[i].chat, NULL, 0);
            }
    }
    return rc;
}

/* The next items of one step; those that stand there no more are not among them. *words: a wHEX, which is a step of its own. */
static int next_items(doing *d, const char **p, mem_targets *l, const char **words, size_t *n_words, char *err)
{
    *words = NULL;
    for (int taken = 0; **p && taken < STEP; taken++, d->seen++) {
        size_t n = strcspn(*p, " ");
        enum mem_part part = **p == 'c' ? MEM_PART_CHAT : **p == 'm' ? MEM_PART_MESSAGE : **p == 'f' ? MEM_PART_FACT : MEM_PART_DOCUMENT;
        if (**p == 'w' && taken)
            break;
        if (**p == 'w') {
            *words = *p + 1;
            *n_words = n - 1;
        } else {
            char *end, why[Q_ERRLEN];
            int64_t id = strtoll(*p + (part != MEM_PART_DOCUMENT), &end, 10);
            uint64_t mark = *end == ':' ? strtoull(end + 1, NULL, 16) : 0;
            int had = l->n, rc = mem_target_get(d->s, part, id, l, why);
            if (rc < 0 && rc != Q_NOTFOUND)
                return q_fail(err, rc, "%s", why);
            if (l->n > had && l->v[had].mark != mark) {
                free(l->v[had].title);
                free(l->v[had].text);
                l->n = had;
            }
        }
        *p += n;
        *p += **p == ' ';
        if (*words)
            return d->seen++, Q_OK;
    }
    return Q_OK;
}

int forget_count(const char *items)
{
    int n = *items != 0;
    for (; *items; items++)
        n += *items == ' ';
    return n;
}

int forget_items(mem_store *s, const char **items, bool (*go)(void *user, int done, int total), void *user, forgot *out, char *err)
{
    doing d = { .s = s, .go = go, .user = user, .total = forget_count(*items), .f = out };
    int rc = Q_OK;
    while (**items && rc == Q_OK) {
        mem_targets l = { 0 };
        const char *from = *items, *words;
        size_t n_words = 0;
        rc = next_items(&d, items, &l, &words, &n_words, err);
        if (rc == Q_OK && l.n)
            rc = step_done(&d, &l, err);
        if (rc == Q_OK && words)
            rc = clear_words(&d, words, n_words, err);
        if (rc != Q_OK)
            *items = from;
        mem_targets_free(&l);
        if (rc == Q_OK && !still(&d) && **items)
            rc = q_fail(err, Q_CANCEL, _("stopped"));
    }
    return rc;
}

char *forget_removed(const forgot *f)
{
    q_buf b = { 0 }, all = { 0 };
    const int n[MEM_PARTS] = { [MEM_PART_DOCUMENT] = f->documents, [MEM_PART_CHAT] = f->chats, [MEM_PART_MESSAGE] = f->messages, [MEM_PART_FACT] = f->facts };
    counts(n, &all);
    if (f->chats + f->messages + f->facts == 0 && !f->words)
        q_buf_printf(&b, ngettext("%d document is removed from memory", "%d documents are removed from memory", (unsigned long)f->documents), f->documents);
    else if (all.len)
        q_buf_printf(&b, _("removed from memory: %s"), all.p);
    if (f->words && f->beside)
        q_buf_printf(&b, ngettext("%s%d place beside is cleared", "%s%d places beside are cleared", (unsigned long)f->beside), b.len ? "; " : "", f->beside);
    else if (f->words && !all.len)
        q_buf_puts(&b, _("nothing held it"));
    q_buf_free(&all);
    return q_buf_take(&b);
}

void forgot_free(forgot *f)
{
    free(f->words);
    free(f->chat);
    free(f->gone);
    *f = (forgot){ 0 };
}

int agt_forget(mem_store *s, const char *items, bool (*go)(void *user, int done, int total), void *user, char **said, char *err)
{
    forgot f = { 0 };
    char *outside = agt_outside_kept(s);         /* before a name of one goes with the words in it */
    int rc = forget_items(s, &items, go, user, &f, err);
    *said = forget_removed(&f);
    if (outside) {
        char *both = q_printf("%s\n%s", *said, outside);
        free(*said);
        *said = both;
    }
    free(outside);
    forgot_free(&f);
    return rc;
}
