/* advice/launch: how a server is started for a model on a machine: which type of the weights fits, how it is divided among the GPUs and RAM,
 * which flags say so, and the script or unit in which each flag is explained. Pure but for reading a GGUF's header; any thread.
 *
 * Sizes: weights, cells and states as engine/models.h counts them (eng_energy) from the shape; what a computation takes beside them is an
 * estimate and called so. Types that no GGUF has (FP8, AWQ, GPTQ) are counted from the parameters: matrices in that type, embedding,
 * router and head in BF16. Flags are advice/launch_flags.def, checked against the releases that adv_launch_servers names. */
#ifndef QUORUM_ADVICE_LAUNCH_H
#define QUORUM_ADVICE_LAUNCH_H

#include "advice/advice.h"

typedef struct adv_launch_server {
    const char *name, *title;            /* "vllm", "vLLM" */
    const char *release;                 /* that the flags were checked against */
    const char *package;                 /* where that was taken from */
    int port;                            /* unless told */
    bool gguf;                           /* reads GGUF files; else the hub's safetensors */
} adv_launch_server;
const adv_launch_server *adv_launch_servers(int *n);

typedef struct adv_launch_wish {         /* strings are the caller's and outlive the plan */
    const char *server;                  /* a row's name */
    const char *type;                    /* "BF16", "FP8", "AWQ", "GPTQ"; of GGUFs "Q8_0", "Q4_K_M", …; NULL: the best that fits */
    const char *weights;                 /* instead of the catalogue's: a repository or folder, or a GGUF file; NULL */
    const char *host;                    /* NULL: 127.0.0.1 */
    const char *key_file;                /* llama-server and quorum behind another address than this machine's; NULL */
    int port, context, users;            /* 0: the server's own, 8192 (or what the model has), 1 */
    bool kv8, kv4;                       /* cells of about a byte a number, or of half of one, which GGUF servers have */
} adv_launch_wish;

enum { ADV_LAUNCH_FLAGS = 24 };
typedef struct adv_launch_flag { const char *flag, *words, *source; char value[512]; bool bare; /* takes no value */ } adv_launch_flag;
typedef struct adv_launch_size {
    uint64_t weights, kv, state, room;   /* bytes of all: tensors; all conversations' cells; recurrent states; the estimate of the rest */
    uint64_t each, has;                  /* bytes on each GPU in use, or in RAM where there is none in use; and there are (free) */
    uint64_t in_ram;                     /* bytes of weights in RAM beside GPUs */
    double share;                        /* of a GPU's memory that is taken at the start; 0: no such flag */
} adv_launch_size;
typedef struct adv_launch {
    const adv_launch_server *server;
    const eng_known *known; const eng_variant *variant;      /* NULL: a file */
    char model[512], name[128], section[40];                 /* what is loaded; as what it is asked for; of [server.NAME] */
    char type[32], machine[128];
    const adv_launch_wish *wish;
    const char *host;                    /* without brackets */
    bool from_hub;                       /* model is a repository that the server fetches itself */
    int context, users, port, n_layer;
    int gpus, experts_cpu, layers;       /* GPUs in use; layers whose routed experts stay in RAM; layers on the GPU, -1: all, 0: none, -2: not said */
    adv_launch_size size;
    int threads;
    bool open;                           /* others than this machine reach it */
    adv_launch_flag flag[ADV_LAUNCH_FLAGS]; int n_flag;
} adv_launch;
/* known with variant (NULL: its usual one), or path of a GGUF. Q_RANGE: a wish that cannot be; Q_NOMEM: it does not fit, err says what would. */
int adv_launch_plan(const adv_launch_wish *, const eng_known *, const eng_variant *, const char *path, const adv_machine *, adv_launch *out, char *err);
/* Adds a script for sh, or a unit for systemd --user; words in the language of the program. */
void adv_launch_script(const adv_launch *, q_buf *out);
void adv_launch_unit(const adv_launch *, q_buf *out);

#endif
