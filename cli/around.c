/* cli/around: `quorum memory graph`: a name and what stands beside it in memory, as text, JSON or a picture. Main thread. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "cli/keep.h"
#include "rag/rag.h"

int memory_graph(mem_store *s, const memory_ask *a, char *err)
{
    rag_around r;
    q_buf name = {0}, out = {0};
    for (int i = 0; i < a->n; i++) q_buf_printf(&name, "%s%s", i ? " " : "", a->rest[i]);
    int rc = rag_around_find(s, name.p, &r, err);
    bool found = rc == Q_OK;
    if (rc == Q_OK && a->svg) {
        rag_around_svg(&r, &out);
        rc = cli_put_picture(a->svg, a->force, "graph.svg", &out, err);
        if (rc == Q_OK) rc = mem_outside_put(s, "picture", a->svg, err);
    }
    q_buf_clear(&out);
    if (rc == Q_OK && a->json) {
        rag_around_json(&r, &out);
        q_say_json(stdout, out.p);
    } else if (rc == Q_OK && !a->svg) {
        rag_around_text(&r, &out);
        q_say_text(stdout, out.p);
    }
    if (found) rag_around_free(&r);
    q_buf_free(&out);
    q_buf_free(&name);
    return rc == Q_OK ? 0 : cli_fail(err);
}
