/* term/theme: reading a theme file. Front-end thread, no state of its own; a bad line is an error that names itself,
 * and leaves the rest of the theme in force. */
#include "tui/term/theme.h"

#include <ctype.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ansi_names[16] = { "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white",
    "gray", "bright-red", "bright-green", "bright-yellow", "bright-blue", "bright-magenta", "bright-cyan", "bright-white" };
static const struct { const char *name; unsigned bit; } attrs[] = { { "bold", LOOK_BOLD }, { "dim", LOOK_DIM },
    { "italic", LOOK_ITALIC }, { "underline", LOOK_UNDERLINE }, { "reverse", LOOK_REVERSE } };

static int hex_colour(const char *w)
{
    if (w[0] != '#' || strlen(w) != 7 || strspn(w + 1, "0123456789abcdefABCDEF") != 6) return -2;
    return (int)strtol(w + 1, NULL, 16);
}

/* One of the three alternatives: words. Returns false at a word that means nothing. */
static bool parse_look(char *text, bool rgb, tui_look *l)
{
    *l = (tui_look){ -1, -1, 0 };
    bool on = false;
    char *save = NULL;
    for (char *w = strtok_r(text, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
        int c = -2;
        if (strcmp(w, "on") == 0) { on = true; continue; }
        if (strcmp(w, "default") == 0) c = -1;
        else if (rgb) c = hex_colour(w);
        else for (int i = 0; i < 16; i++) if (strcmp(w, ansi_names[i]) == 0) c = i;
        if (c != -2) {
            if (on) l->bg = c; else l->fg = c;
            on = false;
            continue;
        }
        bool known = false;
        for (size_t i = 0; i < sizeof attrs / sizeof *attrs; i++)
            if (strcmp(w, attrs[i].name) == 0) { l->attr |= attrs[i].bit; known = true; }
        if (!known) return false;
    }
    return true;
}

typedef struct parse { tui_theme *t; char bad[64]; } parse;

static int on_line(void *user, const char *section, const char *name, const char *value)
{
    parse *p = user;
    char copy[160];
    if (strlen(value) >= sizeof copy) goto bad;
    strcpy(copy, value);
    if (strcmp(section, "styles") != 0) {
        if (strcmp(name, "paper") == 0 && hex_colour(copy) >= 0) p->t->paper = hex_colour(copy);
        else if (strcmp(name, "ink") == 0 && hex_colour(copy) >= 0) p->t->ink = hex_colour(copy);
        else goto bad;
        return 1;
    }
    int st = 0;
    while (st < S_N && strcmp(tui_style_name(st), name) != 0) st++;
    if (st == S_N) goto bad;
    char *ansi = strchr(copy, '|'), *mono = NULL;
    if (ansi) { *ansi++ = 0; mono = strchr(ansi, '|'); }
    if (mono) *mono++ = 0;
    tui_look l[3] = { p->t->rgb[st], p->t->ansi[st], p->t->mono[st] };      /* all of a line or nothing of it */
    if (!parse_look(copy, true, &l[0]) || (ansi && !parse_look(ansi, false, &l[1])) || (mono && !parse_look(mono, false, &l[2]))) goto bad;
    p->t->rgb[st] = l[0];
    p->t->ansi[st] = l[1];
    p->t->mono[st] = (tui_look){ -1, -1, l[2].attr };
    return 1;
bad:
    snprintf(p->bad, sizeof p->bad, "%s", name);
    return 0;
}

enum { THEME_MAX = 1 << 20 };

int tui_theme_load(const char *name, tui_theme *t, char *err)
{
    memset(t, 0, sizeof *t);
    for (int i = 0; i < S_N; i++) t->rgb[i] = t->ansi[i] = t->mono[i] = (tui_look){ -1, -1, 0 };
    t->paper = 0x14161b;
    t->ink = 0xd8dee9;
    const char *base = strrchr(name, '/');
    snprintf(t->name, sizeof t->name, "%s", base ? base + 1 : name);
    char *path;
    if (base) path = q_strdup(name);
    else {
        char *rel = q_printf("themes/%s.ini", name);
        path = q_share_path(rel);
        free(rel);
    }
    if (!path && (strcmp(name, "dark") == 0 || strcmp(name, "light") == 0))
        return q_fail(err, Q_NOTFOUND, _("themes/%s.ini is not beside the program: install quorum again"), name);
    if (!path) return q_fail(err, Q_NOTFOUND, _("There is no theme %s: dark, light, or the path of an .ini file."), name);
    parse p = { t, "" };
    q_buf text = { 0 };
    int line = q_read_file(path, &text, THEME_MAX, err) == Q_OK ? ini_parse_string(text.p ? text.p : "", on_line, &p) : -1;
    q_buf_free(&text);
    int rc = line == 0 ? Q_OK
           : line < 0 ? q_fail(err, Q_IO, _("Cannot read the theme %s."), path)
           : q_fail(err, Q_FORMAT, _("Theme %s, line %d: %s is not an element or its colours are not understood."), path, line, p.bad);
    free(path);
    return rc;
}

/* xterm's palette: 6x6x6 cube of levels 0,95,135,175,215,255 from 16, 24 greys 8,18,…,238 from 232. */
int tui_theme_256(int rgb)
{
    static const int level[6] = { 0, 95, 135, 175, 215, 255 };
    int c[3] = { rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255 }, q[3], d = 0, grey, g, dg = 0;
    for (int i = 0; i < 3; i++) {
        q[i] = 0;
        for (int k = 1; k < 6; k++) if (abs(level[k] - c[i]) < abs(level[q[i]] - c[i])) q[i] = k;
        d += (level[q[i]] - c[i]) * (level[q[i]] - c[i]);
    }
    g = (c[0] + c[1] + c[2]) / 3;
    grey = g < 8 ? 0 : g > 238 ? 23 : (g - 8 + 5) / 10;
    if (grey > 23) grey = 23;
    for (int i = 0; i < 3; i++) dg += (8 + 10 * grey - c[i]) * (8 + 10 * grey - c[i]);
    return dg < d ? 232 + grey : 16 + 36 * q[0] + 6 * q[1] + q[2];
}
