/* rag/map: a map of the memory: how much of what kind there is, in which languages, in which forms, and how it grew. Reads every
 * text once, in steps; any thread. A language is told by its letters and by words that no text of it does without; where they
 * do not tell, that is said. */
#include "rag/rag.h"

#include "base/say.h"

#include <cjson/cJSON.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MONTHS_MAX = 1200, MONTHS_SHOWN = 24, FORMS_MAX = 64, FORMS_SHOWN = 8, NAME = 35, BAR = 12 };
enum letters { LATIN, CYRILLIC, OTHER_LETTERS };

/* words: forms that stand in nearly every sentence. The first row with them takes a text of its letters. */
static const struct language { const char *code, *name; enum letters letters; const char *words; } languages[] = {
    {"en", N_("English"), LATIN, " the of and to in is a that for it on was with are as by be this you not "},
    {"ru", N_("Russian"), CYRILLIC, " и в не на что с он как это по но из у за от для так же о а "},
    {"latin", N_("Latin letters, language not told"), LATIN, NULL},
    {"cyrillic", N_("Cyrillic letters, language not told"), CYRILLIC, NULL},
    {"other", N_("other"), OTHER_LETTERS, NULL},
};
enum { LANGUAGES = sizeof languages / sizeof *languages };

struct month { char name[16]; int64_t documents, passages, messages, bytes; };
struct form { char name[16]; int64_t n; };
struct map {
    mem_sizes sizes;
    int64_t passages[MEM_TRUSTS], bytes[MEM_TRUSTS];      /* of documents by trust */
    int64_t person, model, said;        /* messages, and their bytes */
    int64_t language[LANGUAGES];
    struct month *month; int n_month;
    struct form form[FORMS_MAX]; int n_form;
    bool (*go)(void *user);
    void *user;
};

/* ---- languages ---- */
static enum letters letter(uint32_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xC0 && c < 0x250)) return LATIN;
    return c >= 0x400 && c < 0x530 ? CYRILLIC : OTHER_LETTERS;
}

static bool in_list(const char *list, const char *word, size_t n)
{
    enum { LONGEST = 16 };
    char w[LONGEST + 3] = " ";
    if (!list || n == 0 || n > LONGEST) return false;
    for (size_t i = 0; i < n; i++) w[1 + i] = word[i] >= 'A' && word[i] <= 'Z' ? (char)(word[i] + 'a' - 'A') : word[i];
    w[1 + n] = ' ';
    return strstr(list, w) != NULL;
}

static int language_of(const char *text, size_t n)
{
    enum { LOOKED_AT = 4096, ONE_IN = 20 };
    size_t of[3] = {0}, words = 0, listed[LANGUAGES] = {0}, begin = 0;
    bool in = false;
    n = n > LOOKED_AT ? q_utf8_whole(text, LOOKED_AT) : n;
    for (size_t i = 0; i <= n;) {
        uint32_t c = 0;
        int l = i < n ? q_utf8_next(text + i, n - i, &c) : 1;
        enum letters k = letter(c);
        bool more = i < n && (k != OTHER_LETTERS || (c >= 0x80 && c != 0xFFFD && c > 0x2FF && (c < 0x2000 || c > 0x2BFF)));
        if (more) of[k]++;
        if (more && !in) begin = i;
        if (in && !more) {
            words++;
            for (int g = 0; g < LANGUAGES; g++) listed[g] += in_list(languages[g].words, text + begin, i - begin);
        }
        in = more;
        i += (size_t)(l > 0 ? l : 1);
    }
    enum letters most = of[CYRILLIC] > of[LATIN] ? CYRILLIC : LATIN;
    if (of[most] == 0 || of[OTHER_LETTERS] > of[most]) most = OTHER_LETTERS;
    int g = 0;
    while (languages[g].letters != most || (languages[g].words && (listed[g] == 0 || listed[g] * ONE_IN < words))) g++;
    return g;
}

/* ---- months and forms ---- */
static struct month *month_of(struct map *m, int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char name[16] = "";
    if (ms <= 0 || !localtime_r(&t, &tm) || tm.tm_year < 0 || tm.tm_year > 8000) strcpy(name, "?");
    else strftime(name, sizeof name, "%Y-%m", &tm);
    for (int i = m->n_month - 1; i >= 0; i--)
        if (strcmp(m->month[i].name, name) == 0) return &m->month[i];
    if (m->n_month == MONTHS_MAX) return &m->month[m->n_month - 1];
    m->month = q_realloc(m->month, sizeof *m->month * (size_t)(m->n_month + 1));
    m->month[m->n_month] = (struct month){.documents = 0};
    strcpy(m->month[m->n_month].name, name);
    return &m->month[m->n_month++];
}

