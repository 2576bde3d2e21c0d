/* base/hash: a fast 64-bit hash for tables and the KV chain, and numbers drawn. SHA-256: sha256.c. */
#include "base/base.h"

#include <string.h>
#include <sys/random.h>

/* The finaliser of splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t fin(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t q_random(uint64_t s[4])
{
    uint64_t v = s[1] * 5, out = (v << 7 | v >> 57) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return out;
}

uint64_t q_mix64(uint64_t a, uint64_t b) { return fin(a * 0x9e3779b97f4a7c15u + fin(b + 0x9e3779b97f4a7c15u)); }

uint64_t q_hash64(const void *p, size_t n, uint64_t seed)
{
    const unsigned char *u = p;
    uint64_t h = q_mix64(seed, n), w;
    for (; n >= 8; u += 8, n -= 8) {
        memcpy(&w, u, 8);
        h = q_mix64(h, w);
    }
    if (n) {
        w = 0;
        memcpy(&w, u, n);
        h = q_mix64(h, w);
    }
    return h;
}

uint64_t q_salt(void)
{
    uint64_t x = 0;
    if (getrandom(&x, sizeof x, GRND_NONBLOCK) != (ssize_t)sizeof x) x = q_mix64((uint64_t)(uintptr_t)&x, (uint64_t)q_now_ns());
    return x;
}
