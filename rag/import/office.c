/* rag/import/office: DOCX (ECMA-376), ODT (OpenDocument 1.2) and EPUB (3.2) as Markdown. Each is a zip that is
 * looked through once for each kind of name; unpack_document bounds what comes out, ALL_MAX what becomes of a book. Pure function; any
 * thread. */
#include "rag/import/office.h"

#include "rag/charset.h"
#include "rag/import/markup.h"
#include "rag/import/prose.h"
#include "rag/import/unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ALL_MAX = 64 << 20, STYLES_MAX = 256, ITEMS_MAX = 4000, PATH_SIZE = 512 };

/* ---- members ---- */
typedef struct part { const char *name; q_buf b; bool there; } part;

static int by_name(const void *a, const void *b) { return strcmp((*(const part *const *)a)->name, (*(const part *const *)b)->name); }

/* One look through the archive for the parts that are named, each once. What cannot be read stays empty: *why is the last reason; `most` is
 * what may still come out of the whole document. */
static void take_parts(const char *p, size_t n, part *v, int parts, uint64_t *most, enum read_why *why)
{
    unpack_limits l = unpack_document;
    l.all = *most;
    unpack *u = unpack_open(-1, p, n, &l, why);
    part **sorted = q_alloc(sizeof *sorted * (size_t)(parts + 1));
    char *piece = q_alloc(WIRE_PIECE);
    const char *name;
    for (int i = 0; i < parts; i++) sorted[i] = &v[i];
    if (parts) qsort(sorted, (size_t)parts, sizeof *sorted, by_name);
    enum read_why end = READ_END;
    while (u && (name = unpack_next(u, &end)) != NULL) {
        part key = {.name = name}, *k = &key, **at = bsearch(&k, sorted, (size_t)parts, sizeof *sorted, by_name);
        size_t got;
        if (!at || (*at)->there) continue;
        (*at)->there = true;
        while ((got = unpack_read(u, piece, WIRE_PIECE, &end)) > 0) {
            q_buf_add(&(*at)->b, piece, got);
            *most -= got < *most ? got : *most;
        }
        if (!end) continue;
        *why = end;
        q_buf_clear(&(*at)->b);
    }
    if (end) *why = end;
    free(piece);
    free(sorted);
    unpack_free(u);
}

static const char *local(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon ? colon + 1 : name;
}

static bool is(const markup *m, const char *name) { return strcmp(m->name, name) == 0; }

/* ---- DOCX ---- */
struct styles { char id[STYLES_MAX][40]; int level[STYLES_MAX]; int n; };

/* Which styles are headings: by their names in English, whatever the language of their ids. */
static void read_styles(const char *p, size_t n, struct styles *s)
{
    markup m;
    char id[40] = "", value[64];
    markup_open(&m, p, n);
    while (markup_next(&m)) {
        if (m.kind != MARKUP_OPEN) continue;
        if (is(&m, "w:style") && !markup_attribute(&m, "w:styleId", id, sizeof id)) *id = 0;
        if (!is(&m, "w:name") || !*id || s->n == STYLES_MAX || !markup_attribute(&m, "w:val", value, sizeof value)) continue;
        int level = strncasecmp(value, "heading ", 8) == 0 ? atoi(value + 8) : strcasecmp(value, "title") == 0 ? 1 : 0;
        if (level < 1 || level > 9) continue;
        memcpy(s->id[s->n], id, sizeof id);
        s->level[s->n++] = level > 6 ? 6 : level;
    }
    markup_close(&m);
}

static int level_of(const struct styles *s, const char *id)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->id[i], id) == 0) return s->level[i];
    return strncmp(id, "Heading", 7) == 0 && id[7] >= '1' && id[7] <= '6' && !id[8] ? id[7] - '0' : 0;
}

/* Left out: what an older program would show in place of what stands beside it, and words at the place that they were moved from. */
static bool docx_dropped(const char *name) { return strcmp(name, "mc:Fallback") == 0 || strcmp(name, "w:moveFrom") == 0; }

/* Footnotes or endnotes, by the id that the text refers to them with. */
struct note { char id[16]; size_t at, n; };
struct notes { struct note *v; int n, cap, last; q_buf text; };

