/* provider/render: see render.h. The text of a request goes through the model's frame; of the last one the tokens are kept, because what
 * was counted is asked next. */
#include "provider/render.h"

#include <stdlib.h>
#include <string.h>

int render_most(const eng_config *c) { return 4 * (int)eng_config_number(c, "context.length"); }

/* What begins has been thought about. */
const char *render_thinks(const eng_config *c, const prov_request *r, q_buf *b)
{
    return r->n_begin ? "off" : r->think ? r->think : eng_config_get(c, "think", b);
}

static int frame(const local *l, const eng_config *c, const prov_request *r, bool thoughts, eng_tokens *out, char *err)
{
    for (int i = 0; i < r->n_ids && r->ids; i++)
        eng_tokens_add(out, r->ids[i]);
    if (r->ids)
        return Q_OK;
    if (r->raw) {                        /* the opening token, where the family has one */
        int rc = eng_template(l->m, NULL, 0, false, -1, out, err);
        return rc < 0 ? rc : eng_tokenize(l->m, r->raw, r->n_raw, false, out, err);
    }
    static const enum eng_role role[] = { [PROV_SYSTEM] = ENG_SYSTEM, [PROV_USER] = ENG_USER, [PROV_ASSISTANT] = ENG_ASSISTANT, [PROV_TOOL] = ENG_TOOL };
    eng_message *m = q_alloc(sizeof *m * (size_t)(r->n_message + 1));
    eng_more *more = q_alloc(sizeof *more * (size_t)(r->n_message + 1));
    eng_call *call = q_alloc(sizeof *call * (size_t)(r->n_call + 1));
    eng_tool *tool = q_alloc(sizeof *tool * (size_t)(r->n_tool + 1));
    for (int i = 0; i < r->n_tool; i++)
        tool[i] = (eng_tool){ r->tool[i].name, r->tool[i].help, r->tool[i].schema };
    for (int i = 0, k = 0, said = 0; i < r->n_message; i++) {
        const prov_message *from = &r->message[i];
        more[i] = (eng_more){ .call = call + k, .id = from->role == PROV_TOOL ? from->call : NULL };
        for (; said < r->n_thought && r->thought[said].message <= i; said++)
            if (thoughts && r->thought[said].message == i) {
                more[i].thought = r->thought[said].text;
                more[i].n_thought = r->thought[said].n;
            }
        for (; k < r->n_call && r->call[k].message == i; k++, more[i].n_call++)
            call[k] = (eng_call){ r->call[k].call.id, r->call[k].call.name, r->call[k].call.arguments };
        for (int e = 0; e < k && more[i].id; e++)
            if (call[e].id && strcmp(call[e].id, more[i].id) == 0)
                more[i].name = call[e].name;
        m[i] = (eng_message){ role[from->role], from->text, from->n, more[i].n_call || more[i].id || more[i].n_thought ? &more[i] : NULL };
    }
    q_buf b = { 0 };
    const char *think = render_thinks(c, r, &b);
    const eng_talk t = { .message = m, .n = r->n_message, .tool = tool, .n_tool = r->n_tool, .reply = true,
                         .think = strcmp(think, "on") == 0 ? 1 : strcmp(think, "off") == 0 ? 0 : -1 };
    int rc = eng_template_talk(l->m, &t, out, err);
    q_buf_free(&b);
    free(tool);
    free(call);
    free(more);
    free(m);
    return rc;
}

/* A template may refuse thoughts (beside words and calls, for one): they are what it can do without. */
static int render_frame(const local *l, const eng_config *c, const prov_request *r, eng_tokens *out, char *err)
{
    int at = out->n, rc = frame(l, c, r, true, out, err);
    if (rc >= 0 || !r->n_thought)
        return rc;
    out->n = at;
    return frame(l, c, r, false, out, err);
}

/* The answer's given beginning stands behind the frame, as tokens of its own: so they came when the model said them. */
int render_begin(const local *l, const prov_request *r, eng_tokens *out, char *err)
{
    return r->n_begin ? eng_tokenize(l->m, r->begin, r->n_begin, false, out, err) : Q_OK;
}

int render_anew(const local *l, const eng_config *c, const prov_request *r, eng_tokens *out, char *err)
{
    int rc = render_frame(l, c, r, out, err);
    return rc < 0 ? rc : render_begin(l, r, out, err);
}

/* h and a text that may be NULL. */
static uint64_t named(const char *s, uint64_t h) { return s ? q_hash64(s, strlen(s), h) : h; }

/* Salted, so that nobody can write two prompts of one name. */
static uint64_t name_of(const local *l, const eng_config *c, const prov_request *r)
{
    q_buf b = { 0 };
    const char *think = render_thinks(c, r, &b);
    uint64_t h = q_hash64(think, strlen(think), l->last.salt);
    q_buf_free(&b);
    if (r->n_begin)
        h = q_hash64(r->begin, r->n_begin, h + 2);
    if (r->ids)
        return q_hash64(r->ids, sizeof *r->ids * (size_t)r->n_ids, h + 5);
    if (r->raw)
        return q_hash64(r->raw, r->n_raw, h + 1);
    for (int i = 0; i < r->n_message; i++) {
        const uint64_t head[2] = { (uint64_t)r->message[i].role, r->message[i].n };
        h = named(r->message[i].call, q_hash64(r->message[i].text, r->message[i].n, q_hash64(head, sizeof head, h)));
    }
    for (int i = 0; i < r->n_tool; i++)
        h = named(r->tool[i].name, named(r->tool[i].help, named(r->tool[i].schema, h + 3)));
    for (int i = 0; i < r->n_thought; i++)
        h = q_hash64(r->thought[i].text, r->thought[i].n, h + 6 + (uint64_t)r->thought[i].message);
    for (int i = 0; i < r->n_call; i++)
        h = named(r->call[i].call.id, named(r->call[i].call.name, named(r->call[i].call.arguments, h + 4 + (uint64_t)r->call[i].message)));
    return h;
}

int render_request(local *l, const eng_config *c, const prov_request *r, eng_tokens *out, char *err)
{
    rendered *last = &l->last;
    int rc = Q_OK;
    pthread_mutex_lock(&last->mu);
    uint64_t name = name_of(l, c, r);
    if (!last->there || last->name != name || (out->most > 0 && last->t.n > out->most)) {    /* one that was counted without a bound may be past this one */
        eng_tokens_free(&last->t);
        last->t = (eng_tokens){ .most = out->most };
        rc = render_anew(l, c, r, &last->t, err);
        last->there = rc >= 0;
        last->name = name;
        last->times++;
    }
    for (int i = 0; i < last->t.n && rc >= 0; i++)
        eng_tokens_add(out, last->t.id[i]);
    pthread_mutex_unlock(&last->mu);
    return rc;
}
