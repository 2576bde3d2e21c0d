/* cli/choices: `quorum eval choices`: which of some endings a model finds likelier, counted as lm-eval counts it. Each ending's tokens are
 * those of the whole text behind as many as its prompt alone has, so that the numbers are those of a server's echo. One session. */
#include "base/say.h"
#include "cli/choices.h"
#include "engine/text.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CHOICES = 256, MOST_BYTES = 1 << 28 };
typedef struct ending { double logprob; int tokens, bytes, letters; bool greedy; } ending;
typedef struct question { const char *prompt, *choice[MOST_CHOICES]; int n, answer; } question;
typedef struct scoring { const eng_tokens *t; int from, n_vocab; ending *out; } scoring;
typedef struct tally { long n, right, right_norm, right_byte; } tally;

static int wrong(const char *file, int line, char *err)
{
    return q_fail(err, Q_FORMAT, _("%s, line %d: expected {\"prompt\":\"…\",\"choices\":[\"…\",…],\"answer\":N}, N counted from 0, no text empty"), file, line);
}

static bool some(const cJSON *v) { return cJSON_IsString(v) && *v->valuestring; }

/* The texts are j's. */
static int read_question(const cJSON *j, const char *file, int line, question *q, char *err)
{
    const cJSON *prompt = cJSON_GetObjectItemCaseSensitive(j, "prompt"), *choices = cJSON_GetObjectItemCaseSensitive(j, "choices"),
                *answer = cJSON_GetObjectItemCaseSensitive(j, "answer"), *one;
    int n = cJSON_IsArray(choices) ? cJSON_GetArraySize(choices) : 0;
    if (!some(prompt) || n < 2 || n > MOST_CHOICES || !cJSON_IsNumber(answer) || !(answer->valuedouble >= 0 && answer->valuedouble < n) ||
        answer->valuedouble != floor(answer->valuedouble))
        return wrong(file, line, err);
    *q = (question){ .prompt = prompt->valuestring, .answer = (int)answer->valuedouble };
    cJSON_ArrayForEach(one, choices) {
        if (!some(one))
            return wrong(file, line, err);
        q->choice[q->n++] = one->valuestring;
    }
    return Q_OK;
}

static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    scoring *s = user;
    int next = pos + 1, best = 0;
    (void)ids, (void)weights, (void)max_k;
    if (next < s->from || next >= s->t->n)
        return 0;
    double sum = 0;
    for (int i = 1; i < s->n_vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    for (int i = 0; i < s->n_vocab; i++)
        sum += exp((double)logits[i] - (double)logits[best]);
    s->out->logprob += (double)logits[s->t->id[next]] - (double)logits[best] - log(sum);
    s->out->greedy &= logits[s->t->id[next]] == logits[best];
    return 0;
}

static int letters(const char *s)
{
    int n = 0;
    uint32_t cp;
    for (size_t left = strlen(s); left > 0; n++) {
        int w = q_utf8_next(s, left, &cp);
        s += w;
        left -= (size_t)w;
    }
    return n;
}

/* Blanks at a prompt's end belong to what comes behind it: a token takes the blank before a word. */
static size_t without_blanks(const char *s)
{
    size_t n = strlen(s);
    while (n > 0 && strchr(" \t\r\n\f\v", s[n - 1]))
        n--;
    return n;
}

static int text_tokens(const eng_model *m, const char *a, size_t n, const char *b, eng_tokens *out, char *err)
{
    q_buf whole = { 0 };
    q_buf_add(&whole, a, n);
    q_buf_puts(&whole, b);
    int rc = eng_template(m, NULL, 0, false, -1, out, err);    /* the opening token, where the family has one */
    if (rc >= 0)
        rc = eng_tokenize(m, whole.p, whole.len, false, out, err);
    q_buf_free(&whole);
    return rc < 0 ? rc : Q_OK;
}

static int score(const eng_model *m, eng_session *s, const question *q, const char *choice, ending *out, char *err)
{
    eng_tokens prompt = { 0 }, whole = { 0 };
    *out = (ending){ .bytes = (int)strlen(choice), .letters = letters(choice), .greedy = true };
    int rc = text_tokens(m, q->prompt, without_blanks(q->prompt), "", &prompt, err);
    if (rc == Q_OK)
        rc = text_tokens(m, q->prompt, strlen(q->prompt), choice, &whole, err);
    scoring sc = { &whole, prompt.n > 0 ? prompt.n : 1, eng_model_info(m)->n_vocab, out };
    out->tokens = whole.n > sc.from ? whole.n - sc.from : 0;
    if (rc == Q_OK && whole.n > 0)
        rc = eng_session_eval(s, whole.id, whole.n, 0, NULL, 0, on_row, &sc, err);
    eng_tokens_free(&prompt);
    eng_tokens_free(&whole);
    return rc;
}

