/* exam/grade: what of a reply is its answer, and whether that is right. Strict: an answer is what stands behind the last answer mark ("Answer:",
 * "Ответ:"), or in the last \boxed{}; without either the last number of the reply, or a reply that is one short line alone. What holds
 * several different numbers and no sum to its end is not read. LaTeX that only sets a text (\text{}, \,, {,}, $) is looked through. Pure; any thread. */
#include "engine/text.h"
#include "exam/parts.h"
#include "lab/lab.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *behind_thought(const char *reply)
{
    const char *at, *from = reply;
    for (const char *p = reply; (at = strstr(p, eng_think_close)) != NULL; p = from) from = at + strlen(eng_think_close);
    const char *open = from + strspn(from, " \t\r\n");
    return strncmp(open, eng_think_open, strlen(eng_think_open)) ? from : open + strlen(open);     /* cut within a thought: nothing is said yet */
}

/* Letters, digits or the bytes of a character: does a word go on here? */
static bool wordly(char c) { return isalnum((unsigned char)c) || (unsigned char)c >= 0x80; }

/* Behind the last mark at the beginning of a line or of a sentence, with what Markdown puts round it. */
static const char *mark_end(const char *text)
{
    static const char *const marks[] = { "answer", "Answer", "ANSWER", "ответ", "Ответ", "ОТВЕТ" };
    const char *last = NULL;
    for (size_t m = 0; m < sizeof marks / sizeof *marks; m++)
        for (const char *p = text, *at; (at = strstr(p, marks[m])) != NULL; p = at + 1) {
            const char *end = at + strlen(marks[m]);
            if (at > text && wordly(at[-1])) continue;
            end += strspn(end, "*_` ");
            if (!strncmp(end, "is", 2) && (end[2] == ' ' || end[2] == ':')) end += 2;
            else if (*end != ':' && strncmp(end, "\xEF\xBC\x9A", 3) && strncmp(end, "—", 3) && strncmp(end, "–", 3)) continue;
            end += *end == ':' || *end == ' ' ? 1 : 3;
            if (*end == ':') end++;
            if (!last || end > last) last = end;
        }
    return last;
}

static char *boxed(const char *text)
{
    const char *last = NULL, *at;
    for (const char *p = text; (at = strstr(p, "\\boxed{")) != NULL; p = at + 1) last = at + 7;
    if (!last) return NULL;
    size_t n = 0;
    for (int deep = 1; last[n]; n++) {
        deep += last[n] == '{' ? 1 : last[n] == '}' ? -1 : 0;
        if (deep == 0) return q_strndup(last, n);
    }
    return NULL;
}

/* Past what only opens a formula: $$, \[, \(. */
static const char *formula(const char *s)
{
    static const char *const opens[] = { "$$", "\\[", "\\(" };
    for (size_t i = 0; i < sizeof opens / sizeof *opens; i++)
        if (!strncmp(s, opens[i], 2)) return s + 2;
    return s;
}

char *grade_behind(const char *reply)
{
    const char *at = mark_end(reply);
    if (!at) return NULL;
    at += strspn(at, " \t*_`\"");
    for (const char *was = NULL; was != at && (*at == '\n' || *at == '\r' || formula(at) != at);) {        /* on the next line */
        was = at;
        at = formula(at);
        at += strspn(at, " \t\r\n*_`\"");
    }
    return q_strndup(at, strcspn(at, "\r\n"));
}

/* A text as it reads when LaTeX has set it: without the commands that only change its looks, and their brackets. */
static char *looks_off(const char *text)
{
    static const char *const sets[] = { "\\text{", "\\textbf{", "\\textit{", "\\texttt{", "\\mathrm{", "\\mathbf{", "\\mbox{" }, *const gone[] = { "\\,", "\\!", "\\;", "\\ ", "$" };
    char *out = q_strdup(text), *to = out;
    int deep = 0, open = 0;              /* brackets, and the depths of those that go, a bit each */
    for (const char *s = text; *s;) {
        size_t n = 0;
        for (size_t i = 0; !n && i < sizeof sets / sizeof *sets; i++)
            if (deep < 30 && !strncmp(s, sets[i], strlen(sets[i]))) n = strlen(sets[i]), open |= 1 << deep++;
        for (size_t i = 0; !n && i < sizeof gone / sizeof *gone; i++)
            if (!strncmp(s, gone[i], strlen(gone[i]))) n = strlen(gone[i]);
        if (!n && !strncmp(s, "{,}", 3)) n = 3, *to++ = ',';
        if (!n && *s == '}' && deep && open >> (deep - 1) & 1) n = 1, open &= ~(1 << --deep);
        if (!n) {
            deep += *s == '{' && deep < 30 ? 1 : *s == '}' && deep ? -1 : 0;
            *to++ = *s;
        }
        s += n ? n : 1;
    }
    *to = 0;
    return out;
}

