/* tests/fuzz/mcp: what an MCP server may send: messages of every kind, for calls that wait and for nobody; lists, results, marks for headers. */
#include "mcp/headers.h"
#include "mcp/line.h"
#include "mcp/list.h"
#include "mcp/result.h"
#include "tests/fuzz/fuzz.h"

static void seed(fuzz_rng *r, q_buf *b)
{
    static const char *const message[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"content\":[{\"type\":\"text\",\"text\":\"Hi \\u0416\"},{\"type\":\"image\",\"data\":\"QUJD\",\"mimeType\":\"image/png\"},"
        "{\"type\":\"resource_link\",\"uri\":\"a:b\",\"name\":\"n\"},{\"type\":\"resource\",\"resource\":{\"uri\":\"x:y\",\"blob\":\"QQ==\"}}],\"structuredContent\":{\"a\":[1,2.5e3]},\"isError\":true}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32022,\"message\":\"no\",\"data\":{\"supported\":[\"2026-07-28\"]}}}", "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"x\"}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":1,\"total\":2.5,\"message\":\"\xD0\xAF\"}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}", "{\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"method\":\"elicitation/create\",\"params\":{\"message\":\"m\",\"requestedSchema\":{\"type\":\"object\"}}}",
        "{\"jsonrpc\":\"2.0\",\"id\":7.5,\"method\":\"sampling/createMessage\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"t\",\"title\":\"T\",\"description\":\"d\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"},"
        "\"b\":{\"type\":\"object\",\"properties\":{\"c\":{\"type\":\"integer\",\"x-mcp-header\":\"C\"}}}}},\"annotations\":{\"readOnlyHint\":true}},{\"name\":\"t\"}],\"nextCursor\":\"\",\"ttlMs\":5}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resources\":[{\"uri\":\"a:b\",\"name\":\"r\",\"size\":12}],\"resourceTemplates\":[{\"uriTemplate\":\"a:{b}\",\"name\":\"r\"}],"
        "\"prompts\":[{\"name\":\"p\",\"arguments\":[{\"name\":\"a\",\"required\":true}]}],\"contents\":[{\"uri\":\"a:b\",\"text\":\"t\"},{\"uri\":\"a:c\",\"blob\":\"AAEC\"}],"
        "\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":\"t\"}},{\"role\":\"assistant\",\"content\":[]}]}}" };
    q_buf_puts(b, message[fuzz_below(r, sizeof message / sizeof *message)]);
}

static int bad;

static void text(const char *s, const char *what)
{
    if (s && !q_utf8_valid(s, strlen(s)))
        bad = FUZZ_BROKEN("%s is no UTF-8", what);
}

static void lists(const cJSON *body)
{
    static const char args[] = "{\"a\":\"\xD0\xAF \\n\",\"b\":{\"c\":7}}";
    for (int k = 0; k < MCP_KINDS; k++) {
        mcp_list l = { 0 }, copy;
        q_buf remarks = { 0 };
        char err[Q_ERRLEN] = "";
        int rc = list_page((enum mcp_kind)k, body, &l, &remarks, headers_why_not, err);
        if (rc < 0 && !*err)
            bad = FUZZ_BROKEN("refused without a word");
        list_copy(&l, &copy);
        for (int i = 0; i < l.n; i++) {
            words w = { 0 };
            text(l.v[i].name, "a name");
            text(l.v[i].help, "a description");
            if (!*l.v[i].name || (k == MCP_TOOLS && !l.v[i].schema) || strcmp(l.v[i].sha256, copy.v[i].sha256) != 0)
                bad = FUZZ_BROKEN("an entry that is none");
            if (l.v[i].schema)
                headers_of(l.v[i].schema, args, &w);
            for (int n = 0; n < w.n; n++)
                for (const char *p = w.v[n]; *p; p++)
                    if (*p < ' ' || *p > '~')
                        bad = FUZZ_BROKEN("a header that is none");
            words_wipe(&w);
        }
        mcp_list_free(&l);
        mcp_list_free(&copy);
        q_buf_free(&remarks);
    }
}

static void results(const cJSON *body)
{
    static int (*const read[])(const cJSON *, mcp_result *, char *) = { result_call, result_read, result_prompt };
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        mcp_result r = { .structured = NULL };
        char err[Q_ERRLEN] = "";
        int rc = read[i](body, &r, err);
        if ((rc < 0) != (*err != 0))
            bad = FUZZ_BROKEN("refused without a word");
        text(r.text.p, "a result");
        for (int k = 0; k < r.n_part; k++)
            text(r.part[k].text, "a message");
        mcp_result_free(&r);
    }
}

static int run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "";
    line l;
    q_buf reply = { 0 };
    msg m;
    const char *why = NULL;
    bad = 0;
    bool is = msg_read(p, n, &m, &why);
    if (!is && !why)
        bad = FUZZ_BROKEN("refused without a word");
    if (is && (m.kind == MSG_ANSWER || m.kind == MSG_REFUSAL)) {
        lists(m.body);
        results(m.body);
    }
    msg_free(&m);
    line_init(&l, "fuzz");
    line_reset(&l);
    call c = { .elicits = true };
    line_enter(&l, &c);
    for (int i = 0; i < 2; i++)
        if (line_take(&l, p, n, i ? &c : NULL, &reply, err) < 0)
            bad = FUZZ_BROKEN("one message is a flood");
    line_leave(&l, &c);
    msg_free(&c.answer);
    cJSON *back = reply.len ? cJSON_ParseWithLength(reply.p, reply.len) : NULL;      /* two replies stand one after the other */
    if (reply.len && !back)
        bad = FUZZ_BROKEN("a reply that is no JSON");
    cJSON_Delete(back);
    if (!is && l.faults != 2)
        bad = FUZZ_BROKEN("a fault that is not counted");
    q_buf_free(&reply);
    line_free(&l);
    return bad ? bad : is;
}
const fuzz_target fuzz_mcp = { "mcp", 6000, 1000000, NULL, seed, run, NULL, 0 };