static void read_notes(const char *p, size_t n, struct notes *notes)
{
    markup m;
    struct note *now = NULL;
    bool text = false;
    markup_open(&m, p, n);
    while (markup_next(&m)) {
        bool open = m.kind == MARKUP_OPEN;
        if (m.kind == MARKUP_WORDS) {
            if (text && now) q_buf_add(&notes->text, m.words, m.n_words);
        } else if (is(&m, "w:footnote") || is(&m, "w:endnote")) {
            if (now) now->n = notes->text.len - now->at;
            now = NULL;
            if (!open || m.empty) continue;
            if (notes->n == notes->cap) notes->v = q_realloc(notes->v, sizeof *notes->v * (size_t)(notes->cap = notes->cap ? notes->cap * 2 : 16));
            now = &notes->v[notes->n++];
            *now = (struct note){.at = notes->text.len};
            if (!markup_attribute(&m, "w:id", now->id, sizeof now->id)) *now->id = 0;
        } else if (is(&m, "w:t")) text = open && !m.empty;
        else if (open ? is(&m, "w:tab") || is(&m, "w:br") : is(&m, "w:p")) q_buf_putc(&notes->text, ' ');
    }
    if (now) now->n = notes->text.len - now->at;
    markup_close(&m);
}

/* The note of an id; they are mostly asked for in order. */
static const struct note *note_of(struct notes *notes, const char *id)
{
    for (int i = 1; i <= notes->n; i++) {
        int k = (notes->last + i) % notes->n;
        if (strcmp(notes->v[k].id, id) == 0) return &notes->v[notes->last = k];
    }
    return NULL;
}

/* The paragraph ends, and what it held beside its line (notes) stands below it. */
static void end_with(prose *t, q_buf *beside)
{
    size_t words = t->line.p ? strspn(t->line.p, " |\n") : 0;
    if (words == t->line.len) q_buf_clear(&t->line);    /* a row of empty cells */
    prose_end(t);
    if (beside->len) q_buf_add(t->out, beside->p, beside->len);
    q_buf_clear(beside);
}

static void refer(const markup *m, struct notes *notes, q_buf *beside)
{
    char id[16];
    const struct note *x = markup_attribute(m, "w:id", id, sizeof id) ? note_of(notes, id) : NULL;
    if (!x) return;
    prose t = {.out = beside};
    prose_words(&t, notes->text.p + x->at, x->n, false);
    prose_end(&t);
    q_buf_free(&t.line);
}

static void docx(const char *p, size_t n, const struct styles *s, struct notes notes[2], q_buf *out)
{
    markup m;
    prose t = {.out = out};
    bool text = false;
    char id[40];
    int cells = 0, in_row = 0, dropped = 0;
    q_buf beside = {0};
    markup_open(&m, p, n);
    while (markup_next(&m)) {
        bool open = m.kind == MARKUP_OPEN, close = m.kind == MARKUP_CLOSE;
        if (m.kind != MARKUP_WORDS && docx_dropped(m.name)) dropped += open ? !m.empty : -(dropped > 0);
        else if (dropped) continue;
        else if (m.kind == MARKUP_WORDS) {
            if (text) prose_words(&t, m.words, m.n_words, true);
        } else if (is(&m, "w:t")) text = open && !m.empty;
        else if (open && (is(&m, "w:tab") || is(&m, "w:ptab") || is(&m, "w:txbxContent"))) prose_words(&t, " ", 1, true);
        else if (open && is(&m, "w:noBreakHyphen")) prose_words(&t, "-", 1, true);
        else if (open && (is(&m, "w:br") || is(&m, "w:cr"))) prose_words(&t, "\n", 1, true);
        else if (open && is(&m, "w:footnoteReference")) refer(&m, &notes[0], &beside);
        else if (open && is(&m, "w:endnoteReference")) refer(&m, &notes[1], &beside);
        else if (open && is(&m, "w:pStyle") && markup_attribute(&m, "w:val", id, sizeof id)) t.level = cells ? 0 : level_of(s, id);
        else if (open && is(&m, "w:numPr") && !t.level) t.item = !cells;
        else if (is(&m, "w:tc") && !m.empty) {
            if (open && (cells ? t.line.len > 0 : in_row++ > 0)) prose_words(&t, " | ", 3, true);
            cells += open ? 1 : -(cells > 0);
        } else if (close && is(&m, "w:p")) {
            if (cells) prose_words(&t, " ", 1, false);
            else end_with(&t, &beside);
        } else if (close && is(&m, "w:tr") && cells == 0) {
            end_with(&t, &beside);
            in_row = 0;
        }
    }
    markup_close(&m);
    end_with(&t, &beside);
    q_buf_free(&t.line);
    q_buf_free(&beside);
}

