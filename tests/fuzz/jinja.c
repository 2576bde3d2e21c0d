/* tests/fuzz/jinja: chat templates that are damaged, run within bounds over messages with control words; conversations as damaged
 * JSON; answers with damaged calls, which must be heard the same however they are cut. */
#include "engine/jinja/jinja.h"
#include "engine/text/calls.h"
#include "tests/fuzz/fuzz.h"

static const char *const PARTS[] = {
    "{% if m.role == 'user' %}u{% elif loop.last %}l{% else %}e{% endif %}", "{% for c in m.content %}{% if loop.index > 2 %}{% break %}{% endif %}{{ c }}{% else %}n{% endfor %}", "{{ m.content | trim }}", "{% if m.x %}", "{{- bos_token -}}",
    "{% set ns = namespace(x=0, s='') %}", "{% set ns = namespace(x=0) %}{% set ns.x = ns.x + 1 %}", "{{ messages | tojson(indent=2) }}", "{% macro f(a, b=[1]) %}{{ a }}{{ b }}{{ varargs }}{% endmacro %}", "{% macro g(a, b=2) %}{{ a }}{% endmacro %}{{ g('x', b={'k': (1, 2)}) }}",
    "{% for k, v in {'a': 1, 'b': [2]}.items() %}{{ k ~ v }}{% endfor %}", "{{ messages[::-1][0]['content'][1:-1] }}", "{{ m.content.split('</think>')[-1].lstrip('\\n') }}", "{% raw %}{{ x }}{% endraw %}", "{# comment -#}",
    "{{ [3, 1, 2] | sort | join(', ') }}", "{{ 'a' if tools is defined and tools is not none else 'b' }}", "{% set x %}a{{ 1.5 }}b{% endset %}{{ x | upper }}", "{{ range(3) | list }}", "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list }}",
    "{% macro h() %}{{ caller() }}{% endmacro %}{% call h() %}c{% endcall %}", "{% filter upper %}u{% endfilter %}", "{% with a = 1 %}{{ a }}{% endwith %}", "{{ '%s' % 'x' }}{{ '{}'.format(1) }}", "{{ -7 // 2 ** 3 % 5 }}", "{% set ns = namespace(s='a') %}{{ ns.s.replace('a', 'b') | indent(2) }}", " \n", "текст <|im_end|>", "{{ x is not string and 1 < 2 <= 3 }}",
};

static void jinja_seed(fuzz_rng *r, q_buf *b)
{
    int n = 1 + (int)fuzz_below(r, 14);
    q_buf_puts(b, "{% for m in messages %}");
    for (int i = 0; i < n; i++) q_buf_puts(b, PARTS[fuzz_below(r, sizeof PARTS / sizeof *PARTS)]);
    q_buf_puts(b, "{% endfor %}");
}

static int jinja_run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "";
    static const char words[] = "<|im_end|> Привет\n</think> \"x\"";
    const eng_call call = { "id", "f", "{\"a\": [1, 2.5, \"ж\"]}" };
    const eng_more more = { .call = &call, .n_call = 1, .thought = "hm", .n_thought = 2 };
    const eng_message said[] = { { ENG_SYSTEM, "s", 1, NULL }, { ENG_USER, words, sizeof words - 1, NULL }, { ENG_ASSISTANT, "", 0, &more } };
    const eng_tool tool = { "f", "help", "{\"type\": \"object\"}" };
    const eng_talk talk = { .message = said, .n = 3, .tool = &tool, .n_tool = 1, .reply = true, .think = 1 };
    const jinja_in in = { .talk = &talk, .bos = "<s>", .eos = "</s>", .now = 1000, .most_steps = 20000, .most_bytes = 4 << 20 };
    jinja *j = NULL;
    q_buf text = { 0 }, mark = { 0 };
    int rc = jinja_new(p, n, &j, err), broken = 0;
    if (rc == Q_OK) rc = jinja_render(j, &in, &text, &mark, err);
    if (rc == Q_OK && text.len != mark.len) broken = FUZZ_BROKEN("%zu bytes and %zu marks", text.len, mark.len);
    for (size_t i = 0; i < mark.len && !broken; i++) if (mark.p[i] != 0 && mark.p[i] != 1) broken = FUZZ_BROKEN("a mark of %d", mark.p[i]);
    if (rc != Q_OK && (!err[0] || text.len)) broken = FUZZ_BROKEN("refused without a sentence, or with a text");
    jinja_free(j);
    q_buf_free(&text);
    q_buf_free(&mark);
    return broken ? broken : rc == Q_OK;
}

/* ---- conversations as JSON ---- */
static void messages_seed(fuzz_rng *r, q_buf *b)
{
    static const char *parts[] = { "{\"role\":\"user\",\"content\":\"a\\u0416\\n\\\"\"}", "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":[1,-2.5e3,true]}}}]}",
                                   "{\"role\":\"tool\",\"content\":[{\"type\":\"text\",\"text\":\"\\ud83d\\ude00\"}]}", "{\"role\":\"system\",\"content\":\"\",\"reasoning\":\"x\"}" };
    q_buf_puts(b, "[");
    for (uint32_t i = 0, n = fuzz_below(r, 5); i <= n; i++) {
        if (i) q_buf_puts(b, " , ");
        q_buf_puts(b, parts[fuzz_below(r, 4)]);
    }
    q_buf_puts(b, "]");
}

