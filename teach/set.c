/* teach/set: sets of examples: made of files, archives and what memory releases; listed; dropped. See teach.h. */
#include "memory/memory.h"
#include "rag/rag.h"
#include "teach/parts.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char KIND[] = "quorum.teach.set";
enum { MOST_LINES = 256 << 20, SLOTS = 1 << 12, MOST_SETS = 4096 };

/* ---- lines that are there already ---- */
typedef struct known { uint64_t *slot; size_t size, n; } known;

static bool known_put(known *k, uint64_t h)
{
    h = h ? h : 1;                       /* 0 is an empty slot */
    if (k->n * 2 >= k->size) {
        known more = { .size = k->size ? 2 * k->size : SLOTS };
        more.slot = q_alloc(sizeof *more.slot * more.size);
        for (size_t i = 0; i < k->size; i++)
            if (k->slot[i])
                known_put(&more, k->slot[i]);
        free(k->slot);
        *k = more;
    }
    size_t at = h & (k->size - 1);
    while (k->slot[at] && k->slot[at] != h)
        at = (at + 1) & (k->size - 1);
    if (k->slot[at])
        return false;
    k->slot[at] = h;
    k->n++;
    return true;
}

/* ---- examples as lines ---- */
static bool is_pair(const char *line, size_t n) { return memmem(line, n, "\"rejected\":", 11) != NULL; }

static void count_lines(const q_buf *lines, int64_t *examples, int64_t *pairs)
{
    for (size_t at = 0; at < lines->len;) {
        const char *p = lines->p + at, *end = memchr(p, '\n', lines->len - at);
        size_t n = end ? (size_t)(end - p) : lines->len - at;
        if (n)
            *(is_pair(p, n) ? pairs : examples) += 1;
        at += n + 1;
    }
}

static void know_lines(known *k, const q_buf *lines)
{
    for (size_t at = 0; at < lines->len;) {
        const char *p = lines->p + at, *end = memchr(p, '\n', lines->len - at);
        size_t n = end ? (size_t)(end - p) : lines->len - at;
        known_put(k, q_hash64(p, n, 0));
        at += n + 1;
    }
}

typedef struct taking { tch_added *out; known *there; q_buf *lines; unsigned lost; bool (*go)(void *user); void *user; } taking;

static int take_example(taking *t, const adv_example *e, char *err)
{
    q_buf line = { 0 };
    enum adv_form form = e->bare ? ADV_AS_COMPLETION : e->n_other ? ADV_AS_PAIRS : ADV_AS_MESSAGES;
    int rc = adv_example_write(e, form, true, &line, &t->lost, err);
    if (rc == Q_RANGE) {                 /* no answer in it */
        t->out->broken++;
        if (!t->out->first_broken)
            t->out->first_broken = q_strdup(err);
        rc = Q_OK;
    } else if (rc == Q_OK && !known_put(t->there, q_hash64(line.p, line.len, 0)))
        t->out->same++;
    else if (rc == Q_OK) {
        *(e->n_other ? &t->out->pairs : &t->out->examples) += 1;
        q_buf_add(t->lines, line.p, line.len);
        q_buf_putc(t->lines, '\n');
    }
    if (rc == Q_OK && t->lines->len > MOST_LINES)
        rc = q_fail(err, Q_RANGE, _("a set holds 256 MiB of examples at most: make two of it"));
    q_buf_free(&line);
    return rc;
}

/* A file of JSON examples. */
static int take_file(taking *t, const char *path, char *err)
{
    adv_reader *r;
    int rc = adv_reader_open(path, ADV_AS_FOUND, &r, err);
    if (rc < 0)
        return rc;
    for (int more = 1; rc == Q_OK && more;) {
        adv_example e = { 0 };
        more = adv_reader_next(r, &e, NULL, err);
        if (more == Q_FORMAT) {
            t->out->broken++;
            if (!t->out->first_broken)
                t->out->first_broken = q_strdup(err);
        } else if (more < 0)
            rc = more;
        else if (more) {
            t->lost |= e.lost;
            rc = take_example(t, &e, err);
        }
        adv_example_free(&e);
        if (rc == Q_OK && t->go && !t->go(t->user))
            rc = q_fail(err, Q_CANCEL, _("stopped: nothing was added"));
    }
    adv_reader_close(r);
    return rc;
}

