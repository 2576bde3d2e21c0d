/* model/transcript: keeping messages, laying them out step by step, scrolling. Front-end thread.
 * Finished blocks of a streaming answer are laid out once; only the unfinished end is laid out again. Off-screen messages
 * are not laid out until they are looked at. */
#include "tui/model/transcript.h"

#include <stdlib.h>
#include <string.h>

static void made_free(tui_item *it)
{
    for (int i = 0; i < it->n_made; i++) free(it->made[i].sign);
    free(it->made);
    it->made = NULL;
    it->n_made = 0;
}

static void item_free(tui_item *it)
{
    q_buf_free(&it->text);
    q_buf_free(&it->thinking);
    free(it->label);
    made_free(it);
    tui_lay_free(&it->lay);
    tui_lay_free(&it->think);
}

void tui_tr_free(tui_transcript *t)
{
    for (int i = 0; i < t->n; i++) item_free(&t->item[i]);
    free(t->item);
    free(t->token.text);
    free(t->token.ran);
    free(t->hue);
    memset(t, 0, sizeof *t);
}

static void unlay(tui_item *it)
{
    it->width = 0;
    it->laid.settled = it->laid.text = it->laid.think = 0;
    it->laid.fence.open = false;
    it->laid.table.len = 0;
    tui_lay_clear(&it->lay);
    tui_lay_clear(&it->think);
    it->laid.mark = (tui_lay_mark){ 0 };
}

/* Tokens begin with their space: the mark stands before the word. */
static size_t word_at(const char *s, size_t n, size_t at)
{
    while (at + 1 < n && (s[at] == ' ' || s[at] == '\n')) at++;
    return at;
}

/* ---- which configuration made what ---- */
char tui_letter(int letter) { return (char)('a' + letter % 26); }
enum tui_style tui_hue(int letter) { return letter > 0 ? (enum tui_style)(S_HUE1 + (letter - 1) % 6) : S_MARK; }

int tui_tr_letter(const tui_transcript *t, uint64_t key)
{
    int i = 0;
    if (!key) return 0;
    while (i < t->n_hue && t->hue[i].key != key) i++;
    return i + 1;
}

int tui_tr_letter_of_cells(const tui_transcript *t, uint64_t forward)
{
    if (!forward) return 0;
    for (int i = 0; i < t->n_hue; i++) if (t->hue[i].forward == forward) return i + 1;
    return -1;
}

static int letter_for(tui_transcript *t, const agt_made *m)
{
    int l = tui_tr_letter(t, m->key);
    if (l <= t->n_hue) return l;
    if (t->n_hue == t->cap_hue) t->hue = q_realloc(t->hue, sizeof *t->hue * (size_t)(t->cap_hue = t->cap_hue ? 2 * t->cap_hue : 8));
    t->hue[t->n_hue].key = m->key;
    t->hue[t->n_hue++].forward = m->forward;
    return l;
}

/* "k 12→4" as it stands in the text: its blanks do not break. */
static char *sign_of(const char *mark)
{
    q_buf b = {0};
    q_buf_puts(&b, "⟨");
    for (; *mark; mark++) {
        if (*mark == ' ') q_buf_puts(&b, "\xC2\xA0");
        else q_buf_putc(&b, *mark);
    }
    q_buf_puts(&b, "⟩ ");
    return q_buf_take(&b);
}

static void add_made(tui_transcript *t, tui_item *it, const agt_made *m)
{
    it->made = q_realloc(it->made, sizeof *it->made * (size_t)(it->n_made + 1));
    it->made[it->n_made++] = (tui_made){ m->at, letter_for(t, m), m->mark && *m->mark && m->at >= 0 ? sign_of(m->mark) : NULL, 0 };
}

void tui_tr_turned(tui_transcript *t, tui_item *it, const agt_made *m, const char *label)
{
    free(it->label);
    it->label = q_strdup(label);
    if (m) add_made(t, it, m);
}

