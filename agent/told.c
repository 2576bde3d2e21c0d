/* agent/told: what is said once. Engine's thread. See modules.h. */
#include "agent/talk.h"
#include "base/say.h"

#include <stdlib.h>

/* Said once a process: it would stand above every answer. */
void modules_once(agt *a, enum agt_level level, char *text)
{
    if (strings_at(&a->seat.modules.told, text) >= 0) {
        free(text);
        return;
    }
    note(&a->events, level, "%s", text);
    strings_add(&a->seat.modules.told, text);
}

void modules_memory_looked(agt *a)
{
    char err[Q_ERRLEN];
    for (int i = 0; i < a->seat.modules.n; i++) {
        const module *m = &a->seat.modules.now[i].m;
        for (int k = 0; k < m->memory.n; k++) {
            const char *name = m->memory.v[k];
            mem_under u = { 0 };
            if (mem_passages_under(a->store, &name, 1, &u, err) == Q_OK && !u.n_chunk && !u.n_turn)
                modules_once(a, AGT_WARN, q_printf(_("module %s: nothing in memory is called %s, so it finds nothing there; /memory shows what there is"), m->name, name));
            mem_under_free(&u);
        }
    }
}