static const char WORK[] = ".work-";

/* What was said lies in these folders while it is read: those of processes that a kill ended are erased. */
static void sweep(void)
{
    char *folder = shelf_of(NULL, NULL);
    DIR *d = folder ? opendir(folder) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        long pid = strncmp(e->d_name, WORK, sizeof WORK - 1) == 0 ? strtol(e->d_name + sizeof WORK - 1, NULL, 10) : 0;
        if (pid < 1 || pid > INT_MAX || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        char *path = q_printf("%s/%s", folder, e->d_name);
        shelf_erase(path);
        free(path);
    }
    if (d)
        closedir(d);
    free(folder);
}

/* What a memory releases (all: whatever it holds), in this form, taken line by line. Q_NOTFOUND: nothing. */
static int take_memory(taking *t, mem_store *s, enum adv_form form, bool all, char *err)
{
    static atomic_uint made;             /* a list and a run may read at once */
    char *name = q_printf("%s%ld-%u", WORK, (long)getpid(), atomic_fetch_add(&made, 1)), *dir = shelf_of(NULL, name), *file = dir ? q_printf("%s/train.jsonl", dir) : NULL;
    adv_export x = { .to = form, .dir = dir, .all = all, .only_good = !all, .go = t->go, .user = t->user };
    adv_exported out = { 0 };
    int rc = dir ? shelf_make(NULL, false, err) : q_no_home(err);
    if (rc == Q_OK) {
        sweep();
        shelf_erase(dir);                /* of one that had our number */
        rc = adv_export_memory(s, &x, &out, err);
    }
    adv_exported_free(&out);
    if (rc == Q_OK)
        rc = take_file(t, file, err);
    if (dir)
        shelf_erase(dir);
    free(name);
    free(dir);
    free(file);
    return rc;
}

/* A dialogue or an archive of chats: as memory would take it, in one that lives as long as this call. */
static int take_archive(taking *t, const char *path, char *err)
{
    mem_store *s;
    rag_progress p = { 0 };
    int rc = mem_open(":memory:", &s, err);
    if (rc < 0)
        return rc;
    rag_add_opts o = { .go = t->go, .user = t->user };
    rc = rag_add(s, path, &o, &p, err);
    if (rc == Q_OK)
        rc = take_memory(t, s, ADV_AS_MESSAGES, true, err);
    if (rc == Q_NOTFOUND)
        q_fail(err, rc, _("%s holds no conversation: examples are lines of JSON (messages), a dialogue in Markdown (**User:** and **Assistant:** in turns), or an archive of chats"), path);
    mem_close(s);
    return rc;
}

/* ---- a set's files ---- */
static int read_lines(const char *name, q_buf *out, char *err)
{
    char *path = shelf_of(name, "examples.jsonl");
    int rc = !path ? q_no_home(err) : access(path, F_OK) != 0 ? Q_OK : q_read_file(path, out, MOST_LINES, err);
    free(path);
    return rc;
}

static const shelf_row rows[] = { { "sources", SHELF_LIST, false }, { "chats", SHELF_FLAG, false } };
static const shelf_row source_rows[] = { { "what", SHELF_TEXT, true }, { "sha256", SHELF_TEXT, true }, { "examples", SHELF_COUNT, true }, { "pairs", SHELF_COUNT, true }, { "added_ms", SHELF_COUNT, true } };

static const char *wrong_source(const cJSON *set)
{
    const cJSON *one, *all = cJSON_GetObjectItemCaseSensitive(set, "sources");
    const char *wrong = NULL;
    cJSON_ArrayForEach(one, all)
        wrong = wrong ? wrong : shelf_wrong(one, source_rows, (int)(sizeof source_rows / sizeof *source_rows));
    return wrong;
}

