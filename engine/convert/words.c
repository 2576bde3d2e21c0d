/* engine/convert/words: see words.h. Added tokens: convert_hf_to_gguf.py (get_vocab_base, _create_vocab_sentencepiece,
 * does_token_look_special). */
#include "engine/convert/words.h"

#include <stdlib.h>
#include <string.h>

static const float SCORE_ADDED = -1000, SCORE_NONE = -10000;       /* as that script has them */

const cJSON *words_get(const cJSON *j, const char *key) { return cJSON_GetObjectItemCaseSensitive(j, key); }
const char *words_text(const cJSON *j, const char *key) { return cJSON_GetStringValue(words_get(j, key)); }

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

int words_put(words *o, double id, const char *text, size_t len, int type, float score, const char *file, char *err)
{
    if (!(id >= 0 && id < o->n) || id != (double)(int)id)
        return q_fail(err, Q_FORMAT, _("%s/%s numbers a token beyond the %d of the model (\"vocab_size\"): the files do not belong together"), o->folder, file, o->n);
    int at = (int)id;
    free(o->token[at]);
    o->token[at] = q_strndup(text, len);
    o->type[at] = type;
    if (o->score) o->score[at] = score;
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

/* The unknown token stays what it is, whatever a list calls it. */
static int add(words *o, double id, const char *text, bool special, const char *file, char *err)
{
    if (!text) return q_fail(err, Q_FORMAT, _("%s/%s has an added token without a text"), o->folder, file);
    bool inside = id >= 0 && id < o->n, control = special || looks_special(text);
    if (inside && o->score && o->type[(int)id] == TYPE_UNKNOWN) return Q_OK;
    char *plain = control ? q_strdup(text) : plain_blanks(text);
    int rc = words_put(o, id, plain, strlen(plain), control ? TYPE_CONTROL : TYPE_USER, SCORE_ADDED, file, err);
    free(plain);
    return rc;
}

static double number_of(const cJSON *v) { return cJSON_IsNumber(v) ? v->valuedouble : -1; }

/* "32000": {...} */
static double key_number(const char *key)
{
    char *end;
    double x = strtod(key, &end);
    return end != key && !*end ? x : -1;
}

int words_added(words *o, char *err)
{
    const cJSON *list = words_get(o->json, "added_tokens"), *decoder = words_get(o->config, "added_tokens_decoder"), *v;
    int rc = Q_OK;
    if (cJSON_IsArray(list)) {
        for (v = list->child; v && !rc; v = v->next) rc = add(o, number_of(words_get(v, "id")), words_text(v, "content"), cJSON_IsTrue(words_get(v, "special")), "tokenizer.json", err);
        return rc;
    }
    if (cJSON_IsObject(decoder)) {
        for (v = decoder->child; v && !rc; v = v->next) rc = add(o, key_number(v->string), words_text(v, "content"), cJSON_IsTrue(words_get(v, "special")), "tokenizer_config.json", err);
        return rc;
    }
    cJSON *all = convert_there(o->folder, "added_tokens.json") ? convert_json(o->folder, "added_tokens.json", err) : NULL;
    if (!all) return convert_there(o->folder, "added_tokens.json") ? Q_FORMAT : Q_OK;
    for (v = all->child; v && !rc; v = v->next) rc = add(o, number_of(v), v->string, false, "added_tokens.json", err);
    cJSON_Delete(all);
    return rc;
}

void words_fill(words *o)
{
    for (int i = 0; i < o->n; i++) {
        if (o->token[i]) continue;
        o->token[i] = q_printf("[PAD%d]", i);
        o->type[i] = TYPE_UNUSED;
        if (o->score) o->score[i] = SCORE_NONE;
    }
}

int words_find(const words *o, const char *text)
{
    for (int i = 0; text && i < o->n; i++)
        if (o->token[i] && (o->type[i] == TYPE_CONTROL || o->type[i] == TYPE_USER || o->type[i] == TYPE_UNKNOWN) && strcmp(o->token[i], text) == 0) return i;
    return -1;
}

const char *words_named(const cJSON *config, const char *key)
{
    const cJSON *v = words_get(config, key);
    return cJSON_IsString(v) ? v->valuestring : words_text(v, "content");
}

void words_free(words *o)
{
    for (int i = 0; o->token && i < o->n; i++) free(o->token[i]);
    free(o->token);
    free(o->type);
    free(o->score);
    q_buf_free(&o->charsmap);
    cJSON_Delete(o->json);
    cJSON_Delete(o->config);
}
