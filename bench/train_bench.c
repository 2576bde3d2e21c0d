/* bench: how fast an adapter is taught: MODEL.gguf [experts a layer] [rank] [tokens of a text] [texts a step] [threads] [steps]. Tokens are taken at
 * random; all but the first eighth of a text are learnt. Prints tokens a second, of the wall clock and of the processors' time, and memory. */
#include "engine/adapter.h"
#include "engine/engine.h"
#include "train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static double processor(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
    char err[Q_ERRLEN], bytes[32];
    int v[6] = { 4, 8, 256, 2, 2, 3 };
    eng_model *m = NULL;
    eng_adapter *a = NULL;
    trn *t = NULL;
    double loss = 0;
    eng_open_opts o = { .n_threads = 1 };
    if (argc < 2) return fprintf(stderr, "usage: train_bench MODEL.gguf [experts] [rank] [tokens] [texts] [threads] [steps]\n"), 2;
    for (int i = 2; i < argc && i < 8; i++) v[i - 2] = atoi(argv[i]);
    if (eng_model_open(argv[1], &o, &m, err)) return fprintf(stderr, "%s\n", err), 1;
    eng_config *c = eng_config_new(m);
    const eng_info *info = eng_model_info(m);
    int n = v[2], texts = v[3];
    uint8_t *experts = q_alloc((size_t)(info->n_layer * (info->n_expert + 1)));
    for (int l = 0; l < info->n_layer; l++)
        for (int e = 0; e < v[0] && e < info->n_expert; e++) experts[l * info->n_expert + (e * 7 + l) % info->n_expert] = 1;
    trn_shape s = { .experts = info->n_expert ? experts : NULL, .no_experts = !info->n_expert, .shared = !info->n_expert, .rank = v[1] };
    int32_t *token = q_alloc(sizeof *token * (size_t)(n * texts));
    uint8_t *mask = q_alloc((size_t)(n * texts));
    trn_example *e = q_alloc(sizeof *e * (size_t)texts);
    uint64_t r[4] = { 1, 2, 3, 4 };
    for (int i = 0; i < n * texts; i++) token[i] = (int32_t)(q_random(r) % (uint64_t)info->n_vocab), mask[i] = i % n >= n / 8;
    for (int i = 0; i < texts; i++) e[i].chosen = (trn_text){ token + i * n, mask + i * n, n };
    trn_options to = { .threads = v[4], .memory = (uint64_t)8 << 30 };
    int rc = trn_begin(m, &s, &a, err);
    if (!rc) rc = trn_new(m, c, a, &to, &t, err);
    for (int i = 0; i <= v[5] && !rc; i++) {                   /* the first step reads the file and makes room */
        int64_t start = q_now_ns();
        double cpu = processor();
        rc = trn_step(t, e, texts, &loss, err);
        double wall = (double)(q_now_ns() - start) * 1e-9;
        printf("step %d: loss %.4f, %.1f tokens/s; %.1f per processor-second\n", i, loss, n * texts / wall, n * texts / (processor() - cpu));
        fflush(stdout);
    }
    if (rc) fprintf(stderr, "%s\n", err);
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    if (!rc) printf("%s beside the model, %.2f GiB resident at the most, %s of file\n", q_bytes_brief(trn_used(t).bytes, bytes), (double)u.ru_maxrss / 1048576, info->quant);
    trn_free(t);
    eng_adapter_free(a);
    eng_config_free(c);
    eng_model_free(m);
    free(experts), free(token), free(mask), free(e);
    return rc ? 1 : 0;
}
