/* bench: what an answer costs beside the engine's own work, in one process and in turn, so that a busy machine disturbs both
 * alike: tokens pushed through a bare session, tokens of an answer through the agent, and the routing statistics alone.
 * usage: agent_bench MODEL.gguf [TOKENS [ROUNDS]] */
#include "agent/room.h"
#include "engine/engine.h"
#include "engine/text.h"
#include "lab/parts.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double bare(eng_session *s, const eng_tokens *prompt, int n, const int32_t *tokens)
{
    char err[Q_ERRLEN];
    if (eng_session_sync(s, prompt->id, prompt->n, ENG_CONTINUE, NULL, NULL, err) < 0)
        return 0;
    int64_t from = q_now_ns();
    for (int i = 0; i < n; i++)
        if (eng_session_push(s, tokens[i], err) < 0)
            return 0;
    return n / ((double)(q_now_ns() - from) / 1e9);
}

static double answer(agt *a, const char *question, int *n)
{
    agt_submit(a, "/new");
    agt_submit(a, question);
    for (;;) {
        agt_event e;
        while (agt_next(a, &e)) {
            double rate = e.rate;
            bool done = e.kind == AGT_EV_DONE;
            if (done)
                *n = e.message->n_tokens;
            agt_event_free(&e);
            if (done)
                return rate;
        }
        struct pollfd p = { .fd = agt_wake_fd(a), .events = POLLIN };
        poll(&p, 1, 100);
    }
}

/* Microseconds a token for the window, the usual rates and the trace that is stored. */
static double statistics(const eng_info *m, int k)
{
    enum { TIMES = 2000 };
    int L = m->n_layer, N = m->n_expert;
    if (!N)
        return 0;
    lab_usual *u = usual_new("", m->n_moe_layer, N);
    lab_window r = { 0 };
    window_shape(&r, &(lab_shape){ L, m->first_moe_layer, m->n_moe_layer, N }, lab_max_k(N));
    r.by.u = u;
    uint16_t *ids = q_alloc(sizeof *ids * (size_t)(L * k));
    float *w = q_alloc(sizeof *w * (size_t)(L * k)), *e = q_alloc(sizeof *e * (size_t)(2 * L));
    mem_trace *t = mem_trace_new(L, k);
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        int64_t from = q_now_ns();
        for (int i = 0; i < TIMES; i++) {
            for (int x = 0; x < L * k; x++)
                ids[x] = (uint16_t)((x % k * 7 + i + x / k) % N);
            window_add(&r, &(lab_position){ .n_layer = L, .max_k = k, .ids = ids, .weights = w, .entropy = e, .margin = e + L }, true);
            if (round == 0)
                mem_trace_add(t, i, i, 1, false, k, ids, w, e, e + L);
        }
        double us = (double)(q_now_ns() - from) / 1e3 / TIMES;
        best = us < best ? us : best;
    }
    mem_trace_free(t);
    window_free(&r);
    usual_free(u);
    free(ids);
    free(w);
    free(e);
    return best;
}

int main(int argc, char **argv)
{
    char err[Q_ERRLEN], max[64];
    int n = argc > 2 ? atoi(argv[2]) : 150, rounds = argc > 3 ? atoi(argv[3]) : 5, got = 0;
    if (argc < 2 || n < 1 || rounds < 1 || rounds > 99) {
        fprintf(stderr, "usage: agent_bench MODEL.gguf [TOKENS [ROUNDS]]\n");
        return 2;
    }
    snprintf(max, sizeof max, "sampler.max_tokens=%d", n);
    const char *set[] = { max, "memory.on=off", "sampler.seed=5", "sampler.loop_stop=off" };
    static const char question[] = "Tell me a long story about the sea, a ship, and a captain who was lost for many years.";
    agt_options o = { .model = argv[1], .db = ":memory:", .set = set, .n_set = 4, .fresh = true };
    agt *a;
    eng_model *m;
    eng_session *s;
    if (eng_model_open(argv[1], NULL, &m, err) < 0 || agt_open(&o, &a, err) < 0) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    eng_config *c = eng_config_new(m);
    eng_tokens prompt = { 0 };
    eng_message msg = { ENG_USER, question, strlen(question), NULL };
    int32_t *tokens = q_alloc(sizeof *tokens * (size_t)n);
    for (int i = 0; i < n; i++)
        tokens[i] = 100 + i * 37 % 1000;
    if (eng_session_new(m, c, &s, err) < 0 || eng_template(m, &msg, 1, true, -1, &prompt, err) < 0) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    answer(a, question, &got);           /* both warm */
    bare(s, &prompt, n, tokens);
    double x[99], y[99], ratio[99];
    for (int i = 0; i < rounds; i++) {
        x[i] = bare(s, &prompt, n, tokens);
        y[i] = answer(a, question, &got);
        ratio[i] = y[i] / x[i];
    }
    qsort(x, (size_t)rounds, sizeof *x, q_by_number);
    qsort(y, (size_t)rounds, sizeof *y, q_by_number);
    qsort(ratio, (size_t)rounds, sizeof *ratio, q_by_number);
    double us = statistics(eng_model_info(m), eng_config_k(c));
    printf("engine alone %.1f tokens/s, through the agent %.1f (%d tokens), ratio of pairs %.3f (median of %d)\n", x[rounds / 2], y[rounds / 2], got,
           ratio[rounds / 2], rounds);
    printf("routing statistics and trace: %.1f us a token, %.2f%% of decode\n", us, us * x[rounds / 2] / 1e4);
    agt_close(a);
    eng_tokens_free(&prompt);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
    free(tokens);
    return 0;
}
