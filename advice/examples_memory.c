/* advice/examples_memory: what memory holds as examples: which messages make one, without duplicates, names and secrets; a folder with a report. See
 * examples.h. Single-threaded a call. */
#include "advice/examples_file.h"
#include "advice/redact.h"
#include "advice/doubles.h"
#include "base/say.h"
#include "memory/memory.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const files[] = { "train.jsonl", "heldout.jsonl", "report.md", "report.json" };
enum { TRAIN, HELDOUT, REPORT, JSON, FILES = 4 };

typedef struct leaving {
    const adv_export *x;
    adv_exported *out;
    mem_store *s;
    char *part;                         /* where it is made: DIR.part */
    lines_out to[2]; bool open[2];
    redactor *r; bool learning;
    doubles *seen;
    mem_messages tree; signed char *mark;   /* of the conversation at hand */
    bool held;                          /* it is held out */
} leaving;

void adv_exported_free(adv_exported *e)
{
    free(e->report);
    free(e->json);
    *e = (adv_exported){0};
}

/* ---- a conversation's tree ---- */
static int at_id(const leaving *l, int64_t id)
{
    int lo = 0, hi = l->tree.n;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (l->tree.v[mid].id < id) lo = mid + 1;
        else hi = mid;
    }
    return lo < l->tree.n && l->tree.v[lo].id == id ? lo : -1;
}

/* The places from the root to `at`, in path [at + 1]; how many. */
static int path_to(const leaving *l, int at, int *path)
{
    int n = 0;
    for (int i = at; i >= 0; i = l->tree.v[i].parent ? at_id(l, l->tree.v[i].parent) : -1) path[n++] = i;
    for (int i = 0; i < n / 2; i++) {
        int keep = path[i];
        path[i] = path[n - 1 - i];
        path[n - 1 - i] = keep;
    }
    return n;
}

static bool is_answer(const leaving *l, int i) { return l->tree.v[i].role == MEM_ASSISTANT; }

/* It ended where a limit or a repetition ended it, not where it was over: learnt, it would teach to stop in mid-sentence. Words of agent/generate.c. */
static bool is_cut(const mem_message *m)
{
    static const char *const cut[] = { "max_tokens", "context", "loop" };
    bool is = false;
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) is = is || strcmp(m->finish, cut[i]) == 0;
    return is;
}

static bool is_whole(const leaving *l, int i) { return l->mark[i] > 0 || (l->mark[i] == 0 && l->tree.v[i].status == MEM_DONE && !is_cut(&l->tree.v[i])); }

static bool gone_on_with(const leaving *l, int i)
{
    for (int k = i + 1; k < l->tree.n; k++)
        if (l->tree.v[k].parent == l->tree.v[i].id) return true;
    return false;
}

/* ---- an example ---- */
/* A text without what is to stay here: as it is, or in b. */
static const char *clean(leaving *l, const char *text, q_buf *b)
{
    q_buf_clear(b);
    if (!l->x->redact) return text;
    if (l->learning) redact_learn(l->r, text, strlen(text));
    else redact_text(l->r, text, strlen(text), b);
    return l->learning ? text : b->p;
}

/* The same, owned by the caller, out of what may be no UTF-8. */
static char *cleaned(leaving *l, const char *text)
{
    char *valid = q_utf8_clean(text, strlen(text));
    q_buf b = {0};
    const char *t = clean(l, valid, &b);
    if (t == valid) return q_buf_free(&b), valid;
    char *out = q_strdup(t);
    q_buf_free(&b);
    free(valid);
    return out;
}

/* Strings and numbers of arguments, each by itself: for those that a word in the place of a number makes no JSON. */
static void clean_values(leaving *l, cJSON *j)
{
    for (cJSON *c = j->child, *next; c; c = next) {
        next = c->next;
        char *was = cJSON_IsNumber(c) ? cJSON_PrintUnformatted(c) : cJSON_IsString(c) ? q_strdup(c->valuestring) : NULL, *now = was ? cleaned(l, was) : NULL;
        if (now && strcmp(now, was) != 0) {
            cJSON *word = cJSON_CreateString(now);
            word->string = c->string ? q_strdup(c->string) : NULL;
            cJSON_ReplaceItemViaPointer(j, c, word);
        } else clean_values(l, c);
        free(was);
        free(now);
    }
}

