/* rag/import/office: DOCX (ECMA-376), ODT (OpenDocument 1.2) and EPUB (3.2) as Markdown. Each is a zip whose members are read
 * piece by piece; PART_MAX bounds what comes out of one, ALL_MAX what becomes of all. Pure function; any thread. */
#include "rag/import/office.h"

#include "rag/import/markup.h"
#include "rag/import/zip.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PART_MAX = 64 << 20, ALL_MAX = 64 << 20, STYLES_MAX = 256, ITEMS_MAX = 4000, PATH_SIZE = 512 };

/* A member by its name, whole; false: there is none, or it is damaged or too large: *why says it. */
static bool member(zip *z, const char *name, q_buf *out, const char **why)
{
    if (!zip_find(z, name)) return false;
    rag_source src = zip_source(z);
    char *piece = q_alloc(1 << 16);
    long n;
    while (out->len <= PART_MAX && (n = src.read(src.user, piece, 1 << 16)) > 0) q_buf_add(out, piece, (size_t)n);
    free(piece);
    if (zip_why(z)) *why = zip_why(z);
    else if (out->len > PART_MAX) *why = _("more comes out of it than any document holds");
    return !zip_why(z) && out->len <= PART_MAX && out->len > 0;
}

static const char *local(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon ? colon + 1 : name;
}

static bool is(const markup *m, const char *name) { return strcmp(m->name, name) == 0; }

static void add_words(prose *t, const markup *m, bool spaces)
{
    q_buf words = {0};
    markup_words(m, &words);
    if (words.len) prose_words(t, words.p, words.len, spaces);
    q_buf_free(&words);
}

/* ---- DOCX ---- */
struct styles { char id[STYLES_MAX][40]; int level[STYLES_MAX]; int n; };

/* Which styles are headings: by their names in English, whatever the language of their ids. */
static void read_styles(const char *p, size_t n, struct styles *s)
{
    markup m = {.p = p, .n = n};
    char id[40] = "", value[64];
    while (markup_next(&m)) {
        if (m.kind != MARKUP_OPEN) continue;
        if (is(&m, "w:style") && !markup_attribute(&m, "w:styleId", id, sizeof id)) *id = 0;
        if (!is(&m, "w:name") || !*id || s->n == STYLES_MAX || !markup_attribute(&m, "w:val", value, sizeof value)) continue;
        int level = strncasecmp(value, "heading ", 8) == 0 ? atoi(value + 8) : strcasecmp(value, "title") == 0 ? 1 : 0;
        if (level < 1 || level > 9) continue;
        memcpy(s->id[s->n], id, sizeof id);
        s->level[s->n++] = level > 6 ? 6 : level;
    }
}

static int level_of(const struct styles *s, const char *id)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->id[i], id) == 0) return s->level[i];
    return strncmp(id, "Heading", 7) == 0 && id[7] >= '1' && id[7] <= '6' && !id[8] ? id[7] - '0' : 0;
}

static void docx(const char *p, size_t n, const struct styles *s, q_buf *out)
{
    markup m = {.p = p, .n = n};
    prose t = {.out = out};
    bool text = false;
    char id[40];
    int cells = 0;
    while (markup_next(&m)) {
        bool open = m.kind == MARKUP_OPEN, close = m.kind == MARKUP_CLOSE;
        if (m.kind == MARKUP_WORDS) {
            if (text) add_words(&t, &m, true);
        } else if (is(&m, "w:t")) text = open && !m.empty;
        else if (open && is(&m, "w:tab")) prose_words(&t, " ", 1, true);
        else if (open && (is(&m, "w:br") || is(&m, "w:cr"))) prose_words(&t, "\n", 1, true);
        else if (open && is(&m, "w:pStyle") && markup_attribute(&m, "w:val", id, sizeof id)) t.level = cells ? 0 : level_of(s, id);
        else if (open && is(&m, "w:numPr") && !t.level) t.item = !cells;
        else if (is(&m, "w:tc") && !m.empty) {
            if (open && t.line.len) prose_words(&t, " | ", 3, true);
            cells += open ? 1 : -(cells > 0);
        } else if (close && is(&m, "w:p")) {
            if (cells) prose_words(&t, " ", 1, false);
            else prose_end(&t);
        } else if (close && is(&m, "w:tr") && cells == 0) prose_end(&t);
    }
    prose_end(&t);
    q_buf_free(&t.line);
}

