/* lab/map: the picture of a configuration: the layers as a column from the embedding down, each with its heads, experts and k;
 * below them how far positions reach. As text of a given width, as SVG, as JSON. Knows a configuration by the text of its
 * knobs alone. Any thread. */
#include "base/say.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FREE, BANNED, PINNED, MOST = 1 << 22 /* cells of a grid: no model has as many */ };

typedef struct layer { int k, width, window, n_ban, n_pin, n_off; bool moe, recurrent; const uint8_t *bent, *off; } layer;
typedef struct map {
    const lab_map *of;
    layer *layer;
    uint8_t *bent, *off;                 /* [n_layer][n_expert], [n_layer][n_head] */
    int window;                          /* tokens that sliding layers see; 0: there are none */
    double context, reach;               /* tokens; reach 0: not known */
    char rope[256];                      /* how positions are made, in words */
    char beyond[160];                    /* and how far they reach */
} map;

/* ---- what the knobs say ---- */
static double number_of(const lab_map *of, const char *knob)
{
    q_buf b = { 0 };
    double v = strtod(of->value(of->user, knob, &b), NULL);
    q_buf_free(&b);
    return v;
}

/* One number for all layers, or one a layer. */
static void ints(const lab_map *of, const char *knob, int *to)
{
    q_buf b = { 0 };
    const char *p = of->value(of->user, knob, &b);
    for (int l = 0; l < of->n_layer; l++) {
        to[l] = atoi(p);
        p = strchr(p, ',') ? strchr(p, ',') + 1 : p;
    }
    q_buf_free(&b);
}

/* "5:0,5:3": marks cells of [n_layer][n]. */
static void pairs(const lab_map *of, const char *knob, int n, uint8_t mark, uint8_t *to)
{
    q_buf b = { 0 };
    for (const char *p = of->value(of->user, knob, &b); *p; p += strcspn(p, ","), p += *p == ',') {
        char *colon;
        long l = strtol(p, &colon, 10), e = *colon == ':' && colon > p ? strtol(colon + 1, NULL, 10) : -1;
        if (l >= 0 && l < of->n_layer && e >= 0 && e < n)
            to[(size_t)l * (size_t)n + (size_t)e] = mark;
    }
    q_buf_free(&b);
}

static void positions(map *m)
{
    const lab_map *of = m->of;
    q_buf a = { 0 }, b = { 0 }, c = { 0 };
    const char *scaling = of->value(of->user, "rope.scaling", &a), *theta = of->value(of->user, "rope.theta", &b), *own = of->own(of->user, "rope.theta", &c);
    bool scaled = strcmp(scaling, "none") != 0 && *scaling, other = strcmp(theta, own) != 0;
    double factor = number_of(of, "rope.factor"), original = number_of(of, "rope.original_context");
    m->context = number_of(of, "context.length");
    m->reach = other ? 0 : scaled ? (original > 0 ? original : of->ctx_train) * factor : of->ctx_train;
    if (scaled)
        snprintf(m->rope, sizeof m->rope, _("rope: theta %s, %s x%g of %.0f"), theta, scaling, factor, original > 0 ? original : (double)of->ctx_train);
    else if (other)
        snprintf(m->rope, sizeof m->rope, _("rope: theta %s (own %s)"), theta, own);
    else
        snprintf(m->rope, sizeof m->rope, _("rope: theta %s"), theta);
    if (m->reach <= 0)
        snprintf(m->beyond, sizeof m->beyond, _("how far positions reach is not known; context.length %.0f"), m->context);
    else if (m->context > m->reach)
        snprintf(m->beyond, sizeof m->beyond, _("positions reach %.0f tokens; context.length %.0f is beyond them"), m->reach, m->context);
    else
        snprintf(m->beyond, sizeof m->beyond, _("positions reach %.0f tokens; context.length %.0f"), m->reach, m->context);
    q_buf_free(&a);
    q_buf_free(&b);
    q_buf_free(&c);
}

