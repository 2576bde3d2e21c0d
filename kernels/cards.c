/* kernels/cards: what the makers print of their GPUs, by the names that devices give themselves. See kernels.h. */
#include "kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* GB/s and, where it is known, the int8 peak in 10^12 operations a second (dense), from the makers' data sheets. */
static const struct { const char *name; double gb, int8; } cards[] = {
    { "H100 PCIe", 2000, 1513 }, { "H100 NVL", 3900, 1671 }, { "H100", 3350, 1979 }, { "H200", 4800, 1979 }, { "B200", 8000, 4500 },
    { "A100-SXM4-80GB", 2039, 624 }, { "A100 80GB PCIe", 1935, 624 }, { "A100-SXM4-40GB", 1555, 624 }, { "A100-PCIE-40GB", 1555, 624 },
    { "L40S", 864, 733 }, { "L40", 864, 0 }, { "L4", 300, 0 }, { "A40", 696, 0 },
    { "RTX 3060", 360, 0 }, { "RTX 3090", 936, 284 }, { "RTX 3090 Ti", 1008, 0 }, { "RTX 4060", 272, 0 }, { "RTX 4060 Ti", 288, 0 },
    { "RTX 4070", 504, 0 }, { "RTX 4070 SUPER", 504, 0 }, { "RTX 4070 Ti", 504, 0 }, { "RTX 4070 Ti SUPER", 672, 0 }, { "RTX 4080", 717, 0 },
    { "RTX 4080 SUPER", 736, 0 }, { "RTX 4090", 1008, 661 }, { "RTX 5070", 672, 0 }, { "RTX 5070 Ti", 896, 0 }, { "RTX 5080", 960, 0 },
    { "RTX 5090", 1792, 838 }, { "RTX 6000 Ada", 960, 0 }, { "RTX PRO 6000 Blackwell", 1792, 1008 }, { "RTX PRO 6000 Blackwell Workstation Edition", 1792, 1008 },
    { "RTX PRO 6000 Blackwell Max-Q Workstation Edition", 1792, 0 },
};

/* Words that make another card of the one before them. */
static bool another(const char *behind)
{
    static const char *const words[] = { " Ti", " SUPER", " Super", " Laptop", " Max-Q", " Mobile", " Server", " D" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if (!strncmp(behind, words[i], n) && (!behind[n] || behind[n] == ' ')) return true;
    }
    return false;
}

ker_card ker_card_of(const char *device)
{
    ker_card out = { 0 };
    size_t best = 0;
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        const char *at = strstr(device, cards[i].name);
        size_t n = strlen(cards[i].name);
        if (!at || n <= best || (at > device && at[-1] != ' ') || (at[n] && at[n] != ' ') || another(at + n)) continue;
        best = n;
        out = (ker_card){ .bandwidth = cards[i].gb * 1e9, .int8 = cards[i].int8 * 1e12 };
    }
    return out;
}
