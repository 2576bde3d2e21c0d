/* serve/texts: /tokenize and /detokenize, /v1/embeddings. In the thread of texts, and in that of vectors. */
#include "base/say.h"
#include "serve/read.h"
#include "serve/ran.h"
#include "serve/work.h"

#include <stdlib.h>
#include <string.h>

static const cJSON *get(const cJSON *j, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, name);
    return cJSON_IsNull(v) ? NULL : v;
}

/* No field but these. */
static int known(const cJSON *j, const char *const *name, size_t n, fault *f)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, j) {
        size_t i = 0;
        while (i < n && strcmp(name[i], v->string) != 0)
            i++;
        if (i == n)
            return fault_set(f, 400, v->string, _("there is no field %.48s here"), v->string);
    }
    return Q_OK;
}

static int model(const house *h, const cJSON *j, fault *f)
{
    const char *name = NULL;
    if (get(j, "model") && read_text(get(j, "model"), "model", &name, f) < 0)
        return Q_ERR;
    return house_model(h, name, f);
}

/* ---- tokens ---- */
/* The ids of a text; add: with the token that opens texts, where the model has one. */
static int text_ids(const house *h, const char *text, bool add, int32_t **out, fault *f)
{
    char err[Q_ERRLEN];
    int32_t *none = NULL;
    const prov_request empty = { .raw = "" }, r = { .raw = text, .n_raw = strlen(text) };
    int n = prov_ids(h->p, &r, out, err), opens = n < 0 || add ? 0 : prov_ids(h->p, &empty, &none, err);
    free(none);
    if (n < 0 || opens < 0)
        return house_fault(f, n < 0 ? n : opens, "", err);
    memmove(*out, *out + opens, sizeof **out * (size_t)(n - opens));
    return n - opens;
}

static int talk_ids(const house *h, read_ask *a, const cJSON *j, int32_t **out, fault *f)
{
    char err[Q_ERRLEN];
    const cJSON *end = get(j, "add_generation_prompt");
    if (end && !cJSON_IsTrue(end))
        return fault_set(f, 400, "add_generation_prompt", "%s", _("add_generation_prompt is always true here: leave it out"));
    if (read_messages(a, get(j, "messages"), f) < 0)
        return Q_ERR;
    int n = prov_ids(h->p, &a->r, out, err);
    return n < 0 ? house_fault(f, n, "", err) : n;
}

static int tokens_of(const house *h, read_ask *a, int32_t **out, fault *f)
{
    static const char *const field[] = { "model", "prompt", "content", "messages", "add_special_tokens", "add_special", "add_generation_prompt" };
    const cJSON *j = a->json, *prompt = get(j, "prompt"), *content = get(j, "content"), *add = get(j, "add_special_tokens"), *other = get(j, "add_special");
    const char *text = NULL;
    bool special = !content;             /* vLLM's request asks for it, llama-server's does not */
    if (known(j, field, sizeof field / sizeof *field, f) < 0 || model(h, j, f) < 0)
        return Q_ERR;
    if (get(j, "messages"))
        return talk_ids(h, a, j, out, f);
    if ((add && read_bool(add, "add_special_tokens", &special, f) < 0) || (other && read_bool(other, "add_special", &special, f) < 0))
        return Q_ERR;
    if (!prompt && !content)
        return fault_set(f, 400, "prompt", "%s", _("prompt is missing"));
    if (read_text(prompt ? prompt : content, prompt ? "prompt" : "content", &text, f) < 0)
        return Q_ERR;
    return text_ids(h, text, special, out, f);
}

