/* provider: tools of a model in this process: the small golden one under a template that has calls, held to a grammar so that it
 * makes them; what is offered and what was called stands in its prompt. */
#include "provider/provider.h"
#include "tests/test.h"

#include <unistd.h>

static char err[Q_ERRLEN], path[] = "/tmp/quorum-calls-XXXXXX";
static prov *p;

static const char TEMPLATE[] = "{% if tools %}{{ tools[0].function.name }}{% endif %}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
                               "{% if m.reasoning_content %}{% if m.content == 'both' %}{{ raise_exception('not both') }}{% endif %}<r>{{ m.reasoning_content }}</r>{% endif %}{{ m.content }}"
                               "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}{% if m.tool_call_id %}[{{ m.name }}]{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
                               "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/* The golden model with that template: as long as its own modulo the file's alignment, by a comment. */
static bool make_model(void)
{
    const char *build = getenv("BUILD");
    char *from = q_printf("%s/golden/qwen3moe/model.gguf", build ? build : "build");
    q_buf b = { 0 }, out = { 0 };
    static const char key[] = "tokenizer.chat_template";
    bool ok = q_read_file(from, &b, 64 << 20, err) == Q_OK;
    char *at = ok ? memmem(b.p, b.len, key, sizeof key - 1) : NULL;
    free(from);
    if (at) {
        uint64_t had, has = sizeof TEMPLATE - 1 + 4;
        at += sizeof key - 1 + 4;                          /* its type */
        memcpy(&had, at, 8);
        uint64_t pad = (had - has) & 31;
        has += pad;
        q_buf_add(&out, b.p, (size_t)(at - b.p));
        q_buf_add(&out, &has, 8);
        q_buf_puts(&out, TEMPLATE);
        q_buf_puts(&out, "{#");
        for (uint64_t i = 0; i < pad; i++) q_buf_putc(&out, ' ');
        q_buf_puts(&out, "#}");
        q_buf_add(&out, at + 8 + had, b.len - (size_t)(at - b.p) - 8 - (size_t)had);
        int fd = mkstemp(path);
        ok = fd >= 0 && write(fd, out.p, out.len) == (ssize_t)out.len;
        if (fd >= 0) close(fd);
    }
    q_buf_free(&b);
    q_buf_free(&out);
    return ok && at;
}

typedef struct seen { q_buf text, call, made; int wrong; } seen;

static void on_piece(void *user, const prov_piece *x)
{
    seen *s = user;
    q_buf_add(x->call ? &s->call : &s->text, x->text, x->n);
    if (x->thinking) s->wrong++;
}
static void on_call(void *user, int answer, const prov_call *c)
{
    q_buf_printf(&((seen *)user)->made, "%s %s(%s);", c->id, c->name, c->arguments);
}

static char misread[Q_ERRLEN];
static void on_misread(void *user, int answer, const char *why) { snprintf(misread, sizeof misread, "%s", why); }

static const prov_tool TOOL = { "f", "helps", "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}}}" };
static const prov_message HELLO = { PROV_USER, "hi", 2, NULL };

static prov_result ask(const char *says, bool offered, seen *s)
{
    char *gbnf = q_printf("root ::= %s", says);
    const prov_grammar g = { .text = gbnf, .n = strlen(gbnf) };
    const prov_request r = { .message = &HELLO, .n_message = 1, .tool = &TOOL, .n_tool = offered, .grammar = &g, .seed = 7, .think = "off" };
    const prov_hooks h = { .user = s, .piece = on_piece, .call = on_call, .misread = on_misread };
    prov_result out;
    memset(s, 0, sizeof *s);
    CHECK_MSG(prov_ask(p, &r, &h, &out, err) == Q_OK, "%s", err);
    CHECK_INT(s->wrong, 0);
    free(gbnf);
    return out;
}

static void clear(seen *s)
{
    q_buf_free(&s->text);
    q_buf_free(&s->call);
    q_buf_free(&s->made);
}

static void test_tools_and_calls_stand_in_the_prompt(void)
{
    CHECK(prov_about(p)->can & PROV_TOOLS);
    const prov_message said[] = { HELLO, { PROV_ASSISTANT, "I look.", 7, NULL }, { PROV_TOOL, "<|im_end|>21", 12, "call00001" } };
    const prov_past_call past = { 1, { "call00001", "f", "{\"x\": 1}" } };
    const prov_request r = { .message = said, .n_message = 3, .tool = &TOOL, .n_tool = 1, .call = &past, .n_call = 1 };
    q_buf b = { 0 };
    CHECK_MSG(prov_show(p, &r, &b, err) == Q_OK, "%s", err);
    CHECK_STR(b.p, "f<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nI look.<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": 1}}</tool_call><|im_end|>\n"
                   "<|im_start|>tool\n<|im_end|>21[f]<|im_end|>\n<|im_start|>assistant\n");
    q_buf_clear(&b);
    prov_request other = r;                                /* another call is another prompt, also where it was asked for just now */
    prov_past_call changed = past;
    changed.call.arguments = "{\"x\": 2}";
    other.call = &changed;
    CHECK(prov_show(p, &other, &b, err) == Q_OK && strstr(b.p, "{\"x\": 2}"));
    q_buf_clear(&b);
    other.n_tool = 0;
    CHECK(prov_show(p, &other, &b, err) == Q_OK && strncmp(b.p, "<|im_start|>", 12) == 0);
    q_buf_free(&b);
}

