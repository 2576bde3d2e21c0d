/* engine/run/config: one configuration: values by knob, read from text and written back, compared and hashed.
 * An eng_config belongs to one thread; the model it points to outlives it. It never touches a session:
 * what a change costs is told by eng_config_diff, what it does is the session's affair. */
#include "engine/run/config.h"
#include "engine/run/model.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t grid_cells(const eng_model *m, enum eng_knob id)
{
    return (size_t)m->ker.n_layer * (size_t)knob_width(m, id);
}

static void value_init(const eng_model *m, enum eng_knob id, knob_value *v)
{
    const q_knob *row = knob_row(id);
    memset(v, 0, sizeof *v);
    if (row->type == Q_KNOB_TEXT)
        v->text = q_strdup("");
    if (row->type == Q_KNOB_INTS)
        v->ints = q_alloc(sizeof(int) * (size_t)(m->ker.n_layer + 1));
    if (row->type == Q_KNOB_PAIRS || row->type == Q_KNOB_PAIR_VALUES)
        v->grid = q_alloc(sizeof(float) * (grid_cells(m, id) + 1));
}

static void value_free(knob_value *v)
{
    free(v->text);
    free(v->ints);
    free(v->grid);
}

static knob_value value_copy(const eng_model *m, enum eng_knob id, const knob_value *v)
{
    knob_value out;
    value_init(m, id, &out);
    out.num = v->num;
    if (v->text) {
        free(out.text);
        out.text = q_strdup(v->text);
    }
    if (v->ints)
        memcpy(out.ints, v->ints, sizeof(int) * (size_t)m->ker.n_layer);
    if (v->grid)
        memcpy(out.grid, v->grid, sizeof(float) * grid_cells(m, id));
    return out;
}

static bool value_equal(const eng_model *m, enum eng_knob id, const knob_value *a, const knob_value *b)
{
    if (a->num != b->num || (a->text && strcmp(a->text, b->text) != 0))
        return false;
    if (a->ints && memcmp(a->ints, b->ints, sizeof(int) * (size_t)m->ker.n_layer) != 0)
        return false;
    return !a->grid || memcmp(a->grid, b->grid, sizeof(float) * grid_cells(m, id)) == 0;
}

/* ---- the model's own values ---- */
static double file_num(const eng_model *m, const char *key, double otherwise)
{
    double x;
    return gguf_f64(m->file, key, &x) ? x : otherwise;
}

/* A file keeps its numbers as f32. The shortest decimal that is the same f32 is what its author wrote (1e-05, not
 * 9.999999747378752e-06); the backend gets the same f32 of either. */
static double as_written(double x)
{
    char buf[40];
    if ((double)(float)x != x)
        return x;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, x);
        if (strtof(buf, NULL) == (float)x)
            return strtod(buf, NULL);
    }
    return x;
}

