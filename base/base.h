/* base: what every room needs and the C library lacks: error sentences, a growable
 * buffer, hashes, clocks, user paths. Owns nothing global; any thread may call it.
 * It never knows about models, SQLite or the terminal. */
#ifndef QUORUM_BASE_H
#define QUORUM_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/words.h"

#define QUORUM_VERSION "0.1.0"

/* Words for people go through the catalogue that the front end chose; N_() marks a string that a table keeps. The names
 * are gettext's, so that its tools find the texts. What comes back lives as long as the program. */
#define _(s) q_words(s)
#define N_(s) s
#undef ngettext                          /* libintl.h makes it a macro of its own */
#define ngettext(one, many, n) q_words_n(one, many, n)

/* Result of any function that can fail: 0 or one of these. */
enum q_result {
    Q_OK = 0,
    Q_ERR = -1,     /* anything else                                  */
    Q_NOMEM = -2,   /* allocation failed, or the model does not fit    */
    Q_IO = -3,      /* the system said no; errno was turned into words */
    Q_FORMAT = -4,  /* the file or the text is not what it should be   */
    Q_CANCEL = -5,  /* somebody asked to stop                          */
    Q_RANGE = -6,   /* a value outside what the table allows           */
    Q_NOTFOUND = -7
};

/* `err` arguments everywhere: a caller's array of at least Q_ERRLEN bytes, never NULL,
 * written only on failure: one sentence, no newline, with what to do next. */
