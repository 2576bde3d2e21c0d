/* agent/compare: /compare: two configurations on the same text (measure.c). Engine thread, in caches of its own: the
 * conversation's cells stay as they are. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <stdlib.h>
#include <string.h>

static void say_before(void *user, const char *sentence) { note(&((agt *)user)->events, AGT_INFO, "%s", sentence); }

/* This conversation's model as it is set now against another one as it was made. */
static int other_model(agt *a, struct eng_cache *beside, const char *name, const char *now, const q_buf *text, char *err)
{
    char *path = NULL;
    q_buf said = { 0 };
    lab_bits b = { .bytes = 0 };
    int rc = prov_find_model(name, &path, err);
    if (rc == Q_OK) {
        lab_two two = { .path = { prov_about(a->seat.who)->path, path }, .now = now, .say = say_before, .user = a };
        measuring work = measure_begin(a, "/compare");
        rc = lab_other_beside(beside, &two, text->p, text->len, &(lab_terms){ .go_on = measure_go_on, .user = &work }, &b, &said, err);
        measure_end(&work);
    }
    if (rc == Q_OK) {
        q_buf out = { 0 };
        lab_bits_say(&b, _("now"), "standard", &out);
        note_page(&a->events, "/compare", q_buf_take(&out), lab_bits_data(&b, "now", "standard"));
    }
    lab_bits_free(&b);
    q_buf_free(&said);
    free(path);
    return rc;
}

/* ---- both answer ---- */
/* How a side is counted by /prefer: its settings as written; the present ones by their caption. */
static char *counted_as(agt *a, const char *spec) { return spec ? q_strdup(spec) : caption_of(a->seat.cfg); }

/* The last question of this branch, answered under both with one seed. */
static int answers(agt *a, struct eng_cache *beside, const lab_pair *p, bool blind, char *err)
{
    mem_messages path = a->chat.path;
    int32_t *ids = NULL;
    while (path.n && path.v[path.n - 1].role != MEM_USER)
        path.n--;
    if (!path.n)
        return q_fail(err, Q_RANGE, _("this conversation has no question yet that both could answer"));
    int n = measure_ids(a, &path, &ids, err), rc = n < 0 ? n : Q_OK;
    if (rc == Q_OK) {
        uint64_t seed = measure_seed(a);
        lab_voice voice[2] = { { p->a, seed, p->a != NULL }, { p->b, seed, p->b != NULL } };
        lab_ask ask = { .prompt = ids, .n = n, .now = p->now, .voice = voice, .n_voice = 2, .most = measure_most(a), .cross = true };
        lab_columns c;
        measuring work = measure_begin(a, "/compare");
        rc = lab_columns_beside(beside, &ask, &(lab_terms){ .go_on = measure_go_on, .user = &work }, &c, err);
        measure_end(&work);
        if (rc == Q_OK) {
            char *side[2] = { counted_as(a, p->a), counted_as(a, p->b) };
            prefer_show(a, &c, (const char *const *)side, prov_about(a->seat.who)->id, blind);
            free(side[0]);
            free(side[1]);
        }
    }
    free(ids);
    return rc;
}

/* ---- one text ---- */
static int one_text(agt *a, struct eng_cache *beside, const lab_pair *p, const q_buf *text, char *err)
{
    q_buf out = { 0 };
    char *json = NULL;
    agt_event e = { .kind = AGT_EV_COLUMNS, .columns = q_alloc(sizeof *e.columns) };
    measuring work = measure_begin(a, "/compare");
    int rc = lab_compare_beside(beside, p, text->p, text->len, &(lab_terms){ .go_on = measure_go_on, .user = &work }, &out, &json, e.columns, err);
    measure_end(&work);
    if (rc == Q_OK) {
        note_page(&a->events, "/compare", q_buf_take(&out), json);
        evq_push(&a->events, &e);
    } else
        agt_event_free(&e);
    q_buf_free(&out);
    return rc;
}

typedef struct asked { char *line, *side[2], *on; int n; bool free, blind; } asked;
static int read_line(const char *text, asked *q, char *err)
{
    char *at = NULL;
    *q = (asked){ .line = q_strdup(text) };
    for (char *p = strtok_r(q->line, " \t\n", &at); p && !measure_on(p, at, &q->on); p = strtok_r(NULL, " \t\n", &at)) {
        bool blind = strcmp(p, "--blind") == 0, both = strcmp(p, "free") == 0 || strcmp(p, "вольно") == 0;
        q->blind |= blind;
        q->free |= both || blind;
        if (!blind && !both && q->n++ < 2)
            q->side[q->n - 1] = p;
    }
    bool good = (q->n == 1 || q->n == 2) && !(q->free && (q->on || strcmp(q->side[0], "--other") == 0));
    return good ? Q_OK : q_fail(err, Q_RANGE, _("/compare A [B] [on FILE|last]: each a brain or settings like k=4, without B the present ones against A; "
                                                "or free [--blind]: both answer the last question; or --other MODEL"));
}

static void compare(agt *a, const job *j)
{
    char err[Q_ERRLEN], *now = NULL;
    asked q;
    struct eng_cache *beside = NULL;
    q_buf text = { 0 };
    int rc = read_line(j->text, &q, err);
    bool other = rc == Q_OK && q.n == 2 && strcmp(q.side[0], "--other") == 0;
    lab_pair p = { q.n == 2 ? q.side[0] : NULL, q.n == 2 ? q.side[1] : q.side[0], NULL };
    if (rc == Q_OK && !(beside = measure_cache(a, err)))
        rc = Q_NOTFOUND;
    if (rc == Q_OK)
        p.now = now = prov_config_json(a->seat.cfg);
    if (rc == Q_OK && !q.free)
        rc = measure_text(a, q.on, &text, err);
    if (rc == Q_OK)
        rc = other ? other_model(a, beside, q.side[1], now, &text, err) : q.free ? answers(a, beside, &p, q.blind, err) : one_text(a, beside, &p, &text, err);
    if (rc < 0)
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    q_buf_free(&text);
    free(now);
    free(q.line);
}

const job_row job_compare = { .name = "compare", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = compare };