static eng_config *config_standard(const eng_model *m)
{
    eng_config *c = q_alloc(sizeof *c);
    c->m = m;
    for (int i = 0; i < KNOB_COUNT; i++)
        value_init(m, (enum eng_knob)i, &c->v[i]);
    const model_defaults *d = &m->defaults;
    const arch_sampling *s = arch_sampling_of(m->info.carved ? "smollm" : m->arch ? m->arch->family : "llama");
    gguf_str pre;
    if (gguf_string(m->file, "tokenizer.ggml.pre", &pre) && pre.n == 6 && memcmp(pre.p, "smollm", 6) == 0)
        s = arch_sampling_of("smollm");
    for (int i = 0; i < m->ker.n_layer; i++)
        c->v[KNOB_K].ints[i] = m->layers[i].moe ? m->info.n_expert_used : 0;
    c->v[KNOB_ROUTER_T].num = 1;
    c->v[KNOB_EPS].num = as_written(d->norm_eps);
    c->v[KNOB_THETA].num = as_written(d->rope_theta);
    c->v[KNOB_SCALING].num = d->rope_scaling;
    c->v[KNOB_FACTOR].num = as_written(d->rope_factor);
    c->v[KNOB_ORIGINAL].num = d->rope_original;
    /* A first context that costs little memory; the knob goes as far as the model. */
    c->v[KNOB_CONTEXT].num = m->info.n_ctx_train > 8192 ? 8192 : m->info.n_ctx_train > 16 ? m->info.n_ctx_train : 16;
    c->v[KNOB_THREADS].num = m->n_threads;
    c->v[KNOB_S_TEMPERATURE].num = as_written(file_num(m, "general.sampling.temp", s->temperature));
    c->v[KNOB_S_TOP_K].num = as_written(file_num(m, "general.sampling.top_k", s->top_k));
    c->v[KNOB_S_TOP_P].num = as_written(file_num(m, "general.sampling.top_p", s->top_p));
    c->v[KNOB_S_MIN_P].num = as_written(file_num(m, "general.sampling.min_p", s->min_p));
    c->v[KNOB_S_REPEAT].num = as_written(file_num(m, "general.sampling.penalty_repeat", s->repeat_penalty));
    c->v[KNOB_S_LAST_N].num = 64;
    for (int i = KNOB_S_TEMPERATURE; i <= KNOB_S_REPEAT; i++) {    /* a file's nonsense does not get past the table */
        double lo, hi;
        knob_range(m, (enum eng_knob)i, &lo, &hi);
        c->v[i].num = fmin(fmax(c->v[i].num, lo), hi);
    }
    c->v[KNOB_FIXED_EXPERTS].num = m->ker.n_expert;
    c->v[KNOB_FIXED_LAYERS].num = m->ker.n_layer;
    c->v[KNOB_FIXED_HEADS].num = m->ker.n_head;
    c->v[KNOB_FIXED_KV_HEADS].num = m->ker.n_kv_head;
    c->v[KNOB_FIXED_HEAD_DIM].num = m->ker.head_dim;
    c->v[KNOB_FIXED_WIDTH].num = m->ker.n_embd;
    double lo;
    knob_range(m, KNOB_FFN_WIDTH, &lo, &c->v[KNOB_FIXED_FF].num);
    c->v[KNOB_FIXED_FF_EXP].num = m->ker.n_ff_exp;
    c->v[KNOB_FIXED_VOCAB].num = m->info.n_vocab;
    c->v[KNOB_S_TOP_P].num = c->v[KNOB_S_TOP_P].num > 0 ? c->v[KNOB_S_TOP_P].num : 1;
    config_refresh(c);
    return c;
}

eng_config *eng_config_new(const eng_model *m)
{
    return m->standard ? eng_config_copy(m->standard) : config_standard(m);
}

eng_config *eng_config_copy(const eng_config *c)
{
    eng_config *out = q_alloc(sizeof *out);
    out->m = c->m;
    for (int i = 0; i < KNOB_COUNT; i++)
        out->v[i] = value_copy(c->m, (enum eng_knob)i, &c->v[i]);
    config_refresh(out);
    return out;
}

void eng_config_free(eng_config *c)
{
    if (!c)
        return;
    for (int i = 0; i < KNOB_COUNT; i++)
        value_free(&c->v[i]);
    free(c);
}

double config_num(const eng_config *c, enum eng_knob id) { return c->v[id].num; }

void config_refresh(eng_config *c)
{
    const knob_value *v = c->v;
    c->sampling = (eng_sampling){
        .temperature = (float)v[KNOB_S_TEMPERATURE].num, .top_k = (int)v[KNOB_S_TOP_K].num, .top_p = (float)v[KNOB_S_TOP_P].num,
        .min_p = (float)v[KNOB_S_MIN_P].num, .repeat_penalty = (float)v[KNOB_S_REPEAT].num,
        .frequency_penalty = (float)v[KNOB_S_FREQUENCY].num, .presence_penalty = (float)v[KNOB_S_PRESENCE].num,
        .repeat_last_n = (int)v[KNOB_S_LAST_N].num, .seed = (uint64_t)v[KNOB_S_SEED].num, .stop = v[KNOB_S_STOP].text,
    };
}

const eng_sampling *config_sampling(const eng_config *c) { return &c->sampling; }