enum { Q_ERRLEN = 512 };
int q_fail(char *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Allocation that cannot return NULL: on exhaustion it prints one line and aborts
 * (the crash handler of tui/term gives the terminal back first). For big things
 * (weights, caches) call malloc and report Q_NOMEM instead. */
void *q_alloc(size_t n);                 /* zeroed */
void *q_realloc(void *p, size_t n);
char *q_strdup(const char *s);
char *q_strndup(const char *s, size_t n);
/* Is the word, of n bytes, one of those in list that any of the characters of `parted` part? list NULL: none is. */
bool q_listed(const char *list, const char *parted, const char *word, size_t n);
char *q_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* malloc'ed */

/* ---- growable bytes; always followed by a 0 that len does not count ---- */
typedef struct q_buf { char *p; size_t len, cap; } q_buf;   /* zero-initialise; q_buf_free */
void q_buf_add(q_buf *b, const void *p, size_t n);
void q_buf_puts(q_buf *b, const char *s);
void q_buf_putc(q_buf *b, char c);
void q_buf_printf(q_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void q_buf_clear(q_buf *b);              /* len = 0, keeps the memory */
char *q_buf_take(q_buf *b);              /* caller frees; b is empty afterwards; never NULL */
void q_buf_free(q_buf *b);

/* ---- UTF-8 ---- */
/* Decodes one code point of s[0..n): returns bytes consumed (1..4), *cp = code point.
 * An invalid byte consumes 1 and gives U+FFFD. n must be > 0. */
int q_utf8_next(const char *s, size_t n, uint32_t *cp);
int q_utf8_put(char out[4], uint32_t cp);                /* bytes written, 1..4 */
bool q_utf8_valid(const char *s, size_t n);
/* Length of the longest prefix that does not end inside a character. */
size_t q_utf8_whole(const char *s, size_t n);
/* Copy with every invalid byte replaced by U+FFFD; malloc'ed. */
char *q_utf8_clean(const char *s, size_t n);
/* Characters of a text: code points where it is valid. */
int q_utf8_points(const char *s);
/* Damerau and Levenshtein's distance in code points, of at most 40 of each. */
int q_utf8_distance(const char *a, const char *b);
void q_buf_puts_clean(q_buf *b, const q_buf *text);     /* adds it so, up to its first NUL */
/* Small letters in place where they take as many bytes (ASCII, Latin-1, Cyrillic), whatever the bytes are; and whether n bytes hold a
 * text that was folded so, in any case. */
void q_fold_bytes(char *p, size_t n);
bool q_holds(const char *p, size_t n, const char *folded, size_t n_folded);

/* ---- hashes ---- */
uint64_t q_hash64(const void *p, size_t n, uint64_t seed);   /* not cryptographic */
uint64_t q_salt(void);                                     /* a seed that the maker of a file cannot know */
uint64_t q_mix64(uint64_t a, uint64_t b);                    /* chains two hashes */
uint64_t q_random(uint64_t s[4]);                            /* xoshiro256** (Blackman and Vigna 2018); s: any but all zero */
int q_sha256_file(const char *path, char hex[65], char *err);
void q_sha256(const void *p, size_t n, char hex[65]);

int q_hex_digit(char c);                                    /* its value, -1: it is none */
int q_percent(const char *p, size_t n);                       /* the byte that "%41" at the head of n bytes names, -1: no such thing stands there */
int q_by_number(const void *a, const void *b);                /* of doubles, for qsort: the smallest first */

/* ---- time ---- */
int64_t q_now_ns(void);          /* monotonic */
int64_t q_wall_ms(void);         /* Unix time in ms */

/* ---- files and user paths ---- */
/* A whole file; Q_RANGE above max. Never waits: what is a pipe, a socket or a terminal is refused, so that one that somebody
 * laid where a file is looked for holds nobody up. out keeps what was read before a failure. */
int q_read_file(const char *path, q_buf *out, size_t max, char *err);
int q_read_input(const char *path, q_buf *out, size_t max, char *err);   /* what a command line names: a pipe is waited for */
int q_file_check(int fd, const char *path, char *err);                   /* Q_IO for what q_read_file refuses */
int q_read_fd(int fd, const char *name, q_buf *out, size_t max, char *err);  /* to its end; name is for sentences */
/* What becomes a file in minutes: open for writing, and without a name where the system and the file system know such files and let them have one, which is tried
 * here, so that it is gone with the process, however that ends; elsewhere it is called part. q_part_name: part is its name now. Both: -1 with errno; what was called part before is removed. */
int q_part_open(const char *part);
int q_part_name(int fd, const char *part);
int q_write_file_atomic(const char *path, const void *p, size_t n, char *err); /* temp + fsync + rename */
int q_write_file_new(const char *path, const void *p, size_t n, char *err);     /* the same, but Q_RANGE where something is there by then */
/* a gets the name b, never over what is there by then: 0, or -1 with errno (EEXIST). On one file system. */
int q_move_new(const char *a, const char *b);
/* Overwritten with zeros, as far as the disk lets that be, and removed. Q_OK too where there is none. */
int q_file_erase(const char *path, char *err);
void q_wipe_fd(int fd);                              /* the same of an open file, which keeps its length */
/* A key, for servers that ask for one: the first line of text without the blanks around it; malloc'ed. */
char *q_key_text(const char *text);
/* Likewise of a file ("~/x" too) that nobody else may read; every failure says what to do. *key malloc'ed. */
int q_key_file(const char *path, char **key, char *err);
bool q_same_file(const char *a, const char *b);                                  /* both are there, under whatever names */
int q_no_input(const char *path, const char *input, char *err);                /* Q_RANGE: path, which is to be written, is the file input, which is read */
int q_no_device(const char *path, char *err);                                    /* Q_RANGE: a pipe or a device stands there, in whose place a file would be put */
int q_no_folder(const char *path, const char *like, char *err);                /* Q_RANGE: one stands where a file is to be written, `like` by its name; or no name was given */
int q_mkdirs(const char *path, char *err);                               /* mode 0700 for new ones */
enum q_dir { Q_DIR_CONFIG, Q_DIR_DATA, Q_DIR_CACHE, Q_DIR_STATE };
char *q_home(void);                                  /* HOME if absolute, else the password file's; NULL: none; malloc'ed */
char *q_home_path(const char *path);                 /* "~" and "~/x" with that in the place of ~; malloc'ed */
char *q_whole_path(const char *path);                /* the same, a relative one below the present folder: found from any other; malloc'ed */
char *q_user_path(enum q_dir d, const char *name);   /* XDG base + "/quorum/" + name; NULL without a home; malloc'ed */
int q_no_home(char *err);                            /* the sentence for that; returns Q_NOTFOUND */
/* A file that ships with quorum (themes/dark.ini, docs/…, engine/recipes/…): looked for beside the
 * binary's source tree, then under the installed PREFIX/share/quorum. NULL if absent; malloc'ed. */
char *q_share_path(const char *name);
char *q_locale_dir(void);                            /* the folder of translations; malloc'ed, never NULL */
char *q_find_program(const char *name);              /* in PATH's absolute folders; NULL: nowhere; malloc'ed */
char *q_own_program(const char *name);               /* that comes with quorum: beside it or installed; NULL: nowhere; malloc'ed */
/* For main, before any thread: what the environment says of folders that begins in the current directory is forgotten
 * (PATH's entries, XDG, HF_HOME and their like), and HOME is the user's own. Whoever may write into the present folder
 * must not decide what runs or is read. */
void q_clean_environment(void);

/* For a handler of SIGBUS: the path of the file mapped at addr into out (cut at size), its length, 0 = none.
 * Async-signal-safe. */
size_t q_fault_file(const void *addr, char *out, size_t size);

/* 1536 -> "1.5 KiB" and so on; returns out. */
char *q_bytes_words(uint64_t n, char out[32]);       /* "1009.3 KiB": the one unit of all that is shown, translated */
char *q_bytes_brief(uint64_t n, char out[32]);       /* "105 MiB", "1.1 GiB" */
/* Bytes that can still be had: MemAvailable, bounded by the control groups around us; what is only cached counts as free.
 * UINT64_MAX: nobody says. _in: of a machine whose / is at root (tests). */
uint64_t q_mem_available(void);
uint64_t q_mem_available_in(const char *root);
uint64_t q_mem_total(void);            /* what the machine has, or those groups allow in all; UINT64_MAX likewise */
uint64_t q_mem_total_in(const char *root);
/* Processors that this process may keep busy, at least 1: those it may run on (taskset, cpusets), and no more than the control groups around
 * us pay for (docker --cpus, CPUQuota=), to the nearest: threads beyond that make all of them wait for the next period. _in: `may`, by the
 * groups of a machine whose / is at root (tests). */
int q_cores(void);
int q_cores_in(const char *root, int may);
/* The best sets of instructions here that files are compiled for, in rising order: each has all that its file may hold (ISA_avx2 and the others of the
 * Makefile: FMA, F16C and BMI2 too). None where this is no x86-64. What QUORUM_CPU asks for is kernels/cpu/cpu.h's. */
enum q_isa { Q_ISA_NONE, Q_ISA_AVX2, Q_ISA_AVX512, Q_ISA_VNNI, Q_ISA_VBMI };
enum q_isa q_isa(void);
bool q_in_memory(const char *path);    /* a file in tmpfs: what it takes is taken already */

#endif
