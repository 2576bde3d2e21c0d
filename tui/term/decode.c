/* term/decode: telling keys from answers. Each step looks at the bytes from `at` on and either takes one whole thing or
 * waits for more, so a cut between two bytes changes nothing. Front-end thread. */
#include "tui/term/decode.h"

#include <stdlib.h>
#include <string.h>

enum { ESC = 27, BEL = 7, CAN = 24, SUB = 26, DEL = 127, ESC_MS = 25, REST_MS = 500, STRING_MAX = 4096, CSI_MAX = 256 };
enum take { CHORD = -2, MORE = -1, NOTHING = 0 };       /* a step's result: bytes taken, or MORE; the key may still be K_NONE */

void tui_decode_free(tui_decode *d)
{
    q_buf_free(&d->in);
    q_buf_free(&d->paste);
    memset(d, 0, sizeof *d);
}

void tui_decode_learn(tui_decode *d, const char *seq, enum tui_key_code code)
{
    if (!seq || seq == (const char *)-1 || strlen(seq) < 2 || strlen(seq) >= sizeof d->learned[0].seq || d->n_learned == TUI_LEARNED) return;
    strcpy(d->learned[d->n_learned].seq, seq);
    d->learned[d->n_learned++].code = code;
}

void tui_decode_bytes(tui_decode *d, const char *s, size_t n)
{
    if (d->at == d->in.len) { q_buf_clear(&d->in); d->at = 0; }
    q_buf_add(&d->in, s, n);
}

/* ---- control sequences ---- */
static const struct { char final; enum tui_key_code code, modified; } letters[] = {
    { 'A', K_UP, K_UP }, { 'B', K_DOWN, K_DOWN }, { 'C', K_RIGHT, K_CTRL_RIGHT }, { 'D', K_LEFT, K_CTRL_LEFT }, { 'H', K_HOME, K_HOME },
    { 'F', K_END, K_END }, { 'P', K_F1, K_F1 }, { 'Q', K_F2, K_F2 }, { 'S', K_F4, K_F4 }, { 'Z', K_BACKTAB, K_BACKTAB } };
static const struct { int number; enum tui_key_code code; } numbers[] = {
    { 1, K_HOME }, { 7, K_HOME }, { 4, K_END }, { 8, K_END }, { 3, K_DELETE }, { 5, K_PGUP }, { 6, K_PGDN }, { 11, K_F1 }, { 12, K_F2 },
    { 13, K_F3 }, { 14, K_F4 }, { 15, K_F5 }, { 17, K_F6 }, { 18, K_F7 }, { 19, K_F8 }, { 20, K_F9 }, { 21, K_F10 } };
/* After ESC O: the keypad and function keys of a VT220, and rxvt's arrows with Ctrl. */
static const struct { char final; enum tui_key_code code; char typed; } ss3[] = {
    { 'A', K_UP, 0 }, { 'B', K_DOWN, 0 }, { 'C', K_RIGHT, 0 }, { 'D', K_LEFT, 0 }, { 'H', K_HOME, 0 }, { 'F', K_END, 0 }, { 'P', K_F1, 0 },
    { 'Q', K_F2, 0 }, { 'R', K_F3, 0 }, { 'S', K_F4, 0 }, { 'M', K_ENTER, 0 }, { 'c', K_CTRL_RIGHT, 0 }, { 'd', K_CTRL_LEFT, 0 },
    { 'j', K_CHAR, '*' }, { 'k', K_CHAR, '+' }, { 'm', K_CHAR, '-' }, { 'o', K_CHAR, '/' } };

/* xterm's SGR form (1006) of a mouse report, "<button;column;rowM", from 1. */
static void mouse(const int v[3], int n, tui_key *k)
{
    if (n != 3 || v[1] < 1 || v[2] < 1) return;
    k->x = v[1] - 1;
    k->y = v[2] - 1;
    k->code = v[0] == 64 ? K_WHEEL_UP : v[0] == 65 ? K_WHEEL_DOWN : v[0] == 0 ? K_CLICK : K_NONE;
}

static void csi_key(tui_decode *d, const char *p, size_t n, char final, tui_key *k)
{
    int v[3] = { 0, 0, 0 }, count = n ? 1 : 0;
    bool plain = true;
    if (tui_key_spelled(p, n, final, k)) return;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == ':') {                                  /* an event's kind, "1;1:3A": 3 is a key let go */
            if (i + 1 < n && p[i + 1] == '3') return;
            while (i + 1 < n && p[i + 1] != ';') i++;
            continue;
        }
        if (p[i] >= '0' && p[i] <= '9') { if (count <= 3 && v[count - 1] < 100000) v[count - 1] = v[count - 1] * 10 + (p[i] - '0'); }
        else if (p[i] == ';') { if (++count > 3) return; }
        else if (p[i] != '<' || i) plain = false;
    }
    if (n && p[0] == '<') { if (final == 'M') mouse(v, count, k); return; }
    if (!plain) return;                                     /* "?1;2c" and the like are answers */
    if (final == '~') {
        if (v[0] == 200) { d->pasting = true; d->after_cr = false; d->lost = 0; q_buf_clear(&d->paste); return; }
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) if (numbers[i].number == v[0]) k->code = numbers[i].code;
        return;
    }
    if (final == 'R') { if (!n) k->code = K_F3; return; }   /* with numbers it says where the cursor is */
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (letters[i].final == final) k->code = count > 1 && v[1] > 1 ? letters[i].modified : letters[i].code;
}

