/* agent/map: the picture of the present configuration, from the snapshots: as text of any width for a front end, as SVG in a
 * file. Any thread. */
#include "agent/errands.h"
#include "agent/front.h"

#include <stdlib.h>
#include <string.h>

static const char *value(void *user, const char *knob, q_buf *b) { return prov_config_get(((shown *)user)->cfg, knob, b); }
static const char *own(void *user, const char *knob, q_buf *b)
{
    const shown *s = user;
    return strcmp(knob, "rope.theta") == 0 ? s->about.shape.theta : prov_config_get(s->cfg, knob, b);
}

/* Under shown.mu. False: no model is loaded. */
static bool drawn(shown *s, void (*draw)(const lab_map *, int, q_buf *), int columns, q_buf *out)
{
    if (!s->cfg)
        return false;
    lab_map m = { s->full_name ? s->full_name : "", s->st.label, s->about.shape.n_layer, s->about.shape.n_head, s->st.n_expert, s->about.shape.first, s->about.shape.n_moe,
                  s->about.shape.ctx_train, value, own, s, s->about.recurrent, s->about.window, s->about.sinks };
    draw(&m, columns, out);
    return true;
}

static void as_svg(const lab_map *m, int columns, q_buf *out) { lab_map_svg(m, out); }

char *agt_map(agt *a, int columns)
{
    q_buf out = { 0 };
    pthread_mutex_lock(&a->shown.mu);
    bool there = drawn(&a->shown, lab_map_text, columns, &out);
    pthread_mutex_unlock(&a->shown.mu);
    if (!there)
        q_buf_puts(&out, _("Shows the layers with their heads and experts, once a model is loaded.\n"));
    return q_buf_take(&out);
}

bool agt_layer_recurrent(agt *a, int layer)
{
    shown *s = &a->shown;
    pthread_mutex_lock(&s->mu);
    bool is = s->about.recurrent && layer >= 0 && layer < s->about.shape.n_layer && s->about.recurrent[layer];
    pthread_mutex_unlock(&s->mu);
    return is;
}

static void as_json(const lab_map *m, int columns, q_buf *out) { lab_map_json(m, out); }

void map_page(agt *a)
{
    q_buf data = { 0 };
    pthread_mutex_lock(&a->shown.mu);
    drawn(&a->shown, as_json, 0, &data);
    pthread_mutex_unlock(&a->shown.mu);
    note_page(&a->events, "/map", agt_map(a, 80), data.len ? q_buf_take(&data) : NULL);
}

static void save(agt *a, const job *j)
{
    char err[Q_ERRLEN], *real = q_home_path(j->text);
    q_buf out = { 0 };
    if (asks_over(a, real, "map.svg", &job_map, j->number, j->text)) {
        free(real);
        return;
    }
    pthread_mutex_lock(&a->shown.mu);
    bool there = drawn(&a->shown, as_svg, 0, &out);
    pthread_mutex_unlock(&a->shown.mu);
    if (!there)
        note(&a->events, AGT_ERROR, _("no model is loaded that could be drawn: /model lists those at hand"));
    else if (q_write_file_atomic(real, out.p, out.len, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note(&a->events, AGT_INFO, _("the map is in %s"), real);
    q_buf_free(&out);
    free(real);
}
const job_row job_map = { .name = "map", .lane = LANE_QUICK, .end = END_CARRIED, .run = save };
