/* advice: what its files share about machines and fits. Private to advice. Pure functions but gpu_look. */
#ifndef QUORUM_ADVICE_ROOM_H
#define QUORUM_ADVICE_ROOM_H

#include "advice/advice.h"

/* What a program takes beside weights, cells and states, an estimate: of RAM (itself, vocabulary, buffers of a pass), and of each GPU that it
 * uses (a driver's context and a pass's buffers). For our own program and llama-server alike; servers of safetensors take more (launch_plan.c). */
#define ADV_ROOM_RAM (700ull << 20)
#define ADV_ROOM_GPU (1200ull << 20)
/* GPUs that a driver's library tells of: library is opened by dlopen ("libnvidia-ml.so.1"). Returns how many, 0 without one. Source:
 * nvml.h (NVIDIA Management Library); two transfers a clock of the memory, bus width in bits. */
int gpu_look(const char *library, adv_gpu out[ADV_GPUS]);
/* Rows of text as advice/machines.ini has them, owned by the caller; name is for sentences. Q_FORMAT: a row that lacks something. */
int machines_read(const char *text, const char *name, adv_machine **out, int *n, char *err);
void machines_free(adv_machine *, int n);
/* fit of counted costs; context_most 0: no limit of the model's. */
void fit_costs(const eng_energy *, const adv_wish *, const adv_machine *, int context_most, adv_fit *out);

#endif