/* s: after the introducer. Parameters and intermediates are 0x20 to 0x3F, the final byte 0x40 to 0x7E. */
static int csi(tui_decode *d, const char *s, size_t n, tui_key *k)
{
    if (n && s[0] == '[') {                                 /* the Linux console's F1 to F5: ESC [ [ A */
        if (n < 2) return MORE;
        if (s[1] >= 'A' && s[1] <= 'E') k->code = (enum tui_key_code)(K_F1 + (s[1] - 'A'));
        return 2;
    }
    if (n && s[0] == 'M') return n < 4 ? MORE : 4;          /* X10's mouse: three bytes of any value */
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x40 && c < DEL) { csi_key(d, s, i, (char)c, k); return (int)i + 1; }
        if (c < 0x20 || c >= DEL || i > CSI_MAX) return (int)i;         /* broken off: that byte is another matter */
    }
    return MORE;
}

/* s: inside a string. Returns bytes up to and with its end, MORE when that has not come; *end = it was found. */
static int string(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == BEL) return (int)i + 1;
        if (c == ESC) {
            if (i + 1 == n) return MORE;
            return (int)i + (s[i + 1] == '\\' ? 2 : 0);     /* another sequence breaks it off */
        }
        if (c == 0xC2 && i + 1 < n && (unsigned char)s[i + 1] == 0x9C) return (int)i + 2;
        if (c == CAN || c == SUB) return (int)i + 1;
        if (c == '\r' || c == 3) return (int)i;             /* no answer holds Enter or Ctrl-C: a person is not kept waiting */
    }
    return MORE;
}

enum tui_string tui_string_of(char intro, const char *body, size_t n)
{
    size_t i = 0;
    while (i < n && ((body[i] >= '0' && body[i] <= '9') || (intro == 'P' && body[i] == ';'))) i++;
    switch (intro) {
    case ']':                                               /* "11;rgb:…"; "l" and "L" carry a title and an icon's name */
        if (i == 0 && n && (body[0] == 'l' || body[0] == 'L')) return TUI_STRING_ODD;
        return i == n ? TUI_STRING_BEGUN : i && body[i] == ';' ? TUI_STRING_SURE : TUI_STRING_NOT;
    case 'P':                                               /* "1$r0m", ">|XTerm(390)", "1+r…", "!|00000000" */
        return i == n ? TUI_STRING_BEGUN : strchr("$>+!", body[i]) && body[i] ? TUI_STRING_SURE : TUI_STRING_NOT;
    case '_':                                               /* "Gi=31;OK" */
        if (n == 0 || (body[0] == 'G' && (n == 1 || (n == 2 && body[1] >= 'a' && body[1] <= 'z')))) return TUI_STRING_BEGUN;
        return n > 2 && body[0] == 'G' && body[2] == '=' ? TUI_STRING_SURE : TUI_STRING_ODD;
    default: return n ? TUI_STRING_ODD : TUI_STRING_BEGUN;
    }
}

/* Did it end as a string ends, and not because something else began? */
static bool ended(const char *s, int got)
{
    unsigned char last = got > 0 ? (unsigned char)s[got - 1] : 0;
    return last == BEL || last == CAN || last == SUB || (last == '\\' && got > 1 && s[got - 2] == ESC) || (last == 0x9C && got > 1 && (unsigned char)s[got - 2] == 0xC2);
}

/* What begins a sequence: the byte after ESC, or the C1 control in UTF-8; *len = its bytes. 0: nothing does. */
static char introducer(const char *s, size_t n, size_t *len)
{
    unsigned char c = n > 1 ? (unsigned char)s[1] : 0;
    *len = 2;
    if (n < 2) return 0;
    if ((unsigned char)s[0] == ESC) return strchr("[O]P_^X", s[1]) && s[1] ? s[1] : 0;
    if ((unsigned char)s[0] != 0xC2) return 0;
    return c == 0x9B ? '[' : c == 0x9D ? ']' : c == 0x90 ? 'P' : c == 0x9F ? '_' : c == 0x9E ? '^' : c == 0x98 ? 'X' : 0;
}