void work_tokenize(exchange *x)
{
    const house *h = x->server;
    fault f = { .status = 0 };
    int32_t *id = NULL;
    read_ask a = { .json = read_object(x->body.p ? x->body.p : "", x->body.len, &f) };
    int n = a.json ? tokens_of(h, &a, &id, &f) : -1;
    if (n < 0)
        exchange_refuse(x, &f);
    else {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddNumberToObject(j, "count", n);
        cJSON_AddNumberToObject(j, "max_model_len", h->context);
        cJSON_AddItemToObject(j, "tokens", cJSON_CreateIntArray(id, n));
        exchange_json(x, j);
    }
    free(id);
    read_free(&a);
}

static int spell_all(const house *h, const cJSON *j, q_buf *out, fault *f)
{
    static const char *const field[] = { "model", "tokens" };
    const cJSON *tokens = get(j, "tokens");
    int32_t *id = NULL;
    int n = 0;
    q_buf_puts(out, "");
    if (known(j, field, sizeof field / sizeof *field, f) < 0 || model(h, j, f) < 0)
        return Q_ERR;
    if (!cJSON_IsArray(tokens))
        return fault_set(f, 400, "tokens", _("%s must be a list"), "tokens");
    if (read_ids(tokens, "tokens", &id, &n, f) < 0)
        return Q_ERR;
    for (int i = 0; i < n; i++)
        prov_spell(h->p, id[i], out);
    free(id);
    return Q_OK;
}

void work_detokenize(exchange *x)
{
    const house *h = x->server;
    fault f = { .status = 0 };
    q_buf b = { 0 };
    cJSON *in = read_object(x->body.p ? x->body.p : "", x->body.len, &f);
    if (!in || spell_all(h, in, &b, &f) < 0)
        exchange_refuse(x, &f);
    else {
        cJSON *j = cJSON_CreateObject();
        char *clean = q_utf8_clean(b.p, b.len);
        cJSON_AddStringToObject(j, "prompt", clean);
        cJSON_AddStringToObject(j, "content", clean);
        exchange_json(x, j);
        free(clean);
    }
    q_buf_free(&b);
    cJSON_Delete(in);
}

/* ---- vectors ---- */
enum { EMBED_TEXTS = 2048 };
typedef struct embedding { const char **text; size_t *len; int n; bool question, bare; } embedding;

static int embed_text(embedding *e, const cJSON *v, fault *f)
{
    if (!cJSON_IsString(v) || !*v->valuestring)
        return fault_set(f, 400, "input", "%s", _("input must be a text or a list of texts, none of them empty: token ids are not read here"));
    e->text[e->n] = v->valuestring;
    e->len[e->n++] = strlen(v->valuestring);
    return Q_OK;
}

static int embed_read(const cJSON *j, embedding *e, fault *f)
{
    static const char *const field[] = { "model", "input", "encoding_format", "dimensions", "user", "input_type" };
    const cJSON *input = get(j, "input"), *form = get(j, "encoding_format"), *type = get(j, "input_type"), *one;
    const char *word = "float", *kind = "passage";
    int n = cJSON_IsArray(input) ? cJSON_GetArraySize(input) : 1, rc = known(j, field, sizeof field / sizeof *field, f);
    if (rc < 0 || (form && read_text(form, "encoding_format", &word, f) < 0) || (type && read_text(type, "input_type", &kind, f) < 0))
        return Q_ERR;
    e->bare = strcmp(word, "base64") == 0;
    e->question = strcmp(kind, "query") == 0;
    if (!e->bare && strcmp(word, "float") != 0)
        return fault_set(f, 400, "encoding_format", "%s", _("encoding_format must be float or base64"));
    if (!e->question && strcmp(kind, "passage") != 0)
        return fault_set(f, 400, "input_type", "%s", _("input_type must be query or passage"));
    if (n > EMBED_TEXTS || n == 0)
        return fault_set(f, 400, "input", _("input has %d texts, and may have 1 to %d"), n, EMBED_TEXTS);
    e->text = q_alloc(sizeof *e->text * (size_t)n);
    e->len = q_alloc(sizeof *e->len * (size_t)n);
    if (!cJSON_IsArray(input))
        return embed_text(e, input, f);
    cJSON_ArrayForEach(one, input)
        rc = rc < 0 ? rc : embed_text(e, one, f);
    return rc;
}