/* "edit_file a.c ✓" */
static char *call_sign(const agt_call *c)
{
    const size_t MOST = c->id < 0 ? 96 : 48;
    static const char *const how[] = { [AGT_CALL_WAITS] = "…", [AGT_CALL_RUNS] = "…", [AGT_CALL_DONE] = "✓", [AGT_CALL_FAILED] = "✗", [AGT_CALL_DENIED] = "⊘", [AGT_CALL_STOPPED] = "■" };
    size_t n = strlen(c->title), cut = n > MOST ? q_utf8_whole(c->title, MOST) : n;
    char *mark = q_printf("%.*s%s%s%s", (int)cut, c->title, cut < n ? "…" : "", c->id < 0 ? "" : " ", c->id < 0 ? "" : c->undone ? "↶" : how[c->state]), *sign = sign_of(mark);
    free(mark);
    return sign;
}

void tui_tr_called(tui_item *it, const agt_call *c)
{
    if (c->state == AGT_CALL_RUNS || c->state == AGT_CALL_WAITS || !c->id) return;
    int i = it->n_made;
    for (int k = 0; k < it->n_made; k++)
        if (it->made[k].call == c->id) {
            free(it->made[k].sign);
            it->made[k].sign = call_sign(c);
            unlay(it);
            return;
        }
    it->made = q_realloc(it->made, sizeof *it->made * (size_t)(it->n_made + 1));
    for (; i > 1 && it->made[i - 1].at > c->at; i--) it->made[i] = it->made[i - 1];       /* the first configuration stays first */
    it->made[i] = (tui_made){ c->at, i ? it->made[i - 1].letter : 0, call_sign(c), c->id };
    it->n_made++;
    unlay(it);
}

static int count_made(const tui_item *it, bool calls)
{
    int n = 0;
    for (int i = 0; i < it->n_made; i++) n += (it->made[i].call != 0) == calls;
    return n;
}

static void fill(tui_transcript *t, tui_item *it, const agt_message *m)
{
    if (m->made && (count_made(it, false) != m->n_config || count_made(it, true) != m->n_call || !it->n_made)) {
        made_free(it);
        for (int i = 0; i < m->n_config; i++) add_made(t, it, &m->made[i]);
        for (int i = 0; i < m->n_call; i++) tui_tr_called(it, &m->call[i]);
        unlay(it);
    }
    it->id = m->id;
    it->created_ms = m->created_ms;
    it->role = m->role;
    it->state = m->state;
    it->cut = m->cut;
    const char *text = m->text ? m->text : "", *think = m->thinking ? m->thinking : "";
    /* The running text is kept when the event brings the same: its layout stays valid. */
    if (it->text.len != strlen(text) || (it->text.p && memcmp(it->text.p, text, it->text.len) != 0)) {
        q_buf_clear(&it->text);
        q_buf_puts(&it->text, text);
        unlay(it);
    }
    if (it->thinking.len != strlen(think)) {
        q_buf_clear(&it->thinking);
        q_buf_puts(&it->thinking, think);
        unlay(it);
    }
    free(it->label);
    it->label = m->label ? q_strdup(m->label) : NULL;
    it->n_tokens = m->n_tokens;
    it->n_thinking = m->n_thinking;
    it->n_passages = m->n_passages;
    it->sibling = m->sibling;
    it->n_siblings = m->n_siblings;
    it->decode_s = m->decode_s;
    long at = m->differs_at < 0 || (size_t)m->differs_at >= it->text.len ? -1 : (long)word_at(it->text.p, it->text.len, (size_t)m->differs_at);
    if (it->differs_at != at) { it->differs_at = at; unlay(it); }
}

void tui_tr_marked(tui_transcript *t, const agt_message *m)
{
    tui_item *it = tui_tr_find(t, m->id);
    if (!it || !m->made) return;
    made_free(it);                      /* as many marks may stand there as before, and say something else */
    fill(t, it, m);
    unlay(it);
}