/* An answer of the terminal, or a person's chord. typed: a person's key can have begun it (no C1 control). */
static int answer(tui_decode *d, char intro, bool typed, const char *s, size_t n, bool idle)
{
    int got = string(s, n);
    if (got != MORE && ended(s, got)) return got;
    enum tui_string kind = typed ? tui_string_of(intro, s, got == MORE ? n : (size_t)got) : TUI_STRING_SURE;
    if (kind == TUI_STRING_NOT || (kind != TUI_STRING_SURE && (got != MORE || idle || n > STRING_MAX))) return CHORD;
    if (got == MORE && idle) return (int)n;                 /* never ended: dropped */
    if (got == MORE && n > STRING_MAX) { d->swallowing = true; return (int)n - 1; }     /* its last byte may be half of the end */
    return got;
}

static int sequence(tui_decode *d, char intro, const char *s, size_t n, tui_key *k)
{
    if (intro == '[') return csi(d, s, n, k);
    if (intro == 'O') {
        size_t i = 0;
        while (i < n && s[i] >= '0' && s[i] <= '9') i++;    /* a modifier */
        if (i == n) return MORE;
        for (size_t j = 0; j < sizeof ss3 / sizeof *ss3; j++) if (ss3[j].final == s[i]) { k->code = ss3[j].code; k->cp = (uint32_t)ss3[j].typed; }
        if (s[i] >= 'p' && s[i] <= 'y') { k->code = K_CHAR; k->cp = (uint32_t)('0' + (s[i] - 'p')); }
        return (unsigned char)s[i] < 0x20 ? (int)i : (int)i + 1;
    }
    return NOTHING;
}

/* ---- characters ---- */
static size_t utf8_bytes(unsigned char c) { return c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 1; }

static int character(const char *s, size_t n, tui_key *k, bool idle)
{
    size_t want = utf8_bytes((unsigned char)s[0]);
    for (size_t i = 1; i < want && i < n; i++) if (((unsigned char)s[i] & 0xC0) != 0x80) want = i;
    if (n < want && !idle) return MORE;
    uint32_t c;
    int got = q_utf8_next(s, n < want ? n : want, &c);
    k->code = c == '\r' ? K_ENTER : c == '\t' ? K_TAB : c == DEL || c == 8 ? K_BACKSPACE : c == 0 || (c >= 0x80 && c < 0xA0) ? K_NONE : K_CHAR;
    k->cp = c;
    return got;
}

/* ---- pasting ---- */
static void keep(tui_decode *d, char c)
{
    bool line = c == '\r' || (c == '\n' && !d->after_cr);   /* CR, LF and CRLF are one line break */
    bool text = (unsigned char)c >= 0x20 && c != DEL;
    d->after_cr = c == '\r';
    if (!line && !text && c != '\t') return;
    if (d->paste.len >= TUI_PASTE_MAX) { d->lost++; return; }
    q_buf_putc(&d->paste, line ? '\n' : c);
}

static bool give(tui_decode *d, tui_key *k)
{
    if (!d->paste.len) return false;
    size_t whole = q_utf8_whole(d->paste.p, d->paste.len);
    k->lost = d->lost + (d->lost ? d->paste.len - whole : 0);
    if (d->lost) d->paste.p[d->paste.len = whole] = 0;
    d->lost = 0;
    k->code = K_PASTE;
    k->text = q_buf_take(&d->paste);
    return true;
}

/* Up to the end mark. A mark that never comes does not make the program deaf: after a silence what came is given, and a
 * lone Esc or Ctrl-C then ends it. */
static bool pasted(tui_decode *d, tui_key *k, bool idle)
{
    static const char mark[] = "\033[201~";
    const size_t len = sizeof mark - 1;
    while (d->at < d->in.len) {
        const char *s = d->in.p + d->at;
        size_t n = d->in.len - d->at;
        if (*s == 3 && n == 1 && !d->paste.len) { d->at++; d->pasting = false; break; }
        if (*s == ESC) {
            if (n < len && memcmp(s, mark, n) == 0) {
                if (!idle) break;
                if (n == 1) { d->at++; d->pasting = false; break; }
            }
            if (n >= len && memcmp(s, mark, len) == 0) { d->at += len; d->pasting = false; break; }
        }
        keep(d, *s);
        d->at++;
    }
    return !d->pasting || idle ? give(d, k) : false;
}

/* ---- one step ---- */
static int learned(const tui_decode *d, const char *s, size_t n, bool idle, tui_key *k)
{
    bool begun = false;
    for (int i = 0; i < d->n_learned; i++) {
        size_t l = strlen(d->learned[i].seq);
        if (n >= l && memcmp(s, d->learned[i].seq, l) == 0) { k->code = d->learned[i].code; return (int)l; }
        if (n > 1 && n < l && memcmp(s, d->learned[i].seq, n) == 0) begun = true;
    }
    return begun && !idle ? MORE : NOTHING;
}

