/* agent/settings: the joined knob table (engine, rag, and the rows of the screen and the turn), what agent and rag rows are
 * worth, settings as text, and config.ini. In order, each over the one before it: the default, config.ini, what the store
 * keeps, --set, /set. Values are guarded by settings.mu, any thread; what is read at the start is constant afterwards.
 * It never touches a session: what an engine knob is worth, the engine's thread knows. */
#ifndef QUORUM_AGENT_SETTINGS_H
#define QUORUM_AGENT_SETTINGS_H

#include "agent/slips.h"
#include "base/knob.h"
#include "rag/rag.h"

#include <pthread.h>

enum knob_room { KNOB_ENGINE, KNOB_RAG, KNOB_AGENT };
typedef struct setting_row { char *key, *value; } setting_row;

typedef struct settings {
    /* constant after agt_open */
    const q_knob **knob;                 /* the joined table */
    uint8_t *room;                       /* enum knob_room of each */
    int n_knob;
    strings ini, set;                    /* NAME=VALUE of config.ini (engine rows only) and of --set, for each model that is loaded */
    struct prov_servers *servers;        /* sections [server.NAME] of config.ini; filled at the start */
    struct mcp_set *mcps;                /* sections [mcp.NAME]; likewise */
    struct mcp_oauth *signs;             /* and how one signs in there */
    /* under mu */
    pthread_mutex_t mu;
    rag_config rag;
    setting_row *v;                          /* a copy of what the store keeps, with what the start put over it */
    int n, cap;
} settings;

void settings_open(settings *);
void settings_close(settings *);

/* ---- the table; any thread, without the mutex ---- */
int settings_find(const settings *, const char *name);       /* index by name, aka, or what stands behind the point of one knob alone (k: experts.k); -1 */
int settings_nearest(const settings *, const char *name);    /* for "did you mean", -1 */
const char *settings_default(const char *name);              /* of an agent row */

/* ---- values ---- */
/* rag and agent rows, checked; "default" goes back. Engine rows: Q_NOTFOUND. The store is not written. */
int settings_set(settings *, const char *name, const char *value, char *err);
int settings_check(settings *, const char *name, const char *value, char *err);      /* the same, and nothing is set */
/* Of a word of NAME=VALUE with commas between, up to a comma behind which another setting begins; a text keeps commas before
 * what is no knob. Without the mutex. */
size_t settings_length(const settings *, const char *word, size_t n);
double settings_number(settings *, const char *name);     /* of an agent's knob that is one */
const char *settings_value(settings *, const char *name, q_buf *buf);    /* of an agent row, or its default */
rag_config settings_rag(settings *);
char *settings_get(settings *, const char *key);             /* malloc'ed or NULL */
void settings_each(settings *, const char *prefix, void (*each)(void *user, const char *key, const char *value), void *user);   /* it calls nothing of settings */
void settings_put(settings *, const char *key, const char *value);       /* NULL removes */

/* config.ini, once, before any value of the store's or of --set is there: agent and rag rows are set, engine rows go to
 * settings.ini; sentences about bad lines to *notes. _parse: text is changed; path is for the sentences. */
void settings_read_ini(settings *, strings *notes);
void settings_parse_ini(settings *, const char *path, q_buf *text, strings *notes);

#endif