tui_item *tui_tr_add(tui_transcript *t, const agt_message *m)
{
    tui_item *it = tui_tr_find(t, m->id);
    if (!it) {
        if (t->n == t->cap) t->item = q_realloc(t->item, sizeof *t->item * (size_t)(t->cap = t->cap ? 2 * t->cap : 16));
        it = &t->item[t->n++];
        memset(it, 0, sizeof *it);
        it->differs_at = -1;
    }
    fill(t, it, m);
    return it;
}

void tui_tr_set(tui_transcript *t, const agt_message *m, int n)
{
    for (int i = 0; i < t->n; i++) item_free(&t->item[i]);
    t->n = t->n_hue = 0;
    for (int i = 0; i < n; i++)
        if (m[i].role != AGT_SYSTEM) tui_tr_add(t, &m[i]);
    if (t->selected >= t->n) t->selected = t->n - 1;
    if (t->top_item >= t->n) { t->follow = true; t->top_item = t->top_line = 0; }
}

tui_item *tui_tr_find(tui_transcript *t, int64_t id)
{
    for (int i = t->n - 1; i >= 0; i--) if (t->item[i].id == id && id) return &t->item[i];
    return NULL;
}

tui_item *tui_tr_last(tui_transcript *t)
{
    for (int i = t->n - 1; i >= 0; i--) if (t->item[i].running) return &t->item[i];
    return NULL;
}

void tui_tr_token(tui_item *it, const char *text, bool thinking, long differs_at)
{
    if (thinking) { it->n_thinking++; q_buf_puts(&it->thinking, text); return; }
    it->n_tokens++;
    q_buf_puts(&it->text, text);
    if (differs_at < 0 || it->differs_at >= 0 || (size_t)differs_at >= it->text.len) return;
    it->differs_at = (long)word_at(it->text.p, it->text.len, (size_t)differs_at);
    unlay(it);                          /* its word may have begun in an earlier token */
}

/* A line that opens or closes a code fence (CommonMark 4.5): how many ` or ~, 0 if none. */
static int fence_of(const char *s, size_t n, char *ch, bool *bare)
{
    size_t i = 0;
    while (i < n && i < 3 && s[i] == ' ') i++;
    if (i >= n || (s[i] != '`' && s[i] != '~')) return 0;
    char c = s[i];
    int k = 0;
    while (i < n && s[i] == c) { i++; k++; }
    if (k < 3) return 0;
    *ch = c;
    *bare = true;
    for (; i < n && s[i] != '\n'; i++) {
        if (s[i] == '`' && c == '`') return 0;
        if (s[i] != ' ' && s[i] != '\r') *bare = false;
    }
    return k;
}

enum { SIGN_WIDTH = 48 };               /* below that a sign is its letter */

/* A sign at byte `at` of the text, in the order of their places. Tokens begin with their blank: before the word, not the blank. */
static int put_sign(tui_sign *v, int n, size_t at, const char *text, size_t len, enum tui_style st)
{
    int i = n;
    if (n == TUI_SIGNS) return n;
    for (; i > 0 && v[i - 1].at > at; i--) v[i] = v[i - 1];
    v[i] = (tui_sign){ at, text, len, st };
    return n + 1;
}