/* NULL: damaged, with what to do. */
static cJSON *read_set(const char *name, char *err)
{
    char why[Q_ERRLEN], *path = shelf_of(name, "set.json"), *examples = shelf_of(name, "examples.jsonl");
    cJSON *j = NULL;
    int rc = path ? shelf_read(path, KIND, rows, (int)(sizeof rows / sizeof *rows), &j, why) : q_no_home(why);
    const char *wrong = rc == Q_OK ? wrong_source(j) : NULL;
    if (wrong)
        rc = q_fail(why, Q_FORMAT, _("\"%s\" in it is missing, or not what stands there"), wrong);
    if (rc == Q_FORMAT)
        q_fail(err, rc, _("%s is damaged (%s): move it away, and /teach add %s to %s takes up the examples beside it again"), path, why, examples, name);
    else if (rc < 0)
        q_fail(err, rc, "%s", why);
    if (rc < 0) {
        cJSON_Delete(j);
        j = NULL;
    }
    free(path);
    free(examples);
    return j;
}

static bool set_there(const char *name)
{
    char *path = shelf_of(name, "set.json");
    bool is = path && access(path, F_OK) == 0;
    free(path);
    return is;
}

static int write_set(const char *name, cJSON *j /* deleted */, const q_buf *lines, char *err)
{
    char *path = shelf_of(name, "set.json"), *examples = shelf_of(name, "examples.jsonl");
    int rc = shelf_make(name, false, err);
    if (rc == Q_OK && lines)
        rc = q_write_file_atomic(examples, lines->p ? lines->p : "", lines->len, err);
    cJSON_DeleteItemFromObject(j, "kind");
    cJSON_DeleteItemFromObject(j, "v");
    if (rc == Q_OK)
        rc = shelf_write(path, KIND, j, err);
    else
        cJSON_Delete(j);
    free(path);
    free(examples);
    return rc;
}

static void add_source(cJSON *set, const char *what, const char *sha, const tch_added *a)
{
    cJSON *all = cJSON_GetObjectItemCaseSensitive(set, "sources"), *one = cJSON_CreateObject();
    if (!cJSON_IsArray(all)) {
        cJSON_DeleteItemFromObject(set, "sources");
        all = cJSON_AddArrayToObject(set, "sources");
    }
    cJSON_AddStringToObject(one, "what", what);
    cJSON_AddStringToObject(one, "sha256", sha);
    cJSON_AddNumberToObject(one, "examples", (double)a->examples);
    cJSON_AddNumberToObject(one, "pairs", (double)a->pairs);
    cJSON_AddNumberToObject(one, "added_ms", (double)q_wall_ms());
    cJSON_AddItemToArray(all, one);
}

void tch_added_free(tch_added *a)
{
    free(a->first_broken);
    free(a->lost);
    *a = (tch_added){ 0 };
}

static int take_any(taking *t, const char *path, char *err)
{
    enum adv_form form;
    char why[Q_ERRLEN];
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))        /* a pipe would be waited for */
        return q_fail(err, Q_NOTFOUND, _("%s is no file: /teach add takes one file of examples at a time"), path);
    int rc = adv_form_of(path, &form, why) == Q_OK ? take_file(t, path, err) : take_archive(t, path, err);
    if (rc == Q_OK && !t->out->examples && !t->out->pairs && !t->out->same)
        rc = q_fail(err, Q_NOTFOUND, _("%s holds no example with an answer: %s"), path, t->out->first_broken ? t->out->first_broken : _("it is empty"));
    return rc;
}

static int add_file(const char *what, const char *name, taking *t, cJSON *set, char *err)
{
    char *path = q_home_path(what), sha[65] = "";
    const char *slash = strrchr(path, '/');
    int rc = take_any(t, path, err);
    if (rc == Q_OK)
        rc = q_sha256_file(path, sha, err);
    if (rc == Q_OK && (t->out->examples || t->out->pairs || !set_there(name))) {
        tch_added all = *t->out;
        all.examples += set_there(name) ? 0 : all.same;      /* what was left of a set whose set.json is gone is its own again */
        add_source(set, slash ? slash + 1 : path, sha, &all);
        rc = write_set(name, set, t->lines, err);
    } else
        cJSON_Delete(set);
    free(path);
    return rc;
}

static bool is_chats(const char *what) { return strcmp(what, TCH_CHATS) == 0 || strcmp(what, "беседы") == 0; }

