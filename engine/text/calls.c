/* engine/text/calls: see calls.h. An answer is text until a call opens, then the call's body until it ends as its format has
 * it, then text again; harmony is a row of messages, each with a head that says what it is. */
#include "engine/text/calls.h"
#include "engine/text/calls_read.h"

#include <stdlib.h>
#include <string.h>

enum ends { BY_JSON, BY_MARK, BY_BRACKETS, BY_ARGS };      /* a body's end: of its JSON, a mark, of its brackets, of the JSON behind `args` */
enum bare { NEVER, IF_IT_BEGINS, IF_OFFERED };             /* as one begins; as one of a tool that is offered, perhaps in a fence: small models of Qwen2.5-Coder leave the marks out */
struct call_format {
    const char *name;
    const char *mark, *and;            /* a template with both (and NULL: the first) is of this format */
    const char *open, *close;          /* around a call; open "": only at the beginning of an answer; close NULL: none */
    enum ends ends;
    enum bare bare;                    /* a call may also begin an answer without `open` */
    bool channels;                     /* harmony */
    void (*read)(call_in *);
    const char *args;                  /* BY_ARGS: between the name and its JSON */
    const char *const *heard;          /* control tokens that it is written with beside open and close; NULL: none */
    const char *around[2];             /* marks around a row of calls, which are no text; NULL: none */
};

static const char *const CHANNEL[] = { "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>", "<|start|>", "<|constrain|>", NULL };
static const char *const GLM_MARKS[] = { "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", NULL }, *const MISTRAL_MARKS[] = { "[ARGS]", "[CALL_ID]", NULL };
#define SEEK_BEGIN "<｜tool▁call▁begin｜>"
#define SEEK_END "<｜tool▁call▁end｜>"
static const char *const SEEK_MARKS[] = { "<｜tool▁sep｜>", SEEK_END, NULL }, *const KIMI_MARKS[] = { "<|tool_call_argument_begin|>", NULL };

/* The first that fits counts. DeepSeek's and Kimi's after the templates that their publishers have beside the models. */
static const call_format FORMATS[] = {
    { "harmony", "<|channel|>", "<|message|>", "", NULL, BY_JSON, NEVER, true, calls_named, NULL, CHANNEL, { NULL } },
    { "DeepSeek R1", SEEK_BEGIN, "```json", SEEK_BEGIN, "```" SEEK_END, BY_ARGS, NEVER, false, calls_seek, "```json", SEEK_MARKS, { "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>" } },
    { "DeepSeek V3.1", SEEK_BEGIN, NULL, SEEK_BEGIN, SEEK_END, BY_ARGS, NEVER, false, calls_seek, "<｜tool▁sep｜>", SEEK_MARKS, { "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>" } },
    { "Kimi K2", "<|tool_call_argument_begin|>", NULL, "<|tool_call_begin|>", "<|tool_call_end|>", BY_ARGS, NEVER, false, calls_kimi, "<|tool_call_argument_begin|>", KIMI_MARKS,
      { "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>" } },
    { "Qwen3-Coder", "<function=", "<parameter=", "<tool_call>", "</tool_call>", BY_MARK, NEVER, false, calls_xml, NULL, NULL, { NULL } },
    { "GLM-4.5", "<arg_key>", NULL, "<tool_call>", "</tool_call>", BY_MARK, NEVER, false, calls_glm, NULL, GLM_MARKS, { NULL } },
    { "Mistral", "[TOOL_CALLS]", NULL, "[TOOL_CALLS]", NULL, BY_ARGS, NEVER, false, calls_mistral, "[ARGS]", MISTRAL_MARKS, { NULL } },
    { "Llama 4 pythonic", "[func_name1(", NULL, "<|python_start|>", "<|python_end|>", BY_BRACKETS, IF_IT_BEGINS, false, calls_python, NULL, NULL, { NULL } },
    { "Llama 3", "<|start_header_id|>", "parameters", "<|python_tag|>", NULL, BY_JSON, IF_IT_BEGINS, false, calls_python, NULL, NULL, { NULL } },
    { "Hermes", "<tool_call>", NULL, "<tool_call>", "</tool_call>", BY_JSON, IF_OFFERED, false, calls_json, NULL, NULL, { NULL } },
};

