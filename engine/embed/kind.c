/* engine/embed/kind: which files are embedders, by their keys alone: a row an architecture. Constant data, any thread. */
#include "engine/embed/embedder.h"
#include "engine/file/keys.h"
#include "engine/run/arch.h"

#include <string.h>

static const embed_kind kinds[] = {
    { "bert", EMBED_MEAN, false },
    { "nomic-bert", EMBED_MEAN, false },
    { NULL, EMBED_LAST, true },        /* a chat model says nothing of pooling */
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

const embed_kind *embed_kind_of(const gguf_file *f, const char **name)
{
    gguf_str s;
    double pool;
    if (!gguf_string(f, "general.architecture", &s)) return NULL;
    for (int i = 0; i < N_KINDS; i++) {
        const struct arch *decoder = kinds[i].decoder ? arch_find(s.p, s.n) : NULL;
        *name = decoder ? decoder->name : kinds[i].arch;
        if (decoder ? keys_number(f, *name, "pooling_type", &pool) && pool > 0 : *name && strlen(*name) == s.n && memcmp(*name, s.p, s.n) == 0) return &kinds[i];
    }
    return NULL;
}

bool eng_is_embedder(const char *path)
{
    char err[Q_ERRLEN];
    const char *name;
    gguf_file *f = NULL;
    bool is = gguf_look(path, &f, err) == Q_OK && embed_kind_of(f, &name);
    gguf_close(f);
    return is;
}

char *embed_known(void)
{
    q_buf b = { 0 };
    for (int i = 0; i < N_KINDS; i++)
        if (kinds[i].arch) q_buf_printf(&b, "%s%s", i ? ", " : "", kinds[i].arch);
    return q_buf_take(&b);
}
