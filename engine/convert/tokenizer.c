/* engine/convert/tokenizer: tokenizer.json, tokenizer_config.json and the chat template as keys, for vocabularies of byte pairs over bytes
 * (GPT-2's kind). Conventions: convert_hf_to_gguf.py (get_vocab_base, does_token_look_special) and gguf-py's vocab.py (SpecialVocab). Which
 * pre-tokeniser it is, is read from its expressions there; that script knows it by a hash of what it does. */
#include "engine/convert/parts.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MOST = 1 << 22, TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5, TEXT_MOST = 16 << 20 };

typedef struct words {
    const char *folder;
    cJSON *json, *config;              /* tokenizer.json; tokenizer_config.json or NULL */
    char **token;                      /* [n] */
    int32_t *type;
    int n;
} words;

static const cJSON *get(const cJSON *j, const char *key) { return cJSON_GetObjectItemCaseSensitive(j, key); }
static const char *text_of(const cJSON *j, const char *key) { return cJSON_GetStringValue(get(j, key)); }

/* ---- tokens ---- */

static bool looks_special(const char *s)
{
    static const char *const known[] = { "<pad>", "<mask>", "<2mass>", "[@BOS@]" };
    static const struct { const char *from, *to; } frames[] = { { "<|", "|>" }, { "<\xef\xbd\x9c", "\xef\xbd\x9c>" }, { "<unused", ">" } };
    size_t n = strlen(s);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(s, known[i]) == 0) return true;
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        size_t a = strlen(frames[i].from), b = strlen(frames[i].to);
        if (n >= a && n >= b && strncmp(s, frames[i].from, a) == 0 && strcmp(s + n - b, frames[i].to) == 0) return true;
    }
    return false;
}

static int put_token(words *o, const cJSON *id, const char *text, int type, char *err)
{
    double at = cJSON_IsNumber(id) ? id->valuedouble : -1;
    if (!(at >= 0 && at < o->n) || at != (double)(int)at)
        return q_fail(err, Q_FORMAT, _("%s/tokenizer.json numbers a token beyond the %d of the model (\"vocab_size\"): the files do not belong together"), o->folder, o->n);
    if (o->token[(int)at]) free(o->token[(int)at]);
    o->token[(int)at] = q_strdup(text);
    o->type[(int)at] = type;
    return Q_OK;
}

/* Blanks that SentencePiece writes as U+2581. */
static char *plain_blanks(const char *s)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (; *s; s++)
        if (strncmp(s, "\xe2\x96\x81", 3) == 0) q_buf_putc(&b, ' '), s += 2;
        else q_buf_putc(&b, *s);
    return q_buf_take(&b);
}

static int read_tokens(words *o, char *err)
{
    const cJSON *vocab = get(get(o->json, "model"), "vocab"), *added = get(o->json, "added_tokens"), *v;
    int rc = cJSON_IsObject(vocab) ? Q_OK : q_fail(err, Q_FORMAT, _("%s/tokenizer.json has no vocabulary of byte pairs"), o->folder);
    o->token = q_alloc(sizeof *o->token * (size_t)(o->n + 1));
    o->type = q_alloc(sizeof *o->type * (size_t)(o->n + 1));
    for (v = rc ? NULL : vocab->child; v && !rc; v = v->next) rc = put_token(o, v, v->string, TYPE_NORMAL, err);
    for (v = cJSON_IsArray(added) && !rc ? added->child : NULL; v && !rc; v = v->next) {
        const char *text = text_of(v, "content");
        bool control = text && (cJSON_IsTrue(get(v, "special")) || looks_special(text));
        char *plain = text ? control ? q_strdup(text) : plain_blanks(text) : NULL;
        rc = text ? put_token(o, get(v, "id"), plain, control ? TYPE_CONTROL : TYPE_USER, err) : q_fail(err, Q_FORMAT, _("%s/tokenizer.json has an added token without a text"), o->folder);
        free(plain);
    }
    for (int i = 0; i < o->n && !rc; i++) {
        if (o->token[i]) continue;
        o->token[i] = q_printf("[PAD%d]", i);
        o->type[i] = TYPE_UNUSED;
    }
    return rc;
}