/* Those of the piece [from, to), from its beginning; to at the end of the text: also what comes behind it. */
static int signs_of(const tui_item *it, size_t from, size_t to, tui_sign v[TUI_SIGNS])
{
    static const char *const letter[26] = { "⟨a⟩ ", "⟨b⟩ ", "⟨c⟩ ", "⟨d⟩ ", "⟨e⟩ ", "⟨f⟩ ", "⟨g⟩ ", "⟨h⟩ ", "⟨i⟩ ", "⟨j⟩ ", "⟨k⟩ ", "⟨l⟩ ", "⟨m⟩ ", "⟨n⟩ ",
        "⟨o⟩ ", "⟨p⟩ ", "⟨q⟩ ", "⟨r⟩ ", "⟨s⟩ ", "⟨t⟩ ", "⟨u⟩ ", "⟨v⟩ ", "⟨w⟩ ", "⟨x⟩ ", "⟨y⟩ ", "⟨z⟩ " };
    int n = 0;
    bool last = to >= it->text.len;
    for (int i = 0; i < it->n_made; i++) {
        const tui_made *m = &it->made[i];
        if (!m->sign) continue;
        /* a store that was killed has the place, and not yet all words before it */
        size_t at = (size_t)m->at < it->text.len ? word_at(it->text.p, it->text.len, (size_t)m->at) : it->text.len;
        if (at < from || (at >= to && !last)) continue;
        const char *text = it->width >= SIGN_WIDTH ? m->sign : m->call ? "⟨*⟩ " : letter[m->letter % 26];
        bool word = at == 0 || it->text.p[at - 1] == ' ' || it->text.p[at - 1] == '\n';       /* else it stands in one, or before a stop */
        n = put_sign(v, n, at - from, text, strlen(text) - !word, tui_hue(m->letter));
    }
    if (it->cursor.to > it->cursor.from) {
        size_t open = word_at(it->text.p, it->text.len, (size_t)it->cursor.from), close = (size_t)it->cursor.to;
        if (open >= close) open = (size_t)it->cursor.from;       /* a token of blanks alone */
        if (open >= from && open < to) n = put_sign(v, n, open - from, "[", 1, S_ACCENT);
        if (close > from && (close < to || (close == to && last))) n = put_sign(v, n, close - from, "]", 1, S_ACCENT);
    }
    if (it->differs_at >= (long)from && it->differs_at < (long)to) n = put_sign(v, n, (size_t)it->differs_at - from, "≠", strlen("≠"), S_DIFF);
    return n;
}

static void lay_code(tui_item *it, size_t from, size_t to)
{
    tui_para p = {0};
    const char *s = it->text.p + from;
    size_t n = to - from, at = 0;
    tui_sign sign[TUI_SIGNS];
    int n_sign = signs_of(it, from, to, sign);
    for (int i = 0; i < n_sign; i++) {
        size_t k = sign[i].at < n ? sign[i].at : n;
        tui_para_add(&p, s + at, k - at, S_CODE);
        tui_para_add(&p, sign[i].text, sign[i].n, sign[i].style);
        at = k;
    }
    tui_para_add(&p, s + at, n - at, S_CODE);
    tui_lay_para(&it->lay, &p, it->width, "  ", "  ", S_CODE, true);
    tui_para_free(&p);
}

/* A piece of an answer; one that begins inside a table gets the table's head before it, which is not drawn again. */
static void lay_piece(tui_item *it, const char *s, size_t n, tui_sign *sign, int n_sign)
{
    if (!it->laid.table.len) { tui_markdown(&it->lay, s, n, it->width, sign, n_sign); return; }
    q_buf b = {0};
    q_buf_add(&b, it->text.p + it->laid.table.from, it->laid.table.len);
    q_buf_add(&b, s, n);
    for (int i = 0; i < n_sign; i++) sign[i].at += it->laid.table.len;
    tui_markdown_rows(&it->lay, b.p, b.len, it->width, sign, n_sign);
    q_buf_free(&b);
}

static void lay_markdown(tui_item *it, size_t from, size_t to)
{
    tui_sign sign[TUI_SIGNS];
    int n = signs_of(it, from, to, sign);
    lay_piece(it, it->text.p + from, to - from, sign, n);
}

/* "|---|:--:|": the row below a table's head. */
static bool delimiter_row(const char *s, size_t n)
{
    bool dash = false, bar = false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '-') dash = true;
        else if (s[i] == '|') bar = true;
        else if (s[i] != ':' && s[i] != ' ' && s[i] != '\t' && s[i] != '\r') return false;
    }
    return dash && bar;
}

