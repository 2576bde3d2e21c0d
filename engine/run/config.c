/* engine/run/config: one configuration: values by knob, read from text and written back, compared and hashed.
 * An eng_config belongs to one thread; the model it points to outlives it. It never touches a session:
 * what a change costs is told by eng_config_diff, what it does is the session's affair. */
#include "engine/run/config.h"
#include "engine/run/lora.h"
#include "engine/grammar.h"
#include "engine/run/model.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values of one row ---- */
/* Memory for the row's value; nothing listed, no text. */
static void value_init(const eng_model *m, const knob_row *r, knob_values *v)
{
    void *field = knob_field(r, v);
    if (r->lives == KNOB_NUM)
        *(double *)field = 0;
    if (r->lives == KNOB_TEXT)
        *(char **)field = q_strdup("");
    if (r->lives == KNOB_INTS)
        *(int **)field = q_alloc(sizeof(int) * (knob_cells(m, r) + 1));
    if (r->lives == KNOB_GRID)
        *(float **)field = q_alloc(sizeof(float) * (knob_cells(m, r) + 1));
}

static void value_free(const knob_row *r, knob_values *v)
{
    if (r->lives == KNOB_TEXT || r->lives == KNOB_INTS || r->lives == KNOB_GRID)
        free(*(void **)knob_field(r, v));
}

/* to has no value yet. */
static void value_copy(const eng_model *m, const knob_row *r, knob_values *to, const knob_values *from)
{
    void *a = knob_field(r, to);
    const void *b = knob_field(r, from);
    size_t cells = knob_cells(m, r);
    if (r->lives == KNOB_NUM)
        *(double *)a = *(const double *)b;
    else if (r->lives == KNOB_TEXT)
        *(char **)a = q_strdup(*(char *const *)b);
    else if (r->lives == KNOB_INTS)
        *(int **)a = memcpy(q_alloc(sizeof(int) * (cells + 1)), *(int *const *)b, sizeof(int) * cells);
    else if (r->lives == KNOB_GRID)
        *(float **)a = memcpy(q_alloc(sizeof(float) * (cells + 1)), *(float *const *)b, sizeof(float) * cells);
}

/* The value in `from` becomes to's; from has none then. */
static void value_move(const knob_row *r, knob_values *to, const knob_values *from)
{
    value_free(r, to);
    if (r->lives == KNOB_NUM)
        *(double *)knob_field(r, to) = *(double *)knob_field(r, from);
    else if (r->lives != KNOB_NONE)
        *(void **)knob_field(r, to) = *(void **)knob_field(r, from);
}

bool config_row_equal(const eng_model *m, const knob_row *r, const knob_values *a, const knob_values *b)
{
    const void *x = knob_field(r, a), *y = knob_field(r, b);
    if (r->lives == KNOB_NUM)
        return *(const double *)x == *(const double *)y;
    if (r->lives == KNOB_TEXT)
        return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    if (r->lives == KNOB_INTS)
        return memcmp(*(int *const *)x, *(int *const *)y, sizeof(int) * knob_cells(m, r)) == 0;
    if (r->lives == KNOB_GRID)
        return memcmp(*(float *const *)x, *(float *const *)y, sizeof(float) * knob_cells(m, r)) == 0;
    return true;
}

bool config_row_default(const eng_config *c, const knob_row *r)
{
    if (!(r->flags & K_ADAPTERS))
        return !c->m->standard || config_row_equal(c->m, r, &c->v, &c->m->standard->v);
    char *own = lora_default(c->m);                    /* which changes with what is loaded */
    q_buf now = { 0 };
    lora_put(c->m, c->v.lora, true, &now);
    bool same = strcmp(own, now.p ? now.p : "") == 0;
    q_buf_free(&now);
    free(own);
    return same;
}

/* ---- whole configurations ---- */
static void own_value(const eng_model *m, const knob_row *r, knob_values *v)
{
    value_init(m, r, v);
    if (r->lives == KNOB_INTS)
        for (int i = 0; i < m->ker.n_layer; i++)
            (*(int **)knob_field(r, v))[i] = (int)r->own(m, i);
    if (r->lives == KNOB_NUM) {
        double x = r->own(m, -1), lo, hi;
        knob_range(m, r, &lo, &hi);
        *(double *)knob_field(r, v) = r->flags & K_CLAMPED ? fmin(fmax(x, lo), hi) : x;     /* a file's nonsense stops here */
    }
}

