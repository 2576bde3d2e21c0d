/* net/address: which addresses are everybody's, and an url as sentences may name it. Any thread. */
#include "net/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* Networks that are no public ones: IANA's special-purpose registries of IPv4 and IPv6 addresses. */
static bool public4(const uint8_t a[4])
{
    static const struct { uint8_t of[4]; int bits; } row[] = {
        { { 0 }, 8 }, { { 10 }, 8 }, { { 100, 64 }, 10 }, { { 127 }, 8 }, { { 169, 254 }, 16 }, { { 172, 16 }, 12 }, { { 192, 0, 0 }, 24 },
        { { 192, 0, 2 }, 24 }, { { 192, 88, 99 }, 24 }, { { 192, 168 }, 16 }, { { 198, 18 }, 15 }, { { 198, 51, 100 }, 24 }, { { 203, 0, 113 }, 24 },
        { { 224 }, 3 } };
    uint32_t x = (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 | a[3];
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const uint8_t *n = row[i].of;
        uint32_t of = (uint32_t)n[0] << 24 | (uint32_t)n[1] << 16 | (uint32_t)n[2] << 8 | n[3];
        if ((x ^ of) >> (32 - row[i].bits) == 0)
            return false;
    }
    return true;
}

/* Of IPv6 only 2000::/3 is given out; inside of it some names hold an IPv4 address, and some nobody. */
static bool public6(const uint8_t a[16])
{
    static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF }, nat64[12] = { 0, 0x64, 0xFF, 0x9B };
    if (memcmp(a, mapped, sizeof mapped) == 0 || memcmp(a, nat64, sizeof nat64) == 0)
        return public4(a + 12);
    if (a[0] == 0x20 && a[1] == 0x02)    /* 6to4 */
        return public4(a + 2);
    if (a[0] == 0x20 && a[1] == 0x01 && (a[2] < 2 || (a[2] == 0x0D && a[3] == 0xB8)))     /* 2001::/23, 2001:db8::/32 */
        return false;
    return (a[0] & 0xE0) == 0x20;
}

bool net_public(const struct sockaddr *s)
{
    if (s->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, s, sizeof in);
        return public4((const uint8_t *)&in.sin_addr);
    }
    if (s->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, s, sizeof in);
        return public6((const uint8_t *)&in.sin6_addr);
    }
    return false;
}

/* RFC 6761 and 6762, .internal (ICANN, 2024), home.arpa (RFC 8375); .lan is what many a router says. */
bool net_near(const char *host, size_t n)
{
    static const char *const below[] = { "localhost", "local", "internal", "lan", "home.arpa" };
    char text[256];
    struct sockaddr_in four = { .sin_family = AF_INET };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
    n -= n > 1 && host[n - 1] == '.';
    if (!n || n >= sizeof text)
        return false;
    if (*host == '[') {
        snprintf(text, sizeof text, "%.*s", (int)(n > 2 ? n - 2 : 0), host + 1);
        return inet_pton(AF_INET6, text, &six.sin6_addr) == 1 && !net_public((struct sockaddr *)&six);
    }
    snprintf(text, sizeof text, "%.*s", (int)n, host);
    if (inet_aton(text, &four.sin_addr))         /* also 127.1, 0x7f000001 and 2130706433, as those who connect read them */
        return !net_public((struct sockaddr *)&four);
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        size_t w = strlen(below[i]);
        if (n >= w && strcasecmp(text + n - w, below[i]) == 0 && (n == w || text[n - w - 1] == '.'))
            return true;
    }
    return false;
}

bool net_loopback(const char *url)
{
    static const char *const names[] = { "127.0.0.1", "localhost", "[::1]" };
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (strncasecmp(host, names[i], n) == 0 && strchr(":/?#", host[n]))      /* nothing, or what ends a host: [::1].example.org is another */
            return true;
    }
    return false;
}

char *net_host(const char *url)
{
    const char *scheme = strstr(url, "://"), *host = scheme ? scheme + 3 : url;
    size_t n = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', n);
    if (at) {                            /* a name and a password are nobody's business */
        n -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    return q_printf("%.*s%.*s", scheme ? (int)(scheme + 3 - url) : 0, url, n > 200 ? 200 : (int)n, host);
}