static int likeliest(const ending *e, int n, int per)       /* per: 0 the sum, 1 a letter, 2 a byte; the first of equals */
{
    int best = 0;
    double most = -INFINITY;
    for (int i = 0; i < n; i++) {
        double x = e[i].logprob / (per == 1 ? e[i].letters : per == 2 ? e[i].bytes : 1);
        if (x > most) {
            most = x;
            best = i;
        }
    }
    return best;
}

static void tell_json(const question *q, const ending *e, int line)
{
    cJSON *j = cJSON_CreateObject(), *list;
    cJSON_AddNumberToObject(j, "line", line);
    cJSON_AddNumberToObject(j, "answer", q->answer);
    cJSON_AddNumberToObject(j, "likeliest", likeliest(e, q->n, 0));
    cJSON_AddNumberToObject(j, "likeliest_norm", likeliest(e, q->n, 1));
    cJSON_AddNumberToObject(j, "likeliest_bytes", likeliest(e, q->n, 2));
    list = cJSON_AddArrayToObject(j, "choices");
    for (int i = 0; i < q->n; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "logprob", e[i].logprob);
        cJSON_AddNumberToObject(one, "per_byte", e[i].logprob / e[i].bytes);
        cJSON_AddNumberToObject(one, "tokens", e[i].tokens);
        cJSON_AddBoolToObject(one, "greedy", e[i].greedy);
        cJSON_AddItemToArray(list, one);
    }
    char *text = cJSON_PrintUnformatted(j);
    q_say_json(stdout, text);
    free(text);
    cJSON_Delete(j);
}

/* As lm-eval: of the mean of n zeros and ones. */
static double error_of(double p, long n) { return n > 1 ? sqrt(p * (1 - p) / (double)(n - 1)) : 0; }

static void tell_all(const tally *t, bool json)
{
    double n = (double)t->n, acc = (double)t->right / n, norm = (double)t->right_norm / n, bytes = (double)t->right_byte / n;
    if (json)
        q_say(stdout, "{\"questions\":%ld,\"acc\":%.9g,\"acc_stderr\":%.9g,\"acc_norm\":%.9g,\"acc_norm_stderr\":%.9g,\"acc_bytes\":%.9g}\n", t->n, acc,
              error_of(acc, t->n), norm, error_of(norm, t->n), bytes);
    else
        q_say(stdout, ngettext("%ld question: acc %.4f ± %.4f, acc_norm %.4f ± %.4f, acc_bytes %.4f\n", "%ld questions: acc %.4f ± %.4f, acc_norm %.4f ± %.4f, acc_bytes %.4f\n", (unsigned long)t->n),
              t->n, acc, error_of(acc, t->n), norm, error_of(norm, t->n), bytes);
}

static int one_line(const eng_model *m, eng_session *s, const char *file, int line, const char *p, size_t n, bool json, tally *t, char *err)
{
    question q = { .n = 0 };
    ending e[MOST_CHOICES];
    cJSON *j = cJSON_ParseWithLength(p, n);
    int rc = read_question(j, file, line, &q, err);
    for (int i = 0; rc == Q_OK && i < q.n; i++) {
        char why[Q_ERRLEN];
        rc = score(m, s, &q, q.choice[i], &e[i], why);
        if (rc < 0)
            q_fail(err, rc, _("%s, line %d: %s"), file, line, why);
    }
    if (rc == Q_OK) {
        t->n++;
        t->right += likeliest(e, q.n, 0) == q.answer;
        t->right_norm += likeliest(e, q.n, 1) == q.answer;
        t->right_byte += likeliest(e, q.n, 2) == q.answer;
        if (json)
            tell_json(&q, e, line);
    }
    cJSON_Delete(j);
    return rc;
}

int cli_choices(eng_model *m, const eng_config *c, const char *file, bool json, char *err)
{
    q_buf text = { 0 };
    eng_session *s = NULL;
    tally t = { 0 };
    int rc = q_read_input(file, &text, MOST_BYTES, err), line = 1;
    if (rc == Q_OK && text.p && !q_utf8_valid(text.p, text.len))
        rc = q_fail(err, Q_FORMAT, _("%s is not UTF-8 text: iconv turns other encodings into it"), file);
    if (rc == Q_OK)
        rc = eng_session_new(m, c, &s, err);
    for (size_t at = 0; rc == Q_OK && at < text.len; line++) {
        const char *end = memchr(text.p + at, '\n', text.len - at);
        size_t n = end ? (size_t)(end - text.p) - at : text.len - at;
        if (strspn(text.p + at, " \t\r") < n)
            rc = one_line(m, s, file, line, text.p + at, n, json, &t, err);
        at += n + 1;
    }
    if (rc == Q_OK && t.n == 0)
        rc = q_fail(err, Q_FORMAT, _("%s holds no question"), file);
    if (rc == Q_OK)
        tell_all(&t, json);
    eng_session_free(s);
    q_buf_free(&text);
    return rc;
}
