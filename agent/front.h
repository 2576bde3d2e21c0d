/* agent/front: what typed commands do beside posting jobs. Front-end thread. */
#ifndef QUORUM_AGENT_FRONT_H
#define QUORUM_AGENT_FRONT_H

#include "agent/room.h"

/* ---- front.c ---- */
/* The present conversation; 0: a new one, or another one may be on its way in: then the engine's lane knows which is meant. */
int64_t front_present(agt *);

/* ---- knobs.c ---- */
void knobs_set(agt *, const char *name, const char *value);  /* kept, where it is a row of the agent's; answers by events */
bool knobs_set_several(agt *, const char *words);            /* "a=1,b=2 c=3": all or none; false: that is not what the words are */
void knobs_page(agt *, const char *name_or_null);

/* ---- turns.c ---- */
void turns_set(agt *, int knob);         /* one of the agent's or of memory's has another value */

/* ---- configs.c ---- */
void configs_history(agt *);             /* /history alone */
void configs_diff(agt *);                /* /diff */

/* ---- submit.c ---- */
const agt_command *command_find(const char *name);          /* in either language; NULL */

/* ---- wishes.c ---- */
bool wishes_command(agt *, bool bans, const char *args); /* "", NUMBER, off NUMBER; false: it is none of these */

/* ---- toolpage.c ---- */
bool tools_command(agt *, const char *args);     /* false: that is none of what it takes */

/* ---- pages.c: texts that commands print ---- */
void page_context(agt *);
void page_why(agt *);
void page_experts(agt *);
void page_guard(agt *);                  /* guard.c */
void map_page(agt *);                    /* map.c */
bool zoom_page(agt *, const char *args); /* zoom.c; "LAYER" or "LAYER:EXPERT", " all" behind it; false: it is neither, and nothing is done */

#endif
