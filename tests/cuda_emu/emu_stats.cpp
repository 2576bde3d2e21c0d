// emu_stats.cpp: the table that tests ask (emu_stats.h).
#include "emu_inside.h"

namespace emu {
emu_stats st;
static std::vector<emu_kernel> ran;

void count_kernel(const char *name, uint64_t blocks, uint64_t threads)
{
    st.launches++;
    for (emu_kernel &k : ran) {
        if (k.name != name && strcmp(k.name, name) != 0) continue;
        k.launches++, k.blocks += blocks, k.threads += threads;
        return;
    }
    ran.push_back({ name, 1, blocks, threads });
}
static void get(emu_stats *to)
{
    Guard guard;
    *to = st;
    to->contexts = n_contexts();
}
static void reset()
{
    Guard guard;
    uint64_t held = st.held;
    st = emu_stats();
    st.held = st.peak = held;
    ran.clear();
}
static size_t kernels(emu_kernel *to, size_t most)
{
    Guard guard;
    for (size_t i = 0; i < ran.size() && i < most; i++) to[i] = ran[i];
    return ran.size();
}
static size_t leaks(char *words, size_t n)
{
    Guard guard;
    std::string w;
    long many = objects();
    objects_words(&w);
    if (words && n) snprintf(words, n, "%s", w.c_str());
    return (size_t)many;
}
void set_option(const char *what, long v);
void fail_at(long n);
void fail(const char *call, long n);
static const emu_api_table table = { get, reset, kernels, set_option, fail_at, fail, leaks };
}
const emu_api_table *emu_api(void) { return &emu::table; }
