/* term/spelled: keys as numbers, as newer protocols send them, and the Latin key that a Cyrillic letter stands on. Pure. */
#include "tui/term/keys.h"

#include <string.h>

/* ЙЦУКЕН over QWERTY, in the order of the keys. */
uint32_t tui_key_latin(uint32_t cp)
{
    static const char lat[] = "qwertyuiop[]asdfghjkl;'zxcvbnm,.`";
    static const char *const cyr = "йцукенгшщзхъфывапролджэячсмитьбюё", *const upper = "ЙЦУКЕНГШЩЗХЪФЫВАПРОЛДЖЭЯЧСМИТЬБЮЁ";
    for (int up = 0; up < 2; up++) {
        const char *p = up ? upper : cyr;
        for (int i = 0; *p; i++) {
            uint32_t c;
            p += q_utf8_next(p, strlen(p), &c);
            if (c == cp) return (uint32_t)(unsigned char)lat[i];
        }
    }
    return cp;
}

enum { SHIFT = 1, ALT = 2, CTRL = 4, OTHERS = 8 | 16, META = 32, RELEASED = 3 };
enum { FIELDS = 3, PARTS = 3, NUMBER_MAX = 0x10FFFF };

static const struct { uint32_t number; enum tui_key_code code; char typed; } named[] = {
    { 8, K_BACKSPACE, 0 }, { 9, K_TAB, 0 }, { 13, K_ENTER, 0 }, { 27, K_ESC, 0 }, { 127, K_BACKSPACE, 0 },
    /* the keypad's, kitty's numbers */
    { 57399, K_CHAR, '0' }, { 57400, K_CHAR, '1' }, { 57401, K_CHAR, '2' }, { 57402, K_CHAR, '3' }, { 57403, K_CHAR, '4' }, { 57404, K_CHAR, '5' },
    { 57405, K_CHAR, '6' }, { 57406, K_CHAR, '7' }, { 57407, K_CHAR, '8' }, { 57408, K_CHAR, '9' }, { 57409, K_CHAR, '.' }, { 57410, K_CHAR, '/' },
    { 57411, K_CHAR, '*' }, { 57412, K_CHAR, '-' }, { 57413, K_CHAR, '+' }, { 57414, K_ENTER, 0 }, { 57415, K_CHAR, '=' }, { 57416, K_CHAR, ',' },
    { 57417, K_LEFT, 0 }, { 57418, K_RIGHT, 0 }, { 57419, K_UP, 0 }, { 57420, K_DOWN, 0 }, { 57421, K_PGUP, 0 }, { 57422, K_PGDN, 0 },
    { 57423, K_HOME, 0 }, { 57424, K_END, 0 }, { 57426, K_DELETE, 0 } };

/* "1089::99;5:1" to numbers; a part that is not given is 0. */
static bool numbers(const char *p, size_t n, uint32_t v[FIELDS][PARTS])
{
    int field = 0, part = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == ';') { field++; part = 0; }
        else if (p[i] == ':') part++;
        else if (p[i] < '0' || p[i] > '9') return false;
        else if (field < FIELDS && part < PARTS && v[field][part] <= NUMBER_MAX) v[field][part] = v[field][part] * 10 + (uint32_t)(p[i] - '0');
    }
    return true;
}

/* What a keyboard without the protocol sends for Ctrl and this key; 0: nothing. */
static uint32_t control(uint32_t c)
{
    c = tui_key_latin(c);
    if ((c >= 'a' && c <= 'z') || (c >= '[' && c <= '_') || (c >= 'A' && c <= 'Z')) return c & 31;
    static const char digits[] = "345678", means[] = { 27, 28, 29, 30, 31, 127 };
    const char *at = c && c < 128 ? strchr(digits, (int)c) : NULL;
    return at ? (uint32_t)means[at - digits] : c == '/' || c == '-' ? 31 : c == '?' ? 127 : 0;
}

static bool name(uint32_t number, uint32_t mods, tui_key *k)
{
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (named[i].number != number) continue;
        k->code = named[i].code;
        k->cp = (uint32_t)(unsigned char)named[i].typed;
        if (k->code == K_TAB && mods & SHIFT) k->code = K_BACKTAB;
        if (k->code == K_ENTER && mods & (SHIFT | CTRL)) { k->code = K_CHAR; k->cp = CTRL_KEY('J'); }        /* a new line */
        if (k->code == K_BACKSPACE && mods & CTRL) k->alt = true;                                            /* a word */
        if (k->code == K_LEFT && mods & (CTRL | ALT)) k->code = K_CTRL_LEFT;
        if (k->code == K_RIGHT && mods & (CTRL | ALT)) k->code = K_CTRL_RIGHT;
        return true;
    }
    return false;
}

bool tui_key_spelled(const char *p, size_t n, char final, tui_key *k)
{
    uint32_t v[FIELDS][PARTS] = { { 0 } };
    if ((final != 'u' && final != '~') || !numbers(p, n, v)) return false;
    if (final == '~') {
        if (v[0][0] != 27 || !v[2][0]) return false;
        v[0][0] = v[2][0];
        v[0][1] = v[0][2] = v[2][0] = 0;
    }
    uint32_t mods = v[1][0] ? v[1][0] - 1 : 0, code = v[0][0], shifted = v[0][1], base = v[0][2], text = v[2][0];
    k->code = K_NONE;
    if (v[1][1] == RELEASED || mods & OTHERS) return true;
    k->alt = (mods & (ALT | META)) != 0;
    if (mods & CTRL && code >= 32 && code != 127) {
        uint32_t c = control(base ? base : code);
        if (c && !name(c, 0, k)) { k->code = K_CHAR; k->cp = c; }
        return true;
    }
    if (name(code, mods, k)) return true;
    uint32_t c = text ? text : mods & SHIFT && shifted ? shifted : mods & SHIFT && code >= 'a' && code <= 'z' ? code - 32 : k->alt && base ? base : code;
    bool odd = c < 32 || (c >= 127 && c < 160) || c > NUMBER_MAX || (c >= 0xD800 && c < 0xF900);      /* surrogates; other keys' numbers */
    if (!odd) { k->code = K_CHAR; k->cp = c; }
    return true;
}
