/* serve/status: /v1/models, /health, /metrics. At once, in the network's thread: nothing here waits for a model. */
#include "base/say.h"
#include "serve/work.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

const char *const work_path[HOUSE_ROUTES] = { "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize", "/detokenize", "/v1/models", "/health", "/metrics", "/v1/models/",
                                                 "/tokenizer_info" };
static const int codes[HOUSE_CODES] = { 200, 400, 401, 403, 404, 405, 408, 413, 415, 421, 500, 503 };

void numbers_count(numbers *n, int route, const exchange *x, double seconds)
{
    int code = 0;
    while (code < HOUSE_CODES && codes[code] != x->status)
        code++;
    pthread_mutex_lock(&n->mu);
    n->requests[route < 0 || route >= HOUSE_ROUTES ? HOUSE_ROUTES : route][code]++;
    n->prompt_tokens += (uint64_t)x->prompt_tokens;
    n->cached_tokens += (uint64_t)x->cached_tokens;
    n->tokens += (uint64_t)x->tokens;
    n->seconds += seconds;
    pthread_mutex_unlock(&n->mu);
}

static cJSON *model(const house *h)
{
    const prov_info *i = prov_about(h->p);
    cJSON *m = cJSON_CreateObject();
    cJSON_AddStringToObject(m, "id", h->name);
    cJSON_AddStringToObject(m, "object", "model");
    cJSON_AddNumberToObject(m, "created", (double)h->since);
    cJSON_AddStringToObject(m, "owned_by", "quorum");
    cJSON_AddNumberToObject(m, "max_model_len", h->context);
    cJSON_AddNumberToObject(m, "layers", i->n_layer);
    cJSON_AddNumberToObject(m, "experts", i->n_expert);
    cJSON_AddNumberToObject(m, "experts_per_token", prov_config_k(h->base));
    return m;
}

void work_model(exchange *x) { exchange_json(x, model(x->server)); }

void work_models(exchange *x)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "object", "list");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(j, "data"), model(x->server));
    exchange_json(x, j);
}

/* As vLLM says it; the template stays with the model: conversations are written with it here. */
void work_tokenizer(exchange *x)
{
    const house *h = x->server;
    const char *eos = prov_about(h->p)->eos;
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "tokenizer_class", "quorum");
    cJSON_AddItemToObject(j, "eos_token", eos ? cJSON_CreateString(eos) : cJSON_CreateNull());
    cJSON_AddItemToObject(j, "bos_token", h->bos.len ? cJSON_CreateString(h->bos.p) : cJSON_CreateNull());
    cJSON_AddNullToObject(j, "pad_token");
    cJSON_AddNullToObject(j, "chat_template");
    cJSON_AddNumberToObject(j, "model_max_length", h->context);
    exchange_json(x, j);
}

/* So many answers in a row that fail are the server's trouble, not one request's. Whoever shares requests out by /health sends none for so
 * long then; after it one may show that all is well again. */
enum { FAILED = 3, APART_S = 30 };

/* What is wrong with a request, or that it was stopped, says nothing of the server. */
void numbers_answered(numbers *n, const fault *f)
{
    if (f->status && f->status != 500)
        return;
    pthread_mutex_lock(&n->mu);
    n->failed = f->status ? n->failed + (n->failed < INT32_MAX) : 0;
    n->failed_ns = q_now_ns();
    snprintf(n->why, sizeof n->why, "%s", f->words);
    pthread_mutex_unlock(&n->mu);
}

void work_health(exchange *x)
{
    house *h = x->server;
    q_buf b = { 0 };
    cJSON *j = cJSON_CreateObject();
    pthread_mutex_lock(&h->numbers.mu);
    bool bad = h->numbers.failed >= FAILED, apart = bad && q_now_ns() - h->numbers.failed_ns < APART_S * INT64_C(1000000000);
    cJSON_AddStringToObject(j, "status", bad ? "degraded" : "ok");
    if (bad) {
        cJSON_AddNumberToObject(j, "failed_answers", h->numbers.failed);
        cJSON_AddStringToObject(j, "reason", h->keyed ? _("the last answers failed: ask for one with the key, and the error says why") : h->numbers.why);
    }
    pthread_mutex_unlock(&h->numbers.mu);
    char *text = cJSON_PrintUnformatted(j);
    q_buf_puts(&b, text);
    q_buf_puts(&b, "\n");
    cJSON_free(text);
    cJSON_Delete(j);
    exchange_answer(x, apart ? 503 : 200, "application/json", &b);
}

static void metric(q_buf *b, const char *name, const char *kind, const char *help, double value)
{
    q_buf_printf(b, "# HELP quorum_%s %s\n# TYPE quorum_%s %s\nquorum_%s %.17g\n", name, help, name, kind, name, value);
}

void work_metrics(exchange *x)
{
    house *h = x->server;
    q_buf b = { 0 };
    int running, waiting;
    lane_count(&h->asks, &running, &waiting);
    prov_load l = prov_pool_numbers(h->p);
    pthread_mutex_lock(&h->numbers.mu);
    q_buf_puts(&b, "# HELP quorum_requests_total Requests by path and status.\n# TYPE quorum_requests_total counter\n");
    for (int r = 0; r <= HOUSE_ROUTES; r++)
        for (int c = 0; c <= HOUSE_CODES; c++)
            if (h->numbers.requests[r][c]) {
                char code[16] = "other";
                if (c < HOUSE_CODES)
                    snprintf(code, sizeof code, "%d", codes[c]);
                q_buf_printf(&b, "quorum_requests_total{path=\"%s\",status=\"%s\"} %llu\n", r < HOUSE_ROUTES ? work_path[r] : "other", code,
                             (unsigned long long)h->numbers.requests[r][c]);
            }
    metric(&b, "request_seconds_total", "counter", "Seconds that requests took, waiting included.", h->numbers.seconds);
    metric(&b, "prompt_tokens_total", "counter", "Tokens of prompts, cached ones included.", (double)h->numbers.prompt_tokens);
    metric(&b, "cached_tokens_total", "counter", "Of these, tokens that were found evaluated.", (double)h->numbers.cached_tokens);
    metric(&b, "generated_tokens_total", "counter", "Tokens that were chosen.", (double)h->numbers.tokens);
    metric(&b, "failed_answers", "gauge", "Answers that failed by no fault of those who asked, since one that did not.", h->numbers.failed);
    pthread_mutex_unlock(&h->numbers.mu);
    metric(&b, "requests_running", "gauge", "Requests that are being answered.", running);
    metric(&b, "requests_waiting", "gauge", "Requests that wait for a stream.", waiting);
    metric(&b, "streams", "gauge", "Requests that are answered at once, at most.", l.streams > 0 ? l.streams : 1);
    metric(&b, "passes_total", "counter", "Passes through the model, where several requests share them.", (double)l.passes);
    metric(&b, "rows_total", "counter", "Tokens in these passes.", (double)l.rows);
    exchange_answer(x, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
}