/* ---- ODT ---- */
/* What of a page is beside its text: a note, a box. It is gathered by itself and stands below the paragraph that it hangs on. */
static bool odt_aside(const char *name) { return strcmp(name, "note-body") == 0 || strcmp(name, "text-box") == 0; }

static bool odt_dropped(const char *name)
{
    static const char *const dropped[] = {"annotation", "tracked-changes", "settings", "font-face-decls", "automatic-styles", "forms", "note-citation"};
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
        if (strcmp(name, dropped[i]) == 0) return true;
    return false;
}

static void odt(const char *p, size_t n, q_buf *out)
{
    markup m;
    q_buf beside = {0};
    prose body = {.out = out}, by = {.out = &beside}, *t = &body;
    char value[16], drop[32] = "";
    int depth = 0, cells = 0, inside = 0, aside = 0, in_row = 0;
    markup_open(&m, p, n);
    while (markup_next(&m)) {
        const char *name = local(m.name);
        bool open = m.kind == MARKUP_OPEN && !m.empty, close = m.kind == MARKUP_CLOSE, alone = m.kind == MARKUP_OPEN && m.empty;
        t = aside ? &by : &body;
        if (depth) {
            if (m.kind != MARKUP_WORDS && strcmp(name, drop) == 0) depth += open ? 1 : close ? -1 : 0;
        } else if (open && odt_dropped(name)) {
            depth = 1;
            snprintf(drop, sizeof drop, "%s", name);
        } else if (m.kind == MARKUP_WORDS) {
            if (inside) prose_words(t, m.words, m.n_words, false);
        } else if (strcmp(name, "h") == 0 || strcmp(name, "p") == 0) {
            if (open && !cells && (aside || inside == 0)) {
                bool item = t->item;
                prose_end(t);
                t->item = item;
                if (*name == 'h') t->level = markup_attribute(&m, "text:outline-level", value, sizeof value) && *value >= '1' && *value <= '6' ? *value - '0' : 1;
            }
            inside += open ? 1 : close && inside ? -1 : 0;
            if (close && cells) prose_words(t, " ", 1, false);
            else if (close && aside) prose_end(t);
            else if (close && inside == 0) end_with(t, &beside);
        } else if (odt_aside(name) && !alone) {
            if (open && *name == 't') prose_words(t, " ", 1, false);        /* a box parts words, a note's mark does not */
            aside += open ? 1 : -(aside > 0);
            prose_end(&by);
            if (!aside && !inside && !cells) end_with(&body, &beside);
        } else if (strcmp(name, "list-item") == 0) t->item = open;
        else if (strcmp(name, "s") == 0 || strcmp(name, "tab") == 0) prose_words(t, " ", 1, true);
        else if (alone && strcmp(name, "line-break") == 0) prose_words(t, "\n", 1, true);
        else if (strcmp(name, "table-cell") == 0) {
            if (!close && (cells ? t->line.len > 0 : in_row++ > 0)) prose_words(t, " | ", 3, true);
            cells += open ? 1 : -(close && cells > 0);
        } else if (close && strcmp(name, "table-row") == 0) {
            if (aside) prose_end(t);
            else end_with(t, &beside);
            in_row = 0;
        }
    }
    markup_close(&m);
    prose_end(&by);
    end_with(&body, &beside);
    q_buf_free(&body.line);
    q_buf_free(&by.line);
    q_buf_free(&beside);
}

/* ---- EPUB ---- */
/* A name beside the package's own file, %41 and the like decoded; ".." goes no higher than the archive. */
static void beside(const char *base, const char *href, char out[PATH_SIZE])
{
    const char *slash = strrchr(base, '/');
    size_t n = slash ? (size_t)(slash + 1 - base) : 0, k = n < PATH_SIZE - 1 ? n : 0;
    memcpy(out, base, k);
    for (; *href && *href != '#' && k < PATH_SIZE - 1; href++) {
        if (k && out[k - 1] == '/' && strncmp(href, "../", 3) == 0) {
            for (k--; k && out[k - 1] != '/'; k--) {}
            href += 2;
            continue;
        }
        char hex[3] = {href[1], href[1] ? href[2] : 0, 0};
        if (*href == '%' && strspn(hex, "0123456789abcdefABCDEF") == 2) {
            out[k++] = (char)strtol(hex, NULL, 16);
            href += 2;
        } else out[k++] = *href;
    }
    out[k] = 0;
}