const call_format *calls_find(const char *t, size_t n)
{
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++) {
        const call_format *f = &FORMATS[i];
        if (memmem(t, n, f->mark, strlen(f->mark)) && (!f->and || memmem(t, n, f->and, strlen(f->and)))) return f;
    }
    return NULL;
}

const char *calls_format_name(const call_format *f) { return f->name; }
bool calls_always(const call_format *f) { return f->channels; }

bool calls_mark(const call_format *f, const char *token)
{
    for (int i = 0; f->heard && f->heard[i]; i++) if (strcmp(token, f->heard[i]) == 0) return true;
    return strcmp(token, f->open) == 0 || (f->close && strcmp(token, f->close) == 0);
}

int calls_end(const call_format *f, const char *token)
{
    if (!f->channels) return -1;
    return strcmp(token, "<|end|>") == 0 ? 0 : strcmp(token, "<|call|>") == 0 || strcmp(token, "<|return|>") == 0 ? 1 : -1;
}

/* ---- hearing ---- */
enum state { START, TEXT, BODY, CLOSE, HEAD, MESSAGE };
struct eng_calls {
    const call_format *f;
    const eng_tool *tool;
    int n_tool;
    eng_heard h;
    enum state state;
    bool blanks;                       /* those at the beginning of what follows go */
    q_buf in, body;                    /* not decided yet; of the call at hand */
    size_t looked;                     /* of in: bytes in which what is waited for does not stand */
    size_t headed;                     /* the same for a head's end */
    uint64_t work;                     /* bytes that were looked at or moved so far */
    int depth;
    char quote, before;                /* within quotes; the byte before was a backslash */
    bool named, begun;                 /* it begins with a name; where its JSON begins is known */
    const char *fence;                 /* what ends the call instead of its mark; NULL */
    enum eng_said kind;                /* harmony: what this message is */
    char name[128];
};

eng_calls *calls_new(const call_format *f, const eng_tool *tool, int n, const eng_heard *h)
{
    eng_calls *c = q_alloc(sizeof *c);
    c->f = f;
    c->tool = tool;
    c->n_tool = n;
    c->h = *h;
    c->state = f->channels ? HEAD : START;
    return c;
}

void eng_calls_free(eng_calls *c)
{
    if (!c) return;
    q_buf_free(&c->in);
    q_buf_free(&c->body);
    free(c);
}

uint64_t calls_work(const eng_calls *c) { return c->work; }

static void drop(eng_calls *c, size_t n)
{
    q_buf *b = &c->in;
    c->looked = c->headed = 0;
    if (!n) return;
    c->work += b->len - n;
    memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
    b->p[b->len] = 0;
}

/* Where the word stands in what is in, NULL: nowhere yet. Goes on where it came to the last time. */
static const char *seek(eng_calls *c, const char *word, size_t *looked)
{
    size_t w = strlen(word), n = c->in.len, from = *looked < n ? *looked : n;
    c->work += n - from;
    const char *at = n - from >= w ? memmem(c->in.p + from, n - from, word, w) : NULL;
    if (!at && n >= w && n - w + 1 > from) *looked = n - w + 1;
    return at;
}

static void say(eng_calls *c, enum eng_said kind, size_t n)
{
    if (n && c->h.said) c->h.said(c->h.user, kind, c->in.p, n);
    drop(c, n);
}

/* Bytes at the end of b that may still become word. */
static size_t held(const q_buf *b, const char *word)
{
    size_t w = strlen(word), most = w ? w - 1 : 0;
    for (size_t n = b->len < most ? b->len : most; n > 0; n--)
        if (memcmp(b->p + b->len - n, word, n) == 0) return n;
    return 0;
}

/* Blanks at the beginning of what is in. Where they are all of it, they are not looked at again. */
static size_t blanks(eng_calls *c)
{
    const q_buf *b = &c->in;
    size_t i = c->looked < b->len ? c->looked : b->len, from = i;
    while (i < b->len && strchr(" \n\t\r", b->p[i]) && b->p[i]) i++;
    c->work += i - from + 1;
    c->looked = i == b->len ? i : 0;
    return i;
}

static void opened(eng_calls *c)
{
    c->state = BODY;
    c->looked = 0;
    c->depth = 0;
    c->quote = c->before = 0;
    c->named = c->begun = false;
    q_buf_clear(&c->body);
}

