/* tests: what is printed of a GPU (ker_card_of) is that of this card and of none with a longer or a shorter name. */
#include "kernels/kernels.h"
#include "tests/test.h"

static void a_card_is_known_by_its_whole_name(void)
{
    static const struct { const char *device; int gb; } row[] = {
        { "NVIDIA H100 80GB HBM3", 3350 }, { "NVIDIA H100 PCIe", 2000 }, { "NVIDIA H100 NVL", 3900 }, { "NVIDIA H200 NVL", 4800 }, { "NVIDIA B200", 8000 },
        { "NVIDIA A100-SXM4-80GB", 2039 }, { "NVIDIA A100 80GB PCIe", 1935 }, { "NVIDIA A100-PCIE-40GB", 1555 }, { "NVIDIA L4", 300 }, { "NVIDIA L40", 864 }, { "NVIDIA L40S", 864 },
        { "NVIDIA GeForce RTX 4070", 504 }, { "NVIDIA GeForce RTX 4070 Ti SUPER", 672 }, { "NVIDIA GeForce RTX 4080 SUPER", 736 }, { "NVIDIA GeForce RTX 5070 Ti", 896 },
        { "NVIDIA GeForce RTX 3090 Ti", 1008 }, { "NVIDIA GeForce RTX 4090", 1008 }, { "NVIDIA RTX 6000 Ada Generation", 960 },
        { "NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 1792 },
        /* not in the list: nothing is said, not another's number */
        { "NVIDIA GeForce RTX 4090 Laptop GPU", 0 }, { "NVIDIA GeForce RTX 5080 Laptop GPU", 0 }, { "NVIDIA RTX A4000", 0 }, { "NVIDIA GH200 480GB", 0 },
        { "NVIDIA RTX PRO 6000 Blackwell Server Edition", 0 }, { "NVIDIA GeForce RTX 3060 Ti", 0 }, { "CPU emulator", 0 }, { "", 0 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        CHECK_MSG((int)(ker_card_of(row[i].device).bandwidth / 1e9 + .5) == row[i].gb, "%s: %g GB/s, not %d", row[i].device, ker_card_of(row[i].device).bandwidth / 1e9, row[i].gb);
    CHECK_INT((int)(ker_card_of("NVIDIA H100 80GB HBM3").int8 / 1e12), 1979);
}

int main(void)
{
    RUN(a_card_is_known_by_its_whole_name);
    return TEST_END();
}