/* ---- ODT ---- */
static void odt(const char *p, size_t n, q_buf *out)
{
    static const char *const dropped[] = {"annotation", "tracked-changes", "settings", "font-face-decls", "automatic-styles", "forms"};
    markup m = {.p = p, .n = n};
    prose t = {.out = out};
    char value[16], drop[MARKUP_NAME] = "";
    int depth = 0, cells = 0, inside = 0;
    while (markup_next(&m)) {
        const char *name = local(m.name);
        bool open = m.kind == MARKUP_OPEN && !m.empty, close = m.kind == MARKUP_CLOSE, alone = m.kind == MARKUP_OPEN && m.empty;
        if (depth) {
            if (m.kind != MARKUP_WORDS && strcmp(name, drop) == 0) depth += open ? 1 : close ? -1 : 0;
            continue;
        }
        for (size_t i = 0; open && i < sizeof dropped / sizeof *dropped; i++)
            if (strcmp(name, dropped[i]) == 0) {
                depth = 1;
                memcpy(drop, dropped[i], strlen(dropped[i]) + 1);
            }
        if (depth) continue;
        if (m.kind == MARKUP_WORDS) {
            if (inside) add_words(&t, &m, false);
        } else if (strcmp(name, "h") == 0 || strcmp(name, "p") == 0) {
            if (open && !cells && inside == 0) {
                bool item = t.item;
                prose_end(&t);
                t.item = item;
                if (*name == 'h') t.level = markup_attribute(&m, "text:outline-level", value, sizeof value) && *value >= '1' && *value <= '6' ? *value - '0' : 1;
            }
            inside += open ? 1 : close && inside ? -1 : 0;
            if (close && cells) prose_words(&t, " ", 1, false);
            else if (close && inside == 0) prose_end(&t);
        } else if (strcmp(name, "list-item") == 0) t.item = open;
        else if (strcmp(name, "s") == 0 || strcmp(name, "tab") == 0) prose_words(&t, " ", 1, true);
        else if (alone && strcmp(name, "line-break") == 0) prose_words(&t, "\n", 1, true);
        else if (strcmp(name, "table-cell") == 0 && !m.empty) {
            if (open && t.line.len) prose_words(&t, " | ", 3, true);
            cells += open ? 1 : -(cells > 0);
        } else if (close && strcmp(name, "table-row") == 0) prose_end(&t);
    }
    prose_end(&t);
    q_buf_free(&t.line);
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
    markup m = {.p = p, .n = n};
    int items = 0, pages = 0;
    char ref[64];
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
    free(item);
    return pages;
}

static bool epub(zip *z, q_buf *out, const char **why)
{
    q_buf part = {0};
    char base[PATH_SIZE] = "";
    if (member(z, "META-INF/container.xml", &part, why)) {
        markup m = {.p = part.p, .n = part.len};
        while (markup_next(&m) && !(m.kind == MARKUP_OPEN && strcmp(local(m.name), "rootfile") == 0 && markup_attribute(&m, "full-path", base, sizeof base))) {}
    }
    q_buf_clear(&part);
    char **path = q_alloc(sizeof *path * ITEMS_MAX);
    int pages = *base && member(z, base, &part, why) ? spine(part.p, part.len, base, path) : 0;
    for (int i = 0; i < pages; i++) {
        q_buf_clear(&part);
        if (out->len < ALL_MAX && member(z, path[i], &part, why)) {
            markup_charset(&part);
            markup_html(part.p, part.len, out);
        }
        free(path[i]);
    }
    free(path);
    q_buf_free(&part);
    return pages > 0;
}

const char *rag_office(q_buf *b)
{
    const char *why = NULL;
    zip *z = zip_open_bytes(b->p, b->len, &why);
    if (!z) return why;
    q_buf part = {0}, out = {0};
    bool known = true;
    if (member(z, "word/document.xml", &part, &why)) {
        struct styles *s = q_alloc(sizeof *s);
        q_buf list = {0};
        if (member(z, "word/styles.xml", &list, &why)) read_styles(list.p, list.len, s);
        docx(part.p, part.len, s, &out);
        q_buf_free(&list);
        free(s);
    } else {
        q_buf_clear(&part);
        if (member(z, "content.xml", &part, &why)) odt(part.p, part.len, &out);
        else known = epub(z, &out, &why);
    }
    zip_free(z);
    q_buf_free(&part);
    if (known && out.len) {
        q_buf_clear(b);
        q_buf_puts_clean(b, &out);
        why = NULL;
    } else if (!why) why = known ? _("there are no words in it") : _("it is an archive that is neither DOCX, ODT nor EPUB, and holds no conversations: unpack it first");
    q_buf_free(&out);
    return why;
}
