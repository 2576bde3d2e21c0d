/* model/keys: what a key means to a list: letters of either layout, steps of arrows. Pure. */
#include "tui/model/app.h"

uint32_t tui_key_letter(const tui_key *k) { return k->code == K_CHAR ? tui_key_latin(k->cp) : 0; }

int tui_key_step(const tui_key *k, int page)
{
    uint32_t c = tui_key_letter(k);
    return k->code == K_UP || c == 'k' ? -1 : k->code == K_DOWN || c == 'j' ? 1 : k->code == K_PGUP ? -page : k->code == K_PGDN ? page
         : k->code == K_END || (k->code == K_CHAR && (k->cp == 'G' || k->cp == 0x41F /* П */)) ? 100000 : k->code == K_HOME || c == 'g' ? -100000 : 0;
}

void tui_move(int *sel, int by, int n)
{
    *sel += by;
    if (*sel >= n) *sel = n - 1;
    if (*sel < 0) *sel = 0;
}