static bool build(map *m, const lab_map *of)
{
    size_t L = (size_t)(of->n_layer > 0 ? of->n_layer : 0), N = (size_t)of->n_expert, H = (size_t)of->n_head;
    *m = (map){ .of = of };
    if (!L || L * N > MOST || L * H > MOST)
        return false;
    int *k = q_alloc(sizeof *k * L), *width = q_alloc(sizeof *width * L);
    m->layer = q_alloc(sizeof *m->layer * L);
    m->bent = q_alloc(L * N + 1);
    m->off = q_alloc(L * H + 1);
    ints(of, "experts.k", k);
    ints(of, "ffn.width", width);
    pairs(of, "experts.pin", of->n_expert, PINNED, m->bent);
    pairs(of, "experts.ban", of->n_expert, BANNED, m->bent);     /* a ban is stronger */
    pairs(of, "attention.heads_off", of->n_head, 1, m->off);
    for (size_t l = 0; l < L; l++) {
        layer *y = &m->layer[l];
        *y = (layer){ .k = k[l], .width = width[l], .moe = (int)l >= of->first && (int)l < of->first + of->n_moe, .recurrent = of->recurrent && of->recurrent[l],
                      .window = of->window ? of->window[l] : 0, .bent = m->bent + l * N, .off = m->off + l * H };
        m->window = y->window > m->window ? y->window : m->window;
        for (size_t e = 0; e < N; e++) {
            y->n_ban += y->bent[e] == BANNED;
            y->n_pin += y->bent[e] == PINNED;
        }
        for (size_t h = 0; h < H; h++)
            y->n_off += y->off[h];
        if (y->moe && y->k > of->n_expert - y->n_ban)
            y->k = of->n_expert - y->n_ban;
    }
    positions(m);
    free(k);
    free(width);
    return true;
}

static void unbuild(map *m)
{
    free(m->layer);
    free(m->bent);
    free(m->off);
}

/* ---- text ---- */
static int cells(const char *s)          /* what is written here is one cell a code point, names are clean text */
{
    return q_utf8_points(s);
}

/* s in lines of w cells at most, parted at blanks where there are some. */
static void wrapped(q_buf *out, const char *s, int w)
{
    while (*s) {
        const char *end = s, *blank = NULL;
        int n = 0;
        while (*end && n < w) {
            if (*end == ' ' && end > s)
                blank = end;
            end++;
            while (((unsigned char)*end & 0xC0) == 0x80)
                end++;
            n++;
        }
        if (*end && *end != ' ' && blank)
            end = blank;
        q_buf_add(out, s, (size_t)(end - s));
        q_buf_putc(out, '\n');
        for (s = end; *s == ' ';)
            s++;
    }
}

typedef struct form { int w, head, experts; bool strip; } form;  /* cells of the parts; head 0: none, experts 0: none */
enum { NUMBER = 4, LEAST_LIST = 4 };

static void k_of(const map *m, const layer *y, char out[32])
{
    int n = !y->moe ? snprintf(out, 32, "%s", _("dense")) : snprintf(out, 32, "k %d", y->k);
    if (y->width && n > 0 && n < 20)
        snprintf(out + n, (size_t)(32 - n), " w%d", y->width);
}

/* Of the longest list of a layer. */
static int list_cells(const map *m)
{
    int most = 0;
    for (int l = 0; l < m->of->n_layer; l++) {
        int n = 0;
        for (int e = 0; e < m->of->n_expert && m->layer[l].moe; e++)
            n += m->layer[l].bent[e] ? snprintf(NULL, 0, " P%d", e) : 0;
        most = n - 1 > most ? n - 1 : most;
    }
    return most && most < LEAST_LIST ? LEAST_LIST : most;
}

