/* rag/facts: what of a text is a statement that somebody could want remembered, and what it is about: by rules, in English and Russian, no
 * model is asked; and the document that the facts which hold are searched as. Owns nothing; any thread. */
#include "rag/rag.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SHORTEST = 8, LONGEST = 240, SUBJECT_WORDS = 6 };

/* How one begins, in small letters. drop: the beginning is no part of it. subject: what all that begin so are about, where that is one
 * thing; "": the words up to the copula; NULL: nothing that another could supersede. */
static const struct { const char *begins; bool drop; const char *subject; } forms[] = {
    {"remember that ", true, NULL}, {"remember: ", true, NULL}, {"note that ", true, NULL}, {"keep in mind that ", true, NULL},
    {"запомни, что ", true, NULL}, {"запомни: ", true, NULL}, {"запомни что ", true, NULL}, {"учти, что ", true, NULL},
    {"my name is ", false, "name"}, {"call me ", false, "name"}, {"меня зовут ", false, "name"}, {"моё имя ", false, "name"}, {"мое имя ", false, "name"},
    {"i live ", false, "live"}, {"we live ", false, "live"}, {"я живу ", false, "live"}, {"мы живём ", false, "live"}, {"мы живем ", false, "live"},
    {"i work ", false, "work"}, {"i'm working ", false, "work"}, {"я работаю ", false, "work"},
    {"my ", false, ""}, {"our ", false, ""}, {"мой ", false, ""}, {"моя ", false, ""}, {"моё ", false, ""}, {"мое ", false, ""}, {"мои ", false, ""},
    {"наш ", false, ""}, {"наша ", false, ""}, {"наше ", false, ""}, {"наши ", false, ""},
    {"i am ", false, NULL}, {"i'm ", false, NULL}, {"i like ", false, NULL}, {"i love ", false, NULL}, {"i hate ", false, NULL}, {"i prefer ", false, NULL},
    {"i have ", false, NULL}, {"i don't ", false, NULL}, {"i never ", false, NULL}, {"i always ", false, NULL}, {"i cannot ", false, NULL}, {"i can't ", false, NULL},
    {"i was born ", false, NULL}, {"we have ", false, NULL}, {"я не ", false, NULL}, {"я люблю ", false, NULL}, {"я предпочитаю ", false, NULL}, {"я всегда ", false, NULL},
    {"я никогда ", false, NULL}, {"я родился ", false, NULL}, {"я родилась ", false, NULL}, {"у меня ", false, NULL}, {"у нас ", false, NULL}, {"мне ", false, NULL},
};

static const char *const copulas[] = {"is", "are", "was", "were", "=", "—", "–", "-", "это", "зовут", "теперь", "now", "будет"};

static int form_of(const char *folded)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strncmp(folded, forms[i].begins, strlen(forms[i].begins)) == 0) return (int)i;
    return -1;
}

static char *folded_copy(const char *p, size_t n)
{
    char *s = q_strndup(p, n);
    q_fold_bytes(s, n);
    return s;
}

static bool stem(void *user, const mem_word *w)
{
    q_buf *b = user;
    if (!(w->flags & MEM_WORD_SAME)) q_buf_printf(b, "%s%s", b->len ? " " : "", w->stem);
    return true;
}

char *rag_fact_subject(const char *text)
{
    char *s = folded_copy(text, strlen(text)), *at = s, *word;
    int form = form_of(s), n = 0;
    const char *fixed = form >= 0 ? forms[form].subject : NULL;
    q_buf before = {0}, out = {0};
    bool found = false;
    q_buf_puts(&out, fixed ? fixed : "");
    while (fixed && !*fixed && !found && n <= SUBJECT_WORDS && (word = strsep(&at, " \t\n"))) {
        size_t len = strlen(word);
        for (size_t i = 0; i < sizeof copulas / sizeof *copulas; i++) found |= n > 1 && strcmp(word, copulas[i]) == 0;
        bool colon = len > 1 && word[len - 1] == ':' && n > 0;
        if (!found) q_buf_printf(&before, "%s ", word), n += len > 0;
        found |= colon;
    }
    if (found) mem_words(before.p, before.len, stem, &out);
    q_buf_free(&before);
    free(s);
    return q_buf_take(&out);
}

/* Where a sentence ends; a dot inside "3.14" or "e.g" ends none. */
static size_t sentence(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') return i;
        if (strchr(".!?", p[i]) && (i + 1 == n || strchr(" \n\t\"", p[i + 1]))) return i + 1;
    }
    return n;
}

void rag_statements(const char *text, size_t n, bool (*fn)(void *user, const char *statement), void *user)
{
    bool fence = false;
    for (size_t at = 0; at < n;) {
        if (strncmp(text + at, "```", 3) == 0) fence = !fence;
        size_t len = sentence(text + at, n - at), from = at + strspn(text + at, " \t-*•>"), end = at + len;
        at += len;
        at += strspn(text + at, " \t\n");
        if (from >= end) continue;
        bool asks = text[end - 1] == '?';
        char *folded = folded_copy(text + from, end - from);
        int form = form_of(folded);
        size_t drop = form >= 0 && forms[form].drop ? strlen(forms[form].begins) : 0;
        while (end > from && strchr(".! \t", text[end - 1])) end--;
        char *one = q_strndup(text + from + drop, end > from + drop ? end - from - drop : 0);
        bool good = form >= 0 && !asks && !fence && strlen(one) >= SHORTEST && strlen(one) <= LONGEST && q_utf8_valid(one, strlen(one));
        bool more = !good || fn(user, one);
        free(one);
        free(folded);
        if (!more) return;
    }
}

/* ---- as passages ---- */
int rag_facts(mem_store *s, char *err)
{
    mem_facts l;
    mem_document was, d = {.path = (char *)RAG_FACTS, .title = (char *)"facts", .trust = MEM_TRUST_OWN};
    char e[Q_ERRLEN];
    int64_t id;
    int n = 0, rc = mem_fact_list(s, &l, err);
    if (rc != Q_OK) return rc;
    mem_chunk *c = q_alloc(sizeof *c * (size_t)(l.n + 1));
    q_buf all = {0};
    for (int i = 0; i < l.n; i++) {
        char day[16];
        time_t t = (time_t)(l.v[i].since_ms / 1000);
        struct tm tm;
        if (l.v[i].until_ms) continue;
        if (!localtime_r(&t, &tm) || !strftime(day, sizeof day, "%Y-%m-%d", &tm)) day[0] = 0;
        c[n].offset = all.len;
        q_buf_printf(&all, "%s (%s)\n", l.v[i].text, day);
        c[n].n = all.len - c[n].offset - 1;
        n++;
    }
    for (int i = 0; i < n; i++) c[i].text = all.p + c[i].offset;
    d.bytes = (int64_t)all.len;
    q_sha256(all.p ? all.p : "", all.len, d.sha256);
    bool there = mem_document_by_path(s, d.path, &was, e) == Q_OK, same = there && strcmp(was.sha256, d.sha256) == 0;
    if (n == 0 && there) rc = mem_document_delete(s, was.id, err);
    else if (n && !same) rc = mem_document_put(s, &d, c, n, &id, err);
    mem_document_free(&was);
    mem_facts_free(&l);
    q_buf_free(&all);
    free(c);
    return rc;
}