int tch_add(const char *what, const char *name, bool (*go)(void *user), void *user, tch_added *out, char *err)
{
    known there = { .n = 0 };
    q_buf lines = { 0 }, lost = { 0 };
    taking t = { .out = out, .there = &there, .lines = &lines, .go = go, .user = user };
    *out = (tch_added){ 0 };
    name = name ? name : TCH_OWN;
    int rc = shelf_name(name, err), lock = -1;
    cJSON *set = NULL;
    if (rc == Q_OK)
        rc = shelf_lock_sets(&lock, err);
    if (rc == Q_OK && set_there(name) && !(set = read_set(name, err)))
        rc = Q_FORMAT;
    if (rc == Q_OK)
        rc = read_lines(name, &lines, err);
    if (rc == Q_OK && !set)
        set = cJSON_CreateObject();
    know_lines(&there, &lines);
    if (rc == Q_OK && is_chats(what)) {
        cJSON_DeleteItemFromObject(set, "chats");
        cJSON_AddBoolToObject(set, "chats", true);
        rc = write_set(name, set, NULL, err);
    } else if (rc == Q_OK)
        rc = add_file(what, name, &t, set, err);
    else
        cJSON_Delete(set);
    for (int k = 0; k < ADV_LOSSES; k++)
        if ((t.lost >> k) & 1)
            q_buf_printf(&lost, "%s\n", adv_loss_words((enum adv_loss)k));
    shelf_unlock(lock);
    out->lost = q_buf_take(&lost);
    q_buf_free(&lines);
    free(there.slot);
    if (rc < 0)
        tch_added_free(out);
    return rc;
}

/* ---- all examples of one ---- */
static bool has_chats(const cJSON *set) { return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(set, "chats")); }

static int chat_lines(mem_store *s, q_buf *lines, char *err)
{
    known there = { .n = 0 };
    tch_added added = { 0 };
    taking t = { .out = &added, .there = &there, .lines = lines };
    char none[Q_ERRLEN] = "";
    if (!s)
        return q_fail(err, Q_NOTFOUND, _("memory is not open, and these examples stand in its conversations"));
    know_lines(&there, lines);
    int rc = take_memory(&t, s, ADV_AS_MESSAGES, false, err);
    if (rc == Q_OK || rc == Q_NOTFOUND) {
        int pairs = take_memory(&t, s, ADV_AS_PAIRS, false, rc == Q_OK ? none : err);
        rc = pairs == Q_NOTFOUND ? rc : pairs;
    }
    tch_added_free(&added);
    free(there.slot);
    return rc;
}

int set_lines(mem_store *s, const char *name, q_buf *lines, char *err)
{
    int rc = shelf_name(name, err);
    cJSON *set = NULL;
    bool there = rc == Q_OK && set_there(name), chats = strcmp(name, TCH_CHATS) == 0;
    if (rc == Q_OK && !there && !chats)
        rc = q_fail(err, Q_NOTFOUND, _("there is no set \"%s\": /teach list shows those that there are, /teach add FILE to %s makes it"), name, name);
    if (rc == Q_OK && there && !(set = read_set(name, err)))
        rc = Q_FORMAT;
    if (rc == Q_OK)
        rc = read_lines(name, lines, err);
    if (rc == Q_OK && (chats || (set && has_chats(set)))) {
        rc = chat_lines(s, lines, err);
        rc = rc == Q_NOTFOUND && lines->len ? Q_OK : rc;
    }
    if (rc == Q_OK && !lines->len)
        rc = q_fail(err, Q_NOTFOUND, _("the set \"%s\" is empty: /teach add FILE to %s puts examples into it"), name, name);
    cJSON_Delete(set);
    return rc;
}

/* ---- the list ---- */
static void count_chats(mem_store *s, tch_set *t)
{
    char err[Q_ERRLEN];
    int64_t *id = NULL;
    int all = 0, released = 0;
    t->released = t->unreleased = -1;
    if (s && mem_conversations_released(s, true, &id, &all, err) == Q_OK) {
        free(id);
        id = NULL;
        if (mem_conversations_released(s, false, &id, &released, err) == Q_OK) {
            t->released = released;
            t->unreleased = all - released;
        }
    }
    free(id);
}