eng_config *eng_config_new(const eng_model *m)
{
    eng_config *c = m->standard ? eng_config_copy(m->standard) : NULL;
    if (c) {
        free(c->v.lora);
        c->v.lora = lora_default(m);
        return c;
    }
    c = q_alloc(sizeof *c);
    c->m = m;
    for (int i = 0; i < knob_count(); i++)
        own_value(m, knob_at(i), &c->v);
    return c;
}

eng_config *eng_config_copy(const eng_config *c)
{
    eng_config *out = q_alloc(sizeof *out);
    out->m = c->m;
    for (int i = 0; i < knob_count(); i++)
        value_copy(c->m, knob_at(i), &out->v, &c->v);
    return out;
}

void eng_config_free(eng_config *c)
{
    if (!c)
        return;
    for (int i = 0; i < knob_count(); i++)
        value_free(knob_at(i), &c->v);
    free(c);
}

/* ---- text to value ---- */
static bool parse_number(const char *s, const char **end, double *out)
{
    char *e;
    errno = 0;
    double x = strtod(s, &e);
    if (e == s || !isfinite(x))
        return false;
    *out = x == 0 ? 0 : x;               /* -0 is no other value: it would be another configuration that reads alike */
    *end = e;
    return true;
}

static char *number_words(double x)
{
    char buf[40];
    for (int digits = 6; digits <= 17; digits++) {     /* the shortest that reads back the same */
        snprintf(buf, sizeof buf, "%.*g", digits, x);
        if (strtod(buf, NULL) == x)
            break;
    }
    return q_strdup(buf);
}

static int out_of_range(char *err, const q_knob *row, const char *value, double lo, double hi)
{
    char *a = number_words(lo), *b = number_words(hi);
    int rc = q_fail(err, Q_RANGE, row->type == Q_KNOB_FLOAT ? _("%s is a number from %s to %s for this model, not \"%s\"")
                                                            : _("%s is a whole number from %s to %s for this model, not \"%s\""),
                    row->name, a, b, value);
    free(a);
    free(b);
    return rc;
}

/* "x2", "x0.5": so many times the model's own value. Cyrillic letters and the sign itself do too. */
static bool parse_times(const char *s, double *out)
{
    static const char *const sign[] = { "x", "X", "×", "х", "Х" };
    const char *end;
    for (size_t i = 0; i < sizeof sign / sizeof *sign; i++) {
        size_t n = strlen(sign[i]);
        if (strncmp(s, sign[i], n) == 0)
            return parse_number(s + n, &end, out) && !*end && *out > 0 && *out <= 1e6;
    }
    return false;
}

static int parse_num(const eng_model *m, const knob_row *r, const char *value, double *out, char *err)
{
    double lo, hi, x;
    const char *end;
    bool whole = r->knob.type == Q_KNOB_INT;
    knob_range(m, r, &lo, &hi);
    if (m->standard && parse_times(value, &x)) {     /* held within the range: what is asked for is "as far as it goes" */
        x *= *(const double *)knob_field(r, &m->standard->v);
        *out = fmin(fmax(whole ? round(x) : x, lo), hi);
        return 0;
    }
    if (!parse_number(value, &end, &x) || *end || x < lo || x > hi || (whole && x != floor(x)))
        return out_of_range(err, &r->knob, value, lo, hi);
    /* Beyond 2^53 doubles have gaps: 9007199254740993 would be taken for its neighbour. */
    if (whole && fabs(x) >= 0x1p53 && strspn(value, "+-0123456789") == strlen(value) && (double)strtoll(value, NULL, 10) == x
        && strtoll(value, NULL, 10) != (long long)x)
        return out_of_range(err, &r->knob, value, lo, hi);
    if (r->knob.effect == Q_EFFECT_ROUTING && m->ker.n_expert == 0 && m->standard && x != *(const double *)knob_field(r, &m->standard->v))
        return q_fail(err, Q_RANGE, _("%s has nothing to act on: this model has no experts"), r->knob.name);
    *out = x;
    return 0;
}