/* What is cut off before byte `to` may end inside a table: its head is remembered. from: where the piece begins. */
static void note_table(tui_item *it, size_t from, size_t to)
{
    const char *s = it->text.p;
    size_t before = from;                   /* the line above */
    for (size_t line = from; line < to;) {
        const char *nl = memchr(s + line, '\n', to - line);
        size_t next = nl ? (size_t)(nl - s) + 1 : to;
        if (line > from && delimiter_row(s + line, next - line - (nl != NULL))) {
            it->laid.table.from = before;
            it->laid.table.len = next - before;
        }
        before = line;
        line = next;
    }
}

static void settle(tui_item *it, size_t to)
{
    it->laid.settled = to;
    it->laid.mark = tui_lay_here(&it->lay);
}

/* Lays out every block that nothing that follows can change: code lines, and what a blank line before unindented text
 * ends. The rest of a long block is cut at a space, so that the tail stays short. */
static void settle_blocks(tui_item *it)
{
    const char *s = it->text.p;
    size_t n = it->text.len, line = it->laid.settled;
    while (line < n) {
        const char *nl = memchr(s + line, '\n', n - line);
        if (!nl) break;
        size_t next = (size_t)(nl - s) + 1;
        char ch = 0;
        bool bare = false;
        int f = fence_of(s + line, next - line, &ch, &bare);
        if (it->laid.fence.open) {
            if (f >= it->laid.fence.n && ch == it->laid.fence.ch && bare) it->laid.fence.open = false;
            else lay_code(it, line, next - 1);
            settle(it, next);
        } else if (f) {
            if (line > it->laid.settled) lay_markdown(it, it->laid.settled, line);
            it->laid.table.len = 0;
            tui_lay_blank(&it->lay);
            it->laid.fence.open = true;
            it->laid.fence.ch = ch;
            it->laid.fence.n = f;
            settle(it, next);
        } else {
            bool blank = true;
            for (size_t i = line; i + 1 < next; i++) if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r') blank = false;
            if (blank && next < n && s[next] != ' ' && s[next] != '\t' && s[next] != '\n' && s[next] != '\r') {
                lay_markdown(it, it->laid.settled, next);
                it->laid.table.len = 0;
                settle(it, next);
            }
        }
        line = next;
    }
    /* What runs is cut so that a token stays cheap; what is finished is laid out whole, once. */
    while (it->running && !it->laid.fence.open && n - it->laid.settled > TUI_TAIL) {
        size_t cut = it->laid.settled + TUI_TAIL;
        while (cut > it->laid.settled + TUI_TAIL / 2 && s[cut - 1] != '\n') cut--;
        if (s[cut - 1] != '\n') { cut = it->laid.settled + TUI_TAIL; while (cut > it->laid.settled + TUI_TAIL / 2 && s[cut - 1] != ' ') cut--; }
        cut = it->laid.settled + q_utf8_whole(s + it->laid.settled, cut - it->laid.settled);
        size_t from = it->laid.settled;
        bool whole = s[cut - 1] == '\n';
        lay_markdown(it, from, cut);
        if (whole) note_table(it, from, cut);
        else it->laid.table.len = 0;
        settle(it, cut);
    }
}

/* What an unfinished answer still owes: closing signs, so that half-written emphasis does not flicker. */
static void lay_tail(tui_item *it)
{
    size_t from = it->laid.settled, n = it->text.len;
    if (!n) {                            /* calls, and no word yet or at all */
        tui_sign sign[TUI_SIGNS];
        tui_markdown(&it->lay, "", 0, it->width, sign, signs_of(it, 0, 0, sign));
        return;
    }
    if (from >= n) return;
    if (it->laid.fence.open) {
        char ch = 0;
        bool bare = false;
        if (fence_of(it->text.p + from, n - from, &ch, &bare) < it->laid.fence.n) lay_code(it, from, n);
        return;
    }
    if (!it->running) { lay_markdown(it, from, n); return; }
    q_buf b = {0};
    q_buf_add(&b, it->text.p + from, n - from);
    while (b.len && strchr("*_`#", b.p[b.len - 1])) b.p[--b.len] = 0;
    size_t par = b.len;
    while (par && !(b.p[par - 1] == '\n' && (par == b.len || b.p[par] == '\n'))) par--;
    int ticks = 0, stars = 0;
    for (size_t i = par; i < b.len; i++) {
        if (b.p[i] == '`') ticks++;
        else if (!(ticks & 1) && b.p[i] == '*' && i + 1 < b.len && b.p[i + 1] == '*') { stars++; i++; }
    }
    while (b.len && (b.p[b.len - 1] == ' ')) b.p[--b.len] = 0;
    if (ticks & 1) q_buf_putc(&b, '`');
    if (stars & 1) q_buf_puts(&b, "**");
    tui_sign sign[TUI_SIGNS];
    int n_sign = signs_of(it, from, n, sign), kept = 0;
    for (int i = 0; i < n_sign; i++)     /* no difference before there is a word that differs */
        if (sign[i].style != S_DIFF || sign[i].at < b.len) sign[kept++] = sign[i];
    lay_piece(it, b.p ? b.p : "", b.len, sign, kept);
    q_buf_free(&b);
}