/* By the ending of its name; the last row takes what finds no other. */
static void count_form(struct map *m, const char *path)
{
    const char *base = strrchr(path, '/'), *dot = strrchr(base ? base : path, '.');
    char name[16] = "";
    if (dot && dot[1] && strlen(dot + 1) < sizeof name) strcpy(name, dot + 1);
    for (char *c = name; *c; c++) *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 'a' - 'A') : (unsigned char)*c < '0' || *c == '"' || (unsigned char)*c > 'z' ? '_' : *c;
    if (!*name) strcpy(name, "-");
    int i = 0;
    while (i < m->n_form && strcmp(m->form[i].name, name) != 0) i++;
    if (i == FORMS_MAX) i--;
    else if (i == m->n_form) strcpy(m->form[m->n_form++].name, name);
    m->form[i].n++;
}

static bool text(void *user, const mem_text *t)
{
    struct map *m = user;
    struct month *when = month_of(m, t->created_ms);
    when->bytes += (int64_t)t->n;
    if (t->kind == MEM_CHUNK) {
        m->passages[t->trust]++;
        m->bytes[t->trust] += (int64_t)t->n;
        when->passages++;
        when->documents += t->first;
        if (t->first && t->trust != MEM_TRUST_MANUAL) count_form(m, t->path);
    } else {
        *(t->trust == MEM_TRUST_MODEL ? &m->model : &m->person) += 1;
        m->said += (int64_t)t->n;
        when->messages++;
    }
    m->language[language_of(t->text, t->n)]++;
    return !m->go || m->go(m->user);
}

static int by_name(const void *a, const void *b) { return strcmp(((const struct month *)a)->name, ((const struct month *)b)->name); }
static int by_count(const void *a, const void *b)
{
    const struct form *x = a, *y = b;
    return x->n != y->n ? (x->n > y->n ? -1 : 1) : strcmp(x->name, y->name);
}

/* ---- in words ---- */
static void bar(q_buf *b, int64_t n, int64_t most)
{
    int cells = most > 0 ? (int)ceil((double)n * BAR / (double)most) : 0;
    for (int i = 0; i < BAR; i++) q_buf_puts(b, i < cells ? "▇" : " ");
}

static void line(q_buf *b, const char *name, int width, int64_t n, int64_t most)
{
    int cells = q_utf8_points(name);
    q_buf_say(b, "  %s%*s", name, width > cells ? width - cells : 0, "");
    q_buf_puts(b, " ");
    bar(b, n, most);
    q_buf_say(b, " %lld\n", (long long)n);
}

static void words(const struct map *m, q_buf *b)
{
    char w[32], v[32];
    const mem_sizes *z = &m->sizes;
    int64_t most = 0, documents = z->documents[0] + z->documents[1] + z->documents[2] + z->documents[MEM_TRUST_STRANGER];
    q_buf_say(b, _("documents %lld, conversations %lld, on the disk %s (of these %s unused)\n\n"), (long long)documents,
              (long long)z->conversations, q_bytes_words((uint64_t)z->file, w), q_bytes_words((uint64_t)z->free, v));
    q_buf_say(b, _("documents of your own  %lld, passages %lld, text %s\n"), (long long)z->documents[0], (long long)m->passages[0], q_bytes_words((uint64_t)m->bytes[0], w));
    q_buf_say(b, _("the manual             %lld, passages %lld, text %s\n"), (long long)z->documents[1], (long long)m->passages[1], q_bytes_words((uint64_t)m->bytes[1], w));
    if (z->documents[MEM_TRUST_STRANGER])
        q_buf_say(b, _("from servers           %lld, passages %lld, text %s\n"), (long long)z->documents[MEM_TRUST_STRANGER], (long long)m->passages[MEM_TRUST_STRANGER],
                  q_bytes_words((uint64_t)m->bytes[MEM_TRUST_STRANGER], w));
    q_buf_say(b, _("conversations          %lld, of archives %lld; messages of people %lld, of models %lld, text %s\n"), (long long)z->conversations, (long long)z->imported,
              (long long)m->person, (long long)m->model, q_bytes_words((uint64_t)m->said, w));
    if (z->gone) q_buf_say(b, _("files that are gone    %lld, which are not fed\n"), (long long)z->gone);
    if (z->pins || z->bans) q_buf_say(b, _("pinned passages        %lld, banned sources %lld\n"), (long long)z->pins, (long long)z->bans);
    q_buf_say(b, "\n%s\n", _("languages of passages and messages"));
    for (int i = 0; i < LANGUAGES; i++) most = m->language[i] > most ? m->language[i] : most;
    for (int i = 0; i < LANGUAGES; i++)
        if (m->language[i]) line(b, _(languages[i].name), NAME, m->language[i], most);
    if (m->n_form) q_buf_say(b, "\n%s\n", _("files by their endings"));
    for (int i = 0; i < m->n_form && i < FORMS_SHOWN; i++) line(b, m->form[i].name, NAME, m->form[i].n, m->form[0].n);
    if (m->n_form > FORMS_SHOWN) q_buf_say(b, _("  and %d other endings\n"), m->n_form - FORMS_SHOWN);
    most = 0;
    int from = m->n_month > MONTHS_SHOWN ? m->n_month - MONTHS_SHOWN : 0;
    for (int i = from; i < m->n_month; i++) most = m->month[i].bytes > most ? m->month[i].bytes : most;
    if (m->n_month) q_buf_say(b, "\n%s\n", _("growth by month: text, documents, passages, messages"));
    for (int i = from; i < m->n_month; i++) {
        const struct month *x = &m->month[i];
        q_buf_say(b, "  %-8s ", x->name);
        bar(b, x->bytes, most);
        q_buf_say(b, " %10s %6lld %7lld %7lld\n", q_bytes_words((uint64_t)x->bytes, w), (long long)x->documents, (long long)x->passages, (long long)x->messages);
    }
}