/* ---- a body that is whole ---- */
static void hand_on(eng_calls *c, const jv *out)
{
    for (int i = 0; i < out->u.l->n; i++) {
        const jv *part = out->u.l->v[i].u.l->v;
        jv text[3];
        for (int k = 0; k < 3; k++) text[k] = part[k];
        char *name = q_strndup(text[0].u.s->p, text[0].u.s->n), *arguments = q_strndup(text[1].u.s->p, text[1].u.s->n);
        char *id = text[2].kind == JV_STR ? q_strndup(text[2].u.s->p, text[2].u.s->n) : NULL;
        const eng_call call = { id, name, arguments };
        if (c->h.call) c->h.call(c->h.user, &call);
        free(name);
        free(arguments);
        free(id);
    }
}

static void take_body(eng_calls *c)
{
    char err[Q_ERRLEN];
    jx *x = q_alloc(sizeof *x);
    *x = (jx){ .most = (size_t)64 << 20, .most_steps = 10000000, .err = err };
    call_in *in = q_alloc(sizeof *in);
    *in = (call_in){ .x = x, .p = c->body.p ? c->body.p : "", .n = c->body.len, .tool = c->tool, .n_tool = c->n_tool, .name = c->name };
    if (setjmp(x->out) == 0) {
        in->out = jv_list(x, JV_LIST, 1);
        c->f->read(in);
        hand_on(c, &in->out);
    } else if (c->h.bad) c->h.bad(c->h.user, err, in->p);
    jx_free(x);
    free(x);
    free(in);
    q_buf_clear(&c->body);
}

/* ---- where a body ends ---- */
/* Goes on through in.p[c->looked..]: the byte behind the last bracket, or where `mark` (may be NULL) stands outside of quotes, then
 * *close is its length; 0: neither is here yet. quotes: what may quote. */
static size_t bracket_end(eng_calls *c, const char *quotes, const char *mark, size_t *close)
{
    size_t w = mark ? strlen(mark) : 0, from = c->looked;
    for (; c->looked < c->in.len; c->looked++) {
        const char *p = c->in.p + c->looked;
        size_t left = c->in.len - c->looked;
        if (c->quote) {
            if (c->before) c->before = 0;
            else if (*p == '\\') c->before = *p;
            else if (*p == c->quote) c->quote = 0;
        } else if (w && memcmp(p, mark, left < w ? left : w) == 0) {
            *close = w;
            c->work += c->looked - from + 1;
            return left < w ? 0 : c->looked;
        } else if (*p && strchr(quotes, *p)) c->quote = *p;
        else if (*p && strchr("{[(", *p)) c->depth++;
        else if (*p && strchr("}])", *p) && --c->depth <= 0) {
            c->work += c->looked - from + 1;
            return c->looked + 1;
        }
    }
    c->work += c->looked - from;
    return 0;
}

/* The end of the body at hand; *close: bytes of the mark behind it, where that was seen. False: not here yet. */
static bool body_end(eng_calls *c, size_t *end, size_t *close)
{
    const char *mark = c->f->close;
    *close = 0;
    if (c->f->ends == BY_MARK) {
        const char *at = seek(c, mark, &c->looked);
        *end = at ? (size_t)(at - c->in.p) : 0;
        *close = at ? strlen(mark) : 0;
        return at != NULL;
    }
    if (c->f->ends == BY_ARGS && !c->begun) {
        size_t b = c->named ? 0 : blanks(c);
        if (b >= c->in.len) return false;
        if (!c->named && c->in.p[b] != '[' && c->in.p[b] != '{') c->named = true;
        if (c->named) {
            const char *args = seek(c, c->f->args, &c->looked);
            if (!args) return false;
            c->looked = (size_t)(args - c->in.p) + strlen(c->f->args);
        }
        c->begun = true;
    }
    size_t from = c->looked;
    *end = bracket_end(c, c->f->read == calls_python ? "\"'" : "\"", mark, close);
    if (*end || !*close || c->looked + *close > c->in.len) return *end > 0;
    return c->looked == 0 && from == 0;                    /* the mark alone: an empty call */
}

/* True: it goes on with another state. The body stays in c->in until it is whole, so that its end is looked for in one place; what
 * is sure to belong to it is told as it comes. */