static bool has_sign(const tui_item *it)
{
    for (int i = 0; i < it->n_made; i++)
        if (it->made[i].sign) return true;
    return false;
}

void tui_item_lay(tui_item *it, int width)
{
    if (width < 8) width = 8;
    if (width != it->width) { unlay(it); it->width = width; }
    if (it->laid.running && !it->running) { unlay(it); it->width = width; }
    bool changed = it->laid.text != it->text.len || it->laid.made != it->n_made || !it->laid.text || it->laid.running != it->running;
    if (changed) {
        if (it->role == AGT_USER) {
            tui_lay_clear(&it->lay);
            tui_lay_plain(&it->lay, it->text.p ? it->text.p : "", it->text.len, width, "", S_USER);
        } else if (it->text.len || has_sign(it)) {
            tui_lay_back(&it->lay, it->laid.mark);
            settle_blocks(it);
            lay_tail(it);
        }
        it->laid.text = it->text.len;
        it->laid.made = it->n_made;
        it->laid.running = it->running;
    }
    if (it->open && it->laid.think != it->thinking.len) {
        tui_lay_clear(&it->think);
        tui_lay_plain(&it->think, it->thinking.p, it->thinking.len, width, "", S_THINKING);
        it->laid.think = it->thinking.len;
    }
}

int tui_item_think_lines(const tui_item *it)
{
    return !it->thinking.len && !it->n_thinking ? 0 : 1 + (it->open ? (int)it->think.n_line : 0);
}

int tui_item_height(tui_item *it, int width)
{
    tui_item_lay(it, width);
    return 1 + tui_item_think_lines(it) + (int)it->lay.n_line + (it->running && !it->lay.n_line ? 1 : 0) + 1;
}

/* The last possible top: the one that shows the end. */
static void last_top(tui_transcript *t, int w, int h, int *item, int *line)
{
    int left = h;
    *item = *line = 0;
    for (int i = t->n - 1; i >= 0; i--) {
        int k = tui_item_height(&t->item[i], w) - (i == t->n - 1);       /* no blank after the last */
        if (k >= left) { *item = i; *line = k - left; return; }
        left -= k;
    }
}

void tui_tr_top(tui_transcript *t, int w, int h, int *item, int *line)
{
    last_top(t, w, h, item, line);
    if (t->follow || !t->n) return;
    int k = tui_item_height(&t->item[t->top_item], w);
    if (t->top_line >= k) t->top_line = k - 1;                           /* a new width made it shorter */
    if (t->top_item < *item || (t->top_item == *item && t->top_line < *line)) {
        *item = t->top_item;
        *line = t->top_line;
    } else t->follow = true;
}

void tui_tr_scroll(tui_transcript *t, int w, int h, int lines)
{
    int i, l;
    if (!t->n) return;
    tui_tr_top(t, w, h, &i, &l);
    l += lines;
    while (l < 0 && i > 0) l += tui_item_height(&t->item[--i], w);
    if (l < 0) l = 0;
    while (i < t->n - 1 && l >= tui_item_height(&t->item[i], w)) l -= tui_item_height(&t->item[i++], w);
    t->top_item = i;
    t->top_line = l;
    t->follow = false;
    tui_tr_top(t, w, h, &i, &l);        /* at the end it follows again */
}