static void put_strings(gguf_writer *w, const char *key, char **s, size_t n)
{
    gguf_str *list = q_alloc(sizeof *list * (n + 1));
    for (size_t i = 0; i < n; i++) list[i] = (gguf_str){ s[i], strlen(s[i]) };
    gguf_put_kv(w, key, &(gguf_kv){ .type = GGUF_ARR, .item = GGUF_STR, .count = n, .strings = list });
    free(list);
}

/* A blank inside a half stands as U+0120, so that the one between the halves is alone. */
static void add_half(q_buf *b, const char *s)
{
    for (; *s; s++)
        if (*s == ' ') q_buf_puts(b, "\xc4\xa0");
        else q_buf_putc(b, *s);
}

static int put_merges(const words *o, gguf_writer *w, char *err)
{
    const cJSON *list = get(get(o->json, "model"), "merges"), *v;
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0, rc = Q_OK, at = 0;
    char **s = q_alloc(sizeof *s * (size_t)(n + 1));
    for (v = n ? list->child : NULL; v && !rc; v = v->next) {
        q_buf b = { 0 };
        const char *x = cJSON_GetStringValue(cJSON_GetArrayItem(v, 0)), *y = cJSON_GetStringValue(cJSON_GetArrayItem(v, 1));
        if (cJSON_IsString(v)) q_buf_puts(&b, v->valuestring);
        else if (x && y) {
            add_half(&b, x);
            q_buf_putc(&b, ' ');
            add_half(&b, y);
        } else rc = q_fail(err, Q_FORMAT, _("%s/tokenizer.json: merge %d is no pair"), o->folder, at);
        s[at++] = q_buf_take(&b);
    }
    if (!rc && n) put_strings(w, "tokenizer.ggml.merges", s, (size_t)n);
    for (int i = 0; i < at; i++) free(s[i]);
    free(s);
    return rc;
}

/* ---- the pre-tokeniser ---- */

#define GPT4(digits) "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT4_LETTERS(digits) "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
static const struct { const char *arch, *regex, *pre; bool digits; } pres[] = {   /* arch "": any; regex "": ByteLevel's own; the first that fits */
    { "glm4moe", GPT4("{1,3}"), "glm4", false }, { "", GPT4("{1,3}"), "llama-bpe", false }, { "glm4moe", GPT4_LETTERS("{1,3}"), "glm4", false },
    { "", GPT4_LETTERS("{1,3}"), "llama-bpe", false }, { "", GPT4(""), "qwen2", false }, { "", GPT4_LETTERS(""), "qwen2", false }, { "olmoe", "", "olmo", false },
    { "", "", "smollm", true }, { "", "", "gpt-2", false },
};

static int put_pre(const words *o, const arch *a, gguf_writer *w, char *err)
{
    const cJSON *pre = get(o->json, "pre_tokenizer"), *list = get(pre, "pretokenizers"), *one;
    const char *regex = "", *pad = text_of(pre, "type");
    bool digits = false, bytes = false, odd = false;
    for (one = list ? list->child : pre; one; one = list ? one->next : NULL) {
        const char *type = text_of(one, "type"), *own = text_of(get(one, "pattern"), "Regex");
        if (type && strcmp(type, "Split") == 0 && own && !*regex) regex = own;
        else if (type && strcmp(type, "Digits") == 0 && cJSON_IsTrue(get(one, "individual_digits"))) digits = true;
        else if (type && strcmp(type, "ByteLevel") == 0) bytes = true;
        else odd = true;
    }
    for (size_t i = 0; i < sizeof pres / sizeof *pres && bytes && !odd; i++)
        if (strcmp(regex, pres[i].regex) == 0 && digits == pres[i].digits && (!*pres[i].arch || strcmp(pres[i].arch, a->name) == 0)) {
            gguf_put_str(w, "tokenizer.ggml.pre", pres[i].pre);
            return Q_OK;
        }
    return q_fail(err, Q_RANGE, _("%s/tokenizer.json cuts text in a way that is not known here (%.30s): convert it with llama.cpp's convert_hf_to_gguf.py"), o->folder, pad ? pad : "?");
}