static char *clean_arguments(leaving *l, const char *text)
{
    char *out = cleaned(l, text);
    cJSON *was = cJSON_Parse(text), *now = cJSON_Parse(out);
    if (was && !now) {
        clean_values(l, was);
        free(out);
        out = cJSON_PrintUnformatted(was);
    }
    cJSON_Delete(was);
    cJSON_Delete(now);
    return out ? out : q_strdup("{}");
}

/* Forms that hold calls and what came back. */
static bool knows_calls(enum adv_form f) { return f == ADV_AS_MESSAGES || f == ADV_AS_SHAREGPT || f == ADV_AS_PAIRS; }

/* A message's text up to its calls, the calls of one round behind it, what each gave, and so on; the text behind the last stays for the caller: from
 * where. */
static size_t add_calls(leaving *l, adv_example *e, const mem_message *m, const mem_calls *calls, bool other)
{
    const size_t n = strlen(m->text);
    const bool ids = l->x->to != ADV_AS_SHAREGPT;       /* that form has no place for them */
    size_t at = 0;
    for (int i = 0, to; i < calls->n; i = to) {
        size_t until = calls->v[i].at < 0 ? 0 : (size_t)calls->v[i].at < n ? (size_t)calls->v[i].at : n;
        if (until < at) until = at;
        for (to = i; to < calls->n && calls->v[to].round == calls->v[i].round; to++) {}
        char *part = q_strndup(m->text + at, until - at), *text = cleaned(l, part);
        adv_said *s = adv_example_add(e, ADV_SAYS_ASSISTANT, text, strlen(text), other);
        at = until;
        free(part);
        free(text);
        s->use = q_alloc(sizeof *s->use * (size_t)(to - i));
        for (int k = i; k < to; k++)
            s->use[s->n_use++] = (adv_use){ ids ? q_printf("call_%lld", (long long)calls->v[k].id) : q_strdup(""), q_utf8_clean(calls->v[k].name, strlen(calls->v[k].name)), clean_arguments(l, calls->v[k].arguments) };
        for (int k = i; k < to; k++) {
            text = cleaned(l, calls->v[k].result);
            s = adv_example_add(e, ADV_SAYS_TOOL, text, strlen(text), other);
            free(text);
            free(s->answers);
            s->answers = ids ? q_printf("call_%lld", (long long)calls->v[k].id) : q_strdup("");
        }
    }
    return at;
}

static void add(leaving *l, adv_example *e, int i, bool other)
{
    static const enum adv_speaker who[] = { ADV_SAYS_SYSTEM, ADV_SAYS_USER, ADV_SAYS_ASSISTANT, ADV_SAYS_TOOL };
    const mem_message *m = &l->tree.v[i];
    const int first = other ? e->n_other : e->n;
    char err[Q_ERRLEN];
    mem_calls calls = {0};
    if (m->role == MEM_ASSISTANT && mem_call_list(l->s, m->id, &calls, err) != Q_OK) calls.n = 0;
    const bool whole = calls.n == 0 || !knows_calls(l->x->to);
    const size_t from = whole ? 0 : add_calls(l, e, m, &calls, other);
    if (calls.n && !l->learning) {
        l->out->tools += !whole;
        if (whole) e->lost |= 1u << ADV_LOST_CALLS | 1u << ADV_LOST_RESULTS;
    }
    if (whole || m->text[from]) {
        char *text = cleaned(l, m->text + from);
        adv_example_add(e, who[m->role], text, strlen(text), other);
        free(text);
    }
    if (*m->thinking && !l->x->drop_thinking) {       /* before all else that the answer says */
        adv_said *s = &(other ? e->other : e->v)[first];
        free(s->thinking);
        s->thinking = cleaned(l, m->thinking);
    } else if (*m->thinking) e->lost |= 1u << ADV_LOST_THINKING;
    mem_calls_free(&calls);
}

