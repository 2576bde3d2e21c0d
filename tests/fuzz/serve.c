/* tests/fuzz/serve: bodies of requests to quorum serve: any bytes are a request within its bounds or a fault with one sentence. */
#include "serve/read.h"
#include "tests/fuzz/fuzz.h"

static void asked_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const body[] = {
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}],\"temperature\":0.5,\"stop\":[\"a,b\",\"\\n\"],\"n\":2,\"seed\":7}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"2\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":\"required\"}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":true,\"stream_options\":{\"include_usage\":true},\"logprobs\":true,\"top_logprobs\":5,\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"s\",\"schema\":{\"type\":\"object\"}}}}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"reasoning_effort\":\"low\",\"chat_template_kwargs\":{\"enable_thinking\":false},\"parallel_tool_calls\":true,\"max_completion_tokens\":9,\"modalities\":[\"text\"]}",
        "{\"prompt\":\"go on\",\"max_tokens\":0,\"echo\":true,\"logprobs\":1,\"top_k\":-1,\"min_p\":0.1,\"knobs\":{\"experts.k\":2,\"experts.ban\":\"1:3\"},\"return_routed_experts\":true}",
        "{\"prompt\":[[1,2,3],[4]],\"n\":3,\"best_of\":3,\"grammar\":\"root ::= \\\"a\\\"\",\"user\":\"u\",\"logit_bias\":{}}", "{\"prompt\":[\"a\",\"b\"],\"suffix\":\"\",\"return_token_ids\":true,\"routed_experts_prompt_start\":4}" };
    q_buf_puts(b, body[fuzz_below(r, sizeof body / sizeof *body)]);
}

static int bounds(const read_ask *a)
{
    if (a->r.n < 0 || a->r.n > READ_ANSWERS || a->r.top < 0 || a->r.top > READ_TOP || a->r.n_tool < 0 || a->r.n_tool > READ_TOOLS || a->r.n_message > READ_MESSAGES || a->n_prompt > READ_PROMPTS)
        return FUZZ_BROKEN("beyond its bounds: n %d, top %d, tools %d, messages %d, prompts %d", a->r.n, a->r.top, a->r.n_tool, a->r.n_message, a->n_prompt);
    for (int i = 0; i < a->r.n_message; i++)
        if (!a->r.message[i].text || strlen(a->r.message[i].text) != a->r.message[i].n || !q_utf8_valid(a->r.message[i].text, a->r.message[i].n))
            return FUZZ_BROKEN("message %d is no text", i);
    for (int i = 0; i < a->r.n_call; i++)
        if (a->r.call[i].message < 0 || a->r.call[i].message >= a->r.n_message)
            return FUZZ_BROKEN("a call of message %d", a->r.call[i].message);
    for (int i = 0; i < a->n_prompt; i++)
        if (!a->prompt[i].text || (a->prompt[i].id && a->prompt[i].n_id <= 0))
            return FUZZ_BROKEN("prompt %d is none", i);
    for (int i = 0; i < a->n_knob; i++)
        if (!a->knob[i].value || !a->knob[i].name || !*a->knob[i].field)
            return FUZZ_BROKEN("knob %d is none", i);
    if (a->chat ? a->r.n_message == 0 : a->n_prompt == 0)
        return FUZZ_BROKEN("accepted, and nothing is asked");
    return 0;
}

static int asked_run(const char *p, size_t n)
{
    int taken = 0, bad = 0;
    char *whole = q_alloc(n + 1);        /* as the network has it: a 0 behind */
    if (n)
        memcpy(whole, p, n);
    for (int chat = 0; chat < 2 && !bad; chat++) {
        read_ask a;
        fault f = { .status = 0 };
        q_buf json = { 0 };
        int rc = read_ask_of(chat, whole, n, &a, &f);
        if (rc == Q_OK)
            bad = bounds(&a);
        else if (f.status != 400 || !*f.words || !q_utf8_valid(f.field, strlen(f.field)))
            bad = FUZZ_BROKEN("refused with %d and \"%s\"", f.status, f.words);
        if (rc == Q_OK && f.status)
            bad = FUZZ_BROKEN("accepted with a fault");
        fault_json(&f, &json);
        if (!q_utf8_valid(json.p, json.len) || memchr(json.p, 27, json.len))
            bad = FUZZ_BROKEN("a fault that steers");
        taken |= rc == Q_OK;
        q_buf_free(&json);
        read_free(&a);
    }
    free(whole);
    return bad ? bad : taken;
}
const fuzz_target fuzz_asked = { "asked", 6000, 1000000, NULL, asked_seed, asked_run, NULL, 0 };