/* most: the number of the last choice that this model has; those behind it want what its file lacks. */
static int parse_choice(const q_knob *row, const char *value, int most, double *out, char *err)
{
    int i = 0;
    size_t n = strlen(value);
    for (const char *p = row->choices; *p; i++) {
        size_t w = strcspn(p, ",");
        if (w == n && strncasecmp(p, value, n) == 0 && i > most)
            return q_fail(err, Q_RANGE, _("%s cannot be %s here: this model's file does not hold what that needs; take another of %s"), row->name, value, row->choices);
        if (w == n && strncasecmp(p, value, n) == 0) {
            *out = i;
            return 0;
        }
        p += w + (p[w] == ',');
    }
    return q_fail(err, Q_RANGE, _("%s is one of %s, not \"%s\""), row->name, row->choices, value);
}

/* Layers by ranges: "0-11:4,12-47:12". A layer that is not named keeps the model's own value. */
static int parse_layers(const eng_model *m, const knob_row *r, const char *value, int *list, char *err)
{
    const int n_layer = m->ker.n_layer;
    memcpy(list, *(int *const *)knob_field(r, &m->standard->v), sizeof *list * (size_t)n_layer);
    for (const char *p = value;; p++) {
        double first, last, x;
        if (!parse_number(p, &p, &first))
            goto bad;
        last = first;
        if (*p == '-' && !parse_number(p + 1, &p, &last))
            goto bad;
        if (*p++ != ':' || !parse_number(p, &p, &x) || first != floor(first) || last != floor(last) || x != floor(x) || (*p && *p != ','))
            goto bad;
        if (first < 0 || last >= n_layer || last < first)
            return q_fail(err, Q_RANGE, _("%s: layers are 0 to %d, as in 0-%d:4; \"%s\" names others"), r->knob.name, n_layer - 1, n_layer - 1, value);
        for (int i = (int)first; i <= (int)last; i++) {
            int max = (int)r->highest(m, i);
            if (max >= 0 && (x < r->knob.min || x > max))
                return q_fail(err, Q_RANGE, _("%s of layer %d is a whole number from %d to %d, not %.0f"), r->knob.name, i, (int)r->knob.min, max, x);
            list[i] = max < 0 ? 0 : (int)x;
        }
        if (!*p)
            return 0;
    }
bad:
    return q_fail(err, Q_RANGE, _("%s by layers is a list of layer:number or first-last:number, like 0-11:4,12-23:8; not \"%s\""), r->knob.name, value);
}

/* "50%": this share of what a layer has, where 0 stands for all of it. */
static bool parse_share(const knob_row *r, const char *s, double *out)
{
    const char *end;
    if (r->knob.min != 0 || !parse_number(s, &end, out))
        return false;
    *out /= 100;
    return *end == '%' && !end[1] && *out > 0 && *out <= 1;
}

static void share_ints(const eng_model *m, const knob_row *r, double share, int *out)
{
    for (int i = 0; i < m->ker.n_layer; i++) {
        int max = (int)r->highest(m, i);
        out[i] = max < 0 || share == 1 ? 0 : (int)fmax(round(max * share), 1);
    }
}

/* So many times the model's own in every layer, held within what each has. */
static void times_ints(const eng_model *m, const knob_row *r, double times, int *out)
{
    const int *own = *(int *const *)knob_field(r, &m->standard->v);
    for (int i = 0; i < m->ker.n_layer; i++) {
        int max = (int)r->highest(m, i);
        int base = own[i] || r->knob.min > 0 ? own[i] : max;         /* 0 is all where 0 may be said */
        out[i] = max < 0 || base == 0 ? 0 : (int)fmin(fmax(round(base * times), 1), max);
    }
}