/* The late rest of an Esc that was taken for the key: a whole answer in one piece up to its own end, as nobody types. What
 * Enter or another sequence breaks off is a person's: "Please go on" begins like a DCS. */
static int late(tui_decode *d, const char *s, size_t n, tui_key *k)
{
    if (!s[0] || !strchr("[]P_^X", s[0]) || n < 3 || (s[0] == '[' && !(s[1] >= '0' && s[1] <= '?'))) return NOTHING;
    if (s[0] == '[') {                                      /* "[1] first" is a person's */
        size_t i = 1;
        while (i < n && s[i] >= 0x20 && s[i] < 0x40) i++;
        bool letter = i < n && (s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'z';
        if (!letter && (i == n || s[i] != '~')) return NOTHING;
        int got = csi(d, s + 1, n - 1, k);
        return got > 0 ? got + 1 : NOTHING;
    }
    int got = string(s + 1, n - 1);
    return got > 0 && ended(s + 1, got) && s[got] != CAN && s[got] != SUB ? got + 1 : NOTHING;
}

static int step(tui_decode *d, const char *s, size_t n, bool idle, tui_key *k)
{
    size_t head;
    int got = NOTHING;
    if (d->lone) {
        d->lone = false;
        if ((got = late(d, s, n, k)) > 0) return got;
    }
    if ((got = learned(d, s, n, idle, k)) != NOTHING) return got;
    char intro = introducer(s, n, &head);
    if (intro) {
        bool control = intro == '[' || intro == 'O';
        got = control ? sequence(d, intro, s + head, n - head, k) : answer(d, intro, (unsigned char)s[0] == ESC, s + head, n - head, idle);
        if (got == CHORD) {                                 /* what follows is read for itself */
            *k = (tui_key){ .code = K_CHAR, .cp = (uint32_t)(unsigned char)intro, .alt = true };
            return (int)head;
        }
        return got != MORE ? (int)head + got : idle ? (int)n : MORE;
    }
    if ((unsigned char)s[0] != ESC) return character(s, n, k, idle);
    if (n == 1 && !idle) return MORE;
    if (n == 1 || s[1] == ESC) { k->code = K_ESC; d->lone = n == 1; return 1; }
    got = character(s + 1, n - 1, k, idle);
    k->alt = true;
    if (k->cp == '\n' && k->code == K_CHAR) k->code = K_ENTER;
    return got == MORE ? MORE : got + 1;
}

/* Nobody types on both sides of an Enter within one reading: a terminal without bracketed paste hands lines in. */
static bool amid(const tui_decode *d)
{
    if (!d->at || d->at + 1 >= d->in.len || d->in.p[d->at] != '\r') return false;
    unsigned char before = (unsigned char)d->in.p[d->at - 1], behind = (unsigned char)d->in.p[d->at + 1];
    return (before >= 0x20 || before == '\r' || before == '\t') && (behind >= 0x20 || behind == '\r' || behind == '\t') && before != DEL && behind != DEL;
}

bool tui_decode_last(const tui_decode *d) { return d->in.len - d->at == 1; }

bool tui_decode_key(tui_decode *d, tui_key *k, bool idle)
{
    memset(k, 0, sizeof *k);
    for (;;) {
        if (d->pasting) {
            if (pasted(d, k, idle)) return true;
            if (d->pasting || d->at == d->in.len) return false;
        }
        if (d->at == d->in.len) return false;
        const char *s = d->in.p + d->at;
        size_t n = d->in.len - d->at;
        if (d->swallowing) {
            int got = string(s, n);
            if (got == MORE && !idle) { d->at += s[n - 1] == ESC ? n - 1 : n; return false; }
            d->swallowing = false;
            d->at += got == MORE ? n : (size_t)got;
            continue;
        }
        int got = step(d, s, n, idle, k);
        if (got == MORE) return false;
        k->amid = k->code == K_ENTER && amid(d);
        d->at += (size_t)got;
        if (k->code != K_NONE) return true;
        memset(k, 0, sizeof *k);
    }
}

int tui_decode_wait(const tui_decode *d)
{
    size_t n = d->in.len - d->at, head;
    if (d->swallowing) return TUI_STRING_MS;
    if (d->pasting) return n || d->paste.len ? REST_MS : -1;
    if (!n) return -1;
    char intro = introducer(d->in.p + d->at, n, &head);
    if (n == 1 && d->in.p[d->at] == ESC) return ESC_MS;
    if (!intro || intro == '[' || intro == 'O') return REST_MS;
    bool odd = d->in.p[d->at] == ESC && tui_string_of(intro, d->in.p + d->at + head, n - head) == TUI_STRING_ODD;
    return odd ? TUI_TYPED_MS : TUI_STRING_MS;
}