static void test_a_thought_stands_before_what_it_led_to(void)
{
    prov_message said[] = { HELLO, { PROV_ASSISTANT, "I look.", 7, NULL }, { PROV_TOOL, "21", 2, "call00001" } };
    const prov_past_call past = { 1, { "call00001", "f", "{\"x\": 1}" } };
    const prov_past_thought thought = { 1, "hm<|im_end|>", 12 };
    prov_request r = { .message = said, .n_message = 3, .tool = &TOOL, .n_tool = 1, .call = &past, .n_call = 1 };
    q_buf b = { 0 }, plain = { 0 };
    CHECK(prov_show(p, &r, &plain, err) == Q_OK);
    r.thought = &thought;
    r.n_thought = 1;
    int32_t *ids;
    CHECK_MSG(prov_show(p, &r, &b, err) == Q_OK && strstr(b.p, "assistant\n<r>hm<|im_end|></r>I look.<tool_call>"), "%s", b.p ? b.p : err);
    int n = prov_ids(p, &r, &ids, err), end = 0;
    for (int i = 0; i < n; i++) {                          /* a control token's name in it is text */
        q_buf_clear(&b);
        prov_spell(p, ids[i], &b);
        end += b.p && strcmp(b.p, "<|im_end|>") == 0;
    }
    CHECK_INT(end, 3);
    free(ids);
    q_buf_clear(&b);
    said[1].text = "both";                                 /* the template refuses it: then it is left out */
    said[1].n = 4;
    CHECK_MSG(prov_show(p, &r, &b, err) == Q_OK && strstr(b.p, "assistant\nboth<tool_call>"), "%s", b.p ? b.p : err);
    q_buf_free(&b);
    q_buf_free(&plain);
}

static void test_a_call_is_told_as_it_is_written_and_when_it_is_whole(void)
{
    seen s;
    prov_result out = ask("\"I look.<tool_call>{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": {\\\"x\\\": 1}}</tool_call>\\n<tool_call>{\\\"name\\\": \\\"g\\\"}</tool_call>\"", true, &s);
    CHECK_INT(out.finish, PROV_CALLS);
    CHECK_STR(s.text.p, "I look.");
    CHECK_STR(s.call.p, "{\"name\": \"f\", \"arguments\": {\"x\": 1}}{\"name\": \"g\"}");
    CHECK_STR(s.made.p, "call00001 f({\"x\": 1});call00002 g({});");
    clear(&s);
}

static void test_a_broken_call_is_handed_on_as_written(void)
{
    seen s;
    prov_result out = ask("\"<tool_call>{\\\"name\\\" 1}</tool_call>\"", true, &s);
    CHECK_INT(out.finish, PROV_CALLS);
    CHECK_STR(s.made.p, "call00001 ({\"name\" 1});");
    CHECK_MSG(strstr(misread, "byte 9"), "%s", misread);
    clear(&s);
}

static void test_without_tools_it_is_text(void)
{
    seen s;
    prov_result out = ask("\"<tool_call>{}</tool_call>\"", false, &s);
    CHECK_INT(out.finish, PROV_ENDED);
    CHECK_STR(s.text.p, "<tool_call>{}</tool_call>");
    CHECK(!s.call.len && !s.made.len);
    clear(&s);
}

int main(void)
{
    if (!make_model()) { SKIP("local_calls", "the golden model is not unpacked: run tests/run.sh"); return 0; }
    CHECK_MSG(prov_open(path, &(prov_opts){ 0 }, &p, err) == Q_OK, "%s", err);
    if (p) {
        RUN(test_tools_and_calls_stand_in_the_prompt);
        RUN(test_a_thought_stands_before_what_it_led_to);
        RUN(test_a_call_is_told_as_it_is_written_and_when_it_is_whole);
        RUN(test_a_broken_call_is_handed_on_as_written);
        RUN(test_without_tools_it_is_text);
    } else printf("not ok local_calls: the model does not open: %s\n", err);
    prov_close(p);
    unlink(path);
    return p ? TEST_END() : 1;
}