/* ---- as JSON ---- */
static void put(cJSON *o, const char *name, int64_t n) { cJSON_AddNumberToObject(o, name, (double)n); }

static char *json_of(const struct map *m)
{
    const mem_sizes *z = &m->sizes;
    cJSON *o = cJSON_CreateObject(), *d = cJSON_AddObjectToObject(o, "documents"), *p = cJSON_AddObjectToObject(o, "passages"), *c = cJSON_AddObjectToObject(o, "conversations"),
          *said = cJSON_AddObjectToObject(o, "messages"), *b = cJSON_AddObjectToObject(o, "bytes"), *l = cJSON_AddObjectToObject(o, "languages"), *f = cJSON_AddObjectToObject(o, "forms"),
          *months = cJSON_AddArrayToObject(o, "months");
    cJSON_AddNumberToObject(o, "v", 1);
    put(d, "own", z->documents[0]), put(d, "manual", z->documents[1]), put(d, "stranger", z->documents[MEM_TRUST_STRANGER]), put(d, "gone", z->gone);
    put(p, "own", m->passages[0]), put(p, "manual", m->passages[1]), put(p, "stranger", m->passages[MEM_TRUST_STRANGER]);
    put(c, "all", z->conversations), put(c, "imported", z->imported);
    put(said, "people", m->person), put(said, "models", m->model);
    put(b, "own", m->bytes[0]), put(b, "manual", m->bytes[1]), put(b, "stranger", m->bytes[MEM_TRUST_STRANGER]), put(b, "messages", m->said), put(b, "file", z->file), put(b, "free", z->free);
    for (int i = 0; i < LANGUAGES; i++) put(l, languages[i].code, m->language[i]);
    for (int i = 0; i < m->n_form; i++) put(f, m->form[i].name, m->form[i].n);
    for (int i = 0; i < m->n_month; i++) {
        const struct month *x = &m->month[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "month", x->name);
        put(one, "documents", x->documents), put(one, "passages", x->passages), put(one, "messages", x->messages), put(one, "bytes", x->bytes);
        cJSON_AddItemToArray(months, one);
    }
    put(o, "pins", z->pins), put(o, "bans", z->bans);
    char *out = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    return out;
}

int rag_map(mem_store *s, bool (*go)(void *user), void *user, q_buf *out, char **json, char *err)
{
    struct map *m = q_alloc(sizeof *m);
    m->go = go;
    m->user = user;
    int rc = mem_sizes_get(s, &m->sizes, err);
    if (rc == Q_OK) rc = mem_texts_each(s, MEM_CHUNK, text, m, err);
    if (rc == Q_OK) rc = mem_texts_each(s, MEM_CHAT, text, m, err);
    if (m->n_month) qsort(m->month, (size_t)m->n_month, sizeof *m->month, by_name);
    qsort(m->form, (size_t)m->n_form, sizeof *m->form, by_count);
    if (rc == Q_OK && out) words(m, out);
    if (rc == Q_OK && json) *json = json_of(m);
    free(m->month);
    free(m);
    return rc;
}