static bool in_body(eng_calls *c)
{
    size_t end, close;
    size_t told = c->body.len;
    bool whole = body_end(c, &end, &close);
    size_t sure = whole ? end : c->in.len - (c->f->close ? held(&c->in, c->f->close) : 0);
    if (sure > told) {
        if (c->h.said) c->h.said(c->h.user, ENG_SAID_CALL, c->in.p + told, sure - told);
        q_buf_add(&c->body, c->in.p + told, sure - told);
    }
    if (!whole) return false;
    drop(c, end + close);
    c->body.len = end;
    if (c->body.p) c->body.p[end] = 0;
    take_body(c);
    c->blanks = true;
    c->state = close || !c->f->close ? START : CLOSE;
    return true;
}

/* ---- between calls ---- */
static bool offered(const eng_calls *c, const char *name)
{
    for (int i = 0; i < c->n_tool; i++)
        if (strcmp(c->tool[i].name, name) == 0) return true;
    return false;
}

/* What small models put around a call instead of its marks; the second are those that the frame has around the tools (vllm#32926). */
static const struct { const char *open, *close; bool word; } FENCES[] = { { "```", "```", true }, { "<tools>", "</tools>", false } };

/* {"name": "TOOL" at in[at], with a fence before it or without: 1 yes, and *skip bytes stand before its bracket; 0 no, -1 not clear yet. What is
 * farther than NAMED is not looked at, however the answer is cut. *close: of the fence, or NULL. */
static int offered_call(const eng_calls *c, size_t at, size_t *skip, const char **close)
{
    enum { NAMED = 160 };
    static const char *const parts[] = { "{", "\"name\"", ":", "\"" };
    const char *from = c->in.p + at, *p = from, *end = c->in.p + c->in.len;
    bool enough = end - p > NAMED;
    if (enough) end = p + NAMED;
    int unclear = enough ? 0 : -1;
    *close = NULL;
    for (size_t i = 0; i < sizeof FENCES / sizeof *FENCES && !*close && p < end; i++) {
        size_t w = strlen(FENCES[i].open), left = (size_t)(end - p);
        if (memcmp(p, FENCES[i].open, left < w ? left : w) != 0) continue;
        *close = FENCES[i].close;
        for (p += left < w ? left : w; FENCES[i].word && p < end && (*p | 32) >= 'a' && (*p | 32) <= 'z'; p++) continue;
        if (FENCES[i].word && p < end && *p != '\n' && *p != '\r') return 0;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        while (p < end && *p && strchr(" \n\t\r", *p)) p++;
        size_t n = strlen(parts[i]), left = (size_t)(end - p);
        if (memcmp(p, parts[i], left < n ? left : n) != 0) return 0;
        if (left < n) return unclear;
        if (i == 0) *skip = (size_t)(p - from);
        p += n;
    }
    size_t n = 0;
    while (p + n < end && p[n] != '"' && p[n] != '\\') n++;
    if (p + n == end) return unclear;
    char *name = q_strndup(p, n);
    bool is = p[n] == '"' && offered(c, name);
    free(name);
    return is;
}

