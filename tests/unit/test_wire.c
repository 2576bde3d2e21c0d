/* provider/remote_wire: what stands in the chunks of an answer, as servers send it that keep to the language of /v1/chat/completions
 * in their own ways. Nothing is opened here. */
#include "provider/remote_wire.h"
#include "tests/test.h"

static char err[Q_ERRLEN];

#define DELTA(delta) "{\"choices\":[{\"index\":0,\"delta\":" delta "}]}"
#define CALLS(calls) DELTA("{\"tool_calls\":[" calls "]}")
#define CHUNKS(...) (const char *const[]){ __VA_ARGS__, NULL }

static void feed(wire_reply *w, const char *const *chunk)
{
    for (; *chunk; chunk++)
        CHECK_MSG(wire_chunk(w, *chunk, strlen(*chunk), err) == Q_OK, "%s: %s", *chunk, err);
}

/* "[id name arguments]…" */
static char *calls_of(const wire_reply *w)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (int i = 0; i < w->n_call; i++)
        q_buf_printf(&b, "[%s %s %s]", w->call[i].id.len ? w->call[i].id.p : "-", w->call[i].name.len ? w->call[i].name.p : "-",
                     w->call[i].arguments.len ? w->call[i].arguments.p : "-");
    return q_buf_take(&b);
}

static void calls_are_told_apart(void)
{
    const struct { const char *const *chunk; const char *calls; } row[] = {
        { CHUNKS(CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"search\",\"arguments\":\"\"}},{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"list\",\"arguments\":\"\"}}"),
                 CALLS("{\"index\":1,\"function\":{\"arguments\":\"{}\"}},{\"index\":0,\"function\":{\"arguments\":\"{\\\"for\\\":1}\"}}")), "[a search {\"for\":1}][b list {}]" },
        /* no index */
        { CHUNKS(CALLS("{\"id\":\"a\",\"function\":{\"name\":\"search\",\"arguments\":\"\"}}"), CALLS("{\"function\":{\"arguments\":\"{\\\"for\\\":\"}}"),
                 CALLS("{\"function\":{\"arguments\":\"1}\"}}"), CALLS("{\"id\":\"b\",\"function\":{\"name\":\"list\",\"arguments\":\"{\\\"n\\\"\"}}"),
                 CALLS("{\"function\":{\"arguments\":\":2}\"}}")), "[a search {\"for\":1}][b list {\"n\":2}]" },
        { CHUNKS(CALLS("{\"id\":\"a\",\"function\":{\"name\":\"search\",\"arguments\":\"{\\\"for\\\"\"}}"), CALLS("{\"id\":\"a\",\"function\":{\"arguments\":\":1}\"}}"),
                 CALLS("{\"id\":\"b\",\"function\":{\"name\":\"search\",\"arguments\":\"{}\"}}")), "[a search {\"for\":1}][b search {}]" },
        { CHUNKS(CALLS("{\"id\":\"\",\"function\":{\"name\":\"search\",\"arguments\":\"{\\\"for\\\":1}\"}},{\"id\":\"\",\"function\":{\"name\":\"search\",\"arguments\":\"{\\\"for\\\":2}\"}}")),
          "[- search {\"for\":1}][- search {\"for\":2}]" },
        /* all of them the first */
        { CHUNKS(CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"search\",\"arguments\":\"{\\\"for\\\":1}\"}}"),
                 CALLS("{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"search\",\"arguments\":\"{\\\"for\\\"\"}}"),
                 CALLS("{\"index\":0,\"id\":\"b\",\"function\":{\"arguments\":\":2}\"}}")), "[a search {\"for\":1}][b search {\"for\":2}]" },
        { CHUNKS(CALLS("{\"index\":0,\"function\":{\"name\":\"search\",\"arguments\":\"{}\"}}"), CALLS("{\"index\":0,\"function\":{\"name\":\"search\",\"arguments\":{\"for\":2}}}"),
                 CALLS("{\"function\":{\"name\":\"list\",\"arguments\":\"\"}}"), CALLS("{\"function\":{\"arguments\":\"{\\\"n\\\":3}\"}}")),
          "[- search {}][- search {\"for\":2}][- list {\"n\":3}]" },
        /* said once more: the name and the id with every piece, the arguments at the end */
        { CHUNKS(CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"search\",\"arguments\":\"\"}}"), CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"search\",\"arguments\":\"{\\\"for\\\"\"}}"),
                 CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"search\",\"arguments\":\":1}\"}}"), CALLS("{\"index\":0,\"function\":{\"name\":\"search\",\"arguments\":\"\"}}")),
          "[a search {\"for\":1}]" },
        { CHUNKS(CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"search\",\"arguments\":\"\"}}"), CALLS("{\"index\":0,\"function\":{\"arguments\":\"{\\\"for\\\"\"}}"),
                 CALLS("{\"index\":0,\"function\":{\"arguments\":\":1}\"}}"), CALLS("{\"index\":0,\"function\":{\"arguments\":\"{\\\"for\\\":1}\"}}")), "[a search {\"for\":1}]" },
        /* pieces that look like it */
        { CHUNKS(CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"sea\"}}"), CALLS("{\"index\":0,\"function\":{\"name\":\"rch\",\"arguments\":\"{\"}}"),
                 CALLS("{\"index\":0,\"function\":{\"arguments\":\"\\\"a\\\":\"}}"), CALLS("{\"index\":0,\"function\":{\"arguments\":\"{\"}}"),
                 CALLS("{\"index\":0,\"function\":{\"arguments\":\"}\"}}"), CALLS("{\"index\":0,\"function\":{\"arguments\":\"}\"}}")), "[a search {\"a\":{}}]" },
        { CHUNKS(CALLS("{\"index\":0,\"function\":{\"name\":\"x\",\"arguments\":\"{}\"}},7,null,{\"index\":-1,\"function\":{}}")), "[- x {}][- - -][- - -][- - -]" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        wire_reply w = { .n_call = 0 };
        feed(&w, row[i].chunk);
        char *got = calls_of(&w);
        CHECK_STR(got, row[i].calls);
        free(got);
        wire_free(&w);
    }
}

