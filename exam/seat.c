/* exam/seat: a model opened for a run: its room, at temperature 0 unless told otherwise, and further configurations of it. One caller. */
#include "exam/parts.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct wish { const exam_open *o; int room, max_tokens; } wish;

/* The knob of that name, or the only one with it behind its point: "k" is experts.k. NULL: none, or several. */
static const q_knob *knob_of(const char *name)
{
    int n, found = 0;
    const q_knob *row = prov_knobs(&n), *only = NULL;
    for (int i = 0; i < n; i++) {
        const char *point = strchr(row[i].name, '.');
        if (!strcmp(row[i].name, name)) return &row[i];
        if (point && !strcmp(point + 1, name)) {
            only = &row[i];
            found++;
        }
    }
    return found == 1 ? only : NULL;
}

int exam_set(prov_config *c, const char *set, char *err)
{
    const char *eq = strchr(set, '=');
    if (!eq || eq == set) return q_fail(err, Q_RANGE, _("--set wants NAME=VALUE, not \"%s\""), set);
    char *name = q_strndup(set, (size_t)(eq - set)), *whole = NULL;
    const q_knob *row = knob_of(name);
    int rc = lab_spec_lists(row, set, &whole, err);
    if (rc == Q_OK) rc = prov_config_set(c, row ? row->name : name, strchr(whole, '=') + 1, err);
    free(name);
    free(whole);
    return rc;
}

static int configure(void *user, prov_config *c, char *err)
{
    const wish *w = user;
    char words[24], ignored[Q_ERRLEN];
    double min, max;
    int room = w->room;
    bool told = false;
    prov_config_set(c, "sampler.temperature", "0", ignored);     /* a server may fix it: then it is that */
    snprintf(words, sizeof words, "%d", w->max_tokens);           /* of who takes no limit with a request */
    if (w->max_tokens > 0) prov_config_set(c, "sampler.max_tokens", words, ignored);
    for (int i = 0; i < w->o->n_set; i++) told |= !strncmp(w->o->set[i], "context.length=", 15);
    if (room > 0 && !told && prov_config_range(c, "context.length", &min, &max)) {
        room = room > max ? (int)max : room < min ? (int)min : room;
        snprintf(words, sizeof words, "%d", room);
        int rc = prov_config_set(c, "context.length", words, err);
        if (rc < 0) return rc;
    }
    for (int i = 0; i < w->o->n_set; i++) {
        int rc = exam_set(c, w->o->set[i], err);
        if (rc < 0) return rc;
    }
    return Q_OK;
}

/* Tokens of the longest question with its reply, counted by who answers. */
static int longest(const exam_sheet *s, prov *p)
{
    int most = 0;
    char err[Q_ERRLEN];
    for (int i = 0; i < s->n_item; i++) {
        char *prompt = s->base ? exam_prompt(s, i) : NULL;
        const prov_message m = { .role = PROV_USER, .text = s->item[i].question, .n = strlen(s->item[i].question) };
        prov_request q = { .message = &m, .n_message = 1, .think = s->think };
        if (prompt) q = (prov_request){ .raw = prompt, .n_raw = strlen(prompt) };
        int n = prov_count_request(p, &q, err), more = score_room(s, i);
        n += more > s->max_tokens ? more : s->max_tokens;
        most = n > most ? n : most;
        free(prompt);
    }
    return most + 16;
}

int exam_seat_open(const exam_sheet *s, const exam_open *o, prov **out, char *err)
{
    wish w = { .o = o, .max_tokens = s->max_tokens };
    prov_opts opts = { .servers = o->servers, .configure = configure, .user = &w, .streams = o->streams, .adapters = true };
    char *what = NULL;
    int rc = prov_find_model(o->model, &what, err);
    for (int i = 0; i < s->n_item; i++) {        /* a guess first, of three bytes a token; what is counted afterwards holds */
        int room = (int)strlen(s->item[i].question) / 3 + s->max_tokens + 64;
        w.room = room > w.room ? room : w.room;
    }
    w.room = o->room > 0 ? o->room : w.room;
    w.room *= o->streams > 1 ? o->streams : 1;
    if (rc == Q_OK) rc = prov_open(what, &opts, out, err);
    if (rc == Q_OK && s->n_item && prov_about(*out)->can & PROV_COUNT) {
        int need = longest(s, *out) * (o->streams > 1 ? o->streams : 1);
        if (need > w.room) {
            prov_close(*out);
            *out = NULL;
            w.room = need;
            rc = prov_open(what, &opts, out, err);
        }
    }
    free(what);
    return rc;
}

int exam_config_of(prov *p, const char *spec, prov_config **out, char *err)
{
    *out = prov_present(p);
    if (!lab_spec_begins(spec)) {        /* a brain */
        lab_brain b = { 0 };
        int rc = lab_brain_read(spec, &b, err);
        for (int i = 0; rc == Q_OK && i < b.n; i++) rc = prov_config_set(*out, b.knob[i], b.value[i], err);
        lab_brain_free(&b);
        return rc;
    }
    char *all = q_strdup(spec);
    int rc = Q_OK;
    for (char *at = all, *next; at && rc == Q_OK; at = next) {
        next = at;
        while ((next = strchr(next, ',')) && !lab_spec_begins(next + 1)) next++;
        if (next) *next++ = 0;
        rc = exam_set(*out, at, err);
    }
    free(all);
    return rc;
}