/* A call that begins an answer without a mark: 1 yes, 0 no, -1 not clear yet. */
static int bare_call(const eng_calls *c, size_t at)
{
    const char *p = c->in.p + at, *end = c->in.p + c->in.len;
    enum { FAR = 80 };
    bool enough = end - p > FAR;                           /* what is farther is not looked at, however the answer is cut */
    if (enough) end = p + FAR;
    bool python = c->f->ends == BY_BRACKETS;
    if (p == end) return -1;
    if (*p != (python ? '[' : '{')) return 0;
    for (p++; p < end && strchr(" \n\t\r", *p) && *p; p++) continue;
    if (p == end) return enough ? 0 : -1;
    if (!python) {
        static const char *keys[] = { "\"name\"", "\"function\"", "\"type\"", "\"parameters\"" };
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            size_t n = (size_t)(end - p), w = strlen(keys[i]);
            if (memcmp(p, keys[i], n < w ? n : w) == 0) return n >= w ? 1 : enough ? 0 : -1;
        }
        return 0;
    }
    const char *from = p;
    while (p < end && (*p == '_' || *p == '.' || (*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z'))) p++;
    if (p == end) return enough ? 0 : -1;
    return p > from && *p == '(';
}

static bool at_start(eng_calls *c, bool end)
{
    size_t b = blanks(c);
    if (c->blanks) { drop(c, b); b = 0; }
    if (c->blanks && c->f->bare == IF_IT_BEGINS && c->in.len && c->in.p[0] == ';') { drop(c, 1); return true; }       /* between Llama's calls */
    if (b == c->in.len && !end) return false;
    size_t skip = 0;
    const char *fence = NULL;
    int bare = b == c->in.len || c->f->bare == NEVER ? 0 : c->f->bare == IF_OFFERED ? offered_call(c, b, &skip, &fence) : bare_call(c, b);
    if (bare < 0 && !end) { c->looked = 0; return false; }
    if (bare > 0) {
        drop(c, b + skip);
        opened(c);
        c->fence = fence;
        return true;
    }
    c->state = TEXT;
    return true;
}

static bool in_text(eng_calls *c, bool end)
{
    const char *open = c->f->open;
    c->looked = 0;                                         /* what was not said yet is short */
    const char *at = *open ? seek(c, open, &c->looked) : NULL;
    size_t keep = at || end ? 0 : held(&c->in, open), w = strlen(open);
    bool call = at;
    for (int i = 0; i < 2 && c->f->around[i]; i++) {       /* what only stands around calls goes */
        c->looked = 0;
        const char *mark = c->f->around[i], *here = seek(c, mark, &c->looked);
        size_t more = at || here || end ? 0 : held(&c->in, mark);
        if (here && (!at || here < at)) { at = here; w = strlen(mark); call = false; }
        keep = at ? 0 : more > keep ? more : keep;
    }
    size_t n = at ? (size_t)(at - c->in.p) : c->in.len - keep;
    c->looked = 0;
    if (c->blanks && n) {
        size_t b = blanks(c);
        if (b >= n && (at || end)) { drop(c, n); n = 0; }
        else if (b >= n) return false;
        else { drop(c, b); n -= b; c->blanks = false; }
    }
    say(c, ENG_SAID_TEXT, n);
    if (!at) return false;
    drop(c, w);
    if (call) opened(c);
    else {
        c->blanks = true;
        c->state = START;
    }
    return true;
}

static bool at_close(eng_calls *c, bool end)
{
    const char *close = c->fence ? c->fence : c->f->close;
    size_t b = blanks(c), n = c->in.len - b, w = strlen(close);
    if (n < w && !end && memcmp(c->in.p + b, close, n) == 0) return false;
    drop(c, b);
    if (n >= w && memcmp(c->in.p, close, w) == 0) drop(c, w);
    c->fence = NULL;
    c->state = START;
    return true;
}

/* ---- harmony ---- */
/* Whom a message is for: a tool, or, as in what tools answer, somebody who is none. The word for its form may be glued to the name. */
static bool names_tool(eng_calls *c)
{
    static const char *const nobody[] = { "", "assistant", "user", "all" };
    static const char form[] = "json";
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++)
        if (strcmp(c->name, nobody[i]) == 0) return false;
    size_t n = strlen(c->name), w = sizeof form - 1;
    if (n > w && strcmp(c->name + n - w, form) == 0 && !offered(c, c->name)) {
        c->name[n - w] = 0;
        if (!offered(c, c->name)) c->name[n - w] = *form;
    }
    return true;
}

/* From the last time that `mark` stands in it. */
static const char *from_last(const char *s, const char *mark)
{
    for (const char *at; (at = strstr(s + (strncmp(s, mark, strlen(mark)) == 0), mark)); s = at);
    return s;
}

/* What stood before the last <|start|> was a head that broke off; of two channels the last is meant. */
static void read_head(eng_calls *c, size_t n)
{
    char *all = q_strndup(c->in.p, n);
    const char *head = from_last(all, "<|start|>"), *to = strstr(head, "to=");
    c->kind = strstr(from_last(head, "<|channel|>"), "analysis") ? ENG_SAID_THOUGHT : ENG_SAID_TEXT;
    c->name[0] = 0;
    if (to) {
        to += 3;
        if (strncmp(to, "functions.", 10) == 0) to += 10;
        size_t k = strcspn(to, " \n<");
        if (k >= sizeof c->name) k = sizeof c->name - 1;
        memcpy(c->name, to, k);
        c->name[k] = 0;
        if (names_tool(c)) c->kind = ENG_SAID_CALL;
    }
    free(all);
}

enum { HEAD_MOST = 400 };
static bool in_head(eng_calls *c, bool end)
{
    static const char *const begins[] = { "<|channel|>", "<|start|>", "to=" };
    static const char message[] = "<|message|>";
    size_t b = blanks(c), n = c->in.len - b, begun = 0;
    const char *at = seek(c, message, &c->headed);
    bool maybe = n == 0;
    for (size_t i = 0; i < sizeof begins / sizeof *begins && n; i++) {
        size_t w = strlen(begins[i]);
        bool this = memcmp(c->in.p + b, begins[i], n < w ? n : w) == 0 && (n >= w || !end);
        maybe = maybe || this;
        if (this && n >= w) begun = w;
    }
    if (!maybe) {                                          /* an answer without a head */
        c->kind = ENG_SAID_TEXT;
        c->state = MESSAGE;
        return true;
    }
    if (at && at - c->in.p <= HEAD_MOST) {
        read_head(c, (size_t)(at - c->in.p));
        drop(c, (size_t)(at - c->in.p) + sizeof message - 1);
        q_buf_clear(&c->body);
        c->state = MESSAGE;
        return true;
    }
    if (begun && c->in.len > HEAD_MOST + sizeof message) {      /* too long for a head: its mark is text, and what is behind it */
        say(c, ENG_SAID_TEXT, b + begun);
        c->kind = ENG_SAID_TEXT;
        c->state = MESSAGE;
        return true;
    }
    if (end) drop(c, c->in.len);                           /* a head with nothing behind it */
    return false;
}

static bool in_message(eng_calls *c, bool end)
{
    static const char *const stops[] = { "<|end|>", "<|call|>", "<|return|>", "<|start|>", "<|channel|>" };
    const char *first = NULL;
    size_t keep = 0, w = 0;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        const char *at = c->in.len ? memmem(c->in.p, c->in.len, stops[i], strlen(stops[i])) : NULL;
        size_t h = held(&c->in, stops[i]);
        if (h > keep) keep = h;
        if (at && (!first || at < first)) { first = at; w = i < 3 ? strlen(stops[i]) : 0; }
    }
    c->work += c->in.len;
    size_t n = first ? (size_t)(first - c->in.p) : end ? c->in.len : c->in.len - keep;
    if (c->kind == ENG_SAID_CALL) q_buf_add(&c->body, c->in.p, n);
    say(c, c->kind, n);
    if (!first && !end) return false;
    if (c->kind == ENG_SAID_CALL) take_body(c);
    c->kind = ENG_SAID_TEXT;
    if (!first) return false;
    drop(c, w);
    c->state = HEAD;
    return true;
}

