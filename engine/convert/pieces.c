/* engine/convert/pieces: vocabularies of SentencePiece's (Llama 2, Mistral, Gemma; unigram ones too): of tokenizer.model where it is, else of what
 * tokenizer.json keeps: pieces, and merges (merges.c) or scores. How a text is normalised stands there as a row of small steps;
 * those that make another text than SentencePiece would are refused by name. Forms: tokenizers' normalizers and pre_tokenizers. */
#include "engine/convert/words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL_MOST = 64 << 20 };
static const char SPACE[] = "\xe2\x96\x81";            /* U+2581 */

static bool is(const char *s, const char *what) { return s && strcmp(s, what) == 0; }

/* The steps of a normalizer or pre-tokenizer: itself, or those of a Sequence. */
static const cJSON *steps(const cJSON *o, const char *list)
{
    return is(words_text(o, "type"), "Sequence") ? words_get(o, list) ? words_get(o, list)->child : NULL : cJSON_IsObject(o) ? o : NULL;
}
static const cJSON *after(const cJSON *whole, const cJSON *one) { return is(words_text(whole, "type"), "Sequence") ? one->next : NULL; }

bool pieces_are(const words *o)
{
    const cJSON *model = words_get(o->json, "model"), *pre = words_get(o->json, "pre_tokenizer");
    if (!o->json) return convert_there(o->folder, "tokenizer.model");
    for (const cJSON *s = steps(pre, "pretokenizers"); s; s = after(pre, s))
        if (is(words_text(s, "type"), "ByteLevel")) return false;
    return is(words_text(model, "type"), "Unigram") || cJSON_IsTrue(words_get(model, "byte_fallback")) || convert_there(o->folder, "tokenizer.model");
}

/* ---- how a text is normalised ---- */

static int base64(const char *s, q_buf *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int n = 0;
    for (; *s && *s != '='; s++) {
        const char *at = strchr(letters, *s);
        if (!at) return Q_FORMAT;
        bits = bits << 6 | (uint32_t)(at - letters);
        if ((n += 6) >= 8) q_buf_putc(out, (char)(bits >> (n -= 8) & 255));
    }
    return Q_OK;
}

static int strange(const words *o, const cJSON *step, char *err)
{
    const char *type = words_text(step, "type");
    return q_fail(err, Q_RANGE, _("%s/tokenizer.json changes text before it is cut in a way that is not converted (%.30s): llama.cpp's convert_hf_to_gguf.py may know it"), o->folder, type ? type : "?");
}

static int normalizer(words *o, const cJSON *n, char *err)
{
    for (const cJSON *s = steps(n, "normalizers"); s; s = after(n, s)) {
        const char *type = words_text(s, "type"), *to = words_text(s, "content");
        const cJSON *pattern = words_get(s, "pattern");
        if (is(type, "Prepend") && is(words_text(s, "prepend"), SPACE)) o->prefix = true;
        else if (is(type, "Replace") && is(words_text(pattern, "String"), " ") && is(to, SPACE)) continue;
        else if (is(type, "Replace") && is(words_text(pattern, "Regex"), " {2,}") && (is(to, " ") || is(to, SPACE))) o->squeeze = true;
        else if (is(type, "Precompiled") && words_text(s, "precompiled_charsmap")) {
            if (base64(words_text(s, "precompiled_charsmap"), &o->charsmap)) return strange(o, s, err);
        } else return strange(o, s, err);
    }
    return Q_OK;
}

/* A "▁" that stands behind something else in a piece: such pieces never come of text that is cut before each "▁". */
static const char *across(const words *o)
{
    for (int i = 0; i < o->n; i++)
        if (o->token[i] && o->type[i] == TYPE_NORMAL && o->token[i][0] && strstr(o->token[i] + 1, SPACE)) return o->token[i];
    return NULL;
}

static int pre_tokenizer(words *o, const cJSON *p, char *err)
{
    for (const cJSON *s = steps(p, "pretokenizers"); s; s = after(p, s)) {
        const char *type = words_text(s, "type"), *scheme = words_text(s, "prepend_scheme");
        bool cuts = !cJSON_IsFalse(words_get(s, "split"));
        if (is(type, "Split") && is(words_text(words_get(s, "pattern"), "String"), " ")) continue;         /* none is left: Gemma's */
        if (!is(type, "Metaspace") || !is(words_text(s, "replacement"), SPACE) || (cuts && across(o))) return strange(o, s, err);
        o->prefix = scheme ? !is(scheme, "never") : !cJSON_IsFalse(words_get(s, "add_prefix_space"));
    }
    return Q_OK;
}