/* ---- special tokens ---- */

static const struct { const char *name, *key; } specials[] = {
    { "bos", "tokenizer.ggml.bos_token_id" }, { "eos", "tokenizer.ggml.eos_token_id" }, { "unk", "tokenizer.ggml.unknown_token_id" }, { "sep", "tokenizer.ggml.seperator_token_id" },
    { "pad", "tokenizer.ggml.padding_token_id" }, { "cls", "tokenizer.ggml.cls_token_id" }, { "mask", "tokenizer.ggml.mask_token_id" }, { "eot", "tokenizer.ggml.eot_token_id" },
    { "eom", "tokenizer.ggml.eom_token_id" },
};
enum { SPECIALS = sizeof specials / sizeof *specials, FROM_FILES = 7 };
/* GLM-4.5's own: its end of text would never end a turn (Glm4MoeModel.set_vocab). */
static const struct { const char *arch, *name, *text; } own[] = {
    { "glm4moe", "bos", "[gMASK]" }, { "glm4moe", "eot", "<|user|>" }, { "glm4moe", "unk", "<|endoftext|>" }, { "glm4moe", "eom", "<|observation|>" },
};

static int added_id(const words *o, const char *text)
{
    const cJSON *v, *list = get(o->json, "added_tokens");
    for (v = text && cJSON_IsArray(list) ? list->child : NULL; v; v = v->next)
        if (text_of(v, "content") && strcmp(text_of(v, "content"), text) == 0 && cJSON_IsNumber(get(v, "id"))) return (int)get(v, "id")->valuedouble;
    return -1;
}

/* "bos_token": a text, or an object with it. */
static const char *named(const cJSON *config, const char *name)
{
    char key[40];
    snprintf(key, sizeof key, "%s_token", name);
    const cJSON *v = get(config, key);
    return cJSON_IsString(v) ? v->valuestring : text_of(v, "content");
}

static void put_specials(const words *o, const cJSON *model, const arch *a, gguf_writer *w)
{
    for (int i = 0; i < SPECIALS; i++) {
        int id = -1;
        char key[40];
        for (size_t k = 0; k < sizeof own / sizeof *own && id < 0; k++)
            if (strcmp(own[k].arch, a->name) == 0 && strcmp(own[k].name, specials[i].name) == 0) id = added_id(o, own[k].text);
        if (id < 0 && i < FROM_FILES) id = added_id(o, named(o->config, specials[i].name));
        snprintf(key, sizeof key, "%s_token_id", specials[i].name);
        const cJSON *v = get(model, key);
        if (id < 0 && i < FROM_FILES && cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble < o->n) id = (int)v->valuedouble;
        if (id >= 0 && id < o->n) gguf_put_u32(w, specials[i].key, (uint32_t)id);
    }
}

/* Whether a text is begun with bos or ended with eos: tokenizer_config's word, else the template of the post-processor. */
static void put_adds(const words *o, gguf_writer *w)
{
    static const char *const names[] = { "bos", "eos" };
    const cJSON *post = get(o->json, "post_processor"), *list = get(post, "processors"), *one;
    for (int i = 0; i < 2; i++) {
        char key[48];
        int add = -1;
        for (one = list ? list->child : post; one; one = list ? one->next : NULL) {
            const cJSON *single = get(one, "single");
            int n = cJSON_IsArray(single) ? cJSON_GetArraySize(single) : 0;
            const char *edge = n > 1 ? text_of(get(cJSON_GetArrayItem(single, i ? n - 1 : 0), "SpecialToken"), "id") : NULL, *want = named(o->config, names[i]);
            if (edge) add = want && strcmp(edge, want) == 0;
        }
        snprintf(key, sizeof key, "add_%s_token", names[i]);
        const cJSON *said = get(o->config, key);
        if (cJSON_IsBool(said)) add = cJSON_IsTrue(said);
        snprintf(key, sizeof key, "tokenizer.ggml.add_%s_token", names[i]);
        if (add >= 0) gguf_put_bool(w, key, add != 0);
    }
    const cJSON *blank = get(o->config, "add_prefix_space");
    if (cJSON_IsBool(blank)) gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", cJSON_IsTrue(blank));
}

