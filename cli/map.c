/* cli/map: `quorum model map`: a configuration as a picture, in the terminal's width or as SVG. Main thread. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "engine/engine.h"
#include "lab/lab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

typedef struct pair { eng_config *now, *own; } pair;
static const char *value(void *user, const char *knob, q_buf *b) { return eng_config_get(((pair *)user)->now, knob, b); }
static const char *own(void *user, const char *knob, q_buf *b) { return eng_config_get(((pair *)user)->own, knob, b); }

static int columns(void)
{
    struct winsize w;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

static int put_svg(const lab_map *m, const cli_map *o, const char *path, char *err)
{
    q_buf out = { 0 };
    lab_map_svg(m, &out);
    int rc = q_no_input(o->svg, path, err);
    if (rc == Q_OK)
        rc = cli_put_picture(o->svg, o->force, "map.svg", &out, err);
    q_buf_free(&out);
    return rc;
}

int cli_model_map(const cli_map *o)
{
    char err[Q_ERRLEN];
    eng_model *m = NULL;
    pair c = { NULL, NULL };
    q_buf out = { 0 }, label = { 0 };
    cli_sets sets = { .n = 0 };
    if (o->n_set > CLI_MAX_SETS)
        return q_fail(err, Q_RANGE, _("--set comes %d times, %d are taken: give each knob once"), o->n_set, CLI_MAX_SETS), cli_fail(err);
    for (int i = 0; i < o->n_set; i++)
        sets.item[sets.n++] = o->set[i];
    if (cli_open(o->file, &sets, 0, &m, &c.now, err) != 0)
        return cli_fail(err);
    const eng_info *e = eng_model_info(m);
    c.own = eng_config_new(m);
    uint8_t *recurrent = eng_recurrent_layers(m);
    bool sinks;
    int32_t *window = eng_layer_windows(m, &sinks);
    lab_map map = { e->name, eng_config_label(c.now, &label), e->n_layer, e->n_head, e->n_expert, e->first_moe_layer, e->n_moe_layer, e->n_ctx_train, value, own, &c,
                    recurrent, window, sinks };
    int rc = o->svg ? put_svg(&map, o, e->path, err) : Q_OK;
    if (rc == Q_OK && o->json) {
        lab_map_json(&map, &out);
        q_say_json(stdout, out.p);
    } else if (rc == Q_OK && !o->svg) {
        lab_map_text(&map, columns(), &out);
        q_say_text(stdout, out.p);
    }
    q_buf_free(&out);
    q_buf_free(&label);
    free(recurrent);
    free(window);
    eng_config_free(c.now);
    eng_config_free(c.own);
    eng_model_free(m);
    return rc ? cli_fail(err) : 0;
}