static form form_of(const map *m, int columns)
{
    int kw = 0, H = m->of->n_head, N = m->of->n_expert;
    char k[32];
    for (int l = 0; l < m->of->n_layer; l++) {
        k_of(m, &m->layer[l], k);
        kw = cells(k) > kw ? cells(k) : kw;
    }
    form f = { .w = columns };
    int room = columns - NUMBER - 1 - kw - 1;
    f.strip = N > 0 && H + 1 + N <= room;
    f.head = H == 0 ? 0 : f.strip || H + 1 + (N ? LEAST_LIST * 2 : 0) <= room ? H : snprintf(k, sizeof k, "%d/%d", H, H);
    if (f.head > room)
        f.head = 0;
    int longest = N == 0 ? 0 : f.strip ? N : list_cells(m), left = room - f.head - 1;
    f.experts = longest < left ? longest : left;
    if (f.experts < LEAST_LIST)
        f.experts = 0;
    return f;
}

/* "×3 ×17 P68 +2" in w cells. */
static void listed(const map *m, const layer *y, int w, q_buf *out)
{
    int used = 0, left = y->n_ban + y->n_pin;
    for (int e = 0; e < m->of->n_expert && left > 0; e++) {
        char one[24], rest[24] = "";
        if (y->bent[e] == FREE)
            continue;
        snprintf(one, sizeof one, "%s%s%d", used ? " " : "", y->bent[e] == BANNED ? "×" : "P", e);
        if (left > 1)
            snprintf(rest, sizeof rest, " +%d", left - 1);
        if (used + cells(one) + cells(rest) > w) {
            snprintf(rest, sizeof rest, "%s+%d", used ? " " : "", left);
            q_buf_puts(out, rest);
            used += cells(rest);
            break;
        }
        q_buf_puts(out, one);
        used += cells(one);
        left--;
    }
    q_buf_printf(out, "%*s", w > used ? w - used : 0, "");
}

static void row(const map *m, int l, const form *f, q_buf *out)
{
    const layer *y = &m->layer[l];
    char k[32], n[24];
    q_buf_printf(out, "%3d%s", l, y->window && f->head != m->of->n_head ? "◐" : " ");
    if (f->head && y->recurrent && f->head == m->of->n_head)
        for (int h = 0; h < f->head; h++)
            q_buf_putc(out, '~');
    else if (f->head && y->recurrent)
        q_buf_printf(out, "%*s", f->head, "~");
    else if (f->head && f->head == m->of->n_head)
        for (int h = 0; h < m->of->n_head; h++)
            q_buf_puts(out, y->off[h] ? "○" : y->window ? "◐" : "●");
    else if (f->head) {
        snprintf(n, sizeof n, "%d/%d", m->of->n_head - y->n_off, m->of->n_head);
        q_buf_printf(out, "%*s", f->head, n);
    }
    q_buf_puts(out, f->head ? " " : "");
    if (f->experts && !y->moe)
        q_buf_printf(out, "%*s", f->experts, "");
    else if (f->experts && f->strip)
        for (int e = 0; e < m->of->n_expert; e++)
            q_buf_puts(out, y->bent[e] == BANNED ? "×" : y->bent[e] == PINNED ? "P" : "·");
    else if (f->experts)
        listed(m, y, f->experts, out);
    k_of(m, y, k);
    q_buf_printf(out, "%s%s\n", f->experts ? " " : "", k);
}

static void reach_bar(const map *m, int columns, q_buf *out)
{
    int w = columns - 2 > 60 ? 60 : columns - 2;
    double share = m->reach > 0 ? m->context / m->reach : 0;
    if (m->reach <= 0)
        return;
    int n = share > 1 ? w : (int)(share * w + .5);
    q_buf_puts(out, "▕");
    for (int i = 0; i < w; i++)
        q_buf_puts(out, i < n ? "█" : "░");
    q_buf_puts(out, share > 1 ? "▏!\n" : "▏\n");
}