static int open_out(leaving *l, int which, char *err)
{
    if (l->open[which]) return Q_OK;
    char *path = q_printf("%s/%s", l->part, files[which]);
    int rc = lines_begin(&l->to[which], path, false, err);
    free(path);
    l->open[which] = rc == Q_OK;
    return rc;
}

/* Duplicates are found before words are put in the place of names: two letters to two people are two. */
static int put(leaving *l, const adv_example *e, enum doubled same, char *err)
{
    q_buf line = {0};
    unsigned lost = 0;
    int which = l->held ? HELDOUT : TRAIN, rc = Q_OK;
    if (same == DOUBLE_SAME) l->out->same++;
    else if (same == DOUBLE_NEAR) l->out->near++;
    else {
        rc = adv_example_write(e, l->x->to, !l->x->drop_thinking, &line, &lost, err);
        if (rc == Q_RANGE) rc = Q_OK;
        else if (rc == Q_OK && (rc = open_out(l, which, err)) == Q_OK && (rc = lines_put(&l->to[which], &line, err)) == Q_OK) {
            *(l->held ? &l->out->heldout : &l->out->train) += 1;
            for (int k = 0; k < ADV_LOSSES; k++) l->out->lost[k] += (lost >> k) & 1;
        }
    }
    q_buf_free(&line);
    return rc;
}

/* path[0..n) and, of a pair, the rejected answer. */
static int example(leaving *l, const int *path, int n, int rejected, char *err)
{
    adv_example e = {0};
    q_buf b = {0};
    for (int i = 0; i < n; i++) q_buf_printf(&b, "%d %s\n", (int)l->tree.v[path[i]].role, l->tree.v[path[i]].text);
    if (rejected >= 0) q_buf_printf(&b, "! %s\n", l->tree.v[rejected].text);
    enum doubled same = l->learning ? DOUBLE_NONE : doubles_put(l->seen, b.p ? b.p : "", b.len);
    q_buf_free(&b);
    for (int i = 0; i < n && same == DOUBLE_NONE; i++) {
        e.from = e.n;                    /* the last is the chosen answer, calls and all */
        add(l, &e, path[i], false);
    }
    if (rejected >= 0 && same == DOUBLE_NONE) add(l, &e, rejected, true);
    int rc = l->learning ? Q_OK : put(l, &e, same, err);
    adv_example_free(&e);
    return rc;
}

/* ---- which ---- */
/* How much of a path is an example: to its last whole answer, before the first that is none. Without a good one: nothing, where good ones are asked for. */
static int usable(leaving *l, const int *path, int n)
{
    int end = 0;
    for (int i = 0; i < n; i++) {
        const mem_message *m = &l->tree.v[path[i]];
        if (m->role != MEM_ASSISTANT) continue;
        if (!is_whole(l, path[i]) || !*m->text) {
            if (!l->learning) l->out->bad++;
            break;
        }
        if (!l->x->only_good || l->mark[path[i]] > 0) end = i + 1;
    }
    return end;
}

static int branches(leaving *l, int64_t leaf, char *err)
{
    int *path = q_alloc(sizeof *path * (size_t)(l->tree.n + 1)), rc = Q_OK;
    bool *used = q_alloc((size_t)l->tree.n + 1);        /* an end that is an example already */
    for (int i = l->tree.n - 1; i >= 0 && rc == Q_OK; i--) {
        bool wanted = l->x->only_good ? !gone_on_with(l, i) : l->tree.v[i].id == leaf;
        int n = wanted ? usable(l, path, path_to(l, i, path)) : 0;
        if (!n || used[path[n - 1]]) continue;
        for (int k = 0; k < n; k++) used[path[k]] = true;
        rc = example(l, path, n, -1, err);
    }
    free(path);
    free(used);
    return rc;
}

