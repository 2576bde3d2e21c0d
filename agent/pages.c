/* agent/pages: the texts that commands print: /context, /why, /experts for line mode. Front-end thread, from snapshots.
 * It never waits for the other threads. */
#include "base/say.h"
#include "agent/errands.h"
#include "agent/front.h"
#include "agent/view.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

void page_context(agt *a)
{
    q_buf b = { 0 };
    char w[32];
    cJSON *data = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(data, "configurations");
    pthread_mutex_lock(&a->shown.mu);
    agt_status s = a->shown.st;
    cJSON_AddNumberToObject(data, "tokens", s.ctx_used);
    cJSON_AddNumberToObject(data, "of", s.ctx_size);
    for (int i = 0; s.loaded && s.ctx_used && i < a->shown.n_mix; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "tokens", a->shown.mix[i].cells);
        cJSON_AddStringToObject(one, "label", a->shown.mix[i].label);
        cJSON_AddItemToArray(list, one);
    }
    cJSON_AddNumberToObject(data, "messages_left_out", a->shown.left.dropped);
    cJSON_AddNumberToObject(data, "messages_summarised", a->shown.left.compacted);
    cJSON_AddNumberToObject(data, "kept_for_the_reply", a->shown.left.reserve);
    cJSON_AddNumberToObject(data, "states", a->shown.states.n);
    cJSON_AddNumberToObject(data, "state_bytes", (double)a->shown.states.bytes);
    if (!s.loaded)
        q_buf_puts(&b, _("No model is loaded, so there is no context yet.\n"));
    else if (s.ctx_used == 0)
        q_buf_say(&b, _("Nothing is evaluated yet; the context holds %d tokens. The next question brings its branch in.\n"), s.ctx_size);
    else if (a->shown.n_mix == 0)
        q_buf_say(&b, ngettext("The text is %d token of %d; the next question has it read anew.\n",
                               "The text is %d tokens of %d; the next question has it read anew.\n", (unsigned long)s.ctx_used), s.ctx_used, s.ctx_size);
    else {
        q_buf_say(&b, ngettext("%d of %d token is in the context", "%d of %d tokens are in the context", (unsigned long)s.ctx_size), s.ctx_used, s.ctx_size);
        q_buf_say(&b, ngettext(", made by %d configuration:\n", ", made by %d configurations:\n", (unsigned long)a->shown.n_mix), a->shown.n_mix);
        for (int i = 0; i < a->shown.n_mix; i++) {
            char label[64];
            view_label(a->shown.mix[i].label, a->shown.mix[i].k, label, sizeof label);
            q_buf_say(&b, "  %7d  %s\n", a->shown.mix[i].cells, label);
        }
        if (a->shown.n_mix > 1)
            q_buf_puts(&b, _("/recompute evaluates all of them under the present configuration.\n"));
        if (a->shown.left.compacted)
            q_buf_say(&b, ngettext("A summary of %d tokens stands for %d message of %d tokens: /compact show, /compact undo.\n",
                                   "A summary of %d tokens stands for %d messages of %d tokens: /compact show, /compact undo.\n", (unsigned long)a->shown.left.compacted),
                      a->shown.left.after, a->shown.left.compacted, a->shown.left.before);
        if (a->shown.left.dropped)
            q_buf_say(&b, ngettext("The first %d message of this branch did not fit and is left out of the prompt.\n",
                                               "The first %d messages of this branch did not fit and are left out of the prompt.\n", (unsigned long)a->shown.left.dropped), a->shown.left.dropped);
        if (a->shown.states.n)
            q_buf_say(&b, ngettext("The recurrent layers' state is kept at %d place, %s of state.memory: turns that end there are returned to without reading.\n",
                                   "The recurrent layers' states are kept at %d places, %s of state.memory: turns that end there are returned to without reading.\n",
                                   (unsigned long)a->shown.states.n), a->shown.states.n, q_bytes_words(a->shown.states.bytes, w));
        if (a->shown.left.reserve)
            q_buf_say(&b, ngettext("%d token is kept free for the reply.\n", "%d tokens are kept free for the reply.\n", (unsigned long)a->shown.left.reserve), a->shown.left.reserve);
    }
    if (a->shown.prompt)
        q_buf_printf(&b, _("\nThe last prompt, as the model reads it:\n%s\n"), a->shown.prompt);
    pthread_mutex_unlock(&a->shown.mu);
    note_page(&a->events, "/context", q_buf_take(&b), cJSON_PrintUnformatted(data));
    cJSON_Delete(data);
}

void page_why(agt *a)
{
    q_buf b = { 0 };
    char *json = NULL;
    bool stored = false;
    lost_now gone = lost_copy(&a->lost);
    pthread_mutex_lock(&a->shown.mu);
    if (a->shown.why) {
        lost_mark(&gone, a->shown.why);
        rag_explain(a->shown.why, &b);
        json = rag_explain_json(a->shown.why, NULL);
    } else if (a->shown.why_broken)
        q_buf_printf(&b, "%s\n", a->shown.why_broken);
    else if (a->shown.why_message)
        q_buf_puts(&b, _("Memory was not searched for this answer: the text only goes on (--base).\n"));
    else
        stored = true;
    pthread_mutex_unlock(&a->shown.mu);
    free(gone.document);
    pthread_mutex_lock(&a->seat.modules.mu);
    if (!stored)
        modules_why(a->seat.modules.made, &b, &json);
    pthread_mutex_unlock(&a->seat.modules.mu);
    if (stored)                          /* the log of an answer that was given before the start */
        desk_post(&a->desk, &job_why, front_present(a), 0, NULL, NULL);
    else
        note_page(&a->events, "/why", q_buf_take(&b), json);
}