/* The pages in reading order: manifest by id, spine by idref. Returns how many; paths are malloc'ed. */
static int spine(const char *p, size_t n, const char *base, char **path)
{
    struct item { char id[64], href[PATH_SIZE]; } *item = q_alloc(sizeof *item * ITEMS_MAX);
    markup m;
    int items = 0, pages = 0;
    char ref[64];
    markup_open(&m, p, n);
    while (markup_next(&m)) {
        if (m.kind != MARKUP_OPEN) continue;
        const char *name = local(m.name);
        if (strcmp(name, "item") == 0 && items < ITEMS_MAX && markup_attribute(&m, "id", item[items].id, sizeof item->id) &&
            markup_attribute(&m, "href", item[items].href, sizeof item->href)) items++;
        if (strcmp(name, "itemref") != 0 || pages == ITEMS_MAX || !markup_attribute(&m, "idref", ref, sizeof ref)) continue;
        for (int i = 0; i < items; i++)
            if (strcmp(item[i].id, ref) == 0) {
                char whole[PATH_SIZE];
                beside(base, item[i].href, whole);
                path[pages++] = q_strdup(whole);
                break;
            }
    }
    markup_close(&m);
    free(item);
    return pages;
}

/* The file that says what the book is made of; "": none does. */
static void root_of(const q_buf *container, char base[PATH_SIZE])
{
    markup m;
    markup_open(&m, container->p, container->len);
    while (markup_next(&m) && !(m.kind == MARKUP_OPEN && strcmp(local(m.name), "rootfile") == 0 && markup_attribute(&m, "full-path", base, PATH_SIZE))) {}
    markup_close(&m);
}

static bool epub(const char *p, size_t n, const q_buf *container, uint64_t *most, q_buf *out, enum read_why *why)
{
    char base[PATH_SIZE] = "";
    root_of(container, base);
    part book = {.name = base};
    if (*base) take_parts(p, n, &book, 1, most, why);
    char **path = q_alloc(sizeof *path * ITEMS_MAX);
    int pages = book.b.len ? spine(book.b.p, book.b.len, base, path) : 0;
    part *page = q_alloc(sizeof *page * (size_t)(pages + 1));
    for (int i = 0; i < pages; i++) page[i].name = path[i];
    take_parts(p, n, page, pages, most, why);
    for (int i = 0; i < pages; i++) {
        if (page[i].b.len && out->len < ALL_MAX) {
            rag_charset_said(&page[i].b);
            q_buf clean = {0};
            q_buf_puts_clean(&clean, &page[i].b);
            markup_html(clean.p, clean.len, out);
            q_buf_free(&clean);
        }
        q_buf_free(&page[i].b);
        free(path[i]);
    }
    q_buf_free(&book.b);
    free(path);
    free(page);
    return pages > 0;
}

enum read_why office_read(const char *p, size_t n, q_buf *out)
{
    enum { DOCX, STYLES, FOOTNOTES, ENDNOTES, ODT, EPUB, PARTS };
    part v[PARTS] = {{.name = "word/document.xml"}, {.name = "word/styles.xml"}, {.name = "word/footnotes.xml"}, {.name = "word/endnotes.xml"}, {.name = "content.xml"},
                     {.name = "META-INF/container.xml"}};
    uint64_t most = unpack_document.all;
    enum read_why why = READ_END;
    q_buf text = {0};
    bool known = true;
    take_parts(p, n, v, PARTS, &most, &why);
    if (v[DOCX].b.len) {
        struct styles *s = q_alloc(sizeof *s);
        read_styles(v[STYLES].b.p, v[STYLES].b.len, s);
        struct notes notes[2] = {{0}};
        for (int i = 0; i < 2; i++) read_notes(v[FOOTNOTES + i].b.p, v[FOOTNOTES + i].b.len, &notes[i]);
        docx(v[DOCX].b.p, v[DOCX].b.len, s, notes, &text);
        for (int i = 0; i < 2; i++) {
            free(notes[i].v);
            q_buf_free(&notes[i].text);
        }
        free(s);
    } else if (v[ODT].b.len) odt(v[ODT].b.p, v[ODT].b.len, &text);
    else if (v[EPUB].b.len) known = epub(p, n, &v[EPUB].b, &most, &text, &why);
    else known = false;
    for (int i = 0; i < PARTS; i++) q_buf_free(&v[i].b);
    if (known && text.len) {
        q_buf_puts_clean(out, &text);
        why = READ_END;
    } else if (!why) why = known ? READ_NO_WORDS : READ_OTHER;
    q_buf_free(&text);
    return why;
}