static char *title_of(const lab_map *of) { return q_printf("%s · %s", of->name, *of->label ? of->label : "standard"); }

/* Of attention that differs, in words. */
static void sliding(const map *m, q_buf *out)
{
    if (m->window)
        q_buf_say(out, ngettext("◐ sees the last %d token only   ", "◐ sees the last %d tokens only   ", (unsigned long)m->window), m->window);
    if (m->of->sinks)
        q_buf_puts(out, _("attention has sinks   "));
}

void lab_map_text(const lab_map *of, int columns, q_buf *out)
{
    map m;
    columns = columns < 30 ? 30 : columns > 300 ? 300 : columns;
    char *title = title_of(of);
    q_buf_puts(out, "");
    wrapped(out, title, columns);
    free(title);
    if (build(&m, of)) {
        form f = form_of(&m, columns);
        q_buf legend = { 0 };
        q_buf_puts(&legend, f.head == of->n_head && f.head ? _("● head on  ○ off   ") : f.head ? _("heads on/all   ") : "");
        q_buf_puts(&legend, of->recurrent && f.head ? _("~ recurrent: a state, no heads   ") : "");
        sliding(&m, &legend);
        q_buf_puts(&legend, f.strip ? _("· expert  × banned  P pinned") : of->n_expert ? _("× banned  P pinned") : "");
        wrapped(out, legend.p ? legend.p : "", columns);
        q_buf_free(&legend);
        for (int l = 0; l < of->n_layer; l++)
            row(&m, l, &f, out);
        wrapped(out, m.rope, columns);
        wrapped(out, m.beyond, columns);
        reach_bar(&m, columns - 1, out);
    }
    unbuild(&m);
}

/* ---- SVG ---- */
static void label(q_buf *b, int x, int y, const char *s)
{
    q_buf_printf(b, "<text x=\"%d\" y=\"%d\">", x, y);
    q_say_xml(b, s);
    q_buf_puts(b, "</text>\n");
}

enum { PITCH = 14, HEAD = 11, EXPERT = 9, LEFT = 44, TOP = 52, BAR = 480 };

static void svg_row(const map *m, int l, q_buf *b)
{
    const layer *y = &m->layer[l];
    int at = TOP + l * PITCH, x = LEFT, H = m->of->n_head, N = m->of->n_expert;
    char s[32];
    snprintf(s, sizeof s, "%d", l);
    label(b, 16, at + 9, s);
    if (y->recurrent && H)
        q_buf_printf(b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"8\" rx=\"4\" class=\"state\"/>\n", x + 1, at + 1, H * HEAD - 3);
    for (int h = 0; h < H; h++, x += HEAD)
        if (!y->recurrent)
            q_buf_printf(b, "<circle cx=\"%d\" cy=\"%d\" r=\"4\" class=\"%s\"/>\n", x + 5, at + 5, y->off[h] ? "off" : y->window ? "near" : "on");
    x += H ? HEAD : 0;
    for (int e = 0; e < N; e++, x += EXPERT)
        if (y->moe)
            q_buf_printf(b, "<rect x=\"%d\" y=\"%d\" width=\"7\" height=\"10\" class=\"%s\"/>\n", x, at,
                         y->bent[e] == BANNED ? "ban" : y->bent[e] == PINNED ? "pin" : "free");
    k_of(m, y, s);
    label(b, x + 8, at + 9, s);
}