/* ---- numbers ---- */
/* A blank that parts groups of three digits: how many bytes; 0: none. */
static size_t group_blank(const char *s)
{
    static const char *const blanks[] = { " ", ",", "'", "\xC2\xA0", "\xE2\x80\xAF", "\xE2\x80\x89", "_" };
    for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++) {
        size_t n = strlen(blanks[i]);
        if (!strncmp(s, blanks[i], n) && strspn(s + n, "0123456789") == 3) return n;
    }
    return 0;
}

/* The number that begins at s, which is a digit: its end, and itself. *whole: nothing but zeros behind its point. */
static const char *read_number(const char *s, long long *value, bool *whole)
{
    long long v = 0;
    size_t lead = strspn(s, "0123456789");
    *whole = true;
    for (bool groups = lead <= 3 && *s != '0';;) {          /* 0,125 is a decimal fraction */
        for (; isdigit((unsigned char)*s); s++) v = v > 100000000000000000LL ? v : v * 10 + (*s - '0');
        size_t n = groups ? group_blank(s) : 0;
        if (!n) break;
        s += n;
    }
    if ((*s == '.' || *s == ',') && isdigit((unsigned char)s[1])) {
        size_t n = strspn(s + 1, "0123456789");
        *whole = strspn(s + 1, "0") == n;
        s += 1 + n;
    }
    *value = v;
    return s;
}

typedef struct numbers { int n; long long last, first; bool whole, several, fraction; } numbers;

static bool minus_before(const char *text, const char *at)
{
    static const char *const words[] = { "minus ", "Minus ", "минус ", "Минус " };
    const char *b = at;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(at - text) < n || strncmp(at - n, words[i], n)) continue;
        for (b = at - n; b > text && b[-1] == ' ';) b--;
        return b == text || !(isdigit((unsigned char)b[-1]) || b[-1] == ')');
    }
    if (b > text && b[-1] == '-') b--;
    else if (b - text >= 3 && (!strncmp(b - 3, "−", 3) || !strncmp(b - 3, "–", 3))) b -= 3;
    else return false;
    while (b > text && b[-1] == ' ') b--;
    return b == text || !(wordly(b[-1]) || b[-1] == ')');    /* between two numbers it takes away */
}

/* .5, and 1e3: no whole numbers, whatever their digits say. */
static bool point_before(const char *text, const char *at)
{
    return at > text && at[-1] == '.' && (at - 1 == text || strchr(" \t(-*", at[-2]));
}

static bool power_behind(const char *end)
{
    const char *p = *end == 'e' || *end == 'E' ? end + 1 : end;
    return p > end && isdigit((unsigned char)p[*p == '-' || *p == '+']);
}

static numbers numbers_of(const char *text)
{
    numbers x = { 0 };
    for (const char *s = text; *s;) {
        if (!isdigit((unsigned char)*s) || (s > text && wordly(s[-1]) && (unsigned char)s[-1] < 0x80)) {
            s++;
            continue;
        }
        long long v;
        bool whole;
        const char *end = read_number(s, &v, &whole);
        v = minus_before(text, s) ? -v : v;
        x.fraction |= (*end == '/' && isdigit((unsigned char)end[1])) || power_behind(end) || point_before(text, s);
        x.several |= x.n > 0 && v != x.first;
        x.first = x.n ? x.first : v;
        x.last = v;
        x.whole = whole;
        x.n++;
        s = end;
    }
    return x;
}

static enum exam_mark judge_number(const char *marked, const char *text, const char *answer, char **read)
{
    const char *of = marked ? marked : text, *sum = marked ? strrchr(marked, '=') : NULL;
    numbers x = numbers_of(sum ? sum + 1 : of);
    if (x.n == 0 || x.fraction || (marked && x.several)) return EXAM_UNREAD;
    if (read) *read = q_printf("%lld%s", x.last, x.whole ? "" : ".…");
    return x.whole && x.last == atoll(answer) ? EXAM_RIGHT : EXAM_WRONG;
}

/* ---- words ---- */
/* Small letters first, whatever the locale says of letters. */
static char *key_of(const char *text)
{
    char *small = q_strdup(text), *key;
    q_fold_bytes(small, strlen(small));
    key = lab_vote_key(small);
    free(small);
    return key;
}

static bool same_words(const char *a, const char *b)
{
    char *ka = key_of(a), *kb = key_of(b);
    bool same = ka && kb && !strcmp(ka, kb);
    free(ka);
    free(kb);
    return same;
}

static enum exam_mark judge_words(const char *said, const char *answer, char **read)
{
    char *key = key_of(said);
    if (!key) return EXAM_UNREAD;
    if (read) *read = key;
    else free(key);
    return same_words(said, answer) ? EXAM_RIGHT : EXAM_WRONG;
}

/* Parts at commas, semicolons and the word "and". */
static int parts_of(const char *s, char *part[16])
{
    int n = 0;
    char *all = q_strdup(s);
    for (char *p; (p = strstr(all, " and ")) != NULL || (p = strstr(all, " и ")) != NULL;) {
        size_t len = strlen(p[1] == 'a' ? " and " : " и ");
        bool comma = p > all && p[-1] == ',';
        memset(p, ' ', len);
        if (!comma) *p = ',';
    }
    for (char *save = NULL, *p = strtok_r(all, ",;", &save); p && n < 16; p = strtok_r(NULL, ",;", &save)) part[n++] = q_strdup(p);
    free(all);
    return n;
}

