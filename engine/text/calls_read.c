/* engine/text/calls_read: see calls_read.h. */
#include "engine/text/calls_read.h"
#include "engine/jinja/json.h"
#include "engine/jinja/lex.h"
#include "engine/jinja/print.h"
#include "engine/jinja/text.h"

#include <stdlib.h>
#include <string.h>

#define WHAT _("the call")

static jv as_json(jx *x, jv v)
{
    const jp_json o = { 0 };
    jb b = { .x = x };
    jp_dump(&b, v, &o);
    return jb_take(&b);
}

static void found(call_in *in, jv name, jv arguments, jv id)
{
    jx *x = in->x;
    if (name.kind != JV_STR || !name.u.s->n) jx_fail(x, _("the call names no tool: write {\"name\": ..., \"arguments\": {...}}"));
    if (arguments.kind == JV_STR) {                        /* JSON within JSON */
        jv inner = jj_read(x, arguments.u.s->p, arguments.u.s->n, false, _("what a call was given"));
        arguments = inner;
    }
    if (arguments.kind == JV_NONE) arguments = jv_dict(x, JV_DICT);
    if (arguments.kind != JV_DICT) jx_fail(x, _("the arguments of a call are no object: write {\"name\": ..., \"arguments\": {...}}"));
    jv one = jv_list(x, JV_TUPLE, 3);
    jv_push(x, one, name);
    jv_push(x, one, as_json(x, arguments));
    jv_push(x, one, id);
    jv_push(x, in->out, one);
}

/* ---- JSON ---- */
static void from_json(call_in *in, jv v)
{
    jx *x = in->x;
    jv name = jv_none(), arguments = jv_none(), id = jv_none(), f;
    if (v.kind != JV_DICT) jx_fail(x, _("the call is no object: write {\"name\": ..., \"arguments\": {...}}"));
    if (jv_find_name(x, v, "function", &f) && f.kind == JV_DICT) v = f;
    else if (jv_find_name(x, v, "function", &f) && f.kind == JV_STR) name = f;
    jv_find_name(x, v, "name", &name);
    if (!jv_find_name(x, v, "arguments", &arguments)) jv_find_name(x, v, "parameters", &arguments);
    if (jv_find_name(x, v, "id", &id) && id.kind != JV_STR) id = jv_none();
    found(in, name, arguments, id);
}

void calls_json(call_in *in)
{
    jv v = jj_read(in->x, in->p, in->n, false, WHAT);
    if (v.kind != JV_LIST) { from_json(in, v); return; }
    for (int i = 0; i < v.u.l->n; i++) from_json(in, v.u.l->v[i]);
}

void calls_named(call_in *in)
{
    found(in, jv_text(in->x, in->name, strlen(in->name), NULL), jj_read(in->x, in->p, in->n, false, _("what a call was given")), jv_none());
}

/* ---- values without quotes: what the schema says of them ---- */
static bool try_json(jx *x, jv s, jv *out)
{
    jmp_buf *keep = jx_alloc(x, sizeof *keep);             /* not a local: it must stand through the way back */
    int depth = x->depth;
    bool *ok = jx_alloc(x, sizeof *ok);
    memcpy(keep, &x->out, sizeof *keep);
    if (setjmp(x->out) == 0) {
        *out = jj_read(x, s.u.s->p, s.u.s->n, false, WHAT);
        *ok = true;
    }
    memcpy(&x->out, keep, sizeof *keep);
    x->depth = depth;
    x->code = 0;
    return *ok;
}

static bool is_text(jx *x, const eng_tool *t, int n, jv name, jv key)
{
    jv schema, props, one, type;
    for (int i = 0; i < n; i++) {
        if (!jv_is(name, t[i].name) || !t[i].schema) continue;
        if (!try_json(x, jv_words(x, t[i].schema), &schema) || schema.kind != JV_DICT) return false;
        if (!jv_find_name(x, schema, "properties", &props) || props.kind != JV_DICT || !jv_find(x, props, key, &one) || one.kind != JV_DICT) return false;
        if (!jv_find_name(x, one, "type", &type)) return false;
        return jv_is(type, "string");
    }
    return false;
}