static int parse_plain(const eng_model *m, const knob_row *r, const char *value, int *out, char *err)
{
    const q_knob *row = &r->knob;
    int n_layer = m->ker.n_layer, n = 0, *list = q_alloc(sizeof(int) * (size_t)(n_layer + 1)), rc = 0;
    double lo, hi;
    knob_range(m, r, &lo, &hi);
    if (row->effect == Q_EFFECT_ROUTING && hi < 1) {
        rc = q_fail(err, Q_RANGE, _("%s has nothing to act on: this model has no experts"), row->name);
        goto out;
    }
    double times;
    if (m->standard && parse_times(value, &times)) {
        times_ints(m, r, times, out);
        goto out;
    }
    if (parse_share(r, value, &times)) {
        share_ints(m, r, times, out);
        goto out;
    }
    if (m->standard && strchr(value, ':')) {
        rc = parse_layers(m, r, value, list, err);
        if (rc == 0)
            memcpy(out, list, sizeof *out * (size_t)n_layer);
        goto out;
    }
    for (const char *p = value;; p++) {
        double x;
        if (!parse_number(p, &p, &x) || x != floor(x) || x < 0 || x > hi || (*p && *p != ',')) {
            rc = out_of_range(err, row, value, lo, hi);
            goto out;
        }
        if (n == n_layer) {
            rc = q_fail(err, Q_RANGE, _("%s has more than %d numbers: give one, or one for each of the %d layers"), row->name, n_layer, n_layer);
            goto out;
        }
        list[n++] = (int)x;
        if (!*p)
            break;
    }
    if (n != 1 && n != n_layer) {
        rc = q_fail(err, Q_RANGE, _("%s has %d numbers: give one, or one for each of the %d layers"), row->name, n, n_layer);
        goto out;
    }
    bool one = n == 1;
    for (int i = 0; i < n_layer; i++) {
        int max = (int)r->highest(m, i), x = list[one ? 0 : i];
        if (!one && max >= 0 && (x < lo || x > max)) {
            rc = q_fail(err, Q_RANGE, _("%s of layer %d is a whole number from %d to %d, not %d"), row->name, i, (int)lo, max, x);
            goto out;
        }
        if (one && x < lo) {
            rc = out_of_range(err, row, value, lo, hi);
            goto out;
        }
        out[i] = max < 0 ? 0 : x > max ? max : x;
    }
out:
    free(list);
    return rc;
}

static const char by_magnitude[] = ":magnitude";

/* Numbers of a value with ":magnitude" behind it are kept negative. */
static int parse_ints(const eng_model *m, const knob_row *r, const char *value, int *out, char *err)
{
    size_t n = strlen(value), behind = sizeof by_magnitude - 1;
    if (!(r->flags & K_MAGNITUDE) || n < behind || strcmp(value + n - behind, by_magnitude) != 0)
        return parse_plain(m, r, value, out, err);
    char *number = q_strndup(value, n - behind);
    int rc = parse_plain(m, r, number, out, err);
    for (int i = 0; i < m->ker.n_layer && rc == 0; i++)
        out[i] = -out[i];
    free(number);
    return rc;
}

static int parse_grid(const eng_model *m, const knob_row *r, const char *value, float *out, char *err)
{
    const q_knob *row = &r->knob;
    bool values = row->type == Q_KNOB_PAIR_VALUES, heads = r->flags & K_HEADS;
    int width = (int)r->highest(m, -1), rc = 0;
    size_t cells = knob_cells(m, r);
    memset(out, 0, sizeof(float) * cells);
    if (strcmp(value, "none") == 0 || !*value)
        return 0;
    if (width == 0)
        return q_fail(err, Q_RANGE, _("%s has nothing to act on: this model has no experts"), row->name);
    for (const char *p = value;; p++) {
        double layer, item, x = 1;
        if (!parse_number(p, &p, &layer) || *p++ != ':' || !parse_number(p, &p, &item) || layer != floor(layer) || item != floor(item))
            goto bad;
        if (values && (*p++ != '=' || !parse_number(p, &p, &x) || x < row->min || x > row->max))
            goto bad;
        if (*p && *p != ',')
            goto bad;
        if (layer < 0 || layer >= m->ker.n_layer || item < 0 || item >= width)
            return q_fail(err, Q_RANGE, heads ? _("%s: %d:%d is not in this model: layers are 0 to %d, heads 0 to %d")
                                              : _("%s: %d:%d is not in this model: layers are 0 to %d, experts 0 to %d"),
                          row->name, (int)fmin(fmax(layer, -1e9), 1e9), (int)fmin(fmax(item, -1e9), 1e9), m->ker.n_layer - 1, width - 1);
        if (heads && m->layers[(int)layer].mixer == KER_MIX_DELTA)
            return q_fail(err, Q_RANGE, _("%s: layer %d is recurrent and has no attention heads that could be silenced: name layers with attention"), row->name, (int)layer);
        if (!heads && !m->layers[(int)layer].moe)
            return q_fail(err, Q_RANGE, _("%s: layer %d has no experts; layers %d to %d have"), row->name, (int)layer,
                          m->info.first_moe_layer, m->ker.n_layer - 1);
        out[(size_t)layer * (size_t)width + (size_t)item] = (float)x;
        if (!*p)
            break;
    }
    if (r->flags & K_LEAVES_ONE)
        for (int l = 0; l < m->ker.n_layer; l++) {
            int left = 0;
            for (int e = 0; e < width; e++)
                left += out[l * width + e] == 0;
            if (left == 0)
                rc = q_fail(err, Q_RANGE, _("%s would leave layer %d without an expert: at least one must remain"), row->name, l);
        }
    return rc;
bad:
    if (values)
        return q_fail(err, Q_RANGE, _("%s is a list of layer:expert=value with values from %g to %g, like 0:5=2.0, or none; not \"%s\""),
                      row->name, row->min, row->max, value);
    return q_fail(err, Q_RANGE, heads ? _("%s is a list of layer:head, like 0:3,1:7, or none; not \"%s\"")
                                      : _("%s is a list of layer:expert, like 1:3,2:7, or none; not \"%s\""), row->name, value);
}

