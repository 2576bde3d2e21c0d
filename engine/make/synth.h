/* engine/make/synth: a file of random weights, what is private to engine of it. See engine/models.h (eng_synth). Any thread. */
#ifndef QUORUM_SYNTH_H
#define QUORUM_SYNTH_H

/* The header that eng_synth would write for all layers, with a hole where weights are (a sparse file: its length is right, its blocks take
 * no room): for programs that look at shapes only, as llama-quantize --dry-run does. Errors: base.h. */
int synth_hollow(const char *like, const char *type, const char *out, char *err);

#endif
