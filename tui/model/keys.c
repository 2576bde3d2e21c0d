/* model/keys: what a key means to a list: letters of either layout, steps of arrows. Pure. */
#include "tui/model/app.h"

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

uint32_t tui_key_letter(const tui_key *k) { return k->code == K_CHAR ? tui_key_latin(k->cp) : 0; }

int tui_key_step(const tui_key *k, int page)
{
    uint32_t c = tui_key_letter(k);
    return k->code == K_UP || c == 'k' ? -1 : k->code == K_DOWN || c == 'j' ? 1 : k->code == K_PGUP ? -page : k->code == K_PGDN ? page
         : k->code == K_HOME || c == 'g' ? -100000 : k->code == K_END || (k->code == K_CHAR && k->cp == 'G') ? 100000 : 0;
}

void tui_move(int *sel, int by, int n)
{
    *sel += by;
    if (*sel >= n) *sel = n - 1;
    if (*sel < 0) *sel = 0;
}
