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
static int other_model(agt *a, struct eng_cache *beside, const char *name, const char *now, const q_buf *text, q_buf *out, char *err)
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
    if (rc == Q_OK)
        lab_bits_say(&b, _("now"), "standard", out);
    lab_bits_free(&b);
    q_buf_free(&said);
    free(path);
    return rc;
}

static void compare(agt *a, const job *j)
{
    char err[Q_ERRLEN], *line = q_strdup(j->text), *on = NULL, *side[2] = { NULL, NULL }, *at = NULL;
    int n = 0;
    for (char *p = strtok_r(line, " \t\n", &at); p && !measure_on(p, at, &on); p = strtok_r(NULL, " \t\n", &at))
        if (n++ < 2)
            side[n - 1] = p;
    struct eng_cache *beside = NULL;
    char *now = NULL;
    q_buf text = { 0 }, out = { 0 };
    bool other = n == 2 && strcmp(side[0], "--other") == 0;
    int rc = n == 1 || n == 2 ? Q_OK : q_fail(err, Q_RANGE, _("/compare A [B] [on FILE|last]: each a brain or settings like k=4; without B the present ones against A; or --other MODEL"));
    if (rc == Q_OK && !(beside = measure_cache(a, err)))
        rc = Q_NOTFOUND;
    if (rc == Q_OK)
        now = prov_config_json(a->seat.cfg);
    if (rc == Q_OK)
        rc = measure_text(a, on, &text, err);
    if (rc == Q_OK && other)
        rc = other_model(a, beside, side[1], now, &text, &out, err);
    else if (rc == Q_OK) {
        lab_pair p = { n == 2 ? side[0] : NULL, n == 2 ? side[1] : side[0], now };
        measuring work = measure_begin(a, "/compare");
        rc = lab_compare_beside(beside, &p, text.p, text.len, &(lab_terms){ .go_on = measure_go_on, .user = &work }, &out, err);
        measure_end(&work);
    }
    if (rc == Q_OK)
        note_text(&a->events, "/compare", q_buf_take(&out));
    else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    q_buf_free(&text);
    q_buf_free(&out);
    free(now);
    free(line);
}

const job_row job_compare = { .name = "compare", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = compare };
