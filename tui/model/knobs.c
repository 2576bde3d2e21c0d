/* model/knobs: the rows of the panel of knobs: the joined table by groups that fold, narrowed by a filter. Front-end
 * thread; reads names and helps alone and sets nothing. */
#include "tui/model/app.h"
#include "tui/term/text.h"

#include <stdlib.h>
#include <string.h>

/* Names that begin so, comma-separated; what is nowhere stands in the last group. */
static const struct { const char *title, *begins; } group[TUI_KNOB_GROUPS] = {
    { N_("experts and heads"), "experts.,attention.,ffn." }, { N_("positions"), "rope." }, { N_("norms"), "norm." },
    { N_("cache and threads"), "context.,kv.,state.,threads" }, { N_("sampler"), "sampler." }, { N_("thinking and system text"), "think,chat." },
    { N_("memory"), "memory." }, { N_("interface"), "ui." }, { N_("fixed by the weights"), "model." } };

const char *tui_knobs_title(int g) { return _(group[g].title); }

int tui_knobs_group(const q_knob *k)
{
    for (int g = 0; g < TUI_KNOB_GROUPS; g++)
        for (const char *p = group[g].begins; *p;) {
            size_t n = strcspn(p, ",");
            if (strncmp(k->name, p, n) == 0) return g;
            p += n + (p[n] == ',');
        }
    return TUI_KNOB_GROUPS - 1;
}

static uint32_t small(uint32_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 0x410 && c <= 0x42F) ? c + 32 : c == 0x401 ? 0x451 : c;
}

/* In small letters; keys: each letter as the key that it stands on, whatever the layout. malloc'ed. */
static char *folded(const char *s, bool keys)
{
    q_buf b = {0};
    q_buf_puts(&b, "");
    for (size_t n = strlen(s), i = 0; i < n;) {
        uint32_t c;
        char u[4];
        i += (size_t)q_utf8_next(s + i, n - i, &c);
        q_buf_add(&b, u, (size_t)q_utf8_put(u, small(keys ? tui_key_latin(c) : c)));
    }
    return q_buf_take(&b);
}

static bool has(const char *text, const char *what)
{
    char *t = folded(text, false);
    bool yes = strstr(t, what) != NULL;
    free(t);
    return yes;
}

/* By its name, config.json's names and its help; the names on either layout. */
static bool wanted(const q_knob *k, const char *typed, const char *keys)
{
    const char *aka = k->aka ? k->aka : "", *help = k->help && *k->help ? _(k->help) : "";
    return has(k->name, typed) || has(k->name, keys) || has(aka, typed) || has(aka, keys) || has(help, typed);
}

static void add(tui_knobs *k, int row)
{
    if (k->n == k->cap) {
        k->cap = k->cap ? k->cap * 2 : 64;
        k->row = q_realloc(k->row, sizeof *k->row * (size_t)k->cap);
    }
    k->row[k->n++] = row;
}

void tui_knobs_rows(tui_app *app)
{
    tui_knobs *r = &app->knobs;
    char *typed = folded(r->filter, false), *keys = folded(r->filter, true);
    r->n = r->found = 0;
    for (int g = 0; g < TUI_KNOB_GROUPS; g++) {
        bool head = false;
        for (int i = 0; i < agt_knob_count(app->a); i++) {
            const q_knob *k = agt_knob(app->a, i);
            if (tui_knobs_group(k) != g || (*typed && !wanted(k, typed, keys))) continue;
            if (!head) add(r, -1 - g);
            head = true;
            r->found++;
            if (*typed || !(r->folded & 1u << g)) add(r, i);
        }
    }
    free(typed);
    free(keys);
}

/* Where this row stands now; where it does not: the first knob. */
static int place(const tui_knobs *r, int row)
{
    for (int i = 0; i < r->n; i++) if (r->row[i] == row) return i;
    return r->n > 1 ? 1 : 0;
}

void tui_knobs_filter(tui_app *app, int *sel, const char *text)
{
    tui_knobs *r = &app->knobs;
    int row = *sel < r->n ? r->row[*sel] : 0;
    size_t n = strlen(text) < sizeof r->filter ? strlen(text) : q_utf8_whole(text, sizeof r->filter - 1);
    memmove(r->filter, text, n);
    r->filter[n] = 0;
    tui_knobs_rows(app);
    *sel = place(r, *r->filter && row < 0 ? 0 : row);
    if (*sel < r->n && r->row[*sel] < 0 && *r->filter) ++*sel;
}

void tui_knobs_fold(tui_app *app, int *sel, int g, bool fold)
{
    tui_knobs *r = &app->knobs;
    if (*r->filter) return;              /* all that was found is open */
    r->folded = fold ? r->folded | 1u << g : r->folded & ~(1u << g);
    tui_knobs_rows(app);
    *sel = place(r, -1 - g);
}