/* true and false of config.json where the choices are on and off. */
static const char *choice_word(const q_knob *row, const char *value)
{
    bool on_off = strstr(row->choices, "on,off") != NULL;
    return on_off && strcmp(value, "true") == 0 ? "on" : on_off && strcmp(value, "false") == 0 ? "off" : value;
}

/* A text as it is kept and shown, in one line: line breaks, and blanks at its ends, which whoever carries it may take off, as
 * sampler.stop spells them. malloc'ed. */
static char *spelled(const char *text)
{
    q_buf b = { 0 };
    size_t n = strlen(text);
    q_buf_puts(&b, "");
    for (size_t i = 0, escaped = 0; i < n; i++) {
        char c = text[i], as = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c == ' ' && (i == 0 || i + 1 == n) ? 's' : 0;
        if (as && !escaped)
            q_buf_putc(&b, '\\');
        q_buf_putc(&b, as ? as : c);
        escaped = !escaped && c == '\\';
    }
    return q_buf_take(&b);
}

/* A text of people's. */
static int parse_text(const q_knob *row, const char *value, char **field, char *err)
{
    if (!q_utf8_valid(value, strlen(value)))           /* labels, JSON and the store hold it */
        return q_fail(err, Q_FORMAT, _("%s must be UTF-8 text"), row->name);
    char *text = spelled(strcmp(value, "none") == 0 ? "" : value);
    if (strlen(text) > (size_t)row->max) {             /* it is looked for at every token */
        free(text);
        return q_fail(err, Q_RANGE, _("%s takes at most %.0f bytes, not %zu"), row->name, row->max, strlen(value));
    }
    free(*field);
    *field = text;
    return 0;
}

static int parse_grammar(const char *name, const char *text, size_t n, char *err)
{
    eng_grammar *g = NULL;
    eng_grammar_source source = { .text = text, .n = n };
    char why[Q_ERRLEN];
    int rc = eng_grammar_new(&source, &g, why);
    eng_grammar_free(g);
    return rc < 0 ? q_fail(err, rc, "%.200s: %s", name, why) : 0;
}

/* A file's path; or what such a knob holds already: then nothing is read, so that settings mean what they meant. */
static int parse_file(const q_knob *row, const char *value, char **field, char *err)
{
    size_t path = strcspn(value, "\n");
    q_buf whole = { 0 }, text = { 0 };
    int rc = q_utf8_valid(value, strlen(value)) ? 0 : q_fail(err, Q_FORMAT, _("%s must be UTF-8 text"), row->name);
    if (rc == 0 && value[path]) {
        q_buf_puts(&whole, value);
        rc = strlen(value + path + 1) > (size_t)row->max ? q_fail(err, Q_RANGE, _("%s takes at most %.0f bytes, not %zu"), row->name, row->max, strlen(value + path + 1))
                                                          : parse_grammar(row->name, value + path + 1, strlen(value + path + 1), err);
    } else if (rc == 0 && *value && strcmp(value, "none") != 0 && strcmp(value, "off") != 0) {
        char *real = realpath(value, NULL);
        rc = q_read_file(value, &text, (size_t)row->max, err);
        if (rc == 0 && text.len && memchr(text.p, 0, text.len))
            rc = q_fail(err, Q_FORMAT, _("%s holds NUL bytes: it is no grammar and no JSON schema"), value);
        if (rc == 0)
            rc = parse_grammar(value, text.p ? text.p : "", text.len, err);
        q_buf_printf(&whole, "%s\n", real && !strchr(real, '\n') && q_utf8_valid(real, strlen(real)) ? real : value);
        q_buf_add(&whole, text.p ? text.p : "", text.len);
        free(real);
    }
    q_buf_puts(&whole, "");
    if (rc == 0) {
        free(*field);
        *field = q_buf_take(&whole);
    }
    q_buf_free(&whole);
    q_buf_free(&text);
    return rc;
}