/* ---- text to value ---- */
static bool parse_number(const char *s, const char **end, double *out)
{
    char *e;
    errno = 0;
    double x = strtod(s, &e);
    if (e == s || !isfinite(x))
        return false;
    *out = x;
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

static int parse_num(const eng_model *m, const q_knob *row, const char *value, double *out, char *err)
{
    double lo, hi, x;
    const char *end;
    knob_range(m, (enum eng_knob)row->id, &lo, &hi);
    if (!parse_number(value, &end, &x) || *end || x < lo || x > hi || (row->type == Q_KNOB_INT && x != floor(x)))
        return out_of_range(err, row, value, lo, hi);
    *out = x;
    return 0;
}

static int parse_choice(const q_knob *row, const char *value, double *out, char *err)
{
    int i = 0;
    size_t n = strlen(value);
    for (const char *p = row->choices; *p; i++) {
        size_t w = strcspn(p, ",");
        if (w == n && strncasecmp(p, value, n) == 0) {
            *out = i;
            return 0;
        }
        p += w + (p[w] == ',');
    }
    return q_fail(err, Q_RANGE, _("%s is one of %s, not \"%s\""), row->name, row->choices, value);
}

/* Largest value of an INTS knob in one layer; -1 where the layer has nothing to set. */
static int layer_max(const eng_model *m, enum eng_knob id, int layer)
{
    if (id == KNOB_K)
        return m->layers[layer].moe ? m->ker.n_expert : -1;
    if (m->layers[layer].moe)
        return m->ker.n_ff_sh > 0 ? m->ker.n_ff_sh : -1;
    return m->layers[layer].n_ff;
}

static int parse_ints(const eng_model *m, const q_knob *row, const char *value, int *out, char *err)
{
    int n_layer = m->ker.n_layer, n = 0, *list = q_alloc(sizeof(int) * (size_t)(n_layer + 1)), rc = 0;
    double lo, hi;
    knob_range(m, (enum eng_knob)row->id, &lo, &hi);
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
        int max = layer_max(m, (enum eng_knob)row->id, i), x = list[one ? 0 : i];
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

static int parse_grid(const eng_model *m, const q_knob *row, const char *value, float *out, char *err)
{
    enum eng_knob id = (enum eng_knob)row->id;
    bool values = row->type == Q_KNOB_PAIR_VALUES, heads = id == KNOB_HEADS_OFF;
    int width = knob_width(m, id), rc = 0;
    size_t cells = grid_cells(m, id);
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
                          row->name, (int)fmin(fmax(layer, -1), 1e6), (int)fmin(fmax(item, -1), 1e6), m->ker.n_layer - 1, width - 1);
        if (!heads && !m->layers[(int)layer].moe)
            return q_fail(err, Q_RANGE, _("%s: layer %d has no experts; layers %d to %d have"), row->name, (int)layer,
                          m->info.first_moe_layer, m->ker.n_layer - 1);
        out[(size_t)layer * (size_t)width + (size_t)item] = (float)x;
        if (!*p)
            break;
    }
    if (id == KNOB_BAN)
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

int eng_config_set(eng_config *c, const char *name, const char *value, char *err)
{
    const eng_model *m = c->m;
    const q_knob *row = knob_find(name);
    if (!row)
        return q_fail(err, Q_NOTFOUND, _("there is no knob \"%s\": /set alone lists them all"), name);
    enum eng_knob id = (enum eng_knob)row->id;
    if (row->effect == Q_EFFECT_FIXED) {
        char *x = number_words(c->v[id].num);
        int rc = strcmp(value, x) == 0 || strcmp(value, "default") == 0 ? 0
               : q_fail(err, Q_RANGE, _("%s is %s and %s"), row->name, x, _(row->help));
        free(x);
        return rc;
    }
    knob_value v;
    int rc = 0;
    if (strcmp(value, "default") == 0) {
        eng_config *d = eng_config_new(m);
        v = value_copy(m, id, &d->v[id]);
        eng_config_free(d);
    } else {
        value_init(m, id, &v);
        while (isspace((unsigned char)*value))
            value++;
        switch (row->type) {
        case Q_KNOB_INT: case Q_KNOB_FLOAT: rc = parse_num(m, row, value, &v.num, err); break;
        case Q_KNOB_CHOICE:
            /* true and false of config.json's enable_thinking */
            if (id == KNOB_THINK && (strcmp(value, "true") == 0 || strcmp(value, "false") == 0))
                value = *value == 't' ? "on" : "off";
            rc = parse_choice(row, value, &v.num, err);
            break;
        case Q_KNOB_BOOL: v.num = strcmp(value, "on") == 0 || strcmp(value, "true") == 0 || strcmp(value, "1") == 0; break;
        case Q_KNOB_TEXT:
            free(v.text);
            v.text = q_strdup(strcmp(value, "none") == 0 ? "" : value);
            if (!q_utf8_valid(value, strlen(value)))     /* labels, JSON and the store hold it */
                rc = q_fail(err, Q_FORMAT, _("%s must be UTF-8 text"), row->name);
            break;
        case Q_KNOB_INTS:
            if (id == KNOB_K && m->ker.n_expert == 0)
                rc = q_fail(err, Q_RANGE, _("%s has nothing to act on: this model has no experts"), row->name);
            else
                rc = parse_ints(m, row, value, v.ints, err);
            break;
        case Q_KNOB_PAIRS: case Q_KNOB_PAIR_VALUES: rc = parse_grid(m, row, value, v.grid, err); break;
        }
    }
    if (rc) {
        value_free(&v);
        return rc;
    }
    value_free(&c->v[id]);
    c->v[id] = v;
    config_refresh(c);
    return 0;
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

static void put_ints(q_buf *b, const eng_model *m, enum eng_knob id, const int *v)
{
    bool same = true;
    int first = -1;
    for (int i = 0; i < m->ker.n_layer; i++) {
        if (layer_max(m, id, i) < 0)
            continue;
        if (first < 0)
            first = i;
        same = same && v[i] == v[first];
    }
    if (same) {
        q_buf_printf(b, "%d", first < 0 ? 0 : v[first]);
        return;
    }
    for (int i = 0; i < m->ker.n_layer; i++)
        q_buf_printf(b, "%s%d", i ? "," : "", v[i]);
}

static void put_value(const eng_config *c, enum eng_knob id, q_buf *b)
{
    const q_knob *row = knob_row(id);
    const knob_value *v = &c->v[id];
    int width = knob_width(c->m, id);
    bool any = false;
    switch (row->type) {
    case Q_KNOB_INT: case Q_KNOB_FLOAT: put_number(b, v->num); break;
    case Q_KNOB_BOOL: q_buf_puts(b, v->num != 0 ? "on" : "off"); break;
    case Q_KNOB_CHOICE: put_choice(b, row, (int)v->num); break;
    case Q_KNOB_TEXT: q_buf_puts(b, *v->text ? v->text : "none"); break;
    case Q_KNOB_INTS: put_ints(b, c->m, id, v->ints); break;
    case Q_KNOB_PAIRS: case Q_KNOB_PAIR_VALUES:
        for (int l = 0; l < c->m->ker.n_layer; l++)
            for (int e = 0; e < width; e++) {
                float x = v->grid[l * width + e];
                if (x == 0)
                    continue;
                q_buf_printf(b, "%s%d:%d", any ? "," : "", l, e);
                if (row->type == Q_KNOB_PAIR_VALUES) {
                    char s[32];
                    snprintf(s, sizeof s, "%.9g", (double)x);
                    for (int d = 6; d < 9; d++) {
                        char t[32];
                        snprintf(t, sizeof t, "%.*g", d, (double)x);
                        if (strtof(t, NULL) == x) {
                            snprintf(s, sizeof s, "%s", t);
                            break;
                        }
                    }
                    q_buf_printf(b, "=%s", s);
                }
                any = true;
            }
        if (!any)
            q_buf_puts(b, "none");
        break;
    }
}

const char *eng_config_get(const eng_config *c, const char *name, q_buf *buf)
{
    const q_knob *row = knob_find(name);
    q_buf_clear(buf);
    if (!row)
        return NULL;
    put_value(c, (enum eng_knob)row->id, buf);
    return buf->p ? buf->p : "";
}

bool eng_config_range(const eng_config *c, const char *name, double *min, double *max)
{
    const q_knob *row = knob_find(name);
    if (!row || row->effect == Q_EFFECT_FIXED || (row->type != Q_KNOB_INT && row->type != Q_KNOB_FLOAT && row->type != Q_KNOB_INTS))
        return false;
    knob_range(c->m, (enum eng_knob)row->id, min, max);
    return *max > *min || (row->id == KNOB_K && *max == *min);
}

bool eng_config_is_default(const eng_config *c, const char *name)
{
    const q_knob *row = knob_find(name);
    if (!row || !c->m->standard)
        return true;
    return value_equal(c->m, (enum eng_knob)row->id, &c->v[row->id], &c->m->standard->v[row->id]);
}