static enum exam_mark judge_list(const char *said, const char *answer, char **read)
{
    char *a[16], *b[16];
    int n = parts_of(said, a), m = parts_of(answer, b);
    bool right = n == m;
    for (int i = 0; i < n && i < m; i++) right &= same_words(a[i], b[i]);
    for (int i = 0; i < n; i++) free(a[i]);
    for (int i = 0; i < m; i++) free(b[i]);
    if (n == 0) return EXAM_UNREAD;
    if (read) *read = q_strdup(said);
    return right ? EXAM_RIGHT : EXAM_WRONG;
}

/* ---- forms ---- */
static int words_in(const char *s, size_t n)
{
    int words = 0;
    bool in = false;
    for (size_t i = 0; i < n; i++) {
        bool w = wordly(s[i]) && strncmp(s + i, "—", 3) && strncmp(s + i, "–", 3);
        if ((unsigned char)s[i] == 0xE2) {                 /* dashes and quotes are no words */
            if (n - i < 3) break;                          /* cut within one */
            i += 2;
        }
        bool joined = (s[i] == '-' || s[i] == '\'') && in;
        words += w && !in && (unsigned char)s[i] != 0xE2;
        in = (w || joined) && s[i] != ' ';
    }
    return words;
}

static int times_in(const char *s, const char *word)
{
    size_t n = strlen(word);
    int times = 0;
    char *small = q_strdup(s);
    q_fold_bytes(small, strlen(small));
    for (const char *p = small, *at; (at = strstr(p, word)) != NULL; p = at + n)
        times += (at == small || !wordly(at[-1])) && !wordly(at[n]);
    free(small);
    return times;
}

static enum exam_mark judge_form(const exam_item *i, const char *reply, char **read)
{
    const exam_form *f = &i->form;
    int lines = 0;
    bool good = true;
    for (const char *s = reply; *s;) {
        size_t n = strcspn(s, "\n"), blank = strspn(s, " \t\r"), skip = f->prefix ? strlen(f->prefix) : 0;
        if (blank < n) {
            lines++;
            good &= !f->prefix || !strncmp(s, f->prefix, skip);
            skip = skip > n ? n : skip;
            good &= !f->words || words_in(s + skip, n - skip) == f->words;
        }
        s += n + (s[n] == '\n');
    }
    if (lines == 0) return EXAM_UNREAD;
    good &= lines == f->lines && times_in(reply, f->keyword) == f->times;
    good &= !f->no_digits || !strpbrk(reply, "0123456789");
    if (read) *read = q_strndup(reply, strcspn(reply, "\n"));
    return good ? EXAM_RIGHT : EXAM_WRONG;
}

/* ---- all of them ---- */
static char *last_program(const char *reply)
{
    const char *open = NULL, *end = NULL;
    for (const char *p = reply, *at; (at = strstr(p, "```")) != NULL;) {
        const char *from = at + 3 + strcspn(at + 3, "\n"), *to = *from ? strstr(from, "\n```") : NULL;
        if (!to) break;
        open = from + 1;
        end = to + 1;
        p = to + 4;
    }
    return open ? q_strndup(open, (size_t)(end - open)) : NULL;
}

static enum exam_mark judge_code(const exam_item *i, const char *reply, const exam_bench *b, char **read)
{
    char *program = last_program(reply);
    if (!program) return EXAM_UNREAD;
    enum exam_mark m = b ? bench_run(b, i, program) : EXAM_SKIPPED;
    if (read) *read = program;
    else free(program);
    return m;
}

enum exam_mark exam_grade(const exam_item *i, const char *reply, const exam_bench *b, char **read)
{
    if (read) *read = NULL;
    const char *text = behind_thought(reply);
    if (i->kind == EXAM_CODE) return b ? judge_code(i, text, b, read) : EXAM_SKIPPED;
    if (i->kind == EXAM_FORM) return judge_form(i, text, read);
    char *said = grade_behind(text);
    if (!said) said = boxed(text);
    else if (strstr(said, "\\boxed{")) {
        char *inner = boxed(said);
        free(said);
        said = inner;
    }
    enum exam_mark m = EXAM_UNREAD;
    char *plain = looks_off(said ? said : text);
    if (i->kind == EXAM_NUMBER) m = judge_number(said ? plain : NULL, plain, i->answer, read);
    else {
        const char *one = text + strspn(text, " \t\r\n");
        size_t n = strlen(one);
        while (n && strchr(" \t\r\n", one[n - 1])) n--;
        if (!said && n && n <= 80 && !memchr(one, '\n', n)) said = q_strndup(one, n);
        if (said) {
            free(plain);
            plain = looks_off(said);
            m = i->kind == EXAM_LIST ? judge_list(plain, i->answer, read) : judge_words(plain, i->answer, read);
        }
    }
    free(plain);
    free(said);
    return m;
}