static int embedder(house *h, const cJSON *j, fault *f)
{
    char err[Q_ERRLEN], *path = NULL;
    const char *name = NULL;
    double dim;
    if (!h->vectors) {
        int rc = prov_embedder_find(h->embedder, &path, err);
        if (rc == Q_OK)
            rc = prov_embedder_open(path, 0, &h->vectors, err);
        free(path);
        if (rc < 0) {
            f->code = "model_not_found";
            return fault_set(f, 404, NULL, "%s", err);
        }
    }
    const prov_embedder_info *i = prov_embedder_about(h->vectors);
    if (get(j, "model") && read_text(get(j, "model"), "model", &name, f) < 0)
        return Q_ERR;
    if (name && strcmp(name, i->name) != 0 && strcmp(name, "default") != 0) {
        f->code = "model_not_found";
        return fault_set(f, 404, "model", _("there is no model \"%.80s\" here: this server has \"%.200s\""), name, i->name);
    }
    if (get(j, "dimensions") && read_whole(get(j, "dimensions"), "dimensions", i->dim, i->dim, &dim, f) < 0)
        return Q_ERR;
    return Q_OK;
}

static bool go_on(void *user) { return exchange_wanted(user); }

static void embed_tell(exchange *x, const house *h, const embedding *e, const float *v, double tokens)
{
    const prov_embedder_info *info = prov_embedder_about(h->vectors);
    cJSON *j = cJSON_CreateObject(), *data = cJSON_AddArrayToObject(j, "data"), *usage;
    q_buf b = { 0 };
    cJSON_AddStringToObject(j, "object", "list");
    cJSON_AddStringToObject(j, "model", info->name);
    for (int i = 0; i < e->n; i++) {
        cJSON *one = cJSON_CreateObject();
        const float *at = v + (size_t)i * (size_t)info->dim;
        cJSON_AddStringToObject(one, "object", "embedding");
        cJSON_AddNumberToObject(one, "index", i);
        q_buf_clear(&b);
        if (e->bare)
            base64_write(at, sizeof *at * (size_t)info->dim, &b);
        cJSON_AddItemToObject(one, "embedding", e->bare ? cJSON_CreateString(b.p) : cJSON_CreateFloatArray(at, info->dim));
        cJSON_AddItemToArray(data, one);
    }
    usage = cJSON_AddObjectToObject(j, "usage");
    cJSON_AddNumberToObject(usage, "prompt_tokens", tokens);
    cJSON_AddNumberToObject(usage, "total_tokens", tokens);
    q_buf_free(&b);
    exchange_json(x, j);
}

void work_embed(exchange *x)
{
    house *h = x->server;
    fault f = { .status = 0 };
    embedding e = { .n = 0 };
    float *v = NULL;
    double tokens = 0;
    char err[Q_ERRLEN];
    cJSON *j = read_object(x->body.p ? x->body.p : "", x->body.len, &f);
    if (j && embed_read(j, &e, &f) == Q_OK && embedder(h, j, &f) == Q_OK) {
        v = q_alloc(sizeof *v * (size_t)e.n * (size_t)prov_embedder_about(h->vectors)->dim);
        int rc = prov_embedder_run(h->vectors, e.question, e.text, e.len, e.n, v, go_on, x, err);
        for (int i = 0; i < e.n && rc >= 0; i++) {
            rc = prov_embedder_count(h->vectors, e.question, e.text[i], e.len[i], err);
            tokens += rc > 0 ? rc : 0;
        }
        if (rc < 0)
            house_fault(&f, rc, "", err);
    }
    if (f.status)
        exchange_refuse(x, &f);
    else
        embed_tell(x, h, &e, v, tokens);
    free(v);
    free(e.text);
    free(e.len);
    cJSON_Delete(j);
}