/* ---- the chat template ---- */

/* tokenizer_config's own (of several the one called default), else chat_template.jinja, else chat_template.json. */
static int put_template(const words *o, gguf_writer *w, char *err)
{
    const cJSON *t = get(o->config, "chat_template"), *v;
    const char *text = cJSON_GetStringValue(t);
    int rc = Q_OK;
    for (v = cJSON_IsArray(t) ? t->child : NULL; v && !text; v = v->next)
        if (text_of(v, "name") && strcmp(text_of(v, "name"), "default") == 0) text = text_of(v, "template");
    q_buf file = { 0 };
    cJSON *j = NULL;
    if (!text && convert_there(o->folder, "chat_template.jinja")) {
        char *path = q_printf("%s/chat_template.jinja", o->folder);
        rc = q_read_file(path, &file, TEXT_MOST, err);
        text = rc ? NULL : file.p;
        free(path);
    } else if (!text && convert_there(o->folder, "chat_template.json")) {
        j = convert_json(o->folder, "chat_template.json", err);
        rc = j ? Q_OK : Q_FORMAT;
        text = text_of(j, "chat_template");
    }
    if (text) gguf_put_str(w, "tokenizer.chat_template", text);
    q_buf_free(&file);
    cJSON_Delete(j);
    return rc;
}

static int check_kind(const words *o, char *err)
{
    const char *type = text_of(get(o->json, "model"), "type");
    if (type && strcmp(type, "BPE") != 0)
        return q_fail(err, Q_RANGE, _("%s/tokenizer.json is a vocabulary of the kind %.30s: only byte pairs (BPE) are converted here; llama.cpp's convert_hf_to_gguf.py knows more"), o->folder, type);
    if (cJSON_IsTrue(get(get(o->json, "model"), "byte_fallback")) || convert_there(o->folder, "tokenizer.model"))
        return q_fail(err, Q_RANGE, _("%s has a vocabulary of SentencePiece's (as Llama 2 and Mistral have), which is not converted here: take llama.cpp's convert_hf_to_gguf.py"), o->folder);
    return Q_OK;
}

int convert_tokenizer(const char *folder, const cJSON *model, const convert_shape *s, gguf_writer *w, char *err)
{
    words o = { .folder = folder, .json = convert_json(folder, "tokenizer.json", err), .n = s->n_vocab };
    if (!o.json) return Q_FORMAT;
    int rc = o.n > 0 && o.n <= TOKENS_MOST ? Q_OK : q_fail(err, Q_FORMAT, _("%s/config.json has no number \"%s\": it is of no model that could be converted"), folder, "vocab_size");
    if (!rc && convert_there(folder, "tokenizer_config.json") && !(o.config = convert_json(folder, "tokenizer_config.json", err))) rc = Q_FORMAT;
    if (!rc) rc = check_kind(&o, err);
    if (!rc) rc = read_tokens(&o, err);
    if (!rc) {
        gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
        rc = put_pre(&o, s->a, w, err);
    }
    if (!rc) {
        put_strings(w, "tokenizer.ggml.tokens", o.token, (size_t)o.n);
        gguf_put_kv(w, "tokenizer.ggml.token_type", &(gguf_kv){ .type = GGUF_ARR, .item = GGUF_I32, .count = (uint64_t)o.n, .data = o.type, .bytes = sizeof *o.type * (size_t)o.n });
        rc = put_merges(&o, w, err);
    }
    if (!rc) {
        put_specials(&o, model, s->a, w);
        put_adds(&o, w);
        rc = put_template(&o, w, err);
    }
    for (int i = 0; o.token && i < o.n; i++) free(o.token[i]);
    free(o.token);
    free(o.type);
    cJSON_Delete(o.json);
    cJSON_Delete(o.config);
    return rc;
}