/* The same as numbers: of each layer how far every expert is from its usual rate, -2 to 2. */
static char *routing_json(const agt_routing *r)
{
    cJSON *j = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(j, "layers");
    cJSON_AddNumberToObject(j, "k", r->k);
    cJSON_AddNumberToObject(j, "experts", r->n_expert);
    cJSON_AddBoolToObject(j, "stored", r->stored);
    cJSON_AddNumberToObject(j, "repeat", (double)r->repeat);             /* null: not known */
    cJSON_AddNumberToObject(j, "repeat_chance", (double)r->repeat_chance);
    cJSON_AddNumberToObject(j, "entropy", (double)r->mean_entropy);
    cJSON_AddNumberToObject(j, "margin", (double)r->mean_margin);
    for (int l = 0; l < r->n_layer; l++) {
        cJSON *one = cJSON_CreateObject(), *dev = cJSON_AddArrayToObject(one, "against_usual"), *needed = cJSON_AddArrayToObject(one, "needed"), *taught = cJSON_AddArrayToObject(one, "taught");
        cJSON_AddNumberToObject(one, "layer", l + r->first_layer);
        cJSON_AddNumberToObject(one, "strange", (double)r->strange[l]);
        for (int e = 0; e < r->n_expert; e++) {
            const agt_cell *c = &r->cell[(size_t)l * (size_t)r->n_expert + (size_t)e];
            cJSON_AddItemToArray(dev, cJSON_CreateNumber(c->dev));
            if (c->breaks)
                cJSON_AddItemToArray(needed, cJSON_CreateNumber(e));
            if (c->taught)
                cJSON_AddItemToArray(taught, cJSON_CreateNumber(e));
        }
        cJSON_AddItemToArray(list, one);
    }
    char *s = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return s;
}

/* Experts that adapters change, a layer a line. */
static void page_taught(const agt_routing *r, q_buf *b)
{
    for (int l = 0; l < r->n_layer; l++) {
        int n = 0;
        for (int e = 0; e < r->n_expert; e++)
            if (r->cell[(size_t)l * (size_t)r->n_expert + (size_t)e].taught)
                n++ ? q_buf_say(b, " %d", e) : q_buf_say(b, _("adapters change in layer %d: %d"), l + r->first_layer, e);
        if (n) q_buf_putc(b, '\n');
    }
}

/* The panel as lines of text: one a layer, the sign of each expert, then what is odd. */
void page_experts(agt *a)
{
    static const char sign[] = "=-.+#";
    agt_routing r = { 0 };
    q_buf b = { 0 };
    agt_get_routing(a, &r);
    pthread_mutex_lock(&a->shown.mu);
    bool server = a->shown.path && *a->shown.path == '@';
    pthread_mutex_unlock(&a->shown.mu);
    if (!r.n_layer && server)
        q_buf_puts(&b, _("No routing to show: the server was not asked for it; routing = vllm or sglang in its section of config.ini asks.\n"));
    else if (!r.n_layer)
        q_buf_puts(&b, _("No routing to show: the model is dense, or nothing was evaluated yet.\n"));
    else {
        if (r.stored)
            q_buf_puts(&b, _("stored routing of the last answer\n"));
        if (lab_view_bare(&r))
            q_buf_puts(&b, _("ids only, no weights: a server told which experts ran\n"));
        q_buf_say(&b, _("%d of %d experts speak; the last 32 tokens against the usual\n"), r.k, r.n_expert);
        if (r.estimated)
            q_buf_say(&b, _("usual rates of this k are estimated; %d of %d tokens seen with it\n"), r.learned, r.learn_need);
        else if (r.learned < r.learn_need)
            q_buf_say(&b, _("learning what is usual, %d of %d\n"), r.learned, r.learn_need);
        for (int l = 0; l < r.n_layer; l++) {
            q_buf_say(&b, "%3d ", l + r.first_layer);
            for (int e = 0; e < r.n_expert; e++)
                q_buf_putc(&b, r.cell[l * r.n_expert + e].breaks ? '!' : sign[r.cell[l * r.n_expert + e].dev + 2]);
            q_buf_say(&b, "  %.2f\n", (double)r.strange[l]);
        }
        q_buf_puts(&b, _(". usual   + # more   - = less   ! breaks the model when it is missing (/guard)\nthe number: how strange the layer is\n"));
        page_taught(&r, &b);
        for (int i = 0; i < r.n_odd; i++)
            q_buf_say(&b, "%sL%de%d %c %.1fx", i ? "   " : "", r.odd[i].layer, r.odd[i].expert, sign[r.odd[i].dev + 2], (double)r.odd[i].ratio);
        if (r.n_odd)
            q_buf_putc(&b, '\n');
        if (!isnan(r.repeat))
            q_buf_say(&b, _("repeat %.2f (chance %.2f)"), (double)r.repeat, (double)r.repeat_chance);
        if (!isnan(r.mean_entropy))
            q_buf_say(&b, _("   entropy %.2f"), (double)r.mean_entropy);
        if (!isnan(r.mean_margin))
            q_buf_say(&b, _("   margin %.3f"), (double)r.mean_margin);
        q_buf_putc(&b, '\n');
    }
    char *data = routing_json(&r);
    agt_routing_free(&r);
    note_page(&a->events, "/experts", q_buf_take(&b), data);
}
