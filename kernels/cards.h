/* kernels/cards: what the makers print of their GPUs. */
#ifndef KERNELS_CARDS_H
#define KERNELS_CARDS_H
/* Bytes and int8 operations a second of a device by that name; 0: not in the list. */
typedef struct ker_card { double bandwidth, int8; } ker_card;
ker_card ker_card_of(const char *device);
#endif
