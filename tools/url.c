/* tools/url: see url.h. Punycode is RFC 3492's; a name's letters are made small (ASCII, Latin-1, Cyrillic, Greek), and nothing else is
 * done to them: what is shown is what is asked, so a name that another program would have mapped finds nothing at worst. */
#include "tools/url.h"
#include "base/say.h"
#include "net/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- names ---- */
enum { LABEL_MOST = 63, NAME_MOST = 253, LABEL_LETTERS = 64 };

static uint32_t adapted(uint32_t delta, uint32_t points, bool first)
{
    delta = first ? delta / 700 : delta / 2;
    delta += delta / points;
    uint32_t k = 0;
    for (; delta > 35 * 26 / 2; k += 36)
        delta /= 35;
    return k + 36 * delta / (delta + 38);
}

static char digit(uint32_t d) { return (char)(d < 26 ? 'a' + d : '0' + d - 26); }

/* The letters of a label as RFC 3492 (6.3) writes them, behind "xn--". */
static void punycode(const uint32_t *cp, int n, q_buf *out)
{
    uint32_t next = 128, delta = 0, bias = 72, done = 0, basic;
    for (int i = 0; i < n; i++)
        if (cp[i] < 128)
            q_buf_putc(out, (char)cp[i]), done++;
    if ((basic = done) > 0)
        q_buf_putc(out, '-');
    while (done < (uint32_t)n) {
        uint32_t least = UINT32_MAX;
        for (int i = 0; i < n; i++)
            if (cp[i] >= next && cp[i] < least)
                least = cp[i];
        delta += (least - next) * (done + 1);    /* at most 0x110000 * 65: it fits */
        next = least;
        for (int i = 0; i < n; i++) {
            delta += cp[i] < next;
            if (cp[i] != next)
                continue;
            uint32_t q = delta;
            for (uint32_t k = 36;; k += 36) {
                uint32_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
                if (q < t)
                    break;
                q_buf_putc(out, digit(t + (q - t) % (36 - t)));
                q = (q - t) / (36 - t);
            }
            q_buf_putc(out, digit(q));
            bias = adapted(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
        delta++;
        next++;
    }
}

static uint32_t small(uint32_t cp)
{
    if ((cp >= 'A' && cp <= 'Z') || (cp >= 0xC0 && cp <= 0xDE && cp != 0xD7) || (cp >= 0x391 && cp <= 0x3A9) || (cp >= 0x410 && cp <= 0x42F))
        return cp + 32;
    return cp >= 0x400 && cp <= 0x40F ? cp + 80 : cp;
}

/* What stands for a point or a stroke elsewhere, and what cannot be seen. */
static bool no_letter(uint32_t cp)
{
    return (cp >= 0x2000 && cp <= 0x206F) || cp == 0xFEFF || cp == 0x3002 || cp == 0xFF0E || cp == 0xFF61 || (cp >= 0xFF01 && cp <= 0xFF5E) || cp == 0x2215 || cp == 0xFFFD || cp == 0xAD || q_char_kind(cp) != Q_CHAR_FINE;
}

/* One label; false: no name has it. */
static bool label(const char *p, size_t n, q_buf *out, bool *foreign)
{
    uint32_t cp[LABEL_LETTERS];
    int count = 0;
    bool other = false;
    size_t from = out->len;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += (size_t)q_utf8_next(p + i, n - i, &c);
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (count == LABEL_LETTERS || (c < 128 && !plain) || (c >= 128 && no_letter(c)))
            return false;
        cp[count++] = small(c);
        other |= c >= 128;
    }
    if (other)
        q_buf_puts(out, "xn--");
    if (other)
        punycode(cp, count, out);
    for (int i = 0; i < count && !other; i++)
        q_buf_putc(out, (char)cp[i]);
    *foreign |= other;
    return count && out->len - from <= LABEL_MOST;
}

/* A name or an address of numbers, as it is asked; false: it is none. */
static bool host_name(const char *p, size_t n, q_buf *out, bool *foreign)
{
    struct in6_addr six;
    if (n > 2 && *p == '[' && p[n - 1] == ']' && n < 48) {
        char text[48];
        snprintf(text, sizeof text, "%.*s", (int)n - 2, p + 1);
        if (inet_pton(AF_INET6, text, &six) != 1)
            return false;
        q_buf_printf(out, "[%s]", inet_ntop(AF_INET6, &six, text, sizeof text));
        return true;
    }
    size_t from = out->len;
    n -= n > 1 && p[n - 1] == '.';
    for (size_t i = 0, w; i <= n; i += w + 1) {
        const char *point = i < n ? memchr(p + i, '.', n - i) : NULL;
        w = point ? (size_t)(point - p) - i : n - i;
        if (i)
            q_buf_putc(out, '.');
        if (!label(p + i, w, out, foreign))
            return false;
    }
    return n && out->len - from <= NAME_MOST;
}

/* ---- addresses ---- */
/* What stands behind the host, each byte that an address may not hold written with %. */
static void rest_of(const char *p, size_t n, q_buf *out)
{
    if (!n || *p != '/')
        q_buf_putc(out, '/');
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] <= ' ' || (unsigned char)p[i] >= 127 || strchr("\"<>\\^`{|}", p[i]))
            q_buf_printf(out, "%%%02X", (unsigned char)p[i]);
        else
            q_buf_putc(out, p[i]);
}

