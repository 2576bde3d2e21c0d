/* engine/convert/tokenizer: tokenizer.json, tokenizer_config.json and the chat template as keys: vocabularies of byte pairs over bytes (GPT-2's
 * kind) here, SentencePiece's by pieces.c. Conventions: convert_hf_to_gguf.py (get_vocab_base, does_token_look_special) and gguf-py's vocab.py (SpecialVocab). Which
 * pre-tokeniser it is, is read from its expressions there; that script knows it by a hash of what it does. */
#include "engine/convert/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MOST = 1 << 22, TEXT_MOST = 16 << 20 };

/* ---- tokens ---- */

static int read_tokens(words *o, char *err)
{
    const cJSON *vocab = words_get(words_get(o->json, "model"), "vocab"), *v;
    int rc = cJSON_IsObject(vocab) ? Q_OK : q_fail(err, Q_FORMAT, _("%s/tokenizer.json has no vocabulary of byte pairs"), o->folder);
    for (v = rc ? NULL : vocab->child; v && !rc; v = v->next)
        rc = words_put(o, cJSON_IsNumber(v) ? v->valuedouble : -1, v->string, strlen(v->string), TYPE_NORMAL, 0, "tokenizer.json", err);
    return rc ? rc : words_added(o, err);
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
    const cJSON *list = words_get(words_get(o->json, "model"), "merges"), *v;
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
    const cJSON *pre = words_get(o->json, "pre_tokenizer"), *list = words_get(pre, "pretokenizers"), *one;
    const char *regex = "", *pad = words_text(pre, "type");
    bool digits = false, bytes = false, odd = false;
    for (one = list ? list->child : pre; one; one = list ? one->next : NULL) {
        const char *type = words_text(one, "type"), *own = words_text(words_get(one, "pattern"), "Regex");
        if (type && strcmp(type, "Split") == 0 && own && !*regex) regex = own;
        else if (type && strcmp(type, "Digits") == 0 && cJSON_IsTrue(words_get(one, "individual_digits"))) digits = true;
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

static const char *named(const cJSON *config, const char *name)
{
    char key[40];
    snprintf(key, sizeof key, "%s_token", name);
    return words_named(config, key);
}

static const char *const vocabulary[WORD_IDS] = { [WORD_UNK] = "unk", [WORD_BOS] = "bos", [WORD_EOS] = "eos", [WORD_PAD] = "pad" };

static void put_specials(const words *o, const cJSON *model, const arch *a, gguf_writer *w)
{
    for (int i = 0; i < SPECIALS; i++) {
        int id = -1;
        char key[40];
        for (size_t k = 0; k < sizeof own / sizeof *own && id < 0; k++)
            if (strcmp(own[k].arch, a->name) == 0 && strcmp(own[k].name, specials[i].name) == 0) id = words_find(o, own[k].text);
        if (id < 0 && i < FROM_FILES) id = words_find(o, named(o->config, specials[i].name));
        snprintf(key, sizeof key, "%s_token_id", specials[i].name);
        const cJSON *v = words_get(model, key);
        if (id < 0 && i < FROM_FILES && cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble < o->n) id = (int)v->valuedouble;
        for (int k = 0; k < WORD_IDS && id < 0; k++)
            if (strcmp(specials[i].name, vocabulary[k]) == 0) id = o->id[k];
        if (id >= 0 && id < o->n) gguf_put_u32(w, specials[i].key, (uint32_t)id);
    }
}

/* Whether a text is begun with bos or ended with eos: tokenizer_config's word, else the template of the post-processor. */
static void put_adds(const words *o, gguf_writer *w)
{
    static const char *const names[] = { "bos", "eos" };
    const cJSON *post = words_get(o->json, "post_processor"), *list = words_get(post, "processors"), *one;
    for (int i = 0; i < 2; i++) {
        char key[48];
        int add = -1;
        for (one = list ? list->child : post; one; one = list ? one->next : NULL) {
            const cJSON *single = words_get(one, "single");
            int n = cJSON_IsArray(single) ? cJSON_GetArraySize(single) : 0;
            const char *edge = n > 1 ? words_text(words_get(cJSON_GetArrayItem(single, i ? n - 1 : 0), "SpecialToken"), "id") : NULL, *want = named(o->config, names[i]);
            if (edge) add = want && strcmp(edge, want) == 0;
        }
        snprintf(key, sizeof key, "add_%s_token", names[i]);
        const cJSON *said = words_get(o->config, key);
        if (cJSON_IsBool(said)) add = cJSON_IsTrue(said);
        snprintf(key, sizeof key, "tokenizer.ggml.add_%s_token", names[i]);
        if (add >= 0) gguf_put_bool(w, key, add != 0);
    }
    const cJSON *blank = words_get(o->config, "add_prefix_space");
    if (!o->score && cJSON_IsBool(blank)) gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", cJSON_IsTrue(blank));
}

/* ---- the chat template ---- */

/* tokenizer_config's own (of several the one called default), else chat_template.jinja, else chat_template.json. */
static int put_template(const words *o, gguf_writer *w, char *err)
{
    const cJSON *t = words_get(o->config, "chat_template"), *v;
    const char *text = cJSON_GetStringValue(t);
    int rc = Q_OK;
    for (v = cJSON_IsArray(t) ? t->child : NULL; v && !text; v = v->next)
        if (words_text(v, "name") && strcmp(words_text(v, "name"), "default") == 0) text = words_text(v, "template");
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
        text = words_text(j, "chat_template");
    }
    if (text) gguf_put_str(w, "tokenizer.chat_template", text);
    q_buf_free(&file);
    cJSON_Delete(j);
    return rc;
}

static int check_kind(const words *o, char *err)
{
    const char *type = words_text(words_get(o->json, "model"), "type");
    if (type && strcmp(type, "BPE") != 0)
        return q_fail(err, Q_RANGE, _("%s/tokenizer.json is a vocabulary of the kind %.30s: byte pairs (BPE) and SentencePiece's are converted here; llama.cpp's convert_hf_to_gguf.py knows more"), o->folder, type);
    return Q_OK;
}

/* How text is normalised before it is cut into pieces. */
static void put_form(const words *o, gguf_writer *w)
{
    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", o->prefix);
    if (o->squeeze || o->unigram) gguf_put_bool(w, "tokenizer.ggml.remove_extra_whitespaces", o->squeeze);
    if (o->charsmap.len)
        gguf_put_kv(w, "tokenizer.ggml.precompiled_charsmap", &(gguf_kv){ .type = GGUF_ARR, .item = GGUF_U8, .count = o->charsmap.len, .data = o->charsmap.p, .bytes = o->charsmap.len });
}

static int put_vocabulary(words *o, const arch *a, gguf_writer *w, char *err)
{
    bool pieces = pieces_are(o);
    o->token = q_alloc(sizeof *o->token * (size_t)(o->n + 1));
    o->type = q_alloc(sizeof *o->type * (size_t)(o->n + 1));
    int rc = pieces ? pieces_read(o, err) : check_kind(o, err);
    if (!rc && !pieces) rc = read_tokens(o, err);
    if (rc) return rc;
    words_fill(o);
    gguf_put_str(w, "tokenizer.ggml.model", !pieces ? "gpt2" : o->unigram ? "t5" : "llama");
    if (pieces) gguf_put_str(w, "tokenizer.ggml.pre", "default");
    else if ((rc = put_pre(o, a, w, err))) return rc;
    put_strings(w, "tokenizer.ggml.tokens", o->token, (size_t)o->n);
    if (pieces) gguf_put_kv(w, "tokenizer.ggml.scores", &(gguf_kv){ .type = GGUF_ARR, .item = GGUF_F32, .count = (uint64_t)o->n, .data = o->score, .bytes = sizeof *o->score * (size_t)o->n });
    gguf_put_kv(w, "tokenizer.ggml.token_type", &(gguf_kv){ .type = GGUF_ARR, .item = GGUF_I32, .count = (uint64_t)o->n, .data = o->type, .bytes = sizeof *o->type * (size_t)o->n });
    if (!pieces) return put_merges(o, w, err);
    put_form(o, w);
    return Q_OK;
}

static int open_json(const char *folder, const char *name, cJSON **out, char *err)
{
    *out = convert_there(folder, name) ? convert_json(folder, name, err) : NULL;
    return *out || !convert_there(folder, name) ? Q_OK : Q_FORMAT;
}

int convert_tokenizer(const char *folder, const cJSON *model, const convert_shape *s, gguf_writer *w, char *err)
{
    words o = { .folder = folder, .n = s->n_vocab, .id = { -1, -1, -1, -1 } };
    int rc = open_json(folder, "tokenizer.json", &o.json, err);
    if (!rc && !o.json && !convert_there(folder, "tokenizer.model"))
        rc = q_fail(err, Q_FORMAT, _("%s has neither a tokenizer.json nor a tokenizer.model: the folder is not complete, fetch it again"), folder);
    if (!rc) rc = open_json(folder, "tokenizer_config.json", &o.config, err);
    if (!rc && (o.n < 1 || o.n > TOKENS_MOST)) rc = q_fail(err, Q_FORMAT, _("%s/config.json has no number \"%s\": it is of no model that could be converted"), folder, "vocab_size");
    if (!rc) rc = put_vocabulary(&o, s->a, w, err);
    if (!rc) {
        put_specials(&o, model, s->a, w);
        put_adds(&o, w);
        rc = put_template(&o, w, err);
    }
    words_free(&o);
    return rc;
}