/* As JSON; templates write Python's words too. */
static jv valued(call_in *in, jv name, jv key, jv text)
{
    jv v;
    bool json = !is_text(in->x, in->tool, in->n_tool, name, key);
    if (json && jv_is(text, "True")) return jv_bool(true);
    if (json && jv_is(text, "False")) return jv_bool(false);
    if (json && jv_is(text, "None")) return jv_none();
    if (!json || !try_json(in->x, text, &v)) return text;
    return v;
}

/* ---- tags ---- */
typedef struct tags { jx *x; const jstr *s; size_t at; } tags;

static bool ahead(const tags *t, const char *word) { return t->s->n - t->at >= strlen(word) && memcmp(t->s->p + t->at, word, strlen(word)) == 0; }

static void blanks(tags *t) { for (size_t k; t->at < t->s->n && (k = jl_blank(t->s->p + t->at, t->s->n - t->at));) t->at += k; }

static void need(tags *t, const char *word)
{
    if (!ahead(t, word)) jx_fail(t->x, _("the call: byte %zu: %s is expected"), t->at + 1, word);
    t->at += strlen(word);
}

static jv until(tags *t, const char *word)
{
    const jstr w = { word, NULL, strlen(word) };
    long end = jt_find(t->s, &w, t->at);
    if (end < 0) jx_fail(t->x, _("the call: byte %zu: %s is expected"), t->s->n + 1, word);
    jv v = jv_part(t->x, t->s, t->at, (size_t)end);
    t->at = (size_t)end + strlen(word);
    return v;
}

/* One newline at each end belongs to the tags. */
static jv inner(jx *x, jv v)
{
    size_t a = 0, b = v.u.s->n;
    if (b > a && v.u.s->p[a] == '\n') a++;
    if (b > a && v.u.s->p[b - 1] == '\n') b--;
    return jv_part(x, v.u.s, a, b);
}

void calls_xml(call_in *in)
{
    jx *x = in->x;
    tags t = { x, jv_text(x, in->p, in->n, NULL).u.s, 0 };
    blanks(&t);
    do {
        need(&t, "<function=");
        jv name = jt_strip(x, until(&t, ">").u.s, NULL, JT_LEFT | JT_RIGHT), args = jv_dict(x, JV_DICT);
        for (blanks(&t); !ahead(&t, "</function>"); blanks(&t)) {
            need(&t, "<parameter=");
            jv key = until(&t, ">"), value = inner(x, until(&t, "</parameter>"));
            jv_put(x, args, key, valued(in, name, key, value));
        }
        need(&t, "</function>");
        found(in, name, args, jv_none());
        blanks(&t);
    } while (t.at < t.s->n);
}

void calls_glm(call_in *in)
{
    jx *x = in->x;
    tags t = { x, jv_text(x, in->p, in->n, NULL).u.s, 0 };
    blanks(&t);
    size_t from = t.at;
    while (t.at < t.s->n && t.s->p[t.at] != '\n' && !ahead(&t, "<arg_key>")) t.at++;
    jv name = jt_strip(x, jv_part(x, t.s, from, t.at).u.s, NULL, JT_LEFT | JT_RIGHT), args = jv_dict(x, JV_DICT);
    for (blanks(&t); t.at < t.s->n; blanks(&t)) {
        need(&t, "<arg_key>");
        jv key = jt_strip(x, until(&t, "</arg_key>").u.s, NULL, JT_LEFT | JT_RIGHT);
        blanks(&t);
        need(&t, "<arg_value>");
        jv value = until(&t, "</arg_value>");
        jv_put(x, args, key, valued(in, name, key, value));
    }
    found(in, name, args, jv_none());
}

/* ---- Python ---- */
static jv literal(tags *t);