static bool holds_unseen(const char *p)
{
    for (size_t i = 0, n = strlen(p); i < n;) {
        uint32_t cp;
        i += (size_t)q_utf8_next(p + i, n - i, &cp);
        if (cp == 0xFFFD || q_char_kind(cp) != Q_CHAR_FINE)
            return true;
    }
    return false;
}

/* Where the port begins behind a host; n: there is none. */
static size_t port_at(const char *p, size_t n)
{
    const char *closed = memrchr(p, ']', n), *colon = memrchr(p, ':', n);
    return colon && (!closed || colon > closed) ? (size_t)(colon - p) : n;
}

/* -1: it is none. */
static long port_of(const char *p, size_t n)
{
    long port = 0;
    for (size_t i = 0; i < n; i++)
        port = p[i] >= '0' && p[i] <= '9' && port < 65536 ? port * 10 + p[i] - '0' : 65536;
    return n && port > 0 && port < 65536 ? port : -1;
}

int url_read(const char *text, web_url *out, char *err)
{
    *out = (web_url){ .text = NULL };
    bool tls = strncasecmp(text, "https://", 8) == 0, foreign = false;
    if (!tls && strncasecmp(text, "http://", 7) != 0)
        return q_fail(err, Q_FORMAT, "that is no address of the web: it must begin with https:// or http://");
    if (holds_unseen(text))
        return q_fail(err, Q_FORMAT, "the address holds characters that cannot be seen: write them with %%");
    const char *at = text + (tls ? 8 : 7);
    size_t n = strcspn(at, "/?#"), port = port_at(at, n), rest = strcspn(at + n, "#");
    if (memchr(at, '@', n))
        return q_fail(err, Q_FORMAT, "an address with a name or password in it is not asked: leave them out");
    long number = port < n ? port_of(at + port + 1, n - port - 1) : 0;
    q_buf host = { 0 }, whole = { 0 };
    q_buf_puts(&host, "");
    if (!host_name(at, port, &host, &foreign) || number < 0) {
        q_buf_free(&host);
        return q_fail(err, Q_FORMAT, "the address names no host that can be asked: write https://HOST/PATH");
    }
    out->near = net_near(host.p, host.len);
    if (number && number != (tls ? 443 : 80))
        q_buf_printf(&host, ":%ld", number);
    q_buf_printf(&whole, "%s://%s", tls ? "https" : "http", host.p);
    size_t before = whole.len;
    rest_of(at + n, rest, &whole);
    const char *query = strchr(whole.p + before, '?');
    out->carries = whole.len - before;
    out->query = query ? strlen(query + 1) : 0;
    out->said = foreign ? q_strndup(at, port) : NULL;
    out->host = q_buf_take(&host);
    out->text = q_buf_take(&whole);
    return Q_OK;
}

void url_free(web_url *u)
{
    free(u->text);
    free(u->host);
    free(u->said);
    *u = (web_url){ .text = NULL };
}

/* ---- patterns ---- */
typedef struct pattern { q_buf host; long port; bool any, below, ports; } pattern;

static bool read_pattern(const char *p, size_t n, pattern *out)
{
    bool foreign = false;
    *out = (pattern){ .any = n == 1 && *p == '*' };
    q_buf_puts(&out->host, "");
    if (out->any)
        return true;
    if (n > 2 && p[0] == '*' && p[1] == '.')
        out->below = true, p += 2, n -= 2;
    if (n && p[n - 1] == '*')
        out->ports = n < 2 || p[n - 2] != '.', n -= out->ports;        /* "192.168.*" would be a name of anybody's too */
    size_t port = port_at(p, n);
    out->port = port < n ? port_of(p + port + 1, n - port - 1) : 0;
    return out->port >= 0 && !(out->ports && out->port) && host_name(p, port, &out->host, &foreign);
}

bool url_pattern(const char *p, size_t n)
{
    pattern x;
    bool yes = read_pattern(p, n, &x);
    q_buf_free(&x.host);
    return yes;
}

bool url_matches(const char *p, size_t n, const char *host)
{
    pattern x;
    size_t len = strlen(host), port = port_at(host, len);
    bool yes = read_pattern(p, n, &x);
    if (yes && !x.any) {
        long number = port < len ? port_of(host + port + 1, len - port - 1) : 0;
        size_t w = x.host.len;
        bool same = port == w && strncmp(host, x.host.p, w) == 0, under = port > w && host[port - w - 1] == '.' && strncmp(host + port - w, x.host.p, w) == 0;
        yes = (x.below ? under : same) && (x.ports || x.port == number);
    }
    q_buf_free(&x.host);
    return yes;
}

bool url_listed(const char *patterns, const char *host)
{
    for (const char *p = patterns; p && *p;) {
        size_t n = strcspn(p, ", \t");
        if (n && url_matches(p, n, host))
            return true;
        p += n + strspn(p + n, ", \t");
    }
    return false;
}
