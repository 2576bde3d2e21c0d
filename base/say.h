/* base/say: the one way to standard output and standard error, for words, for data and for JSON. What is quoted in words
 * (names of files and models, headings, values, what a model said) may be any bytes and must not steer a terminal: control
 * characters, C1, direction overrides and hidden tag characters never reach it. Owns nothing; any thread may call it.
 * tests/structure/saying.test keeps everybody else from printing past it. */
#ifndef QUORUM_SAY_H
#define QUORUM_SAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/base.h"

/* What a code point does to the text around it. */
enum q_char {
    Q_CHAR_FINE,
    Q_CHAR_BREAK,      /* ends a line somewhere: LF, VT, FF, CR, U+0085, U+2028, U+2029          */
    Q_CHAR_CONTROL,    /* other C0 (a tab too), DEL, other C1                                     */
    Q_CHAR_TURN,       /* reorders or hides what stands beside it: bidi controls, tags, U+FFF9..B */
    Q_CHAR_UNSEEN      /* a direction mark: harmless, and nothing to see                          */
};
enum q_char q_char_kind(uint32_t cp);

/* s[0..n) as a terminal may be told, added to out as valid UTF-8. `line`: one line, every break and tab a space;
 * else LF and tabs stay, CRLF is LF. What may not be said and what is no UTF-8 becomes U+FFFD; direction marks go. */
void q_say_clean(q_buf *out, const char *s, size_t n, bool line);
/* The same, as text between the tags of XML. */
void q_say_xml(q_buf *out, const char *s);
/* The same of one line, as a field of CSV, quoted where it must be (RFC 4180). */
void q_say_csv(q_buf *out, const char *s);
/* A piece of text (a token, say) so that all of it is seen, on one line: \n, \t and \\ so, \xNN for every byte of what is no
 * printable character and of half a one. Added to out. */
void q_say_visible(q_buf *out, const char *s, size_t n);
/* The same for one line, in place and never longer, `?` for U+FFFD; returns the new length. Async-signal-safe. */
size_t q_say_plain(char *s, size_t n);

/* A sentence of n bytes that is longer than `most` (100 or more), in place: what makes it so, a refused value of kilobytes mostly, loses its middle to "…",
 * so that what the sentence says behind it is still read. The longest part between double quotes or guillemets is cut; where nothing is quoted, the
 * longest word; else the sentence itself. Returns the new length. */
size_t q_say_brief(char *s, size_t n, size_t most);

/* Words in lines of `width` code points at most; a longer word stands alone. A newline ends a line, runs of blanks within one stay. */
void q_say_wrapped(q_buf *out, const char *text, int width);

/* printf in which every string that %s quotes is cleaned to one line; the format itself (our own words, translated) is
 * taken as it is. A width of %s counts code points. Knows d i o u x X e E f F g G a A c s %, lengths, * and N$. */
void q_say(FILE *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void q_buf_say(q_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Text of several lines, cleaned, as it is otherwise. */
void q_say_text(FILE *f, const char *s);
/* What a program reads from us (an answer, ids, decoded bytes): untouched in a pipe or file, cleaned on a terminal. */
void q_say_data(FILE *f, const char *s, size_t n);
/* Our own words or terminal sequences: a constant or what gettext made of one, never what somebody else wrote. */
void q_say_own(FILE *f, const char *own);
/* One value of JSON, as cJSON printed it, and a line's end. */
void q_say_json(FILE *f, const char *json);

/* JSON text with U+007F..U+009F, bidi controls, tags and U+2028/9 as \u escapes, and what is no UTF-8 as \ufffd;
 * the same value to every reader of JSON. Added to out. */
void q_json_safe(q_buf *out, const char *json, size_t n);
/* Is it nested no deeper? cJSON counts too, but takes a thousand levels: what a stranger wrote is looked at before anything recursive sees it. */
bool q_json_shallow(const char *json, int levels);

#endif