/* Two answers to one question: which was chosen; by marks, else by what was gone on with. */
static bool better(const leaving *l, int a, int b, bool *by_mark)
{
    *by_mark = l->mark[a] > 0 || l->mark[b] < 0;
    if (l->mark[a] != l->mark[b]) return l->mark[a] > l->mark[b] && (l->mark[a] > 0 || !l->x->only_good);
    return !l->x->only_good && l->mark[a] == 0 && gone_on_with(l, a) && !gone_on_with(l, b);
}

/* Is every answer before the last of a path one to learn from? */
static bool good_before(const leaving *l, const int *path, int n)
{
    for (int i = 0; i + 1 < n; i++)
        if (is_answer(l, path[i]) && !is_whole(l, path[i])) return false;
    return true;
}

static int pairs(leaving *l, char *err)
{
    int *path = q_alloc(sizeof *path * (size_t)(l->tree.n + 1)), rc = Q_OK;
    for (int a = 0; a < l->tree.n && rc == Q_OK; a++)
        for (int b = 0; b < l->tree.n && rc == Q_OK; b++) {
            const mem_message *x = &l->tree.v[a], *y = &l->tree.v[b];
            bool by_mark;
            if (a == b || x->parent != y->parent || !x->parent || !is_answer(l, a) || !is_answer(l, b) || !*x->text || !*y->text || strcmp(x->text, y->text) == 0) continue;
            if (x->status != MEM_DONE || y->status != MEM_DONE || !better(l, a, b, &by_mark)) continue;
            int64_t was = l->out->train + l->out->heldout;
            int n = path_to(l, a, path);
            if (!good_before(l, path, n)) {
                if (!l->learning) l->out->bad++;
                continue;
            }
            rc = example(l, path, n, b, err);
            if (l->out->train + l->out->heldout > was) *(by_mark ? &l->out->by_mark : &l->out->by_going_on) += 1;
        }
    free(path);
    return rc;
}

static int conversation(leaving *l, int64_t id, char *err)
{
    mem_conversation c;
    int rc = mem_conversation_get(l->s, id, &c, err);
    if (rc == Q_NOTFOUND) return Q_OK;                 /* deleted meanwhile: it does not leave */
    if (rc != Q_OK) return rc;
    rc = mem_conversation_tree(l->s, id, &l->tree, &l->mark, err);
    uint64_t place = q_mix64(0x7472616E, q_mix64((uint64_t)c.created_ms, (uint64_t)id)) >> 11;
    int64_t was = l->out->train + l->out->heldout;
    l->held = (double)place / (double)(1ull << 53) < l->x->heldout;
    if (rc == Q_OK) rc = l->x->to == ADV_AS_PAIRS ? pairs(l, err) : branches(l, c.leaf, err);
    l->out->used += l->out->train + l->out->heldout > was;
    mem_messages_free(&l->tree);
    free(l->mark);
    l->mark = NULL;
    mem_conversation_free(&c);
    return rc;
}

/* ---- the report ---- */
static void line(q_buf *b, cJSON *j, const char *name, int64_t n, const char *words, bool always)
{
    cJSON_AddNumberToObject(j, name, (double)n);
    if (n || always) q_buf_say(b, "- %s: %lld\n", words, (long long)n);
}

