/* lab/verdict: what a comparison came to, in words; and a comparison for whoever knows a model only by its cache. */
#include "base/say.h"
#include "lab/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void say_side(const lab_compared *c, int i, const char *said, q_buf *out)
{
    char w[32];
    q_buf_say(out, "%s  %s\n", i ? "B" : "A", said);
    q_buf_say(out, _("   perplexity %.4f · log-probability %.4f · reads %s a token\n"), exp(-c->logp[i]), c->logp[i], q_bytes_words(c->bytes[i], w));
}

void lab_compared_say(const lab_compared *c, const char *a, const char *b, q_buf *out)
{
    say_side(c, 0, a, out);
    say_side(c, 1, b, out);
    q_buf_say(out, _("KL(A,B)   %.3g nats a token (95%%: %.3g to %.3g)\n"), c->kl.mean, c->kl.low, c->kl.high);
    q_buf_say(out, _("noise     %.3g (95%%: %.3g to %.3g): A against A with kv.type %s\n"), c->noise.mean, c->noise.low, c->noise.high, c->yardstick);
    q_buf_say(out, _("B over A  %+.3g nats a token (95%%: %.3g to %.3g)\n"), c->dlogp.mean, c->dlogp.low, c->dlogp.high);
    q_buf_say(out, _("same likeliest next token: %.1f%%\n"), 100 * c->top1);
    if (c->n_layer) {
        int low = 0;
        double mean = 0;
        for (int l = 0; l < c->n_layer; l++) {
            mean += c->overlap[l] / c->n_layer;
            low = c->overlap[l] < c->overlap[low] ? l : low;
        }
        q_buf_say(out, _("same experts: %.1f%%, least in layer %d: %.1f%%\n"), 100 * mean, c->first_layer + low, 100 * c->overlap[low]);
    }
    q_buf_say(out, c->by_paragraph ? ngettext("%d tokens in %d paragraph\n", "%d tokens in %d paragraphs\n", (unsigned long)c->blocks)
                                   : _("%d tokens in %d pieces of equal length: there are too few paragraphs\n"), c->n, c->blocks);
    if (!c->different)
        q_buf_say(out, "%s\n", c->kl.mean > 0 ? _("no difference above noise") : _("no difference"));
    else if (c->dlogp.low > 0)
        q_buf_say(out, _("different; B gives this text more probability,\nwhich alone does not make its answers better\n"));
    else if (c->dlogp.high < 0)
        q_buf_say(out, _("different; A gives this text more probability,\nwhich alone does not make its answers better\n"));
    else
        q_buf_say(out, _("different; which of them gives this text more probability is within chance\n"));
    if (c->more_experts)
        q_buf_say(out, _("No controlled study shows that more experts than the trained number\n"
                         "improve a model like Qwen3-30B; what a varied k gives is diversity.\n"));
}

static int side_of(eng_model *m, const char *spec, const char *now, eng_config **out, q_buf *said, char *err)
{
    *out = eng_config_new(m);
    if (!spec)
        return now ? eng_config_from_json(*out, now, err) : Q_OK;
    return lab_spec(*out, spec, said, err);
}

int lab_compare_beside(struct eng_cache *beside, const lab_pair *p, const char *text, size_t n, const lab_terms *terms, q_buf *out, char **json, lab_columns *cols, char *err)
{
    eng_model *m = eng_cache_model(beside);
    eng_config *a = NULL, *b = NULL;
    q_buf said = { 0 };
    lab_compared c = { .n = 0 };
    int rc = side_of(m, p->a, p->now, &a, &said, err);
    if (rc == Q_OK)
        rc = side_of(m, p->b, p->now, &b, &said, err);
    if (rc == Q_OK)
        rc = lab_compare(m, a, b, text, n, terms, &c, err);
    if (rc == Q_OK) {
        const char *name_a = p->a ? p->a : _("now"), *name_b = p->b ? p->b : _("now");
        lab_compared_say(&c, name_a, name_b, out);
        columns_of_text(m, &c, name_a, name_b, cols);
        *json = json_text(lab_compared_json(&c, name_a, name_b));
        if (said.len)
            q_buf_say(out, "\n");
        for (const char *at = said.p; at && *at;) {
            size_t len = strcspn(at, "\n");
            char *line = q_strndup(at, len);
            q_buf_say(out, "%s\n", line);
            free(line);
            at += len + (at[len] == '\n');
        }
    }
    lab_compared_free(&c);
    eng_config_free(a);
    eng_config_free(b);
    q_buf_free(&said);
    return rc;
}