void tui_tr_home(tui_transcript *t, int w, int h)
{
    int i, l;
    t->top_item = t->top_line = 0;
    t->follow = false;
    tui_tr_top(t, w, h, &i, &l);        /* all of it is seen: it goes on following */
}

void tui_tr_show(tui_transcript *t, int w, int h, int item)
{
    int i, l, top = 0;
    if (item < 0 || item >= t->n) return;
    tui_tr_top(t, w, h, &i, &l);
    if (item > i || (item == i && l == 0)) {
        top = -l;
        for (int k = i; k < item; k++) { top += tui_item_height(&t->item[k], w); if (top >= h) break; }
        if (top >= 0 && top < h - 1) return;
    }
    t->top_item = item;
    t->top_line = 0;
    t->follow = false;
    tui_tr_top(t, w, h, &i, &l);
}

int tui_tr_below(tui_transcript *t, int w, int h)
{
    int i, l, sum;
    if (!t->n) return 0;
    tui_tr_top(t, w, h, &i, &l);
    sum = -l - h;
    for (; i < t->n; i++) sum += tui_item_height(&t->item[i], w) - (i == t->n - 1);
    return sum > 0 ? sum : 0;
}

void tui_tr_token_at(tui_transcript *t, int64_t message, int number, int of, long from, long to, const char *text)
{
    for (int i = 0; i < t->n; i++) {
        tui_item *it = &t->item[i];
        bool here = message && it->id == message && to > from && to <= (long)it->text.len;
        long a = here ? from : 0, b = here ? to : 0;
        if (it->cursor.from == a && it->cursor.to == b) continue;
        it->cursor.from = a;
        it->cursor.to = b;
        unlay(it);
    }
    t->token.message = message;
    t->token.number = number;
    t->token.of = of;
    free(t->token.text);
    t->token.text = text ? q_strdup(text) : NULL;
    free(t->token.ran);
    t->token.ran = NULL;
    t->token.picks = t->token.jumps = false;
}

void tui_tr_show_token(tui_transcript *t, int w, int h)
{
    for (int i = 0; i < t->n; i++) {
        tui_item *it = &t->item[i];
        if (it->cursor.to <= it->cursor.from) continue;
        tui_item_lay(it, w);
        uint32_t line = 0, at = 0;
        for (; line < it->lay.n_line && !at; line++)
            for (uint32_t k = 0; k < it->lay.line[line].n && !at; k++) {
                const tui_span *s = &it->lay.span[it->lay.line[line].span + k];
                if (s->style == S_ACCENT && s->len == 1 && it->lay.text.p[s->off] == '[') at = line + 1;
            }
        int want = (int)at + tui_item_think_lines(it), top, from;      /* of the item; its header is line 0 */
        tui_tr_top(t, w, h, &from, &top);
        int seen = -top;
        for (int k = from; k < i; k++) seen += tui_item_height(&t->item[k], w);
        if (i >= from && seen + want >= 0 && seen + want < h) return;
        t->top_item = i;
        t->top_line = want > h / 2 ? want - h / 2 : 0;
        t->follow = false;
        tui_tr_top(t, w, h, &from, &top);
        return;
    }
}

int64_t tui_tr_place(const tui_transcript *t)
{
    return t->follow || !t->n ? 0 : ((int64_t)t->top_item << 20 | (t->top_line & 0xFFFFF)) + 1;
}

void tui_tr_go(tui_transcript *t, int64_t place)
{
    t->follow = place <= 0 || ((place - 1) >> 20) >= t->n;
    t->top_item = t->follow ? 0 : (int)((place - 1) >> 20);
    t->top_line = t->follow ? 0 : (int)((place - 1) & 0xFFFFF);
}