static void report_redacted(leaving *l, q_buf *b, cJSON *j)
{
    enum { DOUBTS = 40 };
    cJSON *k = cJSON_AddObjectToObject(j, "redacted");
    q_buf_printf(b, "\n## %s\n\n", _("What was taken out"));
    for (int i = 0; i < RED_KINDS; i++) {
        const redact_found *f = redact_of(l->r, (enum redact_kind)i);
        cJSON *one = cJSON_AddObjectToObject(k, redact_word((enum redact_kind)i));
        cJSON_AddNumberToObject(one, "places", (double)f->n);
        cJSON_AddNumberToObject(one, "different", f->different);
        q_buf_say(b, _("- %s: %lld places, %d different"), redact_kind_words((enum redact_kind)i), (long long)f->n, f->different);
        for (int s = 0; s < f->n_shown; s++) q_buf_say(b, "%s%s", s ? ", " : " (", f->shown[s]);
        q_buf_puts(b, f->n_shown ? ")\n" : "\n");
    }
    const redact_doubt *d;
    int n = redact_doubts(l->r, &d);
    q_buf_printf(b, "\n%s\n", _("Rules find what they know; read the files before you give them away. Names of several words that stayed, because no rule took them for a person's (--name NAME takes one out):"));
    cJSON *left = cJSON_AddArrayToObject(j, "names_left");
    if (!n) q_buf_say(b, "- %s\n", _("none"));
    for (int i = 0; i < n && i < DOUBTS; i++) {
        q_buf_say(b, "- %s (%d)\n", d[i].name, d[i].n);
        cJSON_AddItemToArray(left, cJSON_CreateString(d[i].name));
    }
}

static void report(leaving *l)
{
    adv_exported *o = l->out;
    q_buf b = {0};
    cJSON *j = cJSON_CreateObject(), *lost = NULL;
    cJSON_AddNumberToObject(j, "v", 1);
    cJSON_AddStringToObject(j, "form", adv_form_name(l->x->to));
    q_buf_printf(&b, "# %s\n\n", _("Examples for training, out of quorum's memory"));
    q_buf_say(&b, _("- form: %s\n"), adv_form_name(l->x->to));
    line(&b, j, "conversations", o->chats, l->x->all ? _("conversations looked at (all there are)") : _("conversations that were released"), true);
    line(&b, j, "used", o->used, _("of these with an example"), true);
    line(&b, j, "train", o->train, _("examples in train.jsonl"), true);
    line(&b, j, "heldout", o->heldout, _("examples in heldout.jsonl, of other conversations"), true);
    line(&b, j, "same", o->same, _("left out: the same as an earlier one"), false);
    line(&b, j, "near", o->near, _("left out: nearly the same as an earlier one (three quarters of the runs of five words)"), false);
    line(&b, j, "by_mark", o->by_mark, _("pairs by marks: the chosen answer is good, or the rejected one bad"), false);
    line(&b, j, "by_going_on", o->by_going_on, _("pairs by what was done: the chosen answer was gone on with, the rejected one was not"), false);
    line(&b, j, "cut", o->bad, _("branches cut before an answer that is bad, failed, empty, cut off or was stopped"), false);
    line(&b, j, "tools", o->tools, _("answers that leave with their calls of tools and what came back"), false);
    lost = cJSON_AddObjectToObject(j, "lost");
    for (int k = 0; k < ADV_LOSSES; k++) {
        if (!o->lost[k]) continue;
        q_buf_say(&b, ngettext("- in %lld example: %s\n", "- in %lld examples: %s\n", (unsigned long)o->lost[k]), (long long)o->lost[k], adv_loss_words((enum adv_loss)k));
        cJSON_AddNumberToObject(lost, adv_loss_words((enum adv_loss)k), (double)o->lost[k]);
    }
    q_buf_say(&b, "- %s\n", _("passages, documents and attachments that were fed are not in it, nor what tools read out of memory"));
    if (l->x->redact) report_redacted(l, &b, j);
    else q_buf_say(&b, "\n%s\n", _("Nothing was taken out: names, addresses, numbers and secrets stand in it as they were said (--redact takes them out)."));
    char *json = cJSON_PrintUnformatted(j);
    q_buf safe = {0};
    q_json_safe(&safe, json ? json : "{}", json ? strlen(json) : 2);
    free(json);
    cJSON_Delete(j);
    o->json = q_buf_take(&safe);
    o->report = q_buf_take(&b);
}