/* ---- in and out ---- */
enum { SLICE = 4096 };
static void hear(eng_calls *c, bool end)
{
    bool on = true;
    while (on) {
        switch (c->state) {
        case START: on = at_start(c, end); break;
        case TEXT: on = in_text(c, end); break;
        case BODY: on = in_body(c); break;
        case CLOSE: on = at_close(c, end); break;
        case HEAD: on = in_head(c, end); break;
        case MESSAGE: on = in_message(c, end); break;
        }
        if (on && !c->in.len && !end) break;
        if (on && !c->in.len && end && c->state != BODY && c->state != MESSAGE) break;
    }
}

void eng_calls_add(eng_calls *c, const char *p, size_t n)
{
    if (!n) return;
    for (size_t at = 0, k; at < n; at += k) {              /* what is behind a call is moved: never far */
        k = n - at < SLICE ? n - at : SLICE;
        q_buf_add(&c->in, p + at, k);
        hear(c, false);
    }
}

void eng_calls_end(eng_calls *c)
{
    hear(c, true);
    if (c->state == BODY) {                                /* the answer's end is the call's, whole or not */
        size_t told = c->body.len;
        if (c->in.len > told && c->h.said) c->h.said(c->h.user, ENG_SAID_CALL, c->in.p + told, c->in.len - told);
        q_buf_clear(&c->body);
        q_buf_add(&c->body, c->in.p ? c->in.p : "", c->in.len);
        drop(c, c->in.len);
        take_body(c);
        c->state = START;
    }
}