/* ---- tokenizer.json ---- */

static int type_of(const char *s)
{
    static const char hex[] = "0123456789ABCDEF";
    bool byte = strlen(s) == 6 && strncmp(s, "<0x", 3) == 0 && s[5] == '>' && strchr(hex, s[3]) && strchr(hex, s[4]);
    return byte ? TYPE_BYTE : TYPE_NORMAL;
}

static int read_unigram(words *o, const cJSON *model, char *err)
{
    const cJSON *list = words_get(model, "vocab"), *unk = words_get(model, "unk_id"), *v;
    int rc = cJSON_IsArray(list) ? Q_OK : q_fail(err, Q_FORMAT, _("%s/tokenizer.json has no list of pieces with scores"), o->folder), id = 0;
    for (v = rc ? NULL : list->child; v && !rc; v = v->next, id++) {
        const char *s = cJSON_GetStringValue(cJSON_GetArrayItem(v, 0));
        const cJSON *score = cJSON_GetArrayItem(v, 1);
        if (!s || !cJSON_IsNumber(score) || !isfinite((float)score->valuedouble)) rc = q_fail(err, Q_FORMAT, _("%s/tokenizer.json: piece %d has no text or no score"), o->folder, id);
        else rc = words_put(o, id, s, strlen(s), type_of(s), (float)score->valuedouble, "tokenizer.json", err);
    }
    if (!rc && cJSON_IsNumber(unk) && unk->valuedouble >= 0 && unk->valuedouble < id) o->id[WORD_UNK] = (int)unk->valuedouble;
    o->unigram = true;
    return rc;
}

static int read_pairs(words *o, const cJSON *model, char *err)
{
    const cJSON *vocab = words_get(model, "vocab"), *v;
    const char *unk = words_text(model, "unk_token");
    int rc = cJSON_IsObject(vocab) ? Q_OK : q_fail(err, Q_FORMAT, _("%s/tokenizer.json has no vocabulary of byte pairs"), o->folder);
    for (v = rc ? NULL : vocab->child; v && !rc; v = v->next) {
        rc = words_put(o, cJSON_IsNumber(v) ? v->valuedouble : -1, v->string, strlen(v->string), type_of(v->string), 0, "tokenizer.json", err);
        if (!rc && is(unk, v->string)) o->id[WORD_UNK] = v->valueint;
    }
    return rc;
}

static int read_json(words *o, char *err)
{
    const cJSON *model = words_get(o->json, "model");
    bool unigram = is(words_text(model, "type"), "Unigram");
    int rc = unigram ? read_unigram(o, model, err) : read_pairs(o, model, err);
    if (rc) return rc;
    rc = words_added(o, err);
    if (o->id[WORD_UNK] < 0) o->id[WORD_UNK] = words_find(o, words_named(o->config, "unk_token"));
    if (o->id[WORD_UNK] >= 0) {
        o->type[o->id[WORD_UNK]] = TYPE_UNKNOWN;
        if (!unigram) o->score[o->id[WORD_UNK]] = 0;
    }
    if (!rc && !unigram) rc = pieces_merges(o, err);
    if (!rc) rc = normalizer(o, words_get(o->json, "normalizer"), err);
    return rc ? rc : pre_tokenizer(o, words_get(o->json, "pre_tokenizer"), err);
}

int pieces_read(words *o, char *err)
{
    o->score = q_alloc(sizeof *o->score * (size_t)(o->n + 1));
    if (!convert_there(o->folder, "tokenizer.model")) return read_json(o, err);
    q_buf file = { 0 };
    char *path = q_printf("%s/tokenizer.model", o->folder);
    int rc = q_read_file(path, &file, MODEL_MOST, err);
    if (!rc) rc = pieces_model(o, file.p, file.len, err);
    q_buf_free(&file);
    free(path);
    return rc ? rc : words_added(o, err);
}