static void texts_and_thoughts_are_told_apart(void)
{
    const struct { const char *const *chunk; const char *text, *thought, *thinks; } row[] = {
        { CHUNKS(DELTA("{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"Hm,\"}]}]}"),
                 DELTA("{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\" so.\"}]},{\"type\":\"text\",\"text\":\"Fo\"}]}"), DELTA("{\"content\":\"ur.\"}")),
          "Four.", "Hm, so.", NULL },
        { CHUNKS(DELTA("{\"content\":[{\"type\":\"text\",\"text\":\"One\"},{\"type\":\"reference\",\"reference_ids\":[1]},7,null,{\"type\":\"text\",\"text\":\" two\"}]}")), "One two", "", NULL },
        { CHUNKS(DELTA("{\"content\":[{\"type\":\"thinking\",\"thinking\":\"plain\"},{\"type\":\"thinking\",\"thinking\":[{\"thinking\":[{\"text\":\"deep\"}]}]},{\"text\":7}]}")), "", "plain", NULL },
        { CHUNKS("{\"choices\":[{\"index\":0,\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"All\"}]}}]}"), "All", "", NULL },
        { CHUNKS(DELTA("{\"reasoning\":\"Hm\",\"content\":null}"), DELTA("{\"content\":\"Four.\",\"reasoning\":\"\"}")), "Four.", "Hm", "reasoning" },
        { CHUNKS(DELTA("{\"reasoning\":\"Hm\",\"reasoning_content\":\"Hm\"}"), DELTA("{\"content\":\"Four.\"}")), "Four.", "Hm", "reasoning_content" },
        { CHUNKS(DELTA("{\"content\":[],\"refusal\":\"No.\"}"), DELTA("{\"content\":null,\"refusal\":\"No.\"}")), "No.", "", NULL } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        wire_reply w = { .n_call = 0 };
        feed(&w, row[i].chunk);
        CHECK_STR(w.text.len ? w.text.p : "", row[i].text);
        CHECK_STR(w.thought.len ? w.thought.p : "", row[i].thought);
        CHECK_STR(w.thinks ? w.thinks : "", row[i].thinks ? row[i].thinks : "");
        wire_free(&w);
    }
}

int main(void)
{
    RUN(calls_are_told_apart);
    RUN(texts_and_thoughts_are_told_apart);
    return TEST_END();
}