/* What is shown of it: the path; all of it where there is none. */
static void put_file(q_buf *b, const char *text)
{
    size_t path = strcspn(text, "\n");
    if (!*text)
        q_buf_puts(b, "off");
    else if (path == 0)
        q_buf_puts(b, text);
    else
        q_buf_add(b, text, path);
}

static int parse_adapters(const eng_model *m, const char *value, char **field, char *err)
{
    char *text = NULL;
    int rc = strlen(value) > 65536 ? q_fail(err, Q_RANGE, _("%s takes at most %.0f bytes, not %zu"), "lora.scale", 65536.0, strlen(value)) : lora_parse(m, value, &text, err);
    if (rc)
        return rc;
    free(*field);
    *field = text;
    return Q_OK;
}

/* The row's field in v, which value_init made, from text. */
static int parse_value(const eng_model *m, const knob_row *r, const char *value, knob_values *v, char *err)
{
    void *field = knob_field(r, v);
    while (isspace((unsigned char)*value) && r->knob.type != Q_KNOB_TEXT)
        value++;
    switch (r->knob.type) {
    case Q_KNOB_INT: case Q_KNOB_FLOAT: return parse_num(m, r, value, field, err);
    case Q_KNOB_CHOICE: return parse_choice(&r->knob, choice_word(&r->knob, value), (int)r->highest(m, -1), field, err);
    case Q_KNOB_INTS: return parse_ints(m, r, value, *(int **)field, err);
    case Q_KNOB_PAIRS: case Q_KNOB_PAIR_VALUES: return parse_grid(m, r, value, *(float **)field, err);
    case Q_KNOB_BOOL: return parse_choice(&(q_knob){ .name = r->knob.name, .choices = "off,on" }, value, 1, field, err);
    case Q_KNOB_TEXT: return r->flags & K_ADAPTERS ? parse_adapters(m, value, field, err) : r->flags & K_FILE ? parse_file(&r->knob, value, field, err) : parse_text(&r->knob, value, field, err);
    }
    return 0;
}

/* What the weights fix: why no setting can change it, what there is to study less of it, and what would make it more. The
 * row's help is "why; what there is", in each language. */
static int fixed(const knob_row *r, const char *own, char *err)
{
    const char *help = _(r->knob.help), *there = strstr(help, "; ");
    return q_fail(err, Q_RANGE, _("%s is %s: the tensors of this model have that shape, and no setting can change it. To study less of it: %s; more of it takes another model, or training one."),
                  r->knob.name, own, there ? there + 2 : help);
}

int eng_config_set(eng_config *c, const char *name, const char *value, char *err)
{
    const eng_model *m = c->m;
    const knob_row *r = knob_find(name);
    if (!r)
        return q_fail(err, Q_NOTFOUND, _("there is no knob \"%s\": /set alone lists them all"), name);
    if (r->lives == KNOB_NONE) {
        char *x = number_words(r->own(m, -1));
        int rc = strcmp(value, x) == 0 || strcmp(value, "default") == 0 ? 0
               : fixed(r, x, err);
        free(x);
        return rc;
    }
    knob_values v;
    int rc = 0;
    if (strcmp(value, "default") == 0 && r->flags & K_ADAPTERS) {
        *(char **)knob_field(r, &v) = lora_default(m);
    } else if (strcmp(value, "default") == 0) {
        value_copy(m, r, &v, &m->standard->v);
    } else {
        value_init(m, r, &v);
        rc = parse_value(m, r, value, &v, err);
    }
    if (rc)
        value_free(r, &v);
    else
        value_move(r, &c->v, &v);
    return rc;
}

/* ---- value to text ---- */
static void put_number(q_buf *b, double x)
{
    char *s = number_words(x);
    q_buf_puts(b, s);
    free(s);
}

static void put_choice(q_buf *b, const q_knob *row, int index)
{
    const char *p = row->choices;
    while (index-- > 0)
        p += strcspn(p, ",") + 1;
    q_buf_add(b, p, strcspn(p, ","));
}