static void sources_of(const cJSON *set, tch_set *t)
{
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(set, "sources"), *one;
    t->source = q_alloc(sizeof *t->source * (size_t)(cJSON_GetArraySize(all) + 2));
    cJSON_ArrayForEach(one, all) {
        tch_source *s = &t->source[t->n++];
        s->what = q_strdup(shelf_text(one, "what"));
        q_buf b = { 0 };
        q_buf_puts(&b, shelf_text(one, "sha256"));
        memcpy(s->sha, b.p, b.len < sizeof s->sha ? b.len : sizeof s->sha - 1);
        q_buf_free(&b);
        s->examples = (int64_t)shelf_number(one, "examples", 0);
        s->pairs = (int64_t)shelf_number(one, "pairs", 0);
        s->added_ms = (int64_t)shelf_number(one, "added_ms", 0);
    }
    if (t->chats)
        t->source[t->n++] = (tch_source){ .what = q_strdup(TCH_CHATS) };
}

static void run_of(tch_set *t)
{
    char err[Q_ERRLEN], *file = tch_adapter_path(t->name);
    cJSON *run;
    if (record_read(t->name, &run, err) == Q_FORMAT && !t->problem)
        t->problem = q_strdup(err);
    t->state = q_strdup(shelf_text(run, "state"));
    t->adapter = file && access(file, F_OK) == 0;
    cJSON_Delete(run);
    free(file);
}

static void one_set(mem_store *s, const eng_model *m, const char *name, tch_set *t)
{
    char err[Q_ERRLEN];
    q_buf lines = { 0 };
    cJSON *set = set_there(name) ? read_set(name, err) : NULL;
    *t = (tch_set){ .name = q_strdup(name), .tokens = -1, .targets = -1, .chats = strcmp(name, TCH_CHATS) == 0 || (set && has_chats(set)) };
    if (set_there(name) && !set)
        t->problem = q_strdup(err);
    count_chats(s, t);
    sources_of(set, t);
    run_of(t);
    int rc = set_there(name) && !set ? Q_FORMAT : set_lines(s, name, &lines, err);
    if (rc < 0 && !t->problem)
        t->problem = q_strdup(err);
    count_lines(&lines, &t->examples, &t->pairs);
    lessons k = { 0 };
    if (rc == Q_OK && m && tokens_read(m, &lines, TOKENS_SFT, 0, true, &k, err) == Q_OK) {
        t->tokens = k.n_tokens;
        t->targets = k.n_targets;
    }
    tokens_free(&k);
    q_buf_free(&lines);
    cJSON_Delete(set);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int tch_list(mem_store *s, const char *model, tch_set **out, int *n, char *err)
{
    char *folder = shelf_of(NULL, NULL), *name[MOST_SETS];
    eng_model *m = NULL;
    int names = 0;
    *out = NULL;
    *n = 0;
    if (!folder)
        return q_no_home(err);
    if (model) {
        int rc = eng_model_open(model, &(eng_open_opts){ .vocab_only = true }, &m, err);
        if (rc < 0) {
            free(folder);
            return rc;
        }
    }
    name[names++] = q_strdup(TCH_CHATS);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && names < MOST_SETS && (e = readdir(d));)
        if (tch_is_name(e->d_name) && strcmp(e->d_name, TCH_CHATS) != 0 && set_there(e->d_name))
            name[names++] = q_strdup(e->d_name);
    if (d)
        closedir(d);
    qsort(name, (size_t)names, sizeof *name, by_name);
    *out = q_alloc(sizeof **out * (size_t)names);
    for (int i = 0; i < names; i++) {
        one_set(s, m, name[i], &(*out)[i]);
        free(name[i]);
    }
    *n = names;
    eng_model_free(m);
    free(folder);
    return Q_OK;
}

void tch_sets_free(tch_set *v, int n)
{
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < v[i].n; k++)
            free(v[i].source[k].what);
        free(v[i].source);
        free(v[i].name);
        free(v[i].state);
        free(v[i].problem);
    }
    free(v);
}

int tch_drop(const char *name, char *err)
{
    int rc = shelf_name(name, err), fd = -1;
    char *folder = shelf_of(name, NULL);
    struct stat st;
    if (rc == Q_OK && (!folder || stat(folder, &st) != 0))
        rc = q_fail(err, Q_NOTFOUND, _("there is no set \"%s\": /teach list shows those that there are"), name);
    if (rc == Q_OK)
        rc = shelf_lock(name, &fd, err);
    if (rc == Q_OK)
        shelf_erase(folder);
    shelf_unlock(fd);
    free(folder);
    return rc;
}
