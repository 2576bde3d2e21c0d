/* engine/model/energy_read: what a token costs, of a file's header. See engine/models.h. Any thread. */
#include "engine/model/energy.h"
#include "engine/model/brief.h"

#include <stdio.h>

/* What a header says of shapes, within what any model has: products of these stay in 64 bits. */
static int check_shape(const brief *b, const char *path, char *err)
{
    const struct { const char *key; uint64_t v, most; } counts[] = {
        {"block_count", b->shape.n_layer, 1 << 12},          {"attention.head_count", b->shape.n_head, 1 << 16}, {"attention.head_count_kv", b->shape.n_kv, 1 << 16},
        {"attention.key_length", b->shape.head_dim, 1 << 16}, {"attention.kv_lora_rank", b->shape.kv_rank, 1 << 16}, {"expert_count", b->shape.n_expert, 1 << 20},
        {"expert_used_count", b->shape.n_used, b->shape.n_expert},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].v > counts[i].most)
            return q_fail(err, Q_FORMAT, _("%s: %s is %llu, and %llu is the most that it can be: the file is damaged, get another copy"), path, counts[i].key,
                          (unsigned long long)counts[i].v, (unsigned long long)counts[i].most);
    return Q_OK;
}

int eng_energy_read(const char *path, eng_energy *out, char *err)
{
    gguf_file *f = NULL;
    int rc = gguf_look(path, &f, err);
    if (rc)
        return rc;
    *out = (eng_energy){ .n_layer = 0 };
    brief b;
    brief_read(f, &b);
    energy_tensors(out, f, b.shape.n_layer);
    out->state_bytes = b.shape.state_bytes;
    out->n_ctx = b.shape.n_ctx > 0 && b.shape.n_ctx <= INT32_MAX ? (int)b.shape.n_ctx : 0;
    energy_cell cell = energy_cells(b.shape.n_head, b.shape.n_kv, b.shape.head_dim, b.shape.kv_rank);
    energy_shape(out, b.shape.n_layer, cell, b.shape.n_expert, b.shape.n_used);
    energy_windows(out, cell, b.shape.n_near, b.shape.window);
    snprintf(out->name, sizeof out->name, "%s", b.name);
    out->name[q_utf8_whole(out->name, sizeof out->name - 1)] = 0;
    snprintf(out->type, sizeof out->type, "%s", b.quant);
    snprintf(out->arch, sizeof out->arch, "%s", b.arch);
    out->arch[q_utf8_whole(out->arch, sizeof out->arch - 1)] = 0;
    rc = b.params ? check_shape(&b, path, err) : q_fail(err, Q_FORMAT, _("%s holds no weights: there is nothing to count"), path);
    brief_free(&b);
    gguf_close(f);
    return rc;
}