static bool word_char(const tags *t, bool dots)
{
    char c = t->at < t->s->n ? t->s->p[t->at] : 0;
    return c == '_' || (dots && (c == '.' || c == '-')) || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static jv word(tags *t, bool dots)
{
    size_t from = t->at;
    while (word_char(t, dots)) t->at++;
    if (t->at == from) jx_fail(t->x, _("the call: byte %zu: %s is expected"), t->at + 1, _("a name"));
    return jv_part(t->x, t->s, from, t->at);
}

/* n hexadecimal digits ahead, behind `skip` bytes; -1: they are not there. */
static int64_t hex_ahead(const tags *t, size_t skip, int n)
{
    int64_t v = 0;
    for (size_t i = t->at + skip; n > 0; n--, i++) {
        char c = i < t->s->n ? t->s->p[i] : 0;
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* \xXX, \uXXXX (halves of a character only together), \UXXXXXXXX at t->at, the backslash behind us; false: none of them. */
static bool coded(tags *t, jb *b)
{
    static const struct { char letter; int digits; } rows[] = { { 'x', 2 }, { 'u', 4 }, { 'U', 8 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t cp = t->at < t->s->n && t->s->p[t->at] == rows[i].letter ? hex_ahead(t, 1, rows[i].digits) : -1;
        size_t used = 1 + (size_t)rows[i].digits;
        if (cp >= 0xD800 && cp < 0xDC00 && t->s->n - t->at > used + 1 && memcmp(t->s->p + t->at + used, "\\u", 2) == 0) {
            int64_t low = hex_ahead(t, used + 2, 4);
            if (low >= 0xDC00 && low < 0xE000) {
                cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
                used += 6;
            }
        }
        if (cp < 0 || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000)) continue;
        jb_cp(b, (uint32_t)cp, 0);
        t->at += used;
        return true;
    }
    return false;
}

static jv quoted(tags *t)
{
    char q = t->s->p[t->at++];
    static const char from[] = "ntr\\'\"/bf", to[] = "\n\t\r\\'\"/\b\f";
    jb b = { .x = t->x };
    while (t->at < t->s->n && t->s->p[t->at] != q) {
        char c = t->s->p[t->at++];
        const char *at = c == '\\' && t->at < t->s->n && t->s->p[t->at] ? strchr(from, t->s->p[t->at]) : NULL;
        if (at) { jb_char(&b, to[at - from], 0); t->at++; }
        else if (c != '\\' || !coded(t, &b)) jb_char(&b, c, 0);
    }
    if (t->at >= t->s->n) jx_fail(t->x, _("the call: byte %zu: %s is expected"), t->at + 1, q == '"' ? "\"" : "'");
    t->at++;
    return jb_take(&b);
}

static jv sequence(tags *t, char close)
{
    jv out = jv_list(t->x, JV_LIST, 0);
    t->at++;
    for (blanks(t); !(t->at < t->s->n && t->s->p[t->at] == close); blanks(t)) {
        jv_push(t->x, out, literal(t));
        blanks(t);
        if (!ahead(t, ",")) break;
        t->at++;
    }
    need(t, close == ']' ? "]" : ")");
    return out;
}

static jv mapping(tags *t)
{
    jv out = jv_dict(t->x, JV_DICT);
    t->at++;
    for (blanks(t); !ahead(t, "}"); blanks(t)) {
        jv key = literal(t);
        blanks(t);
        need(t, ":");
        jv_put(t->x, out, key, literal(t));
        blanks(t);
        if (!ahead(t, ",")) break;
        t->at++;
    }
    need(t, "}");
    return out;
}

static jv literal(tags *t)
{
    static const struct { const char *word; int is; } words[] = { { "True", 1 }, { "true", 1 }, { "False", 0 }, { "false", 0 }, { "None", -1 }, { "null", -1 } };
    jx_deeper(t->x);
    blanks(t);
    char c = t->at < t->s->n ? t->s->p[t->at] : 0;
    jv v = jv_none();
    bool known = true;
    if (c == '"' || c == '\'') v = quoted(t);
    else if (c == '[' || c == '(') v = sequence(t, c == '[' ? ']' : ')');
    else if (c == '{') v = mapping(t);
    else if ((c >= '0' && c <= '9') || c == '-' || c == '+') {
        size_t from = t->at++;
        while (t->at < t->s->n && strchr("0123456789.eE+-", t->s->p[t->at]) && t->s->p[t->at]) t->at++;
        v = jj_read(t->x, t->s->p + from, t->at - from, false, WHAT);
    } else {
        known = false;
        for (size_t i = 0; i < sizeof words / sizeof *words && !known; i++)
            if (ahead(t, words[i].word)) {
                t->at += strlen(words[i].word);
                v = words[i].is < 0 ? jv_none() : jv_bool(words[i].is);
                known = true;
            }
    }
    if (!known) jx_fail(t->x, _("the call: byte %zu: %s is expected"), t->at + 1, _("a value"));
    t->x->depth--;
    return v;
}

static void python_call(call_in *in, tags *t)
{
    jv name = word(t, true), args = jv_dict(in->x, JV_DICT);
    const jstr suffix = { ".call", NULL, 5 };
    if (jt_ends(name.u.s, &suffix)) name = jv_part(in->x, name.u.s, 0, name.u.s->n - 5);       /* Llama's own tools */
    need(t, "(");
    for (blanks(t); !ahead(t, ")"); blanks(t)) {
        jv key = word(t, false);
        blanks(t);
        need(t, "=");
        jv_put(in->x, args, key, literal(t));
        blanks(t);
        if (!ahead(t, ",")) break;
        t->at++;
    }
    need(t, ")");
    found(in, name, args, jv_none());
}

void calls_python(call_in *in)
{
    jx *x = in->x;
    tags t = { x, jv_text(x, in->p, in->n, NULL).u.s, 0 };
    blanks(&t);
    if (ahead(&t, "{")) { calls_json(in); return; }
    bool list = ahead(&t, "[");
    t.at += list;
    for (blanks(&t); !(list && ahead(&t, "]")); blanks(&t)) {
        python_call(in, &t);
        blanks(&t);
        if (!list || !ahead(&t, ",")) break;
        t.at++;
    }
    if (list) need(&t, "]");
    blanks(&t);
    if (t.at < t.s->n) jx_fail(x, _("the call: byte %zu: %s is expected"), t.at + 1, _("its end"));
}

void calls_mistral(call_in *in)
{
    jx *x = in->x;
    tags t = { x, jv_text(x, in->p, in->n, NULL).u.s, 0 };
    blanks(&t);
    if (ahead(&t, "[") || ahead(&t, "{")) { calls_json(in); return; }
    jv name = jt_strip(x, until(&t, "[ARGS]").u.s, NULL, JT_LEFT | JT_RIGHT), id = jv_none();
    const jstr mark = { "[CALL_ID]", NULL, 9 };
    long at = jt_find(name.u.s, &mark, 0);
    if (at >= 0) {
        id = jv_part(x, name.u.s, (size_t)at + 9, name.u.s->n);
        name = jv_part(x, name.u.s, 0, (size_t)at);
    }
    found(in, name, jj_read(x, t.s->p + t.at, t.s->n - t.at, false, _("what a call was given")), id);
}

void calls_seek(call_in *in)
{
    jx *x = in->x;
    tags t = { x, jv_text(x, in->p, in->n, NULL).u.s, 0 };
    jv name = jt_strip(x, until(&t, "<｜tool▁sep｜>").u.s, NULL, JT_LEFT | JT_RIGHT);
    const jstr fence = { "```json", NULL, 7 };
    if (jt_find(t.s, &fence, t.at) >= 0 && jv_is(name, "function")) name = jt_strip(x, until(&t, "```json").u.s, NULL, JT_LEFT | JT_RIGHT);
    found(in, name, jj_read(x, t.s->p + t.at, t.s->n - t.at, false, _("what a call was given")), jv_none());
}

void calls_kimi(call_in *in)
{
    jx *x = in->x;
    tags t = { x, jv_text(x, in->p, in->n, NULL).u.s, 0 };
    jv id = jt_strip(x, until(&t, "<|tool_call_argument_begin|>").u.s, NULL, JT_LEFT | JT_RIGHT);
    const jstr before = { "functions.", NULL, 10 }, colon = { ":", NULL, 1 };
    long at = jt_rfind(x, id.u.s, &colon);
    size_t from = jt_begins(id.u.s, &before) ? 10 : 0, to = at >= (long)from ? (size_t)at : id.u.s->n;
    jv name = jv_part(x, id.u.s, from, to);
    found(in, name, jj_read(x, t.s->p + t.at, t.s->n - t.at, false, _("what a call was given")), id);
}
