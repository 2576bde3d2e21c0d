/* agent/keep: what is written down in passing: settings, places, a running answer's words, errands that were accepted. Quick
 * lane, but for what says otherwise. */
#include "agent/errands.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void setting(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (mem_setting_put(a->store, j->text, j->value, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
}

static void place(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int rc = j->id ? mem_conversation_view(a->store, j->id, j->text, j->number, err) : mem_setting_put(a->store, "draft.new", j->text, err);
    if (rc < 0 && rc != Q_NOTFOUND)      /* deleted meanwhile, here or elsewhere: nothing is left to come back to */
        note(&a->events, AGT_WARN, "%s", err);
    backup_daily(a);
}

static void save(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int rc = mem_reply_save(a->store, j->id, j->text, strlen(j->text), j->value, strlen(j->value), err);
    if (rc < 0 && rc != Q_NOTFOUND && a->quick.save_failed != j->id) {     /* not found: the reply has ended meanwhile, with all of its text */
        note(&a->events, AGT_ERROR, "%s", err);
        a->quick.save_failed = j->id;          /* once an answer: on a full disk it would stand between its lines every second */
    }
}

const job_row job_setting = { .name = "setting", .lane = LANE_QUICK, .end = END_CARRIED, .run = setting };
const job_row job_place = { .name = "place", .lane = LANE_QUICK, .end = END_CARRIED, .run = place };
const job_row job_save = { .name = "save", .lane = LANE_QUICK, .end = END_DROPPED, .run = save };

/* ---- errands ---- */
/* A long errand is written down when it is accepted, under the process that has taken it on and a name by chance, and
 * taken off when it is done, was stopped, or was said to have failed: neither the end nor a kill loses it. The name begins with
 * a number by which errands stand in the order they were asked for. */
static char *errand_key(const char *owner, uint64_t order, const char *text)
{
    uint64_t r = (uint64_t)q_now_ns() ^ ((uint64_t)getpid() << 40);
    return q_printf("errand.%s%s%016llx-%08x", owner, *owner ? "." : "", (unsigned long long)order, (unsigned)q_hash64(text, strlen(text), r));
}

uint64_t errand_order(const char *key)
{
    const char *from = key + strlen("errand."), *dot = strchr(from, '.');
    char *end;
    uint64_t order = strtoull(dot ? dot + 1 : from, &end, 16);
    return *end == '-' ? order : 0;      /* names were by chance alone once */
}

void errand_after(agt *a, uint64_t order)
{
    uint64_t was = atomic_load(&a->errands);
    while (order > was && !atomic_compare_exchange_weak(&a->errands, &was, order))
        ;
}

/* The clock's, so that what several programs accepted is in order too; where the clock goes back, the next number. */
static uint64_t next_order(agt *a)
{
    errand_after(a, (uint64_t)q_wall_ms() << 10);
    return atomic_fetch_add(&a->errands, 1) + 1;
}

static int write_down(agt *a, const char *key, const job_row *row, const char *text)
{
    char err[Q_ERRLEN], *value = q_printf("%s\n%s", row->name, text);
    int rc = mem_setting_put(a->store, key, value, err);
    if (rc < 0)
        note(&a->events, AGT_WARN, _("/%s is not written down, so only this run of quorum knows of it: %s"), row->name, err);
    free(value);
    return rc;
}

void errand_accept(agt *a, const job_row *row, uint64_t order, const char *as, const char *text)
{
    char *key = errand_key(mem_owner(a->store), order ? order : next_order(a), text);
    int rc = write_down(a, key, row, text);
    desk_post(&a->desk, row, 0, 0, as, rc == Q_OK ? key : NULL);
    free(key);
}

void errand_done(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (j->value && mem_setting_put(a->store, j->value, NULL, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
}

void errand_left(agt *a, const job *j, const char *text)
{
    char *key = errand_key("", j->value ? errand_order(j->value) : next_order(a), text);     /* nobody's: whoever starts next takes it on */
    if (write_down(a, key, j->row, text) == Q_OK)
        errand_done(a, j);
    free(key);
}