static void put_ints(q_buf *b, const eng_model *m, const knob_row *r, const int *v)
{
    bool same = true, negative = false;
    int first = -1;
    for (int i = 0; i < m->ker.n_layer; i++) {
        if (r->highest(m, i) < 0)
            continue;
        if (first < 0)
            first = i;
        same = same && v[i] == v[first];
        negative = negative || v[i] < 0;
    }
    if (same)
        q_buf_printf(b, "%d", first < 0 ? 0 : abs(v[first]));
    for (int i = 0; !same && i < m->ker.n_layer; i++)
        q_buf_printf(b, "%s%d", i ? "," : "", abs(v[i]));
    if (negative)
        q_buf_puts(b, by_magnitude);
}

static void put_grid(q_buf *b, const eng_model *m, const knob_row *r, const float *v)
{
    int width = (int)r->highest(m, -1);
    bool any = false;
    for (int i = 0; i < m->ker.n_layer * width; i++) {
        if (v[i] == 0)
            continue;
        q_buf_printf(b, "%s%d:%d", any ? "," : "", i / width, i % width);
        any = true;
        if (r->knob.type != Q_KNOB_PAIR_VALUES)
            continue;
        char s[32];
        for (int d = 6; d <= 9; d++) {                 /* the shortest that reads back the same */
            snprintf(s, sizeof s, "%.*g", d, (double)v[i]);
            if (strtof(s, NULL) == v[i])
                break;
        }
        q_buf_printf(b, "=%s", s);
    }
    if (!any)
        q_buf_puts(b, "none");
}

const char *eng_config_get(const eng_config *c, const char *name, q_buf *buf)
{
    const knob_row *r = knob_find(name);
    q_buf_clear(buf);
    if (!r)
        return NULL;
    const void *field = knob_field(r, &c->v);
    double num = r->lives == KNOB_NUM ? *(const double *)field : r->lives == KNOB_NONE ? r->own(c->m, -1) : 0;
    if (r->flags & K_FILE) {
        put_file(buf, *(char *const *)field);
        return buf->p;
    }
    if (r->flags & K_ADAPTERS) {
        lora_put(c->m, *(char *const *)field, false, buf);
        q_buf_puts(buf, buf->len ? "" : "none");
        return buf->p;
    }
    switch (r->knob.type) {
    case Q_KNOB_INT: case Q_KNOB_FLOAT: put_number(buf, num); break;
    case Q_KNOB_BOOL: q_buf_puts(buf, num != 0 ? "on" : "off"); break;
    case Q_KNOB_CHOICE: put_choice(buf, &r->knob, (int)num); break;
    case Q_KNOB_TEXT: q_buf_puts(buf, **(char *const *)field ? *(char *const *)field : "none"); break;
    case Q_KNOB_INTS: put_ints(buf, c->m, r, *(int *const *)field); break;
    case Q_KNOB_PAIRS: case Q_KNOB_PAIR_VALUES: put_grid(buf, c->m, r, *(float *const *)field); break;
    }
    return buf->p ? buf->p : "";
}

bool eng_config_range(const eng_config *c, const char *name, double *min, double *max)
{
    const knob_row *r = knob_find(name);
    if (!r || r->lives == KNOB_NONE || (r->knob.type != Q_KNOB_INT && r->knob.type != Q_KNOB_FLOAT && r->knob.type != Q_KNOB_INTS))
        return false;
    knob_range(c->m, r, min, max);
    return *max > *min || (*max == *min && *max > 0);
}

double eng_config_number(const eng_config *c, const char *name)
{
    const knob_row *r = knob_find(name);
    bool one = r && r->lives == KNOB_NUM && (r->knob.type == Q_KNOB_INT || r->knob.type == Q_KNOB_FLOAT);
    return one ? *(const double *)knob_field(r, &c->v) : NAN;
}

int eng_config_nudge_k(eng_config *c, int delta)
{
    int most = 0, n = c->m->ker.n_expert;
    for (int i = 0; i < c->m->ker.n_layer; i++) {
        if (!c->m->layers[i].moe)
            continue;
        int64_t k = (int64_t)c->v.k[i] + delta;
        c->v.k[i] = (int)(k < 1 ? 1 : k > n ? n : k);
        most = c->v.k[i] > most ? c->v.k[i] : most;
    }
    return most;
}

bool eng_config_is_default(const eng_config *c, const char *name)
{
    const knob_row *r = knob_find(name);
    return !r || config_row_default(c, r);
}
