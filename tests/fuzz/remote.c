/* tests/fuzz/remote: what a server may send: event streams in any pieces, chunks of answers, lists of models, and which experts ran. */
#include "net/net.h"
#include "provider/remote_routes.h"
#include "provider/remote_wire.h"
#include "tests/fuzz/fuzz.h"

/* ---- event streams: the same events however they are cut, valid UTF-8, within their bounds ---- */
static void events_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const part[] = { "data: {\"a\":1}\n", "\n", "\r\n", "\r", "event: x\n", "id: 7\n", ": comment\n", "data", "\xEF\xBB\xBF", "data:\n", "retry: 3\n", "data: \xD0\xAF\n\n" };
    for (uint32_t n = 1 + fuzz_below(r, 12); n; n--)
        q_buf_puts(b, part[fuzz_below(r, sizeof part / sizeof *part)]);
}

static bool ill;                         /* an event that is no UTF-8, or no text of C */

static bool add_event(void *user, const net_event *e)
{
    ill |= !q_utf8_valid(e->data, e->n) || !q_utf8_valid(e->id, strlen(e->id)) || !q_utf8_valid(e->type, strlen(e->type)) || strlen(e->data) != e->n;
    q_buf_printf(user, "[%s|%s|%s]", e->type, e->data, e->id);
    return true;
}

static int events_run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "";
    q_buf whole = { 0 }, parts = { 0 };
    net_events a = { .max = 1 << 16 }, b = { .max = 1 << 16 };
    ill = false;
    int rc = net_events_feed(&a, p, n, add_event, &whole, err), same = Q_OK, bad = 0;
    for (size_t at = 0, w; at < n && same == Q_OK; at += w) {
        w = 1 + (unsigned char)p[at] % 5;
        w = w < n - at ? w : n - at;
        same = net_events_feed(&b, p + at, w, add_event, &parts, err);
    }
    q_buf_puts(&whole, "");
    q_buf_puts(&parts, "");
    if (rc == Q_OK && (same != Q_OK || strcmp(whole.p, parts.p) != 0))
        bad = FUZZ_BROKEN("other events when cut");
    if (ill)
        bad = FUZZ_BROKEN("an event that is no UTF-8");
    if (rc < 0 && !*err)
        bad = FUZZ_BROKEN("refused without a word");
    net_events_free(&a);
    net_events_free(&b);
    q_buf_free(&whole);
    q_buf_free(&parts);
    return bad ? bad : rc == Q_OK;
}
const fuzz_target fuzz_events = { "events", 6000, 1000000, NULL, events_seed, events_run, NULL, 0 };

/* ---- chunks, lists, errors ---- */
static void chunk_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const chunk[] = {
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\",\"reasoning_content\":\"hm\"},\"finish_reason\":null,\"logprobs\":{\"content\":[{\"token\":\"He\",\"logprob\":-0.5,\"bytes\":[72,101]}]}}]}",
        "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},\"finish_reason\":\"tool_calls\"}]}",
        "{\"choices\":[{\"message\":{\"content\":\"All\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":[1,2]}}}]},\"token_ids\":[1,2,3],\"routed_experts\":[[[1,2]]]}],\"prompt_token_ids\":[4,5],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":2}}}",
        "{\"error\":{\"message\":\"no\",\"code\":500}}", "{\"object\":\"error\",\"message\":\"no\"}", "{\"detail\":\"Not Found\"}", "{\"sglext\":{\"routed_experts\":\"AAAA\"}}",
        "{\"data\":[{\"id\":\"m\",\"max_model_len\":4096},{\"id\":\"n\",\"owned_by\":\"llamacpp\",\"meta\":{\"n_ctx_train\":2048}}]}", "{\"count\":7,\"tokens\":[1,2]}",
        "{\"default_generation_settings\":{\"n_ctx\":4096}}" };
    q_buf_puts(b, chunk[fuzz_below(r, sizeof chunk / sizeof *chunk)]);
}

static int chunk_run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "", why[Q_ERRLEN] = "";
    wire_reply w = { .n_call = 0 };
    wire_model *m = NULL;
    int count, rc = wire_chunk(&w, p, n, err), bad = 0;
    if (rc == Q_OK && wire_chunk(&w, p, n, why) != Q_OK)
        bad = FUZZ_BROKEN("taken once, refused twice");
    if ((w.text.len && !q_utf8_valid(w.text.p, w.text.len)) || (w.text.len && (memchr(w.text.p, 2, w.text.len) || memchr(w.text.p, 27, w.text.len))))
        bad = FUZZ_BROKEN("a text that steers");
    if (w.n_call > 128 || w.tokens < 0 || w.prompt_tokens < 0)
        bad = FUZZ_BROKEN("%d calls, %d tokens", w.n_call, w.tokens);
    if (rc < 0 && !*err)
        bad = FUZZ_BROKEN("refused without a word");
    char *words = wire_words(p, n);
    if (!q_utf8_valid(words, strlen(words)) || strlen(words) > 304 || strpbrk(words, "\n\x1b"))
        bad = FUZZ_BROKEN("words that steer: %zu", strlen(words));
    free(words);
    if (wire_models(p, n, &m, &count, why) == Q_OK)
        for (int i = 0; i < count; i++)
            free(m[i].name);
    free(m);
    if (wire_count(p, n) < -1 || wire_context(p, n) < 0)
        bad = FUZZ_BROKEN("a count below 0");
    wire_free(&w);
    return bad ? bad : rc == Q_OK;
}
const fuzz_target fuzz_chunk = { "chunk", 6000, 1000000, NULL, chunk_seed, chunk_run, NULL, 0 };

/* ---- which experts ran ---- */
static const prov_server ROUTED[] = { { .routing = SERVER_VLLM, .layers = 2, .experts = 16, .k = 2 }, { .routing = SERVER_SGLANG, .layers = 2, .experts = 16, .k = 2, .dense = 1 } };

static void told_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const said[] = {       /* np.save of (3, 2, 2) uint8; two positions of int32; lists */
        "k05VTVBZAQB2AHsnZGVzY3InOiAnfHUxJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDMsIDIsIDIpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAgMEBQYHCAkKCww=",
        "AQAAAAIAAAADAAAABAAAAAUAAAAGAAAABwAAAAgAAAA=", "[[[1,2],[3,4]],[[5,6],[7,8]]]", "" };
    q_buf_puts(b, said[fuzz_below(r, sizeof said / sizeof *said)]);
}

static int told_run(const char *p, size_t n)
{
    int taken = 0;
    char *said = q_strndup(p, n);
    for (int i = 0; i < 2; i++) {
        char err[Q_ERRLEN] = "";
        remote_routes r;
        int rc = remote_routes_read(&ROUTED[i], said, &r, err), bad = 0;
        for (size_t k = 0; rc == Q_OK && k < (size_t)r.n * 4; k++)
            if (r.id[k] >= 16 && r.id[k] != 0xFFFF)
                bad = FUZZ_BROKEN("expert %d of 16", r.id[k]);
        if (rc < 0 && !*err)
            bad = FUZZ_BROKEN("refused without a word");
        remote_routes_free(&r);
        if (bad) {
            free(said);
            return bad;
        }
        taken |= rc == Q_OK;
    }
    free(said);
    return taken;
}
const fuzz_target fuzz_told = { "told", 6000, 1000000, NULL, told_seed, told_run, NULL, 0 };