void lab_map_svg(const lab_map *of, q_buf *b)
{
    map m;
    bool good = build(&m, of);
    int rows = good ? of->n_layer : 0, w = LEFT + of->n_head * HEAD + HEAD + of->n_expert * EXPERT + 110, h = TOP + rows * PITCH + 74;
    w = w < BAR + 2 * LEFT ? BAR + 2 * LEFT : w;
    q_buf_printf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"DejaVu Sans,Helvetica,Arial,sans-serif\" "
                 "font-size=\"11\">\n<style>.on{fill:#3b5b92}.off{fill:none;stroke:#c2554a}.state{fill:#8d6cab}.free{fill:#c9d2dc}.ban{fill:#c2554a}.pin{fill:#2f8f5b}"
                 ".near{fill:#b9c8e2;stroke:#3b5b92}.bar{fill:#dde3ea}.used{fill:#3b5b92}text{fill:#222}</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", w, h, w, h);
    char *title = title_of(of);
    label(b, 16, 20, title);
    free(title);
    label(b, 16, 38, of->recurrent ? _("blue: head on, ring: off, violet: a recurrent layer's state; grey: expert, red: banned, green: pinned")
                                   : _("blue: head on, ring: off; grey: expert, red: banned, green: pinned"));
    for (int l = 0; l < rows; l++)
        svg_row(&m, l, b);
    int y = TOP + rows * PITCH + 14;
    if (good) {
        label(b, 16, y, m.rope);
        label(b, 16, y + 16, m.beyond);
    }
    if (good && (m.window || of->sinks)) {
        q_buf said = { 0 };
        if (m.window)
            q_buf_say(&said, ngettext("light blue: a head that sees the last %d token only   ", "light blue: a head that sees the last %d tokens only   ", (unsigned long)m.window), m.window);
        q_buf_puts(&said, of->sinks ? _("attention has sinks   ") : "");
        label(b, 16, y + 50, said.p);
        q_buf_free(&said);
    }
    if (good && m.reach > 0) {
        double share = m.context / m.reach > 1 ? 1 : m.context / m.reach;
        q_buf_printf(b, "<rect x=\"16\" y=\"%d\" width=\"%d\" height=\"10\" class=\"bar\"/>\n<rect x=\"16\" y=\"%d\" width=\"%d\" height=\"10\" class=\"used\"/>\n", y + 24, BAR,
                     y + 24, (int)(share * BAR + .5));
    }
    q_buf_puts(b, "</svg>\n");
    unbuild(&m);
}

/* ---- JSON ---- */
static void ids(cJSON *o, const char *key, const uint8_t *cell, int n, uint8_t mark)
{
    cJSON *list = cJSON_AddArrayToObject(o, key);
    for (int i = 0; i < n; i++)
        if (cell[i] == mark)
            cJSON_AddItemToArray(list, cJSON_CreateNumber(i));
}

void lab_map_json(const lab_map *of, q_buf *out)
{
    map m;
    bool good = build(&m, of);
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "model", of->name);
    cJSON_AddStringToObject(j, "configuration", of->label);
    cJSON_AddNumberToObject(j, "heads", of->n_head);
    cJSON_AddNumberToObject(j, "experts", of->n_expert);
    cJSON_AddBoolToObject(j, "sinks", of->sinks);
    cJSON *rows = cJSON_AddArrayToObject(j, "layers");
    for (int l = 0; l < of->n_layer && good; l++) {
        const layer *y = &m.layer[l];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "layer", l);
        cJSON_AddBoolToObject(o, "recurrent", y->recurrent);
        cJSON_AddNumberToObject(o, "window", y->window);
        cJSON_AddNumberToObject(o, "k", y->moe ? y->k : 0);
        cJSON_AddNumberToObject(o, "width", y->width);
        ids(o, "banned", y->bent, of->n_expert, BANNED);
        ids(o, "pinned", y->bent, of->n_expert, PINNED);
        ids(o, "heads_off", y->off, of->n_head, 1);
        cJSON_AddItemToArray(rows, o);
    }
    cJSON *p = cJSON_AddObjectToObject(j, "positions");
    cJSON_AddNumberToObject(p, "context", m.context);
    if (m.reach > 0)
        cJSON_AddNumberToObject(p, "reach", m.reach);
    else
        cJSON_AddNullToObject(p, "reach");
    char *s = cJSON_Print(j);
    q_buf_puts(out, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
    unbuild(&m);
}