/* ---- the folder ---- */
/* Its files, also half written ones (NAME.PID.part); what is not ours stays, and then the folder does. */
static void erase(const char *part)
{
    char err[Q_ERRLEN];
    DIR *d = opendir(part);
    for (struct dirent *e; d && (e = readdir(d));)
        for (int i = 0; i < FILES; i++) {
            if (strncmp(e->d_name, files[i], strlen(files[i])) != 0) continue;
            char *path = q_printf("%s/%s", part, e->d_name);
            q_file_erase(path, err);
            free(path);
            break;
        }
    if (d) closedir(d);
    rmdir(part);
}

static int write_reports(leaving *l, char *err)
{
    const char *text[] = { l->out->report, l->out->json };
    int rc = Q_OK;
    for (int i = 0; i < 2 && rc == Q_OK; i++) {
        char *path = q_printf("%s/%s", l->part, files[REPORT + i]);
        rc = q_write_file_new(path, text[i], strlen(text[i]), err);
        free(path);
    }
    return rc;
}

static int all(leaving *l, const int64_t *id, int n, char *err)
{
    int rc = Q_OK;
    for (int pass = l->x->redact ? 0 : 1; pass < 2 && rc == Q_OK; pass++) {
        l->learning = pass == 0;
        for (int i = 0; i < n && rc == Q_OK; i++) {
            rc = conversation(l, id[i], err);
            if (rc == Q_OK && l->x->go && !l->x->go(l->x->user)) rc = q_fail(err, Q_CANCEL, _("stopped: nothing was written"));
        }
    }
    for (int i = 0; i < 2; i++) {
        char why[Q_ERRLEN];
        int end = l->open[i] ? lines_end(&l->to[i], rc == Q_OK, false, rc == Q_OK ? err : why) : Q_OK;
        if (rc == Q_OK) rc = end;
    }
    if (rc == Q_OK && !l->out->train && !l->out->heldout)
        rc = q_fail(err, Q_NOTFOUND, "%s", l->x->to == ADV_AS_PAIRS ? _("there is no pair: /again makes a second answer, and /good marks the better one")
                                           : l->x->only_good ? _("no answer is marked as good in what was released: /good marks one") : _("there is no whole answer in what was released"));
    return rc;
}

int adv_export_memory(mem_store *s, const adv_export *x, adv_exported *out, char *err)
{
    leaving l = { .x = x, .out = out, .s = s };
    int64_t *id = NULL;
    int n = 0;
    struct stat st;
    *out = (adv_exported){0};
    if (!*x->dir || x->heldout < 0 || x->heldout > .5) return q_fail(err, Q_RANGE, _("the share that is held out is a number from 0 to 0.5"));
    if (lstat(x->dir, &st) == 0) return q_fail(err, Q_RANGE, _("%s is there already: give the name of a new folder with --out"), x->dir);
    int rc = mem_conversations_released(s, x->all, &id, &n, err);
    out->chats = n;
    if (rc == Q_OK && n == 0)
        rc = q_fail(err, Q_NOTFOUND, "%s", x->all ? _("memory holds no conversation yet")
                                                  : _("no conversation is released for training: /train on in the shell releases the present one, --all takes all of them"));
    if (rc != Q_OK) {
        free(id);
        return rc;
    }
    l.part = q_printf("%s.part", x->dir);
    l.seen = doubles_new();
    if (x->redact) l.r = redact_new(x->name, x->n_name);
    erase(l.part);                      /* what a killed one left */
    if (mkdir(l.part, 0700) != 0) rc = q_fail(err, Q_IO, "%s: %s", l.part, strerror(errno));
    else {
        rc = all(&l, id, n, err);
        if (rc == Q_OK) report(&l);
        if (rc == Q_OK) rc = write_reports(&l, err);
        if (rc == Q_OK) rc = mem_outside_put(s, "training", x->dir, err);       /* before it is there: a kill leaves it known */
        if (rc == Q_OK && rename(l.part, x->dir) != 0) rc = q_fail(err, Q_IO, "%s: %s", x->dir, strerror(errno));
        if (rc != Q_OK) erase(l.part);
    }
    free(l.part);
    free(id);
    doubles_free(l.seen);
    redact_free(l.r);
    return rc;
}
