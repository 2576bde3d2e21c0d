/* tui/mo: a catalogue of translations as msgfmt writes it (GNU gettext manual, "The Format of GNU MO Files"), read by
 * ourselves, because the C library's reader translates nothing where the locale is C.UTF-8 (glibc from 2.41 on). Every
 * offset is checked when it is opened. Constant once opened: any thread. */
#ifndef TUI_MO_H
#define TUI_MO_H

#include "base/base.h"

typedef struct tui_mo tui_mo;

tui_mo *tui_mo_read(const void *bytes, size_t n);           /* copies; NULL: not a catalogue, or a broken one */
tui_mo *tui_mo_open(const char *path);                      /* the same, from a file */
void tui_mo_free(tui_mo *);
const char *tui_mo_find(const tui_mo *, const char *id);    /* NULL: not translated */
/* The form for n of a text with plural forms, by the catalogue's own rule. */
const char *tui_mo_plural(const tui_mo *, const char *id, unsigned long n);

#endif
