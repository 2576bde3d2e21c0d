/* lab/columns: two configurations side by side: one text that both foretell, or the answers of both to one prompt. Data for
 * whoever shows it, and what line mode says of it. Engine thread, but for _say and _free: any. */
#include "base/say.h"
#include "lab/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES_MOST = 20000 };            /* of a long text the beginning is shown; its numbers are of all */

/* The bytes of a token may end inside a character: pieces of it wait for the next one. */
typedef struct filler { lab_column *c; q_buf held; } filler;
static void add(filler *f, const char *s, size_t n, float over, float kl)
{
    lab_column *c = f->c;
    q_buf_add(&f->held, s, n);
    size_t whole = f->held.p ? q_utf8_whole(f->held.p, f->held.len) : 0;
    lab_piece *p = &c->piece[c->n++];
    *p = (lab_piece){ .text = q_utf8_clean(f->held.p ? f->held.p : "", whole), .over = over, .kl = kl };
    f->held.len -= whole;
    if (f->held.len)
        memmove(f->held.p, f->held.p + whole, f->held.len);
}

void columns_of_text(eng_model *m, const lab_compared *c, const char *a, const char *b, lab_columns *out)
{
    const char *const name[2] = { a, b };
    int n = c->n < PIECES_MOST ? c->n : PIECES_MOST;
    *out = (lab_columns){ .first = -1 };
    for (int s = 0; s < 2; s++) {
        lab_column *col = &out->side[s];
        *col = (lab_column){ .name = q_strdup(name[s]), .piece = q_alloc(sizeof *col->piece * (size_t)(2 * n + 1)), .rate = c->rate[s], .logp = c->logp[s],
                             .kl = c->kl.mean, .bytes = c->bytes[s], .whole = c->n == n };
        filler f = { col, { 0 } };
        for (int i = 0; i < n; i++) {
            size_t len;
            const char *p;
            if (c->token[i].head >= 0) {     /* the text is whole; nothing is said of this one */
                p = eng_token_bytes(m, c->token[i].head, &len);
                add(&f, p, len, NAN, 0);
            }
            if (!c->token[i].same_top && out->first < 0)
                out->first = col->n;
            p = eng_token_bytes(m, c->token[i].id, &len);
            add(&f, p, len, s ? c->token[i].dlogp : -c->token[i].dlogp, c->token[i].kl);
        }
        q_buf_free(&f.held);
    }
}

int lab_columns_beside(struct eng_cache *beside, const lab_ask *ask, const lab_terms *terms, lab_columns *out, char *err)
{
    lab_answer v[2];
    *out = (lab_columns){ .first = -1, .answers = true };
    int rc = lab_answer_beside(beside, ask, terms, v, err);
    if (rc)
        return rc;
    for (int s = 0; s < 2; s++) {
        lab_column *col = &out->side[s];
        *col = (lab_column){ .name = q_strdup(ask->voice[s].spec ? ask->voice[s].spec : _("now")), .piece = q_alloc(sizeof *col->piece * (size_t)(v[s].n + 1)),
                             .rate = v[s].rate, .bytes = v[s].bytes, .whole = v[s].ended };
        size_t all = strlen(v[s].text);
        filler f = { col, { 0 } };
        for (int i = 0; i < v[s].n; i++) {
            size_t at = v[s].at[i] < all ? v[s].at[i] : all, to = i + 1 < v[s].n && v[s].at[i + 1] < all ? v[s].at[i + 1] : all;
            add(&f, v[s].text + at, to - at, v[s].word[i].over, v[s].word[i].kl);
            col->logp += (double)v[s].word[i].logp / v[s].n;
            col->kl += (double)v[s].word[i].kl / v[s].n;
        }
        q_buf_free(&f.held);
    }
    int n = v[0].n < v[1].n ? v[0].n : v[1].n, i = 0;
    while (i < n && v[0].word[i].id == v[1].word[i].id)
        i++;
    out->first = i < n || v[0].n != v[1].n ? i : -1;
    lab_answers_free(v, 2);
    return rc;
}

/* Blanks and the word behind them. */
static size_t word_of(const char *s)
{
    size_t n = strspn(s, " \n\t\r");
    return n + strcspn(s + n, " \n\t\r");
}

