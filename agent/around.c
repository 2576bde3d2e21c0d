/* agent/around: /graph: a name and what stands beside it in memory, as a page or as a picture in a file. Quick lane. It never
 * changes the store. */
#include "agent/asks.h"
#include "agent/errands.h"

#include <stdlib.h>
#include <string.h>

static void picture(agt *a, const job *j, const rag_around *r, const char *path)
{
    char err[Q_ERRLEN], *real = q_home_path(path);
    q_buf out = { 0 };
    if (!asks_over(a, real, "graph.svg", &job_graph, j->number, j->text)) {
        rag_around_svg(r, &out);
        if (q_write_file_atomic(real, out.p, out.len, err) < 0)
            note(&a->events, AGT_ERROR, "%s", err);
        else {
            agt_outside(a, "picture", real);
            note(&a->events, AGT_INFO, _("the picture is in %s"), real);
        }
    }
    q_buf_free(&out);
    free(real);
}

static void graph(agt *a, const job *j)
{
    static const char option[] = " --svg";
    char err[Q_ERRLEN];
    const char *svg = strstr(j->text, option), *file = svg ? svg + strlen(option) : "";
    if (svg && *file && *file != ' ' && *file != '=')
        svg = NULL, file = "";
    file += svg && *file;
    while (*file == ' ')
        file++;
    if (svg && !*file) {
        note(&a->events, AGT_ERROR, _("--svg takes the name of a file: /graph NAME --svg graph.svg"));
        return;
    }
    char *name = q_strndup(j->text, svg ? (size_t)(svg - j->text) : strlen(j->text));
    rag_around r;
    if (rag_around_find(a->store, name, &r, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
    } else {
        q_buf text = { 0 }, json = { 0 };
        if (svg) {
            picture(a, j, &r, file);
        } else {
            rag_around_text(&r, &text);
            rag_around_json(&r, &json);
            note_page(&a->events, "/graph", q_buf_take(&text), q_buf_take(&json));
        }
        rag_around_free(&r);
    }
    free(name);
}

const job_row job_graph = { .name = "graph", .lane = LANE_QUICK, .end = END_DROPPED, .run = graph };
