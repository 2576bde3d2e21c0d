/* lab/text: see text.h. */
#include "lab/text.h"

#include <stdlib.h>
#include <string.h>

enum { FEW_BLOCKS = 12, PIECES = 24, RATE_TOKENS = 12 };

/* Which paragraph each token's first byte stands in; blank lines part them. Returns how many have tokens. */
static int paragraphs(const eng_model *m, const eng_tokens *t, const char *text, size_t n, int *block)
{
    size_t at = 0, seen = 0;
    int now = 0, blocks = 0, last = -1;
    bool blank = false;
    for (int i = 0; i < t->n; i++) {
        for (; seen < at && seen < n; seen++) {
            bool line = text[seen] == '\n';
            now += line && blank && (seen + 1 == n || text[seen + 1] != '\n');
            blank = line || (blank && (text[seen] == ' ' || text[seen] == '\r' || text[seen] == '\t'));
        }
        if (now != last)
            blocks++;
        last = now;
        block[i] = blocks - 1;
        size_t bytes = 0;
        eng_token_bytes(m, t->id[i], &bytes);
        at += bytes;
    }
    return blocks;
}

int text_blocks(const char *text, size_t n, size_t **first, bool *by_paragraph)
{
    size_t cap = 16, *at = q_alloc(cap * sizeof *at);
    int blocks = 1;
    bool blank = false;
    for (size_t i = 0; i + 1 < n; i++) {
        bool line = text[i] == '\n';
        if (line && blank && text[i + 1] != '\n') {
            if ((size_t)blocks == cap)
                at = q_realloc(at, (cap *= 2) * sizeof *at);
            at[blocks++] = i + 1;
        }
        blank = line || (blank && (text[i] == ' ' || text[i] == '\r' || text[i] == '\t'));
    }
    *by_paragraph = blocks >= FEW_BLOCKS;
    if (!*by_paragraph) {
        blocks = n < PIECES ? (int)n : PIECES;
        at = q_realloc(at, sizeof *at * (size_t)(blocks + 1));
        for (int i = 0; i < blocks; i++)
            at[i] = n * (size_t)i / (size_t)blocks;
    }
    *first = at;
    return blocks;
}

int text_window(const eng_model *m)
{
    int known = eng_model_info(m)->n_ctx_train;
    return known < 1 || known > TEXT_WINDOW ? TEXT_WINDOW : known < TEXT_NARROWEST ? TEXT_NARROWEST : known;
}

int text_open(const eng_model *m, const char *text, size_t n, int window, lab_text *out, char *err)
{
    eng_tokens *t = &out->token;
    int rc = eng_tokenize(m, text, n, false, t, err);
    if (rc == Q_OK && t->n < TEXT_LEAST)
        rc = q_fail(err, Q_RANGE, _("the text has %d tokens: two configurations are compared on at least %d"), t->n, TEXT_LEAST);
    if (rc)
        return rc;
    out->window = window ? window : text_window(m);
    out->window = out->window < t->n ? out->window : t->n;
    out->block = q_alloc(sizeof *out->block * (size_t)t->n);
    out->blocks = paragraphs(m, t, text, n, out->block);
    out->by_paragraph = out->blocks >= FEW_BLOCKS;
    if (!out->by_paragraph) {
        out->blocks = t->n < PIECES * 2 ? t->n / 2 : PIECES;
        for (int i = 0; i < t->n; i++)
            out->block[i] = (int)((int64_t)i * out->blocks / t->n);
    }
    return Q_OK;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double text_rate(eng_session *s)
{
    char ignored[Q_ERRLEN];
    int have = eng_session_length(s), n = have / 2 < RATE_TOKENS ? have / 2 : RATE_TOKENS, done = 0;
    int32_t again[RATE_TOKENS];
    int64_t took[RATE_TOKENS];
    memcpy(again, eng_session_tokens(s) + have - n, sizeof *again * (size_t)n);
    if (n < 1 || eng_session_cut(s, have - n, ignored) < 0)
        return 0;
    for (; done < n; done++) {
        int64_t from = q_now_ns();
        if (eng_session_push(s, again[done], ignored) < 0)
            break;
        took[done] = q_now_ns() - from;
    }
    qsort(took, (size_t)done, sizeof *took, by_time);
    return done && took[done / 2] > 0 ? 1e9 / (double)took[done / 2] : 0;
}

int text_end(const lab_text *t, int from)
{
    for (int i = 0; i < t->n_begin; i++)
        if (t->begin[i] > from)
            return t->begin[i];
    return t->begin || from + t->window > t->token.n ? t->token.n : from + t->window;
}

void text_close(lab_text *t)
{
    eng_tokens_free(&t->token);
    free(t->block);
    free(t->begin);
    *t = (lab_text){ .blocks = 0 };
}
