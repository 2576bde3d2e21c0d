/* agent/module: a module is a named text, a way of thinking, that stands in the system text while it is on: one Markdown file with
 * a small front matter, MODULES/NAME.md in the user's config directory. Eight come with quorum (agent/modules/), in the interface's
 * language; a person's file of that name stands before them. Its version is a hash of the whole file; versions that were in use are
 * kept beside what quorum keeps (data directory, modules/NAME-HASH.md), so that what changed can be said.
 *
 *     ---
 *     title: Skeptic
 *     order: 20
 *     when: proof, sources, доказательство
 *     knobs: sampler.temperature=0.3, experts.ban=3:1,4:0
 *     adapter: skeptic.gguf=0.7
 *     memory: notes, papers/2025
 *     ---
 *     Ask what would show that you are wrong …
 *
 * Plain functions over files; any thread. They know nothing of the room. Errors: one sentence. */
#ifndef QUORUM_AGENT_MODULE_H
#define QUORUM_AGENT_MODULE_H

#include "agent/slips.h"

enum { MODULES_MOST = 64, MODULE_BYTES = 64 << 10, MODULE_HASH = 16, MODULE_ORDER = 500 };

typedef struct module {                  /* zero-initialise; module_free */
    char *name, *title, *text;           /* text: without the front matter and the blank lines around it; may be "" */
    char *path;                          /* the file that it was read from */
    char *adapter;                       /* "FILE" or "FILE=SCALE"; NULL */
    char *problem;                       /* in a list: why it cannot be read; NULL */
    char hash[MODULE_HASH + 1];          /* of the whole file */
    int order;                           /* 0..999; MODULE_ORDER where it says nothing */
    strings when;                        /* words and phrases of a question; none: always */
    strings knobs;                       /* NAME=VALUE */
    strings memory;                      /* names of what it searches among; none: everything */
    bool shipped;
} module;
void module_free(module *);
void modules_free(module *, int n);

/* Of text[0..n), whatever it is. path is for sentences. Q_FORMAT, Q_RANGE. */
int module_parse(const char *name, const char *path, const char *text, size_t n, module *out, char *err);
/* The person's, else the shipped one. Q_NOTFOUND: there is none of that name; Q_RANGE: it is no name. */
int module_read(const char *name, module *out, char *err);
/* All, by order and name: those that cannot be read too, with their problem. *over: files beyond MODULES_MOST, which are left out;
 * shipped ones give room first. */
int module_list(module **out, int *n, int *over, char *err);
bool module_known(const char *name);     /* a name, and a file of the person's or a shipped one stands behind it; it may be broken */

/* The person's file, for an editor: a new one (body: what it begins with; NULL: a pattern), or one that is there; a shipped one
 * is copied first. *path malloc'ed. Q_RANGE: new, but it is there already, or 64 are; Q_NOTFOUND: there is none. */
int module_new(const char *name, char **path, char *err);
int module_open(const char *name, char **path, char *err);

/* Keeps this version, where it is not kept yet. The file's text as it was read. */
int module_keep(const module *, char *err);
/* The newest kept version of this name with another hash than `hash`, or the shipped one; *was: its hash. Q_NOTFOUND: there is none. */
int module_before(const char *name, const char *hash, q_buf *text, char was[MODULE_HASH + 1], char *err);

/* Does the question hold one of the words? Whole words by stem, Cyrillic and Latin, in any letter case, as memory finds them;
 * of a phrase all words, in a row. No words: yes. */
bool module_wanted(const module *, const char *question);

#endif