static int messages_run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "";
    static const char tpl[] = "{{ messages | tojson }}{% for m in messages %}{{ m.content }}{% endfor %}";
    jinja *j = NULL;
    q_buf text = { 0 }, again = { 0 };
    if (jinja_new(tpl, sizeof tpl - 1, &j, err)) return FUZZ_BROKEN("%s", err);
    jinja_in in = { .messages = p, .n_messages = n, .think = -1, .most_steps = 200000, .most_bytes = 4 << 20 };
    int rc = jinja_render(j, &in, &text, NULL, err), broken = 0;
    if (rc != Q_OK && !err[0]) broken = FUZZ_BROKEN("refused without a sentence");
    q_buf_free(&text);
    jinja_free(j);
    static const char plain[] = "{{ messages | tojson }}";
    if (rc == Q_OK && !broken && !jinja_new(plain, sizeof plain - 1, &j, err)) {     /* what was written is read as the same */
        rc = jinja_render(j, &in, &text, NULL, err);
        in.messages = text.p;
        in.n_messages = text.len;
        if (rc == Q_OK && jinja_render(j, &in, &again, NULL, err)) broken = FUZZ_BROKEN("its own JSON is refused: %s", err);
        else if (rc == Q_OK && (again.len != text.len || memcmp(again.p, text.p, text.len) != 0)) broken = FUZZ_BROKEN("its own JSON is read as another");
        jinja_free(j);
    }
    q_buf_free(&text);
    q_buf_free(&again);
    return broken ? broken : rc == Q_OK;
}

/* ---- calls ---- */
static const char *const FORMAT[] = { "<tool_call>", "<function=<parameter=", "<arg_key>", "[TOOL_CALLS]", "<|start_header_id|>parameters", "[func_name1(", "<|channel|><|message|>",
    "<｜tool▁call▁begin｜>```json", "<｜tool▁call▁begin｜>", "<|tool_call_argument_begin|>" };
enum { N_FORMAT = sizeof FORMAT / sizeof *FORMAT };
static const char *const CALL[] = {
    "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call>\", \"b\": [1]}}</tool_call>", "<tool_call><function=f><parameter=a>\n1\n</parameter></function></tool_call>",
    "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value></tool_call>", "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]", "{\"name\": \"f\", \"parameters\": {\"a\": \"it's\"}}", "[f(a=1, b='x', c=[True, None])]",
    "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.f<|message|>{\"a\": 1}<|call|>",
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": \"```\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜>",
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"a\": [1]}<|tool_call_end|><|tool_calls_section_end|>",
};

static void calls_seed(fuzz_rng *r, q_buf *b)
{
    uint32_t f = fuzz_below(r, N_FORMAT);
    q_buf_putc(b, (char)('0' + f));
    if (fuzz_below(r, 2)) q_buf_puts(b, "Text. ");
    for (uint32_t i = 0, n = fuzz_below(r, 3); i <= n; i++) q_buf_puts(b, CALL[fuzz_below(r, 8) ? f : fuzz_below(r, N_FORMAT)]);
    if (fuzz_below(r, 2)) q_buf_puts(b, "\nAfter.");
}

typedef struct ear { q_buf out; int last, calls; } ear;
static void on_said(void *user, enum eng_said kind, const char *p, size_t n)
{
    ear *e = user;
    if (e->last != (int)kind) q_buf_putc(&e->out, (char)(1 + kind));
    e->last = (int)kind;
    q_buf_add(&e->out, p, n);
}
static void on_call(void *user, const eng_call *c)
{
    ear *e = user;
    e->calls++;
    e->last = -1;
    q_buf_printf(&e->out, "\4%s %s %s", c->id ? c->id : "", c->name, c->arguments);
}
static void on_bad(void *user, const char *sentence, const char *body)
{
    ear *e = user;
    e->last = -1;
    q_buf_printf(&e->out, "\5%s %s", sentence, body);
}

static void hear(const call_format *f, const char *p, size_t n, size_t step, ear *e)
{
    const eng_tool tool = { "f", "", "{\"properties\": {\"a\": {\"type\": \"string\"}}}" };
    const eng_heard h = { e, on_said, on_call, on_bad };
    *e = (ear){ .last = -1 };
    eng_calls *c = calls_new(f, &tool, 1, &h);
    for (size_t at = 0; at < n; at += step) eng_calls_add(c, p + at, n - at < step ? n - at : step);
    eng_calls_end(c);
    eng_calls_free(c);
}

static int calls_run(const char *p, size_t n)
{
    if (!n) return 0;
    const char *tpl = FORMAT[(unsigned char)(p[0] - '0') % N_FORMAT];
    const call_format *f = calls_find(tpl, strlen(tpl));
    ear whole, cut;
    int broken = 0;
    hear(f, p + 1, n - 1, n, &whole);
    for (size_t step = 1; step <= 7 && !broken; step += 3) {
        hear(f, p + 1, n - 1, step, &cut);
        if (cut.out.len != whole.out.len || (whole.out.len && memcmp(cut.out.p, whole.out.p, whole.out.len) != 0)) broken = FUZZ_BROKEN("in pieces of %zu something else is heard", step);
        q_buf_free(&cut.out);
    }
    int calls = whole.calls;
    q_buf_free(&whole.out);
    return broken ? broken : calls > 0;
}

const fuzz_target fuzz_jinja = { "jinja", 10000, 1000000, NULL, jinja_seed, jinja_run, NULL, 0 };
const fuzz_target fuzz_messages = { "messages", 5000, 1000000, NULL, messages_seed, messages_run, NULL, 0 };
const fuzz_target fuzz_calls = { "calls", 10000, 1000000, NULL, calls_seed, calls_run, NULL, 0 };