void lab_columns_of_texts(const char *const name[2], const char *const text[2], const double rate[2], lab_columns *out)
{
    *out = (lab_columns){ .first = -1, .answers = true };
    for (int s = 0; s < 2; s++) {
        lab_column *c = &out->side[s];
        int most = 1;
        for (const char *p = text[s]; *p; p += word_of(p))
            most++;
        *c = (lab_column){ .name = q_strdup(name[s]), .piece = q_alloc(sizeof *c->piece * (size_t)most), .rate = rate[s], .logp = NAN, .kl = NAN, .whole = true };
        for (const char *p = text[s]; *p; p += word_of(p))
            c->piece[c->n++] = (lab_piece){ .text = q_strndup(p, word_of(p)), .over = NAN, .kl = NAN };
    }
    const lab_column *a = &out->side[0], *b = &out->side[1];
    int n = a->n < b->n ? a->n : b->n, i = 0;
    while (i < n && strcmp(a->piece[i].text, b->piece[i].text) == 0)
        i++;
    out->first = i < n || a->n != b->n ? i : -1;
}

void lab_columns_free(lab_columns *c)
{
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < c->side[s].n; i++)
            free(c->side[s].piece[i].text);
        free(c->side[s].piece);
        free(c->side[s].name);
    }
    free(c->note);
    *c = (lab_columns){ .first = -1 };
}

void lab_columns_copy(const lab_columns *from, lab_columns *to)
{
    *to = *from;
    to->note = from->note ? q_strdup(from->note) : NULL;
    for (int s = 0; s < 2; s++) {
        const lab_column *x = &from->side[s];
        lab_column *y = &to->side[s];
        y->name = x->name ? q_strdup(x->name) : NULL;
        y->piece = q_alloc(sizeof *y->piece * (size_t)(x->n + 1));
        for (int i = 0; i < x->n; i++) {
            y->piece[i] = x->piece[i];
            y->piece[i].text = q_strdup(x->piece[i].text);
        }
    }
}

/* ---- in words ---- */
char *lab_column_numbers(const lab_column *c)
{
    q_buf b = { 0 };
    char w[32];
    if (isnan(c->logp)) {
        q_buf_puts(&b, "");
        if (c->rate > 0)
            q_buf_say(&b, c->rate < 10 ? _("%.1f tok/s") : _("%.0f tok/s"), c->rate);
        return q_buf_take(&b);
    }
    if (c->rate > 0)
        q_buf_say(&b, c->rate < 10 ? _("%.1f tok/s · ") : _("%.0f tok/s · "), c->rate);
    q_buf_say(&b, _("log p %.3f · KL %.3g a token · reads %s"), c->logp, c->kl, q_bytes_words(c->bytes, w));
    return q_buf_take(&b);
}

void lab_columns_say(const lab_columns *c, q_buf *out)
{
    for (int s = 0; s < 2 && c->answers; s++) {
        const lab_column *col = &c->side[s];
        q_buf text = { 0 };
        for (int i = 0; i < col->n; i++)
            q_buf_printf(&text, "%s%s", i == c->first ? "[≠]" : "", col->piece[i].text);
        if (c->first == col->n)
            q_buf_puts(&text, "[≠]");
        q_buf_say(out, "%s\n", col->name ? col->name : s ? "2" : "1");
        q_say_clean(out, text.p ? text.p : "", text.len, false);
        q_buf_puts(out, text.len && text.p[text.len - 1] == '\n' ? "" : "\n");
        if (!c->blind) {
            char *numbers = lab_column_numbers(col);
            q_buf_say(out, "   %s\n", numbers);
            free(numbers);
        }
        q_buf_putc(out, '\n');
        q_buf_free(&text);
    }
    if (!c->answers) {
        if (c->first >= 0)
            q_buf_say(out, _("the likeliest next token differs first at token %d\n"), c->first + 1);
        return;
    }
    if (c->note)
        q_buf_say(out, "%s\n", c->note);
}

double lab_sign_test(int more, int less)
{
    int n = more + less, k = more < less ? more : less;
    double p = 0;
    for (int i = 0; i <= k; i++)
        p += exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) - n * log(2));       /* C(n, i) / 2^n */
    return n && 2 * p < 1 ? 2 * p : 1;
}
