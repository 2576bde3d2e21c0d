/* engine/text/frame: see frame.h. */
#include "engine/text/frame.h"

#include <string.h>

void frame_text(frame *f, span s) { q_buf_add(&f->plain, s.p, s.n); }
void frame_words(frame *f, const char *s) { q_buf_puts(&f->plain, s); }

void frame_flush(frame *f)
{
    if (f->plain.len && !f->r) f->r = vocab_tokenize(f->v, f->plain.p, f->plain.len, false, f->out, f->err);
    q_buf_clear(&f->plain);
}

void frame_mark(frame *f, const char *name)
{
    int32_t id = vocab_find(f->v, name);
    if (id < 0) { frame_words(f, name); return; }
    frame_flush(f);
    eng_tokens_add(f->out, id);
}

const char *span_find(span s, const char *what) { return s.n ? memmem(s.p, s.n, what, strlen(what)) : NULL; }
bool span_begins(span s, const char *what) { return s.n >= strlen(what) && memcmp(s.p, what, strlen(what)) == 0; }
bool span_ends(span s, const char *what)
{
    size_t n = strlen(what);
    return s.n >= n && memcmp(s.p + s.n - n, what, n) == 0;
}

static bool of(char c, const char *set) { return c && strchr(set, c); }
span span_lstrip(span s, const char *set) { while (s.n && of(s.p[0], set)) { s.p++; s.n--; } return s; }
span span_rstrip(span s, const char *set) { while (s.n && of(s.p[s.n - 1], set)) s.n--; return s; }
span span_strip(span s, const char *set) { return span_rstrip(span_lstrip(s, set), set); }

/* s behind the last `what` in it. */
static span behind(span s, const char *what)
{
    for (const char *at; (at = span_find(s, what));) {
        s.n -= (size_t)(at - s.p) + strlen(what);
        s.p = at + strlen(what);
    }
    return s;
}

void span_thought(span m, span *inside, span *content)
{
    const char *first = span_find(m, CHAT_UNTHINK);
    *inside = (span){"", 0};
    *content = m;
    if (!first) return;
    *inside = span_lstrip(behind(span_rstrip((span){m.p, (size_t)(first - m.p)}, "\n"), CHAT_THINK), "\n");
    *content = span_lstrip(behind(m, CHAT_UNTHINK), "\n");
}
