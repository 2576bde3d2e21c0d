/* advice/launch_plan: what is private to the files of advice/launch.h: flags' meanings and where texts come from. */
#ifndef QUORUM_LAUNCH_PLAN_H
#define QUORUM_LAUNCH_PLAN_H

#include "advice/launch.h"

enum launch_server { VLLM, SGLANG, LLAMA, QUORUM, LAUNCH_SERVERS };
enum launch_meaning { LA_MODEL, LA_FILE, LA_HUB, LA_NAME, LA_HOST, LA_PORT, LA_LISTEN, LA_KEY, LA_KEY_FILE, LA_DTYPE, LA_QUANT, LA_CONTEXT, LA_CONTEXT_ALL, LA_SET_CONTEXT,
                      LA_USERS, LA_MEMORY, LA_KV8, LA_SET_KV, LA_STATES, LA_TP, LA_EP, LA_EP_ON, LA_TEXT_ONLY, LA_TOOLS_ON, LA_TOOLS, LA_THOUGHTS, LA_ROUTES, LA_LAYERS,
                      LA_EXPERTS_CPU, LA_LAYERS_EXPERTS, LA_SPLIT, LA_FLASH, LA_FIT, LA_THREADS, LA_JINJA, LA_FORM, LA_DEVICE };

enum { LAUNCH_UNSAID = -2 };             /* layers: left to the server, where the machine may have a GPU that we know nothing of (Apple's) */
/* How a type is written and counted. bits 0: the quantisers' own rules count it (eng_energy_like). */
typedef struct launch_type {
    const char *name;
    bool gguf;
    double bits;                          /* of a weight in a matrix that is quantised, scales included */
    const char *flag[2];                  /* of --quantization: vLLM, SGLang; NULL: the file says it */
    bool told;                            /* wants --weights: nobody makes it while loading */
} launch_type;
extern const launch_type launch_types[];  /* ends with a NULL name; each kind from the largest */

const char *launch_tool(const adv_launch *);       /* NULL: none is known for this model */
const char *launch_thought(const adv_launch *);
void launch_flags(adv_launch *);                   /* fills flag from the table */
enum launch_server launch_of(const adv_launch *);

#endif
